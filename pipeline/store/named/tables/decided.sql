    -- What people decided, as far as it stands; field NULL: the whole document.
    SELECT document_id, field FROM decisions WHERE undone_at IS NULL
