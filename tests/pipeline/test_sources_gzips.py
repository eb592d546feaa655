"""A .gz is unpacked as far as its own checksums bear it out, however it is cut into pieces."""

from __future__ import annotations

import gzip
import io

import pytest

from pipeline.sources import gzips

ONE, TWO = gzip.compress(b"first " * 50), gzip.compress(b"second " * 50)
TEXT = b"first " * 50 + b"second " * 50
WRONG = TWO[:-8] + bytes(4) + TWO[-4:]  # another checksum than its data have


@pytest.fixture(params=[1, 3, 2**20], ids=lambda size: f"by {size}")
def _piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gzips, "_PIECE", request.param)


def unpacked(packed: bytes, limit: int = 10_000) -> tuple[bytes, str | None]:
    found, damage = gzips.unpacked(io.BytesIO(packed), limit)
    with found:
        return found.read(), damage


@pytest.mark.usefixtures("_piece")
@pytest.mark.parametrize("between", [b"", bytes(9)], ids=["", "filled up with zeros"])
def test_several_in_a_row_are_one_text(between: bytes) -> None:
    assert unpacked(ONE + between + TWO + between) == (TEXT, None)


@pytest.mark.usefixtures("_piece")
@pytest.mark.parametrize("rest", [b"x", b"\x1fy", b"PK\3\4 and more"])
def test_other_bytes_behind_it_are_told_and_left_out(rest: bytes) -> None:
    text, damage = unpacked(ONE + rest)
    assert text == b"first " * 50
    assert damage == "other bytes follow the end of its gzip data (300 bytes unpacked)"


@pytest.mark.usefixtures("_piece")
def test_what_a_checksum_contradicts_is_left_out_back_to_the_last_right_one() -> None:
    text, damage = unpacked(ONE + WRONG)
    assert text == b"first " * 50
    assert damage is not None and damage.startswith("its gzip data are wrong after 300 unpacked bytes")
    with pytest.raises(ValueError, match="does not bear out a byte"):
        unpacked(WRONG)


@pytest.mark.usefixtures("_piece")
def test_what_ends_too_early_is_kept() -> None:
    text, damage = unpacked(ONE + TWO[:-8])
    assert text == TEXT
    assert damage == "its gzip data are cut short after 650 unpacked bytes"


@pytest.mark.usefixtures("_piece")
def test_no_more_is_unpacked_than_is_allowed() -> None:
    assert unpacked(ONE + TWO, limit=650) == (TEXT, None)
    with pytest.raises(ValueError, match=r"more than 649 bytes \(source.archive_ratio"):
        unpacked(ONE + TWO, limit=649)
