"""What a specimen is: pages of pixels, and the truth that was decided before a pixel was drawn."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from pipeline.records import Box, Pixels
from schemas.id_card import IdCard
from schemas.invoice import Invoice
from schemas.receipt import Receipt

MARK = "MẪU – SPECIMEN – KHÔNG CÓ GIÁ TRỊ"

MODELS: Mapping[str, type[BaseModel]] = {"id_card": IdCard, "receipt": Receipt, "invoice": Invoice}
VERSION: Mapping[str, str] = {"id_card": "id_card@1", "receipt": "receipt@1", "invoice": "invoice@1"}

_LINE = re.compile(r"(\w+)\[(\d+)\]\.(\w+)")


@dataclass(frozen=True, slots=True)
class Value:
    """One value: as it is printed, and its normal form (JSON-ready: str also for decimals and dates)."""

    raw: str
    normal: Any


@dataclass(frozen=True, slots=True)
class Glyphs:
    """Every character of a page, blanks between words included: its letter and its centre in page pixels."""

    characters: npt.NDArray[np.str_]  # [n] of one character each
    x: npt.NDArray[np.float32]  # [n]
    y: npt.NDArray[np.float32]  # [n]


@dataclass(frozen=True, slots=True)
class Run:
    """A piece of one printed line: baseline start, width and type size in page pixels."""

    text: str
    x: float
    baseline: float
    width: float
    size: float
    font: str  # path of the font file
    colour: tuple[int, int, int]
    field: str | None  # path of the field that it prints, None for labels and the rest


@dataclass(frozen=True, slots=True)
class Page:
    """pixels   uint8 [height, width, 3], RGB
    backdrop  the same without any text: what a PDF with real text is drawn on
    boxes     path → box of the printed value, 0..1 of width and height
    """

    pixels: Pixels
    backdrop: Pixels
    glyphs: Glyphs
    runs: tuple[Run, ...]
    boxes: Mapping[str, Box]


@dataclass(frozen=True, slots=True)
class Specimen:
    """A synthetic document. `truth` holds three views of the same values:

    fields   path → {"raw", "page" (1-based), "box"}, only for values that stand on paper
    raw      the schema's shape with printed strings, None where absent
    record   the schema's shape with normal forms, None where absent
    """

    kind: str
    schema: str  # "id_card@1" …
    layout: str
    font: str
    worn: bool
    pages: tuple[Page, ...]
    truth: dict[str, Any]

    def raw(self, page: int) -> dict[str, Any]:
        """The schema's shape with the strings printed on this 1-based page alone; its lines count from 0."""
        schema = self.schema.split("@")[0]
        here = {path: field["raw"] for path, field in self.truth["fields"].items() if field["page"] == page}
        return shape(schema, here)


def shape(schema: str, values: Mapping[str, Any], *, unasked: bool = False) -> dict[str, Any]:
    """Flat paths → the schema's shape. Items of lists keep their order and are counted anew.

    `unasked`: also the fields that a model is not asked for, which stand in XML alone.
    """
    model = MODELS[schema]
    names = _names(model, unasked)
    kinds = {name: model.model_fields[name].annotation for name in names}
    items = {name: get_args(kind)[0] for name, kind in kinds.items() if get_origin(kind) is list}
    record: dict[str, Any] = {name: [] if name in items else None for name in names}
    rows: dict[str, dict[int, dict[str, Any]]] = {}
    for path, value in values.items():
        match = _LINE.fullmatch(path)
        if match:
            name, index, inner = match.groups()
            row = rows.setdefault(name, {}).setdefault(
                int(index), dict.fromkeys(_names(items[name], unasked))
            )
            row[inner] = value
        else:
            record[path] = value
    for name, found in rows.items():
        record[name] = [found[index] for index in sorted(found)]
    return record


def _names(model: type[BaseModel], unasked: bool) -> list[str]:
    left_out = () if unasked else getattr(model, "unasked", ())
    return [name for name in model.model_fields if name not in left_out]


def truth(schema: str, plan: Mapping[str, Value], pages: Iterable[Page]) -> dict[str, Any]:
    """The truth of what was printed: planned values, with the page and place where each was drawn."""
    fields: dict[str, dict[str, Any]] = {}
    for number, page in enumerate(pages, 1):
        for path, box in page.boxes.items():
            fields[path] = {"raw": plan[path].raw, "page": number, "box": box}
    order = {path: index for index, path in enumerate(plan)}
    fields = dict(sorted(fields.items(), key=lambda item: order[item[0]]))
    return {
        "fields": fields,
        "raw": shape(schema, {path: plan[path].raw for path in fields}),
        "record": shape(schema, {path: plan[path].normal for path in fields}),
    }
