-- Values that a QR code, MRZ, text layer or another witness contradicts, or has where none was read.
SELECT document_uri, readings.job, readings.state, witnesses.page, witnesses.field, fields.raw AS read,
    witnesses.source AS witness, witnesses.raw AS witness_says, witnesses.verdict
FROM readings
JOIN witnesses ON witnesses.document_id = readings.document_id
LEFT JOIN fields ON fields.document_id = readings.document_id AND fields.path = witnesses.field
WHERE witnesses.verdict IN ('differs', 'offers')
ORDER BY document_uri, readings.job, witnesses.number
