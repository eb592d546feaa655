-- Values that a document must bear and none was read for.
SELECT document_uri, job, state, code, fields, message
FROM failed
WHERE code IN ('required', 'missing')
ORDER BY document_uri, job, number
