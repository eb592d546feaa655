-- Values that are less sure than the job asks for, the least sure first; what people have decided is left out.
-- `sure` is the calibrated score, or the model's own confidence where nothing was calibrated (`calibrated`).
SELECT document_uri, latest.job, latest.state, fields.page, fields.path AS field, fields.raw AS read,
    coalesce(fields.score, fields.confidence) AS sure,
    CASE WHEN fields.score IS NULL THEN 'no' ELSE 'yes' END AS calibrated
FROM latest
JOIN fields ON fields.document_id = latest.document_id
WHERE fields.raw IS NOT NULL AND coalesce(fields.score, fields.confidence) < review_below
    AND NOT EXISTS (
        SELECT 1 FROM decided
        WHERE decided.document_id = latest.document_id AND coalesce(decided.field, fields.path) = fields.path
    )
ORDER BY sure, document_uri, fields.number
