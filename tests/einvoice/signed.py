"""Signed specimens, made once for all tests."""

from __future__ import annotations

from functools import cache
from typing import Any

from pipeline.einvoice import anchors
from pipeline.einvoice.anchors import Anchors
from pipeline.specimens import authority, make
from pipeline.specimens.authority import Way
from pipeline.specimens.einvoice import Form, xml_of


@cache
def truth() -> dict[str, Any]:
    """An invoice of the common kind with few lines and the tax authority's code."""
    truths = (make("invoice", seed, preset="clean").truth for seed in range(100))
    return next(truth for truth in truths if _is_plain(truth["record"]))


def _is_plain(record: dict[str, Any]) -> bool:
    coded = record["tax_authority_code"] is not None and record["series"][-3] == "T"
    return coded and len(record["lines"]) < 5


@cache
def unsigned(envelope: bool = False) -> bytes:
    return xml_of(truth(), Form(envelope=envelope, line_tax=True))


@cache
def signed(way: Way | None = None, envelope: bool = False) -> bytes:
    return authority.sign(unsigned(envelope), way=way)


@cache
def trusted() -> Anchors:
    return anchors.of([authority.root().der])
