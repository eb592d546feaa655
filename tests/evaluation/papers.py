"""Documents as a job might have read them, built from printed texts through the product's own path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline import grammar, merge, parse
from pipeline.records import Extraction
from schemas.registry import SchemaSpec, resolve
from tests.pipeline.walker import recite

RECEIPT = resolve("receipt@1")
REQUIRED = {"date": "05/11/2026", "lines": [{"name": "Sữa"}]}  # without these, and a total, none is done


@dataclass(frozen=True)
class Paper:
    uri: str
    extraction: Extraction


def read(
    uri: str,
    values: dict[str, Any],
    *,
    sure: float = 1.0,
    spec: SchemaSpec = RECEIPT,
    doubts: dict[str, float] | None = None,
) -> Paper:
    """A document of one page on which the model read `values`, and what a receipt must bear beside them;
    `doubts` are less sure than the rest.
    """
    values = (REQUIRED if spec is RECEIPT else {}) | values
    said = recite(grammar.answer(spec.shape, values), sure=sure, doubts=doubts)
    return Paper(uri, merge.document([parse.page_record(said, spec, 1)], spec))
