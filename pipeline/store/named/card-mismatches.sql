-- Cards whose print, QR code, machine-readable zone or number say different things.
SELECT document_uri, job, state, code, expected, found, message
FROM failed
WHERE rtrim(rtrim(schema, '0123456789'), '@') = 'id_card'
    AND (substr(code, 1, 3) = 'qr_' OR substr(code, 1, 4) = 'mrz_'
        OR code IN ('number_birth_year', 'number_sex', 'witnesses_differ'))
ORDER BY document_uri, job, number
