    -- Identity cards of any version of the schema.
    SELECT readings.*, record ->> 'number' AS number, record ->> 'full_name' AS full_name,
        record ->> 'date_of_birth' AS date_of_birth, record ->> 'expiry' AS expiry
    FROM readings
    JOIN extractions ON extractions.document_id = readings.document_id
    WHERE rtrim(rtrim(readings.schema, '0123456789'), '@') = 'id_card'
