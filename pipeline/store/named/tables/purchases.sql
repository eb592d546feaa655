    -- Every invoice once, and why a paper is set aside. Of several papers of one invoice the first stands for it: one
    -- without failed checks before others, then by name.
    SELECT invoices.*, substr(papers.first_paper, 2) AS first_paper,
        CASE WHEN papers.least <> papers.most THEN 'yes' ELSE 'no' END AS totals_differ,
        CASE
            WHEN papers.identity IS NULL THEN 'unidentified'
            WHEN issue_date IS NULL THEN 'undated'
            WHEN gone.identity IS NOT NULL THEN 'replaced'
            WHEN document_uri <> substr(papers.first_paper, 2) THEN 'copy'
            WHEN state = 'partial' THEN 'partial'
            WHEN total_vnd IS NULL THEN 'no amount in dong'
        END AS aside
    FROM invoices
    LEFT JOIN (
        SELECT identity, min(total) AS least, max(total) AS most,
            min(CASE state WHEN 'done' THEN '0' WHEN 'review' THEN '1' ELSE '2' END || document_uri) AS first_paper
        FROM invoices
        WHERE identity IS NOT NULL
        GROUP BY identity
    ) AS papers ON papers.identity = invoices.identity
    LEFT JOIN (
        SELECT related AS identity FROM invoices WHERE relation = 'replaces'
        UNION
        SELECT identity FROM invoices WHERE relation = 'replaced by'
    ) AS gone ON gone.identity = invoices.identity
