"""The tables. Scripts may rely on these names; `migrations/` makes exactly what stands here, and a test says
so.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

REVISION = "0010"  # of migrations/versions that makes these tables


class Instant(TypeDecorator[datetime]):
    """A moment: timestamptz, or in SQLite UTC text of fixed width, which sorts as time does."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        from sqlalchemy.dialects.postgresql import TIMESTAMP  # with the drivers for PostgreSQL

        return dialect.type_descriptor(TIMESTAMP(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else moment(value)


def moment(stored: datetime | str) -> datetime:
    """A moment as the driver gives it."""
    return stored if isinstance(stored, datetime) else datetime.fromisoformat(stored).replace(tzinfo=UTC)


class Json(TypeDecorator[Any]):
    """JSON that SQL looks into: jsonb, or text in SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        from sqlalchemy.dialects.postgresql import JSONB

        return dialect.type_descriptor(JSONB())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return (
            json.dumps(value, ensure_ascii=False) if dialect.name == "sqlite" and value is not None else value
        )

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return json.loads(value) if dialect.name == "sqlite" and value is not None else value


Id = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows by itself only for "INTEGER"
Uri = Text().with_variant(
    Text(collation="C"), "postgresql"
)  # in byte order, whatever the database's language
metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def _partial(index: Index, where: str) -> None:
    """Only rows of which this is true are in the index.

    Said when it is made: as an argument of the index it would have every program import PostgreSQL's dialect,
    asyncio with it.
    """

    def say(*_: object, **__: object) -> None:
        for dialect in ("postgresql", "sqlite"):
            index.dialect_options[dialect]["where"] = text(where)

    event.listen(metadata, "before_create", say)


jobs = Table(
    "jobs",
    metadata,
    Column("id", Id, Identity(), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("schema", Text, nullable=False),  # "invoice@1"
    Column("schema_hash", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("checkpoint", Text, nullable=False),
    Column("settings", Json, nullable=False),
    Column("sources", Json, nullable=False),
    Column("views", Json, nullable=False),  # the typed views as this job's schema has them
    Column("result_view", Text, nullable=False),  # the first of them; it shows all jobs that have it here
    Column("submitted", BigInteger, nullable=False),  # documents ever added, less those purged
    Column("created_at", Instant, nullable=False),
    Column("schema_reference", Text),  # as the person named it: "invoice@1" or "file.py:Model"
    # Of a shadow (`shadows`): the id of the job whose documents it reads, and the share of them.
    Column("shadow_of", Id),
    Column("shadow_share", Float(53)),
    # How jobs that run on one cluster divide its lanes: the highest priority first, by weight within it.
    Column("weight", Float(53), nullable=False, server_default=text("1")),
    Column("priority", Integer, nullable=False, server_default=text("0")),
    Column("cancelled_at", Instant),  # until somebody runs the job again
)

# Who works on jobs: one row a run of `vinbatch run`, kept when it has ended.
runs = Table(
    "runs",
    metadata,
    Column("id", Id, Identity(), primary_key=True),
    Column("job_id", Id, ForeignKey("jobs.id"), nullable=False),
    Column("driver", Text, nullable=False),  # host and process
    Column("pool", Text),  # the machines whose lanes it divides with others; NULL: it has no lanes
    Column("room", Integer),  # lanes of its kind that all of them would hold
    Column("wanted", Integer),  # lanes that it has use for
    Column("lanes", Integer, nullable=False, server_default=text("0")),  # at work
    Column("cancelled", Boolean, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("beat_at", Instant, nullable=False),  # when it last said that it lives
    Column("ended_at", Instant),
)
Index("ix_runs_job", runs.c.job_id)

documents = Table(
    "documents",
    metadata,
    Column("id", Id, Identity(), primary_key=True),
    Column("job_id", Id, ForeignKey("jobs.id"), nullable=False),
    Column("uri", Uri, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),  # of the quarantine or, while pending, of the last try
    Column("message", Text),
    Column("traceback", Text),
    Column("failed_page", Integer),
    Column("retryable", Boolean),  # the reason was a passing one
    Column("size", BigInteger),
    Column("etag", Text),
    Column("sha256", Text),
    Column("pages", Integer),
    Column("attempts", Integer, nullable=False),  # tries begun, without those given back
    Column("losses", Integer, nullable=False),  # tries whose worker vanished
    Column("suspect", Boolean, nullable=False),
    Column("worker", Text),  # the last one
    Column("lease_token", Text),  # the last one: it also tells a repeated commit from a late one
    # When the row may be claimed (pending), or taken back (leased).
    Column("ready_at", Instant, nullable=False),
    Column("added_at", Instant, nullable=False),
    Column("finished_at", Instant),
    # When `ready_at` was set, by the same clock: lies this far ahead, then the clock was put back since.
    Column("scheduled_at", Instant),  # NULL in rows of an older Vinbatch that nobody has touched since
    Column("parts", Integer),  # how many files it has, where they are several; size is then that of all
    UniqueConstraint("job_id", "uri"),
    CheckConstraint(
        "state IN ('pending', 'leased', 'done', 'review', 'partial', 'quarantined')", name="state"
    ),
    CheckConstraint("state <> 'leased' OR lease_token IS NOT NULL", name="leased_by_somebody"),
    CheckConstraint("state <> 'quarantined' OR reason IS NOT NULL", name="quarantined_for_a_reason"),
    CheckConstraint("state IN ('pending', 'leased') OR finished_at IS NOT NULL", name="finished_at_a_time"),
)
# A claim reads the start of one of these, however many documents the job has.
_partial(
    Index(
        "ix_documents_pending",
        documents.c.job_id,
        documents.c.suspect,
        documents.c.ready_at,
        documents.c.id,
    ),
    "state = 'pending'",
)
_partial(Index("ix_documents_leased", documents.c.job_id, documents.c.ready_at), "state = 'leased'")
Index("ix_documents_state", documents.c.job_id, documents.c.state, documents.c.reason)

# The files of a document that has several, in order. A document of one file has none here.
parts = Table(
    "parts",
    metadata,
    Column("document_id", Id, ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True),
    Column("part", Integer, primary_key=True, autoincrement=False),  # from 1
    Column("job_id", Id, ForeignKey("jobs.id"), nullable=False),
    Column("uri", Uri, nullable=False),
    Column("size", BigInteger),
    Column("etag", Text),
    Column("sha256", Text),
    Column("pages", Integer),  # of the document that are this file's; 1 where it failed
    Column("reason", Text),  # why it has none
    Column("message", Text),
    Column("listed_broken", Boolean, nullable=False),  # by its entry in the listing: it is never fetched
)
Index("ix_parts_uri", parts.c.job_id, parts.c.uri)

pages = Table(
    "pages",
    metadata,
    Column("document_id", Id, ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True),
    Column("page", Integer, primary_key=True, autoincrement=False),
    Column("key", Text, nullable=False),  # names everything that could change the result
    Column("record", Text),  # JSON of the PageRecord; NULL when the page failed
    Column("reason", Text),
    Column("message", Text),
    Column("traceback", Text),
    Column("retryable", Boolean),
    Column("renderer", Text),
    Column("width", Integer),
    Column("height", Integer),
    Column("tiles", Integer),
    Column("prompt_tokens", Integer),
    Column("output_tokens", Integer),
    Column("output", Text),
    Column("attempts", Integer, nullable=False),
    Column("read_at", Instant, nullable=False),
    # Of the model over the page. Rows of an older Vinbatch, which knew only one, have 1.
    Column("passes", Integer, nullable=False, server_default="1"),
    Column("numerics", Text),  # of the model; NULL: none read it, or it is not known
    CheckConstraint("(record IS NULL) <> (reason IS NULL)", name="record_or_reason"),
)
Index("ix_pages_key", pages.c.key)

extractions = Table(
    "extractions",
    metadata,
    Column(
        "document_id",
        Id,
        ForeignKey("documents.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("record", Json, nullable=False),  # with what people decided
    Column("committed_at", Instant, nullable=False),
    Column("score", Float(53)),  # calibrated: that every value is right; NULL: nothing was calibrated
    Column("tier", Text),  # quality of the worst page
    Column("calibration", BigInteger),  # id of the one that the scores are by
    Column("read_on", Text),  # ISO 8601, the day in Viet Nam that dates are held against; NULL: none
)

_of_extraction = ForeignKey("extractions.document_id", ondelete="CASCADE")
fields = Table(
    "fields",
    metadata,
    Column("document_id", Id, _of_extraction, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),  # from 1, in the order of the schema
    Column("path", Text, nullable=False),
    Column("raw", Text),
    Column("value", Text),  # canonical text: nothing is rounded
    Column("type", Text),  # text, integer, real or boolean; NULL where there is no value
    Column("confidence", Float(53)),
    Column("source", Text, nullable=False),
    Column("page", Integer),
    Column("box", Text),  # JSON [left, top, right, bottom]
    Column("problem", Text),
    Column(
        "score", Float(53)
    ),  # calibrated probability that the value is right; NULL: nothing was calibrated
    Column("absence", Text),  # why there is no value: not_on_page, illegible or not_read
)

checks = Table(
    "checks",
    metadata,
    Column("document_id", Id, ForeignKey("extractions.document_id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("code", Text, nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("severity", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("fields", Text, nullable=False),  # JSON list of paths
    Column("expected", Text),
    Column("found", Text),
    Column("suspects", Text),  # JSON list of those paths that one change would mend; NULL: all of them
)

# What questions over many invoices ask of each: made from its record, and made anew when the rules change.
# But for `repeats` it holds nothing that the record does not.
invoice_index = Table(
    "invoice_index",
    metadata,
    Column(
        "document_id",
        Id,
        ForeignKey("extractions.document_id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("rules", Text, nullable=False),  # hash of those that made the row
    Column("identity", Text),  # "seller|form|series|number" in their common form; NULL where one is absent
    Column("seller", Text),  # tax code
    Column("seller_name", Text),
    Column("buyer", Text),  # tax code
    Column("number", Text),
    Column("issue_date", Text),  # ISO 8601
    Column("total", Text),  # canonical, in the invoice's currency
    Column("total_vnd", BigInteger),  # whole đồng; NULL in another currency without its rate
    Column("payment", Text, nullable=False),  # without cash, cash or unknown
    Column("relation", Text),  # replaces, adjusts, replaced by or adjusted by
    Column("related", Text),  # the other's identity
    Column("shares", Text),  # JSON list of [rate, net, VAT] in whole đồng; NULL where that is not known
    # Another document had shown the same invoice when this one was put there (`duplicates`).
    Column("repeats", Boolean, nullable=False, server_default=text("false")),
)
Index("ix_invoice_index_identity", invoice_index.c.identity, invoice_index.c.repeats)

witnesses = Table(
    "witnesses",
    metadata,
    Column("document_id", Id, ForeignKey("extractions.document_id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("field", Text, nullable=False),  # its path
    Column("source", Text, nullable=False),  # qr, mrz, xml, text …
    Column("verdict", Text, nullable=False),  # agrees, differs, silent, or offers where no value was read
    Column("raw", Text),  # as the witness has it
    Column("value", Text),  # canonical text, as in `fields`
    Column("type", Text),
    Column("page", Integer),
    Column("box", Text),  # JSON [left, top, right, bottom]
)

# How scores are made of what is known of a value, fitted on documents whose truth is known.
calibrations = Table(
    "calibrations",
    metadata,
    Column("id", Id, Identity(), primary_key=True),
    Column("schema", Text, nullable=False),  # "invoice@1"
    Column("checkpoint", Text, nullable=False),  # hash of the weights
    Column("numerics", Text, nullable=False),  # as of the pages that it was fitted on
    Column("origin", Text, nullable=False),  # the file of the truth, or that people reviewed the documents
    Column("documents", Integer, nullable=False),
    Column("field_values", Integer, nullable=False),
    Column("model", Json, nullable=False),
    Column("figures", Json, nullable=False),  # what was measured on documents that it was not fitted on
    Column("made_at", Instant, nullable=False),
    Column("made_by", Text, nullable=False),
)
Index("ix_calibrations_schema", calibrations.c.schema, calibrations.c.checkpoint)

# From which score on a document passes without a person, and what that promises. The newest one holds.
promises = Table(
    "promises",
    metadata,
    Column("id", Id, Identity(), primary_key=True),
    Column("calibration_id", Id, ForeignKey("calibrations.id", ondelete="CASCADE"), nullable=False),
    Column("accept_at", Float(53), nullable=False),  # precision of the values that pass
    Column("thresholds", Json, nullable=False),  # with the intervals and counts that they come from
    Column("set_at", Instant, nullable=False),
    Column("set_by", Text, nullable=False),
)

# What people decided, never changed: what is taken back stays, with who took it back.
decisions = Table(
    "decisions",
    metadata,
    Column("id", Id, Identity(), primary_key=True),
    Column("document_id", Id, ForeignKey("documents.id", ondelete="CASCADE"), nullable=False),
    Column("field", Text),  # its path; NULL: the whole document
    Column("ruling", Text, nullable=False),
    Column("raw", Text),  # as a person reads it on the page
    Column("value", Text),  # canonical text, as in `fields`
    Column("type", Text),
    Column("was", Text),  # the value that the reading had then
    Column("was_type", Text),
    Column("decided_at", Instant, nullable=False),
    Column("decided_by", Text, nullable=False),
    Column("batch", Text),  # of an import, which can be taken back as a whole
    Column("undone_at", Instant),
    Column("undone_by", Text),
    CheckConstraint("ruling IN ('accept', 'correct', 'not_on_page', 'illegible', 'reject')", name="ruling"),
)
Index("ix_decisions_document", decisions.c.document_id, decisions.c.id)

# What was read of a document on which people decided, as it was before: `extractions` has what they decided.
# Of a rejected document, which has no result, this is all that is left of it until that is taken back.
readings = Table(
    "readings",
    metadata,
    Column(
        "document_id",
        Id,
        ForeignKey("documents.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("reading", Text, nullable=False),  # JSON of the Extraction
)

# Who looks at a document now, so that two people do not meet.
claims = Table(
    "claims",
    metadata,
    Column(
        "document_id",
        Id,
        ForeignKey("documents.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("reviewer", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("expires_at", Instant, nullable=False),
)

# Who looked at what and did what, without values. It outlives the documents that it names.
audit = Table(
    "audit",
    metadata,
    Column("id", Id, Identity(), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("who", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("document_id", BigInteger),
    Column("field", Text),
    Column("detail", Text),
)
