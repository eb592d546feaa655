-- Tax codes with a wrong check digit, and numbers that no person can have.
SELECT document_uri, job, state, found AS tax_code, message
FROM failed
WHERE code = 'tax_code'
ORDER BY document_uri, job, number
