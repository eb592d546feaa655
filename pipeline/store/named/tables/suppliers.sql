    SELECT tax_code, since, until, note
    FROM json_to_recordset(CAST(:suppliers AS json)) AS given(tax_code text, since text, until text, note text)
