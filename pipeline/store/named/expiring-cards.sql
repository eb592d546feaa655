-- Identity cards that expire within 90 days from today, the first to expire first.
SELECT document_uri, job, state, number, full_name, expiry,
    CASE WHEN expiry <= CAST(:in_30_days AS text) THEN '30 days' ELSE '90 days' END AS within
FROM cards
WHERE expiry BETWEEN CAST(:today AS text) AND CAST(:in_90_days AS text)
ORDER BY expiry, document_uri
