-- Spend by supplier and month, in đồng: each invoice once, without copies and those that were replaced.
SELECT seller, max(seller_name) AS seller_name, substr(issue_date, 1, 7) AS month, count(*) AS invoices,
    CAST(sum(total_vnd) AS bigint) AS spent_vnd, sum(CASE state WHEN 'done' THEN 0 ELSE 1 END) AS to_review
FROM purchases
WHERE aside IS NULL
GROUP BY seller, substr(issue_date, 1, 7)
ORDER BY seller, month
