-- Invoices that replace or adjust another one, of which the paper does not say clearly which.
SELECT document_uri, job, state, identity, relation, issue_date, seller_name, total
FROM invoices
WHERE relation IS NOT NULL AND (related IS NULL OR identity IS NULL)
ORDER BY document_uri
