-- Invoices of which seller, series or number was not read: no other paper can be compared with them.
SELECT document_uri, job, state, seller, number, issue_date, seller_name, total
FROM invoices
WHERE identity IS NULL
ORDER BY document_uri
