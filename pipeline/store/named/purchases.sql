-- Every invoice once for the purchase list (vinbatch export --format 01-1), and why one is set aside.
-- Of several papers of one invoice the first stands for it: one without failed checks before others, then by name.
WITH gone AS (
    SELECT related AS identity FROM invoices WHERE relation = 'replaces'
    UNION
    SELECT identity FROM invoices WHERE relation = 'replaced by'
),
ranked AS (
    SELECT invoices.*,
        row_number() OVER papers AS paper,
        first_value(document_uri) OVER papers AS first_paper,
        min(total) OVER (PARTITION BY identity) AS least, max(total) OVER (PARTITION BY identity) AS most
    FROM invoices
    WINDOW papers AS (
        PARTITION BY identity
        ORDER BY CASE state WHEN 'done' THEN 0 WHEN 'review' THEN 1 ELSE 2 END, document_uri
    )
)
SELECT document_id, document_uri, job, state, ranked.identity, issue_date, seller, seller_name, buyer, total,
    relation, related,
    CASE
        WHEN ranked.identity IS NULL THEN 'unidentified'
        WHEN issue_date IS NULL THEN 'undated'
        WHEN gone.identity IS NOT NULL THEN 'replaced'
        WHEN paper > 1 THEN 'copy'
        WHEN state = 'partial' THEN 'partial'
        WHEN total_vnd IS NULL THEN 'no amount in dong'
    END AS aside,
    CASE WHEN ranked.identity IS NOT NULL AND paper > 1 THEN first_paper END AS copy_of,
    CASE WHEN ranked.identity IS NOT NULL AND least <> most THEN 'yes' ELSE 'no' END AS totals_differ
FROM ranked
LEFT JOIN gone ON gone.identity = ranked.identity
ORDER BY issue_date, seller, ranked.identity, document_uri
