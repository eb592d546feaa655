-- Values that a QR code, MRZ, text layer or another witness contradicts, or has where none was read.
-- What people have decided is left out.
SELECT document_uri, latest.job, latest.state, witnesses.page, witnesses.field, fields.raw AS read,
    witnesses.source AS witness, witnesses.raw AS witness_says, witnesses.verdict
FROM latest
JOIN witnesses ON witnesses.document_id = latest.document_id
LEFT JOIN fields ON fields.document_id = latest.document_id AND fields.path = witnesses.field
WHERE witnesses.verdict IN ('differs', 'offers')
    AND NOT EXISTS (
        SELECT 1 FROM decided
        WHERE decided.document_id = latest.document_id AND coalesce(decided.field, witnesses.field) = witnesses.field
    )
ORDER BY document_uri, latest.job, witnesses.number
