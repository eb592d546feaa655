    -- Failed checks that send a document to a person.
    SELECT latest.*, checks.number, checks.code, checks.severity, checks.message, checks.fields, checks.expected,
        checks.found
    FROM latest
    JOIN checks ON checks.document_id = latest.document_id
    WHERE NOT checks.passed AND checks.severity <> 'info'
