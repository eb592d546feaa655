-- Documents that wait for a person, those with the fewest failed checks first, and the first thing to look at.
WITH counted AS (
    SELECT document_id, count(*) AS checks, min(number) AS first_number FROM failed GROUP BY document_id
)
SELECT readings.document_uri, readings.job, readings.state, readings.score, coalesce(counted.checks, 0) AS failed_checks,
    checks.message AS first_check
FROM readings
LEFT JOIN counted ON counted.document_id = readings.document_id
LEFT JOIN checks ON checks.document_id = counted.document_id AND checks.number = counted.first_number
WHERE readings.state IN ('review', 'partial')
ORDER BY failed_checks, coalesce(readings.score, 0) DESC, readings.document_uri
