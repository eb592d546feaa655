"""From a name to a schema: "invoice@1", "invoice" (the newest), or a user's "path/to/file.py:Model"."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from schemas.checks import CheckResult
from schemas.id_card import IdCard
from schemas.invoice import Invoice
from schemas.receipt import Receipt
from schemas.shape import Group, shape_of, title_of
from schemas.shape import SchemaError as SchemaError

BUILT_IN: Mapping[str, Mapping[int, type[BaseModel]]] = {
    "invoice": {1: Invoice},
    "id_card": {1: IdCard},
    "receipt": {1: Receipt},
}


@dataclass(frozen=True, slots=True)
class SchemaSpec:
    """A schema ready for a job.

    name     "invoice"; the views are named after it
    version  1
    title    what kind of paper, in Vietnamese
    shape    labels and printed patterns
    hash     sha256, hex, of everything in the schema that can change a result
    """

    name: str
    version: int
    title: str
    model: type[BaseModel]
    shape: Group
    hash: str

    def checks(self, record: Mapping[str, Any]) -> list[CheckResult]:
        """All rules of the schema over a record of normalised JSON-ready values."""
        return []


def resolve(name: str) -> SchemaSpec:
    """The schema of that name. Raises SchemaError with one line that says what is wrong."""
    base, _, version = name.partition("@")
    if base not in BUILT_IN:
        raise SchemaError(f"no schema {name!r}; there are {', '.join(BUILT_IN)}, or FILE.py:Model")
    versions = BUILT_IN[base]
    number = int(version) if version.isdecimal() else max(versions)
    if number not in versions:
        raise SchemaError(f"no schema {name!r}; {base} has versions {', '.join(map(str, versions))}")
    model = versions[number]
    shape = shape_of(model)
    return SchemaSpec(
        base, number, title_of(model), model, shape, hashlib.sha256(repr(shape).encode()).hexdigest()
    )
