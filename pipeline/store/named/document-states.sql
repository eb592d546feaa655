-- What became of every document, by job, and why it failed.
SELECT jobs.name AS job, state, reason, count(*) AS documents, coalesce(sum(pages), 0) AS pages
FROM documents
JOIN jobs ON jobs.id = documents.job_id
WHERE CAST(:job AS text) IS NULL OR jobs.name = CAST(:job AS text)
GROUP BY jobs.name, state, reason
ORDER BY jobs.name, documents DESC, state, reason
