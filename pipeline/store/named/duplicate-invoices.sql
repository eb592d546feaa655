-- Invoices that several documents show: same seller, form, series and number.
-- `same_file` says that another of them holds the same bytes. Papers whose seller, series or number was not read cannot
-- be compared: the named query `unidentified-invoices` lists them.
WITH copies AS (
    SELECT identity, count(*) AS documents, count(DISTINCT total) AS totals
    FROM invoices
    WHERE identity IS NOT NULL
    GROUP BY identity
    HAVING count(*) > 1
)
SELECT invoices.identity, copies.documents, document_uri, job, state, issue_date, seller_name, total,
    CASE WHEN copies.totals > 1 THEN 'yes' ELSE 'no' END AS totals_differ,
    CASE WHEN count(*) OVER (PARTITION BY invoices.identity, sha256) > 1 THEN 'yes' ELSE 'no' END AS same_file
FROM copies
JOIN invoices ON invoices.identity = copies.identity
ORDER BY invoices.identity, issue_date, document_uri
