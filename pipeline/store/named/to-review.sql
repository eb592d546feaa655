-- Documents that wait for a person, those with the fewest failed checks first, and the first thing to look at.
WITH counted AS (
    SELECT document_id, count(*) AS checks, min(number) AS first_number FROM failed GROUP BY document_id
)
SELECT latest.document_uri, latest.job, latest.state, latest.score, coalesce(counted.checks, 0) AS failed_checks,
    checks.message AS first_check
FROM latest
LEFT JOIN counted ON counted.document_id = latest.document_id
LEFT JOIN checks ON checks.document_id = counted.document_id AND checks.number = counted.first_number
WHERE latest.state IN ('review', 'partial')
ORDER BY failed_checks, coalesce(latest.score, 0) DESC, latest.document_uri
