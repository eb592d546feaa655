-- Every invoice once for the purchase list (vinbatch export --format 01-1), and why one is set aside.
SELECT document_id, document_uri, job, state, identity, issue_date, seller, seller_name, buyer, total,
    relation, related, aside, CASE aside WHEN 'copy' THEN first_paper END AS copy_of, totals_differ
FROM purchases
ORDER BY issue_date, seller, identity, document_uri
