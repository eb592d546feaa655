    SELECT since, until, amount
    FROM json_to_recordset(CAST(:limits AS json)) AS given(since text, until text, amount bigint)
