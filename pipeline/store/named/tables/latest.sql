    -- Each document once for each schema, as it was read last: a job may have been repeated under another name.
    -- A shadow is asked about only by its name.
    SELECT document_id, document_uri, job, schema, state, score, tier, review_below
    FROM (
        SELECT documents.id AS document_id, documents.uri AS document_uri, jobs.name AS job, jobs.schema AS schema,
            documents.state AS state, extractions.score AS score, extractions.tier AS tier,
            coalesce(CAST(jobs.settings ->> 'review_below' AS double precision), 0.9) AS review_below,
            row_number() OVER (
                PARTITION BY documents.uri, rtrim(rtrim(jobs.schema, '0123456789'), '@')
                ORDER BY documents.finished_at DESC, documents.id DESC
            ) AS newest
        FROM extractions
        JOIN documents ON documents.id = extractions.document_id
        JOIN jobs ON jobs.id = documents.job_id
        WHERE jobs.name = CAST(:job AS text) OR (CAST(:job AS text) IS NULL AND jobs.shadow_of IS NULL)
    ) AS readings
    WHERE newest = 1
