"""Witnesses that know where a value stands come before where the model looked."""

from __future__ import annotations

from pipeline import merge, witnesses
from pipeline.records import Box, Field, PageRecord, TextLayer, Word
from pipeline.records import Testimony as Said
from schemas.registry import resolve

ROUGH: Box = (0.1, 0.1, 0.4, 0.2)
TEXT: Box = (0.2, 0.12, 0.3, 0.14)
READER: Box = (0.21, 0.12, 0.31, 0.15)
CODE: Box = (0.8, 0.8, 0.9, 0.9)


def field(box: Box | None = ROUGH, value: str | None = "7", page: int | None = 1) -> Field:
    return Field("number", value, value, 0.9, "read", page, box)


def said(source: str, box: Box | None, verdict: str = "agrees", page: int = 1) -> Said:
    return Said("number", source, verdict, "7", "7", page, box)  # type: ignore[arg-type]


def test_the_text_comes_before_the_reader_and_both_before_the_cells() -> None:
    for given, box in (
        ([said("reader", READER), said("text", TEXT)], TEXT),
        ([said("qr", CODE), said("reader", READER)], READER),
        ([said("qr", CODE)], ROUGH),  # the same value in a code is not its print
        ([said("text", TEXT, "differs")], ROUGH),
        ([said("text", TEXT, page=2)], ROUGH),
        ([said("text", None)], ROUGH),
    ):
        assert witnesses.placed([field()], given)[0] == field(box)
    assert witnesses.placed([field(None)], [said("qr", CODE)])[0].box == CODE  # better than nothing


def test_a_merged_document_has_the_places_of_its_text() -> None:
    words = (Word("Mẫu", (0.05, 0.1, 0.09, 0.12)), Word("9950907762", TEXT), Word("khác", CODE))
    fields = (
        Field("tax_code", "9950907762", "9950907762", 0.99, "read", 1, ROUGH),
        Field("store", "Quán", "Quán", 0.99, "read", 1, ROUGH),
    )
    page = PageRecord(1, fields, text=TextLayer(words, trusted=True))
    made = {field.path: field for field in merge.document([page], resolve("receipt@1")).fields}
    assert made["tax_code"].box == TEXT and made["store"].box == ROUGH
