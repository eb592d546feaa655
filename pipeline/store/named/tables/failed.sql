    -- Failed checks that send a document to a person.
    SELECT readings.*, checks.number, checks.code, checks.severity, checks.message, checks.fields, checks.expected,
        checks.found
    FROM readings
    JOIN checks ON checks.document_id = readings.document_id
    WHERE NOT checks.passed AND checks.severity <> 'info'
