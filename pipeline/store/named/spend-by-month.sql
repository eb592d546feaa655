-- Spend by month, in đồng: each invoice once, without copies and those that were replaced.
-- The amounts are totals with VAT. What is not counted, and why, is in the named query `purchase-list`.
SELECT substr(issue_date, 1, 7) AS month, count(*) AS invoices, count(DISTINCT seller) AS suppliers,
    CAST(sum(total_vnd) AS bigint) AS spent_vnd, sum(CASE state WHEN 'done' THEN 0 ELSE 1 END) AS to_review
FROM purchases
WHERE aside IS NULL
GROUP BY substr(issue_date, 1, 7)
ORDER BY month
