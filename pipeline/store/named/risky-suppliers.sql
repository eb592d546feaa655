-- Invoices of suppliers on a list of your own (--suppliers FILE.csv), on the days that the list names.
-- A head office on the list stands for its branches too. `dated` is unknown where the paper's date is.
SELECT suppliers.tax_code AS listed, suppliers.note, suppliers.since, suppliers.until,
    document_uri, job, state, identity, issue_date, seller, seller_name, total,
    CASE
        WHEN issue_date IS NULL AND (suppliers.since IS NOT NULL OR suppliers.until IS NOT NULL) THEN 'unknown'
        ELSE 'yes'
    END AS dated
FROM suppliers
JOIN invoices ON substr(invoices.seller, 1, 10) = substr(suppliers.tax_code, 1, 10)
WHERE (invoices.seller = suppliers.tax_code OR (length(suppliers.tax_code) = 10 AND length(invoices.seller) = 14))
    AND (suppliers.since IS NULL OR issue_date IS NULL OR issue_date >= suppliers.since)
    AND (suppliers.until IS NULL OR issue_date IS NULL OR issue_date <= suppliers.until)
ORDER BY suppliers.tax_code, issue_date, document_uri
