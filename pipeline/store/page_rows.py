"""A page's result as a row and back; what the page said is one JSON text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from pipeline.flags import FlagCode
from pipeline.records import Code, Field, Flag, PageRecord, PageResult, Quality, Signature, TextLayer, Word
from pipeline.store import rows
from pipeline.store.rows import Row
from schemas import reading_day

_GRID = 10_000  # of a page's side: a fifth of a pixel of A4 at 200 dpi


def row_of(item: PageResult) -> dict[str, Any]:
    return {
        "page": item.page,
        "key": item.key,
        "record": None if item.record is None else _page_record(item.record),
        **rows.failure(item.failure),
        "renderer": item.renderer,
        "width": item.width,
        "height": item.height,
        "tiles": item.tiles,
        "prompt_tokens": item.prompt_tokens,
        "output_tokens": item.output_tokens,
        "output": item.output,
        "attempts": item.attempts,
        "passes": item.passes,
        "numerics": item.numerics,
    }


def page_of(row: Row) -> PageResult:
    return PageResult(
        row["page"],
        row["key"],
        None if row["record"] is None else _page_record_from(row["record"], row.get("read_at")),
        None if row["reason"] is None else rows.failure_from(row, row["page"]),
        row["renderer"],
        row["width"],
        row["height"],
        row["tiles"],
        row["prompt_tokens"],
        row["output_tokens"],
        row["output"],
        row["attempts"],
        row["passes"],
        row["numerics"],
    )


def _page_record(record: PageRecord) -> dict[str, Any]:
    fields = list(map(_page_field, record.fields))
    made = {
        "page": record.page,
        "fields": fields,
        "codes": [[c.kind, c.text, c.box] for c in record.codes],
        "flags": [[flag.code, flag.message] for flag in record.flags],
        "seams": record.seams,
        **({} if record.text is None else {"text": text(record.text)}),
        **({} if record.reader is None else {"reader": text(record.reader)}),
        **({"again": list(map(_page_field, record.again))} if record.again else {}),
        **({} if record.quality is None else {"quality": asdict(record.quality)}),
        **({} if record.read_on is None else {"read_on": record.read_on.isoformat()}),
    }
    return made if record.signature is None else made | {"signature": asdict(record.signature)}


def _page_field(f: Field) -> list[Any]:
    return [f.path, f.raw, f.value, f.confidence, f.source, f.page, f.box, f.problem]


def text(layer: TextLayer) -> dict[str, Any]:
    """A line of words, and of each word left, top, width and height in ten-thousandths of the page."""
    sides = [[round(side * _GRID) for side in word.box] for word in layer.words]
    return {
        "words": " ".join(word.text for word in layer.words),
        "boxes": [part for left, top, right, low in sides for part in (left, top, right - left, low - top)],
        "trusted": layer.trusted,
        "why": layer.why,
    }


def _text_from(data: Mapping[str, Any]) -> TextLayer:
    parts = iter(data["boxes"])
    boxes = zip(parts, parts, parts, parts, strict=True)
    words = tuple(
        Word(word, (left / _GRID, top / _GRID, (left + width) / _GRID, (top + height) / _GRID))
        for word, (left, top, width, height) in zip(data["words"].split(), boxes, strict=True)
    )
    return TextLayer(words, data["trusted"], data["why"])


def _page_record_from(stored: str, read_at: datetime | None) -> PageRecord:
    """`read_at`: when its row was written, for pages that were read before they kept their day."""
    data = json.loads(stored)
    return PageRecord(
        data["page"],
        tuple(map(_page_field_from, data["fields"])),
        tuple(Code(kind, said, None if box is None else rows.box(box)) for kind, said, box in data["codes"]),
        tuple(
            Flag(FlagCode(code), message) for code, message in data.get("flags", ())
        ),  # pages read before there were flags have none
        tuple(data.get("seams", ())),  # and those read before there were passes have none of these
        Signature(**data["signature"]) if "signature" in data else None,
        _text_from(data["text"]) if "text" in data else None,
        reader=_text_from(data["reader"]) if "reader" in data else None,
        quality=_quality_from(data["quality"]) if "quality" in data else None,
        again=tuple(map(_page_field_from, data.get("again", ()))),
        read_on=date.fromisoformat(data["read_on"])
        if "read_on" in data
        else read_at and reading_day.of(read_at),
    )


def _quality_from(data: Mapping[str, Any]) -> Quality:
    return Quality(**{**data, "verdicts": tuple(data["verdicts"])})


def _page_field_from(stored: Sequence[Any]) -> Field:
    path, raw, value, confidence, source, page, box, problem = stored
    return Field(path, raw, value, confidence, source, page, None if box is None else rows.box(box), problem)
