-- People with several cards: the same number, or the same name and day of birth.
-- `group` numbers each such person; front and back of one card are one document only where the job put them together.
WITH pairs AS (
    SELECT 'number' AS same, number AS shared FROM cards WHERE number IS NOT NULL
    GROUP BY number HAVING count(*) > 1
    UNION ALL
    SELECT 'name and birth', full_name || '|' || date_of_birth FROM cards
    WHERE full_name IS NOT NULL AND date_of_birth IS NOT NULL
    GROUP BY full_name || '|' || date_of_birth HAVING count(*) > 1 AND count(DISTINCT number) > 1
)
SELECT pairs.same, document_uri, job, state, number, full_name, date_of_birth, expiry
FROM pairs
JOIN cards ON (pairs.same = 'number' AND cards.number = pairs.shared)
    OR (pairs.same = 'name and birth' AND cards.full_name || '|' || cards.date_of_birth = pairs.shared)
ORDER BY pairs.same DESC, pairs.shared, document_uri
