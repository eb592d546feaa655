-- Documents of which something could not be drawn or looked into.
SELECT document_uri, job, state, code, message
FROM failed
WHERE code IN (
    'picture_damaged', 'pictures_not_read', 'colours_coarse', 'content_cut', 'letters_missing', 'letters_unknown',
    'field_not_drawn', 'annotation_not_drawn', 'placeholder', 'attachment_not_read', 'size_missing',
    'blank_unconfirmed', 'renderer_complained', 'not_inspected'
)
ORDER BY document_uri, job, number
