"""Figures over all documents of a job, added up by the database: what a report is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.store.database import Database
from pipeline.store.entities import Job

_WIDTHS = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 604_800, 2_592_000)
_MOST_SPANS = 40
BINS = 20  # of documents by how sure they are


@dataclass(frozen=True, slots=True)
class Span:
    """What was finished in the `seconds` of `Pace` that begin at `start` (seconds of Unix time)."""

    start: int
    documents: int
    pages: int
    tokens: int  # that the model wrote


@dataclass(frozen=True, slots=True)
class Pace:
    """What was done when; spans in which nothing was are left out. `running` is seconds in which work was."""

    seconds: int
    spans: tuple[Span, ...]
    running: float


@dataclass(frozen=True, slots=True)
class Accepted:
    """Documents of one tier of quality by their state; tier None: it was not measured."""

    tier: str | None
    done: int
    review: int
    partial: int

    @property
    def documents(self) -> int:
        return self.done + self.review + self.partial


@dataclass(frozen=True, slots=True)
class Stop:
    """A check that failed in `documents` that wait for a person, in `alone` of them no other one.

    The message and the URI are those of one of them, if possible one of the latter.
    """

    code: str
    documents: int
    alone: int
    uri: str
    message: str


@dataclass(frozen=True, slots=True)
class Voice:
    """What one kind of witness said of the values."""

    source: str
    agrees: int
    differs: int
    silent: int
    offers: int


@dataclass(frozen=True, slots=True)
class Bar:
    """Documents between two of `BINS` equal steps of how sure their least sure value is, by their state."""

    number: int  # from 0
    done: int
    review: int
    partial: int


@dataclass(frozen=True, slots=True)
class DoubtfulPage:
    """A page nobody has looked at: its least sure value, and how many are below the job's review_below."""

    uri: str
    page: int
    state: str
    least: float
    field: str
    unsure: int
    values: int


class Figures:
    """Each is one or two statements; no document's row is held here."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def pages(self, job: Job) -> tuple[int, int, int]:
        """Pages that were read, those that failed, and tokens that the model wrote for them."""
        [(read, failed, tokens)] = self._rows(_PAGES, job)
        return int(read), int(failed), int(tokens)

    def pace(self, job: Job) -> Pace | None:
        """What was finished when; None where nothing was."""
        [(first, last)] = self._rows(self._words(_ENDS), job)
        if first is None:
            return None
        length = int(last) - int(first)
        seconds = next((width for width in _WIDTHS if length // width < _MOST_SPANS), _WIDTHS[-1])
        rows = self._rows(self._words(_PACE), job, seconds=seconds)
        spans = tuple(Span(int(at) * seconds, int(d), int(p), int(t)) for at, d, p, t in rows)
        return Pace(seconds, spans, float(min(length + 1, seconds * len(spans))))

    def accepted(self, job: Job) -> list[Accepted]:
        """Documents with a result, by tier and state."""
        return [Accepted(tier, int(d), int(r), int(p)) for tier, d, r, p in self._rows(_ACCEPTED, job)]

    def stops(self, job: Job) -> list[Stop]:
        """What sends documents to a person, the most frequent first."""
        return [
            Stop(code, int(documents), int(alone), uri, message)
            for code, documents, alone, uri, message in self._rows(_STOPS, job)
        ]

    def voices(self, job: Job) -> list[Voice]:
        return [Voice(source, *map(int, counts)) for source, *counts in self._rows(_VOICES, job)]

    def sureness(self, job: Job) -> list[Bar]:
        """Documents by how sure they are: their score or, uncalibrated, their least confidence."""
        found = self._rows(self._words(_SURENESS), job, bins=BINS)
        return [Bar(int(number), *map(int, counts)) for number, *counts in found]

    def doubtful_pages(self, job: Job, limit: int) -> list[DoubtfulPage]:
        """The least sure pages that nobody has decided anything about."""
        below = float(job.settings.get("review_below", 0.9))
        found = self._rows(_DOUBTFUL, job, below=below, limit=limit)
        return [
            DoubtfulPage(uri, int(page), state, float(least), field, int(unsure), int(values))
            for uri, page, state, least, field, unsure, values in found
        ]

    def decided(self, job: Job) -> list[str]:
        """The URIs of the documents about which people have decided something that stands."""
        return [uri for (uri,) in self._rows(_DECIDED, job)]

    def unscored(self, job: Job) -> int:
        """Documents with a result and without a calibrated score."""
        [(number,)] = self._rows(_UNSCORED, job)
        return int(number)

    def _rows(self, statement: str, job: Job, **values: Any) -> Sequence[Sequence[Any]]:
        with self._db.read() as connection:
            return self._db.sql(connection, statement, job=job.id, **values)

    def _words(self, statement: str) -> str:
        """Whole seconds and whole numbers, which the databases take by other names."""
        if self._db.is_sqlite:
            return statement.replace("SECONDS(", "strftime('%s', ").replace("WHOLE(", "(")
        return statement.replace("SECONDS(", "extract(epoch FROM ").replace("WHOLE(", "floor(")


_PAGES = """
SELECT count(record), count(pages.reason), coalesce(sum(output_tokens), 0)
FROM pages JOIN documents ON documents.id = pages.document_id
WHERE documents.job_id = :job
"""
_EVENTS = """
    SELECT CAST(WHOLE(SECONDS(finished_at)) AS bigint) AS at, 1 AS documents, 0 AS pages, 0 AS tokens
    FROM documents
    WHERE job_id = :job AND state NOT IN ('pending', 'leased')
    UNION ALL
    SELECT CAST(WHOLE(SECONDS(read_at)) AS bigint), 0, 1, coalesce(output_tokens, 0)
    FROM pages JOIN documents ON documents.id = pages.document_id
    WHERE documents.job_id = :job
"""
_ENDS = f"SELECT min(at), max(at) FROM ({_EVENTS}) AS events"
_PACE = f"""
SELECT at / :seconds AS span, sum(documents), sum(pages), sum(tokens)
FROM ({_EVENTS}) AS events
GROUP BY at / :seconds
ORDER BY 1
"""
_BY_STATE = ", ".join(
    f"sum(CASE documents.state WHEN '{state}' THEN 1 ELSE 0 END) AS {state}"
    for state in ("done", "review", "partial")
)
_ACCEPTED = f"""
SELECT extractions.tier, {_BY_STATE}
FROM documents JOIN extractions ON extractions.document_id = documents.id
WHERE documents.job_id = :job
GROUP BY extractions.tier
ORDER BY count(*) DESC, extractions.tier
"""
_STOPS = """
WITH failed AS (
    SELECT checks.document_id, checks.code, min(checks.number) AS number
    FROM checks JOIN documents ON documents.id = checks.document_id
    WHERE documents.job_id = :job AND documents.state IN ('review', 'partial')
        AND NOT checks.passed AND checks.severity <> 'info'
    GROUP BY checks.document_id, checks.code
),
counted AS (SELECT document_id, count(*) AS codes FROM failed GROUP BY document_id),
groups AS (
    SELECT failed.code, count(*) AS documents, sum(CASE codes WHEN 1 THEN 1 ELSE 0 END) AS alone,
        coalesce(min(CASE codes WHEN 1 THEN failed.document_id END), min(failed.document_id)) AS example
    FROM failed JOIN counted ON counted.document_id = failed.document_id
    GROUP BY failed.code
)
SELECT groups.code, groups.documents, groups.alone, documents.uri, checks.message
FROM groups
JOIN failed ON failed.code = groups.code AND failed.document_id = groups.example
JOIN documents ON documents.id = groups.example
JOIN checks ON checks.document_id = groups.example AND checks.number = failed.number
ORDER BY groups.documents DESC, groups.code
"""
_VERDICTS = ", ".join(
    f"sum(CASE verdict WHEN '{verdict}' THEN 1 ELSE 0 END)"
    for verdict in ("agrees", "differs", "silent", "offers")
)
_VOICES = f"""
SELECT witnesses.source, {_VERDICTS}
FROM witnesses JOIN documents ON documents.id = witnesses.document_id
WHERE documents.job_id = :job
GROUP BY witnesses.source
ORDER BY count(*) DESC, witnesses.source
"""
_SURENESS = f"""
SELECT CASE WHEN number >= :bins THEN :bins - 1 ELSE number END AS bar, sum(done), sum(review), sum(partial)
FROM (
    SELECT CAST(WHOLE(sure * :bins) AS integer) AS number, {_BY_STATE}
    FROM (
        SELECT documents.state, coalesce(extractions.score,
            (SELECT min(confidence) FROM fields WHERE fields.document_id = documents.id)) AS sure
        FROM documents JOIN extractions ON extractions.document_id = documents.id
        WHERE documents.job_id = :job
    ) AS documents
    WHERE sure IS NOT NULL
    GROUP BY 1
) AS bars
GROUP BY 1
ORDER BY 1
"""
_DOUBTFUL = """
WITH doubtful AS (
    SELECT fields.document_id, fields.page, min(coalesce(fields.score, fields.confidence)) AS least,
        sum(CASE WHEN coalesce(fields.score, fields.confidence) < :below THEN 1 ELSE 0 END) AS unsure,
        count(*) AS of_values
    FROM fields JOIN documents ON documents.id = fields.document_id
    WHERE documents.job_id = :job AND documents.state IN ('done', 'review', 'partial')
        AND fields.page IS NOT NULL AND coalesce(fields.score, fields.confidence) IS NOT NULL
        AND NOT EXISTS (
            SELECT 1 FROM decisions
            WHERE decisions.document_id = documents.id AND decisions.undone_at IS NULL
        )
    GROUP BY fields.document_id, fields.page
    ORDER BY least, unsure DESC, fields.document_id, fields.page
    LIMIT :limit
)
SELECT documents.uri, doubtful.page, documents.state, least,
    (SELECT fields.path FROM fields
     WHERE fields.document_id = doubtful.document_id AND fields.page = doubtful.page
        AND coalesce(fields.score, fields.confidence) = least
     ORDER BY fields.number LIMIT 1), unsure, of_values
FROM doubtful JOIN documents ON documents.id = doubtful.document_id
ORDER BY least, unsure DESC, documents.id, doubtful.page
"""
_DECIDED = """
SELECT uri FROM documents
WHERE job_id = :job AND id IN (SELECT document_id FROM decisions WHERE undone_at IS NULL)
ORDER BY id
"""
_UNSCORED = """
SELECT count(*) FROM documents JOIN extractions ON extractions.document_id = documents.id
WHERE documents.job_id = :job AND extractions.score IS NULL
"""
