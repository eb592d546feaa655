    -- Each document once, as it was read last: a job may have been repeated under another name.
    SELECT document_id, document_uri, job, state, sha256, identity, seller, seller_name, buyer, number, issue_date,
        total, total_vnd, payment, relation, related, shares
    FROM (
        SELECT invoice_index.*, documents.uri AS document_uri, jobs.name AS job, documents.state AS state,
            documents.sha256 AS sha256,
            row_number() OVER (
                PARTITION BY documents.uri ORDER BY documents.finished_at DESC, documents.id DESC
            ) AS newest
        FROM invoice_index
        JOIN documents ON documents.id = invoice_index.document_id
        JOIN jobs ON jobs.id = documents.job_id
        WHERE CAST(:job AS text) IS NULL OR jobs.name = CAST(:job AS text)
    ) AS readings
    WHERE newest = 1
