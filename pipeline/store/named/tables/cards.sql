    -- Identity cards of any version of the schema.
    SELECT latest.*, record ->> 'number' AS number, record ->> 'full_name' AS full_name,
        record ->> 'date_of_birth' AS date_of_birth, record ->> 'expiry' AS expiry
    FROM latest
    JOIN extractions ON extractions.document_id = latest.document_id
    WHERE rtrim(rtrim(latest.schema, '0123456789'), '@') = 'id_card'
