-- Identity cards that have expired, the longest first.
SELECT document_uri, job, state, number, full_name, expiry
FROM cards
WHERE expiry < CAST(:today AS text)
ORDER BY expiry, document_uri
