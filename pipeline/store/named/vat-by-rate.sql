-- Input VAT by rate, in đồng: each invoice once, without copies and those that were replaced.
-- `rate` is empty where the paper does not say what was taxed at which rate, or neither net nor VAT was read.
SELECT shares.rate, count(DISTINCT purchases.document_id) AS invoices, CAST(sum(shares.net) AS bigint) AS net_vnd,
    CAST(sum(shares.vat) AS bigint) AS vat_vnd
FROM purchases
LEFT JOIN shares ON shares.document_id = purchases.document_id
WHERE purchases.aside IS NULL
GROUP BY shares.rate
ORDER BY CASE WHEN shares.rate IS NULL THEN 1 ELSE 0 END, net_vnd DESC, shares.rate
