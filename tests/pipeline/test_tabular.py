"""Tables keep every word whole, whatever the terminal's width."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from pipeline import tabular

URI = "/kho hóa đơn/2026/0100109106-C26TAA-00000007 bản sao.pdf"
HEADS = ("document_uri", "sha", "total", "sure", "message")
SHA = "9f86d081884c7d659a2feaa0"
MESSAGE = "net and VAT give 1,100,000, the total is 1,000,000: they differ by 100,000"
ROWS = ((URI, SHA, "1100000", "0.000012", MESSAGE), (URI, SHA, "5", "0.9", MESSAGE))


def drawn(width: int, rows: tuple[tuple[str, ...], ...] = ROWS, heads: tuple[str, ...] = HEADS) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    for piece in tabular.drawn(heads, rows, console.width, right={heads.index("total")}):
        console.print(piece, soft_wrap=isinstance(piece, Text))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 120, 160, 250])
def test_nothing_is_cut(width: int) -> None:
    lines = drawn(width)
    assert not any("…" in line for line in lines)
    for piece in (URI, SHA, "1100000", "0.000012", *MESSAGE.split()):
        assert sum(line.count(piece) for line in lines) >= 1, f"{piece} is not in one line"
    assert sum(URI in line for line in lines) == 2
    as_table = any("┃" in line for line in lines)
    assert as_table == (width >= 160)
    if as_table:
        assert all(len(line) <= width for line in lines), "the table is wider than the terminal"
    else:
        assert f"message       {MESSAGE}" in lines, "a value of a list is one line, which the terminal wraps"


def test_figures_stand_to_the_right_and_sentences_wrap() -> None:
    rows = (("1100000", "a b " * 20), ("5", "c"))
    lines = drawn(40, rows, ("total", "message"))
    assert [line[2:9] for line in lines if "│" in line and line[2:9].strip()] == ["1100000", "      5"]
    assert max(map(len, lines)) <= 40
