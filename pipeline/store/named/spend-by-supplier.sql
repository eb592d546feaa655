-- Spend by supplier, in đồng: each invoice once, without copies and those that were replaced.
-- The amounts are totals with VAT. What is not counted, and why, is in the named query `purchase-list`.
SELECT seller, max(seller_name) AS seller_name, count(*) AS invoices, min(issue_date) AS first_day,
    max(issue_date) AS last_day,
    CAST(sum(total_vnd) AS bigint) AS spent_vnd, sum(CASE state WHEN 'done' THEN 0 ELSE 1 END) AS to_review
FROM purchases
WHERE aside IS NULL
GROUP BY seller
ORDER BY spent_vnd DESC, seller
