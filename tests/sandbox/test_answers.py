"""The parent believes nothing: a child that lies is closed, and its document or page fails."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from pipeline.einvoice.tree import Element
from pipeline.errors import Permanent, Reason, Transient
from pipeline.flags import FlagCode
from pipeline.records import Flag, Signature, TextLayer, Word
from pipeline.sandbox import answers, parent
from pipeline.sandbox.parent import Child
from pipeline.settings import RenderSettings

HELD = '{"landlock": 7, "seccomp": true}'
PAGES = '{"pages": 3}'
SIZE = '{"size": [4, 2], "flags": []}'
SETTINGS = RenderSettings(max_pages=5, max_pixels=10_000, seconds=20)
PIXELS = np.zeros((2, 4, 3), np.uint8)
BOX = [0.1, 0.2, 0.3, 0.4]


NESTED = [["a"] * 70, [None] * 70, [*[1] * 69, 0]]
XML = [
    None, "a", [], [[], [], []], [["a"], [None]], [["a"], [None], [0], []], ["a", [None], [0]],
    [["a"], {}, [0]], [[None], [None], [0]], [["a"], [1], [0]], [["a"], [None], [None]],
    [["a"], [None], [True]],
    [["a"], [None], [0.0]], [["a", "b"], [None], [1, 0]], [["a"], [None], [1]], [["a"], [None], [-1]],
    [["a"], [None], [10**30]], [["a", "b"], [None, None], [0, 0]], [["a", "b"], [None, None], [0, 1]], NESTED,
]  # fmt: skip

Liar = Callable[..., Child]


@pytest.fixture
def liar(monkeypatch: pytest.MonkeyPatch) -> Liar:
    def made(*sayings: str) -> Child:
        script = str(Path(__file__).with_name("liar.py"))
        monkeypatch.setattr(
            parent, "_command", lambda orders: [sys.executable, "-P", script, "", json.dumps(sayings)]
        )
        return Child("pdfium", SETTINGS)

    return made


def said(**answer: object) -> str:
    return json.dumps(answer)


def failure(**changed: object) -> str:
    return said(**{"reason": "pdf_damaged", "message": "cut", "details": {}} | changed)


NONSENSE = {
    "no JSON": "hello",
    "no object": "[3]",
    "brackets": "[" * 60_000,
    "a number beyond all bounds": '{"pages": ' + "9" * 10_000 + "}",
    "not UTF-8": '{"pages": "\udcff"}'.encode("utf-8", "surrogateescape").decode("latin-1"),
    "an empty line": "",
    "an empty object": "{}",
    "another key": '{"pages": 1, "more": 2}',
    "the answer to another question": '{"codes": []}',
    "no end": "LONG",
    "two answers": f"TWICE {PAGES}",
    "an unknown reason": failure(reason="no_such_reason"),
    "a reason that is not a renderer's": failure(reason="access_denied"),
    "a reason that is none": failure(reason=["pdf_damaged"]),
    "no message": said(reason="pdf_damaged", details={}),
    "no details": said(reason="pdf_damaged", message="cut"),
    "a message that is none": failure(message={"a": 1}),
    "details that are none": failure(details=[1]),
    "details that hide the reason": failure(details={"reason": 1}),
    "details that are texts": failure(details={"pages": "x" * 9000}),
    "details that are objects": failure(details={"pages": {"a": {}}}),
    "details beyond all bounds": failure(details={"pages": 10**999}),
}  # fmt: skip
COUNTS = [0, -1, 6, 10**30, 2.0, "3", None, True, [3], {"a": 3}]
SIZES = [
    [4], [4, 2, 3], [0, 2], [-4, -2], [4, -2], [101, 100], [10_000_000_000, 1], [4.0, 2.0], ["4", "2"],
    [True, True], None, 8, {"width": 4},
]  # fmt: skip
FLAGS = [
    None, {}, "x", ["content_cut"], [["content_cut"]], [["content_cut", "x", 1]], [["no_such_flag", "x"]],
    [["content_cut", 1]], [[["content_cut"], "x"]], [["pdf_damaged", "x"]], [["content_cut", "x"]] * 33,
]  # fmt: skip
SIGNATURE = ["valid", "why", "who", "99", "2026-01-01T00:00:00+07:00", True]
SIGNATURES = [
    None, {}, [], ["valid"], SIGNATURE[:-1], [*SIGNATURE, 1], ["trusted", *SIGNATURE[1:]],
    [1, *SIGNATURE[1:]],
    ["valid", None, *SIGNATURE[2:]], ["valid", "why", 7, *SIGNATURE[3:]], [*SIGNATURE[:-1], 1],
    [["valid"], *SIGNATURE[1:]],
]  # fmt: skip
UNITS = [0, -1, 75_001, "1", None, True, float("nan"), float("inf"), [1]]
CODES = [
    None, {}, "x", [["x"]], [["x", BOX, 1]], [[1, BOX]], [["", BOX]], [["x" * 7090, BOX]], [["\ud800", BOX]],
    [["x", None]], [["x", [0, 0, 1]]], [["x", [0, 0, 1, 1.5]]], [["x", [-0.1, 0, 1, 1]]],
    [["x", [float("nan"), 0, 1, 1]]], [["x", [0, 0, float("inf"), 1]]], [["x", [0.5, 0, 0.4, 1]]],
    [["x", [0, 0.5, 1, 0.4]]], [["x", ["0", 0, 1, 1]]], [["x", [True, 0, 1, 1]]], [["x", [0, 0, 10**400, 1]]],
    [["x", BOX]] * 257,
]  # fmt: skip

WORDS = [
    None, {}, "x", [["x"]], [["x", BOX, 1]], [[1, BOX]], [["", BOX]], [["x" * 201, BOX]], [["\ud800", BOX]],
    [["two words", BOX]], [["a\nb", BOX]], [["\x1b[31m", BOX]], [["e\u0323", BOX]], [["x", None]],
    [["x", [0, 0, 1, 1.5]]], [["x", [float("nan"), 0, 1, 1]]], [["x", [0.5, 0, 0.4, 1]]],
]  # fmt: skip


def lies(child: Child, act: Callable[[], object]) -> None:
    pid = child._process.pid
    with pytest.raises(Permanent, match="wrong answer") as caught:
        act()
    assert caught.value.reason is Reason.render_crashed
    assert caught.value.message.isprintable() and len(caught.value.message) < 200
    assert not child.alive
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.medium
@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense(liar: Liar, name: str) -> None:
    child = liar(HELD, NONSENSE[name])
    lies(child, lambda: child.open(1, "pdf", b"%PDF-"))


def test_a_child_that_ran_out_of_memory_is_not_asked_again(liar: Liar) -> None:
    """Its libraries may be left in any state."""
    child = liar(HELD, PAGES, failure(reason="render_memory", message="needs more"), SIZE)
    child.open(1, "pdf", b"%PDF-")
    with pytest.raises(Permanent, match="needs more") as caught:
        child.draw(1)
    assert caught.value.reason is Reason.render_memory
    assert not child.alive and child.spent


@pytest.mark.parametrize("count", COUNTS, ids=str)
def test_a_number_of_pages_that_cannot_be(liar: Liar, count: object) -> None:
    child = liar(HELD, said(pages=count))
    lies(child, lambda: child.open(1, "pdf", b"%PDF-"))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_size_that_cannot_be(liar: Liar, size: object) -> None:
    child = liar(HELD, PAGES, said(size=size, flags=[]))
    assert child.open(1, "pdf", b"%PDF-") == 3
    lies(child, lambda: child.draw(1))


@pytest.mark.parametrize("flags", FLAGS, ids=lambda flags: str(flags)[:40])
def test_flags_that_cannot_be(liar: Liar, flags: object) -> None:
    child = liar(HELD, PAGES, said(size=[4, 2], flags=flags))
    child.open(1, "pdf", b"%PDF-")
    lies(child, lambda: child.draw(1))


@pytest.mark.parametrize("unit", UNITS, ids=str)
def test_a_unit_that_cannot_be(liar: Liar, unit: object) -> None:
    child = liar(HELD, PAGES, said(unit=unit, flags=[]))
    child.open(1, "pdf", b"%PDF-")
    lies(child, lambda: child.look(1))


@pytest.mark.medium
@pytest.mark.parametrize("codes", CODES, ids=lambda codes: str(codes)[:40])
def test_codes_that_cannot_be(liar: Liar, codes: object) -> None:
    child = liar(HELD, said(codes=codes))
    lies(child, lambda: child.codes(PIXELS))


@pytest.mark.parametrize("told", XML, ids=lambda told: str(told)[:40])
def test_xml_that_cannot_be(liar: Liar, told: object) -> None:
    child = liar(HELD, said(xml=told, signature=SIGNATURE))
    lies(child, lambda: child.open(1, "xml", b"<x/>"))


@pytest.mark.parametrize("told", SIGNATURES, ids=lambda told: str(told)[:40])
def test_a_signature_that_cannot_be(liar: Liar, told: object) -> None:
    child = liar(HELD, said(xml=[["x"], [None], [0]], signature=told))
    lies(child, lambda: child.open(1, "xml", b"<x/>"))


def test_what_a_child_says_of_a_signature_is_plain_and_short(liar: Liar) -> None:
    told = ["valid", "why\n" * 999, "a\x1b[31mb", None, None, True]
    child = liar(HELD, said(xml=[["x"], [None], [0]], signature=told))
    child.open(1, "xml", b"<x/>")
    _, signature = child.read()
    child.close()
    assert signature.why.isprintable() and len(signature.why) <= 1000
    assert signature.signer is not None and signature.signer.isprintable()
    assert not signature.anchored


@pytest.mark.medium
@pytest.mark.parametrize("words", WORDS, ids=lambda words: str(words)[:40])
def test_words_that_cannot_be(liar: Liar, words: object) -> None:
    child = liar(HELD, said(words=words, trusted=True, why=None))
    lies(child, lambda: child.words(1, (4, 2)))


@pytest.mark.parametrize(
    "told",
    [None, {}, "x", [["x"]], [["x", 1]], [[1, True]], [["x", True, 1]], [["x", True]] * 201],
    ids=lambda told: str(told)[:40],
)
def test_files_within_a_file_that_cannot_be(liar: Liar, told: object) -> None:
    child = liar(HELD, said(attachments=told, portfolio=False))
    lies(child, child.attachments)


@pytest.mark.parametrize("count", [None, -1, "9", True, 2.0, 30_001, 10**30])
def test_more_bytes_of_a_file_than_the_canvas_has(liar: Liar, count: object) -> None:
    child = liar(HELD, said(bytes=count))
    lies(child, lambda: child.attachment(0))


def test_the_name_of_a_file_within_a_file_is_only_a_name(liar: Liar) -> None:
    child = liar(HELD, said(attachments=[["a\x1b[31m\n\ud800" + "x" * 200, True]], portfolio=True))
    [(name, _)], _ = child.attachments()
    assert name.isprintable() and len(name) <= 100
    child.close()


def test_more_words_than_a_page_may_have() -> None:
    with pytest.raises(answers.Lie, match="more than 20,000 words"):
        answers.words({"words": [["x", BOX]] * 20_001, "trusted": True, "why": None})


@pytest.mark.parametrize(
    ("trusted", "why"), [(1, None), (None, None), ("yes", None), (True, 1), (True, ["x"])]
)
def test_a_judgement_of_words_that_cannot_be(liar: Liar, trusted: object, why: object) -> None:
    child = liar(HELD, said(words=[], trusted=trusted, why=why))
    lies(child, lambda: child.words(1, (4, 2)))


@pytest.mark.parametrize("held", ["{}", '{"landlock": true, "seccomp": true}', '{"landlock": 7}', "7"])
def test_a_child_that_does_not_say_how_it_is_held_does_not_start(liar: Liar, held: str) -> None:
    with pytest.raises(Transient, match=r"did not start: .*wrong answer"):
        liar(held)


@pytest.mark.medium
def test_an_answer_before_the_question(liar: Liar) -> None:
    child = liar(HELD, f"EARLY {PAGES}", SIZE)
    child.open(1, "pdf", b"%PDF-")
    assert child._ready.poll(10_000)  # what it says next, nobody asked for
    lies(child, lambda: child.draw(1))


def test_the_last_answer_of_a_dead_child_is_not_the_next_one(liar: Liar) -> None:
    child = liar(HELD, f"DIE {PAGES}")
    child.open(1, "pdf", b"%PDF-")
    while child.alive:
        time.sleep(0.01)
    with pytest.raises(Permanent, match="died"):
        child.draw(1)


def test_a_true_answer_is_taken(liar: Liar) -> None:
    """The control: what is judged above is judged by its content."""
    flags = [["content_cut", "a\x1b[31m\nb"]]
    child = liar(
        HELD,
        PAGES,
        said(unit=10, flags=flags),
        said(size=[4, 2], flags=flags),
        said(codes=[["x", BOX]]),
        said(words=[["ộ", BOX]], trusted=False, why="a\x1b[31m\nb"),
        said(words=[], trusted=True, why=None),
        failure(message="a\x1b[31m\nb", details={"pages": 7}),
    )
    child.open(1, "pdf", b"%PDF-")
    plain = (Flag(FlagCode.content_cut, "a\N{REPLACEMENT CHARACTER}[31m b"),)
    assert child.look(1) == (10.0, plain)
    pixels, told = child.draw(1)
    assert told == plain
    assert pixels.shape == (2, 4, 3)
    assert [(code.kind, code.text, code.box) for code in child.codes(pixels)] == [("qr", "x", tuple(BOX))]
    text = TextLayer((Word("ộ", (0.1, 0.2, 0.3, 0.4)),), False, "a\N{REPLACEMENT CHARACTER}[31m b")
    assert child.words(1, (4, 2)) == text
    assert child.words(1, (4, 2)) is None
    with pytest.raises(Permanent) as caught:
        child.draw(2)
    assert caught.value.reason is Reason.pdf_damaged and caught.value.details == {"pages": 7}
    assert caught.value.message == "a\N{REPLACEMENT CHARACTER}[31m b"  # nothing that a terminal obeys
    assert child.alive
    child.close()


def test_true_xml_is_taken(liar: Liar) -> None:
    told = [["a", "@id", "b", "c", "d"], [None, "1", None, "Hà", "x"], [3, 0, 1, 0, 0]]
    child = liar(HELD, said(xml=told, signature=SIGNATURE))
    child.open(1, "xml", b"<x/>")
    root, signature = child.read()
    b = Element("b", None, (Element("c", "Hà"),))
    assert root == Element("a", None, (Element("@id", "1"), b, Element("d", "x")))
    assert signature == Signature(*SIGNATURE[:-1], anchored=False, needed=True)
    child.close()


def test_the_canvas_cannot_be_cut_under_the_parent(liar: Liar) -> None:
    """Reading beyond the end of a mapped file ends the reader with SIGBUS."""
    child = liar(HELD)
    theirs = os.open(f"/proc/{child._process.pid}/fd/{child._canvas}", os.O_RDWR)
    for size in (0, 10**9):
        with pytest.raises(PermissionError):
            os.ftruncate(theirs, size)
    os.close(theirs)
    child.close()


def test_a_document_cannot_be_changed_once_it_was_given() -> None:
    from pipeline.sandbox import channel

    file = channel.sealed(b"%PDF-1.4")
    for act in (
        lambda: os.ftruncate(file, 0),
        lambda: os.pwrite(file, b"x", 0),
        lambda: os.pwrite(file, b"x", 99),
    ):
        with pytest.raises(PermissionError), suppress(BlockingIOError):
            act()
    assert os.pread(file, 99, 0) == b"%PDF-1.4"
    os.close(file)
