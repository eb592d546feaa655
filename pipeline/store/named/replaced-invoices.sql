-- Replaced and adjusted invoices: each chain from its first invoice to what stands for it now.
-- `standing` is what this invoice is now: replaced, adjusted, in force, missing where only another paper names it, or
-- circle where invoices name each other. Papers that name another one without its number are in `unclear-corrections`.
WITH links AS (
    SELECT related AS earlier, identity AS later, relation
    FROM invoices
    WHERE relation IN ('replaces', 'adjusts') AND related IS NOT NULL AND identity IS NOT NULL
    UNION
    SELECT identity, related, CASE relation WHEN 'replaced by' THEN 'replaces' ELSE 'adjusts' END
    FROM invoices
    WHERE relation IN ('replaced by', 'adjusted by') AND related IS NOT NULL AND identity IS NOT NULL
),
chain AS (
    SELECT links.earlier AS root, 1 AS step, links.earlier AS identity, '' AS relation
    FROM links
    LEFT JOIN links AS prior ON prior.later = links.earlier
    WHERE prior.later IS NULL
    UNION
    SELECT chain.root, chain.step + 1, links.later, links.relation
    FROM chain
    JOIN links ON links.earlier = chain.identity
    WHERE chain.step < 100
),
steps AS (
    SELECT root, min(step) AS step, identity, max(relation) AS relation FROM chain GROUP BY root, identity
    UNION
    SELECT 'circle', 0, links.later, links.relation
    FROM links
    LEFT JOIN chain ON chain.identity = links.later
    WHERE chain.identity IS NULL
),
left_behind AS (
    SELECT earlier AS identity, max(CASE relation WHEN 'replaces' THEN 1 ELSE 0 END) AS replaced
    FROM links
    GROUP BY earlier
)
SELECT steps.root AS first_invoice, steps.step, steps.relation, steps.identity,
    CASE
        WHEN steps.step = 0 THEN 'circle'
        WHEN invoices.identity IS NULL THEN 'missing'
        WHEN left_behind.replaced = 1 THEN 'replaced'
        WHEN left_behind.replaced = 0 THEN 'adjusted'
        ELSE 'in force'
    END AS standing,
    invoices.document_uri, invoices.job, invoices.state, invoices.issue_date, invoices.seller_name, invoices.total
FROM steps
LEFT JOIN left_behind ON left_behind.identity = steps.identity
LEFT JOIN invoices ON invoices.identity = steps.identity
ORDER BY steps.root, steps.step, steps.identity, invoices.document_uri
