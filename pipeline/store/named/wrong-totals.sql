-- Amounts that do not add up: lines, net, VAT, total, change, and the total in words.
SELECT document_uri, job, state, code, expected, found, message
FROM failed
WHERE code IN ('line_amount', 'net', 'vat', 'total', 'total_in_words', 'change', 'coins')
ORDER BY document_uri, job, number
