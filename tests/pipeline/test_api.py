"""Vinbatch as a library, in one process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import BaseModel

from pipeline import specimens
from pipeline.api import Reader
from pipeline.errors import Permanent, Reason, UsageError
from schemas.id_card import IdCard

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with Reader(schema="id_card@1", model="demo") as reader:
        yield reader


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A front."""
    folder = tmp_path_factory.mktemp("cards")
    written = specimens.write(folder, 4, ["id_card"], 2026, worn=False, formats=["png"])
    truth = [json.loads(line) for line in (folder / "truth.jsonl").read_text("utf-8").splitlines()]
    assert len(written) == len(truth)
    return next(folder / one["file"] for one in truth if one["record"]["number"])


def test_a_path_and_its_bytes_say_the_same(reader: Reader, card: Path) -> None:
    by_path, by_bytes = reader.read(card), reader.read(card.read_bytes())
    assert by_path == by_bytes
    assert by_path.record["number"] and len(by_path.record["number"]) == 12
    assert all(field.confidence is not None for field in by_path.fields)


def test_what_cannot_be_read_says_why(reader: Reader, card: Path, tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="no bytes") as empty:
        reader.read(b"")
    assert empty.value.reason == Reason.empty_file
    with pytest.raises(Permanent) as missing:
        reader.read(tmp_path / "missing.png")
    assert missing.value.reason == Reason.object_missing
    with pytest.raises(Permanent):
        reader.read(card.read_bytes()[:200])
    assert reader.read(card).record["number"], "it reads on after what was broken"


def test_a_pydantic_model_is_a_schema() -> None:
    class Holder(BaseModel):
        version: ClassVar = 3
        number: str | None = None

    with Reader(schema=Holder) as own, Reader(schema=IdCard) as known:
        assert own._spec.version == 3 and own._spec.name == "holder"
        assert known._recipe.page_key("0" * 64, 1) == Reader(schema="id_card@1")._recipe.page_key("0" * 64, 1)


def test_what_is_no_schema_is_told() -> None:
    with pytest.raises(UsageError, match="no schema 'nothing'"):
        Reader(schema="nothing")
    with pytest.raises(UsageError, match="is no pydantic model"):
        Reader(schema=int)  # type: ignore[arg-type]
