-- Payment without cash, which input VAT needs from 5 million đồng on: what each paper says, or unknown.
-- A day's purchases of a buyer from one seller count together, each invoice once and none that was replaced. `needed` is
-- unknown where a date or an amount in đồng is; invoices that surely stay below the limit of their day are left out.
WITH gone AS (
    SELECT related AS identity FROM invoices WHERE relation = 'replaces'
    UNION
    SELECT identity FROM invoices WHERE relation = 'replaced by'
),
standing AS (
    SELECT invoices.* FROM invoices
    LEFT JOIN gone ON gone.identity = invoices.identity
    WHERE gone.identity IS NULL
),
single AS (
    SELECT seller, coalesce(buyer, '') AS buyer, issue_date, max(total_vnd) AS total_vnd
    FROM standing
    WHERE seller IS NOT NULL AND issue_date IS NOT NULL
    GROUP BY seller, coalesce(buyer, ''), issue_date, coalesce(identity, document_uri)
),
days AS (
    SELECT seller, buyer, issue_date, CAST(sum(total_vnd) AS bigint) AS total_vnd,
        sum(CASE WHEN total_vnd IS NULL THEN 1 ELSE 0 END) AS without_amount
    FROM single
    GROUP BY seller, buyer, issue_date
),
judged AS (
    SELECT standing.*, coalesce(days.total_vnd, standing.total_vnd) AS day_vnd, limits.amount AS limit_vnd,
        CASE
            WHEN standing.total_vnd >= limits.amount OR days.total_vnd >= limits.amount THEN 'yes'
            WHEN limits.amount IS NULL OR standing.total_vnd IS NULL OR days.without_amount > 0 THEN 'unknown'
            WHEN days.seller IS NULL THEN 'unknown'
            ELSE 'no'
        END AS needed
    FROM standing
    LEFT JOIN days ON days.seller = standing.seller AND days.buyer = coalesce(standing.buyer, '')
        AND days.issue_date = standing.issue_date
    LEFT JOIN limits ON standing.issue_date BETWEEN limits.since AND limits.until
)
SELECT document_uri, job, state, identity, issue_date, seller_name, buyer, total, day_vnd, limit_vnd, needed, payment
FROM judged
WHERE needed <> 'no'
ORDER BY payment, issue_date, document_uri
