"""Pages are drawn truly, and whatever a file does to the child ends in a reason code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from pipeline import render
from pipeline.errors import Coded, Permanent, Reason, Transient, UsageError
from pipeline.records import Failure, PageImage
from pipeline.render import Renderer
from pipeline.sandbox import channel
from pipeline.sandbox.drawers import DRAWERS
from pipeline.settings import RenderSettings
from tests.pipeline import papers

MIB = 2**20


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    with Renderer(RenderSettings(dpi=72)) as shared:
        yield shared


def drawn(items: Iterator[PageImage | Failure]) -> list[PageImage]:
    pages = list(items)
    assert all(isinstance(page, PageImage) for page in pages), pages
    return [page for page in pages if isinstance(page, PageImage)]


def child_pid(renderer: Renderer, name: str = "pdfium") -> int:
    return renderer._children[name]._process.pid


@pytest.mark.medium
def test_each_page_of_a_pdf_in_order(renderer: Renderer) -> None:
    pages = drawn(
        renderer.pages(papers.document(papers.pages([papers.text("one"), b"", papers.text("three")])))
    )
    assert [(page.page, page.pixels.shape, page.renderer) for page in pages] == [
        (number, (842, 595, 3), "pdfium") for number in (1, 2, 3)
    ]
    assert pages[0].pixels.dtype == np.uint8
    assert [int(page.pixels.min()) < 50 for page in pages] == [True, False, True]
    assert np.all(pages[1].pixels == 255)


@pytest.mark.medium
def test_only_the_asked_pages(renderer: Renderer) -> None:
    paper = papers.document(papers.pages([papers.text(str(n)) for n in range(5)]))
    assert renderer.page_count(paper) == 5
    assert [page.page for page in drawn(renderer.pages(paper, [4, 2]))] == [4, 2]


@pytest.mark.medium
def test_two_documents_may_be_read_in_turns(renderer: Renderer) -> None:
    short = papers.document(papers.pages([b"0 0 100 100 re f"] * 2, box=b"0 0 100 100"))
    other = papers.document(papers.pages([b""] * 2, box=b"0 0 200 200"))
    sizes = [
        (a.pixels.shape[0], b.pixels.shape[0])
        for a, b in zip(renderer.pages(short), renderer.pages(other), strict=True)
        if isinstance(a, PageImage) and isinstance(b, PageImage)
    ]
    assert sizes == [(100, 200), (100, 200)]


@pytest.mark.medium
def test_colours_are_in_the_order_red_green_blue(renderer: Renderer) -> None:
    for data in (papers.pages([b"1 0 0 rg 0 0 595 842 re f"]), papers.picture("PNG")):
        (page,) = drawn(renderer.pages(papers.document(data)))
        assert page.pixels[5, 5].tolist() == [255, 0, 0]


def test_the_crop_box_and_the_rotation_are_obeyed(renderer: Renderer) -> None:
    corner = b"0 0 100 100 re f"  # black at the lower left
    paper = papers.pages([corner], page=b"/CropBox[0 0 200 300]/Rotate 90")
    (page,) = drawn(renderer.pages(papers.document(paper)))
    assert page.pixels.shape == (200, 300, 3)
    assert page.pixels[10, 10].tolist() == [0, 0, 0]  # turned clockwise: now at the upper left
    assert page.pixels[190, 290].tolist() == [255, 255, 255]


def test_what_was_typed_into_a_form_is_seen(renderer: Renderer) -> None:
    (page,) = drawn(renderer.pages(papers.document(papers.filled_form())))
    assert page.renderer == "pdfium"
    assert page.pixels[842 - 125, 200].tolist() == [0, 0, 0]


@pytest.mark.medium
def test_both_renderers_draw_the_same_page() -> None:
    paper = papers.document(papers.pages([papers.text("HOA DON"), b"0 0 300 400 re f"]))
    first = drawn(render.pages(paper, RenderSettings(dpi=100)))
    second = drawn(render.pages(paper, RenderSettings(dpi=100, renderer="poppler")))
    assert [page.renderer for page in second] == ["poppler", "poppler"]
    for one, other in zip(first, second, strict=True):
        assert one.pixels.shape == other.pixels.shape
        assert np.mean(np.abs(one.pixels.astype(int) - other.pixels)) < 2


@pytest.mark.medium
def test_a_size_that_is_whole_in_pixels_stays_so() -> None:
    """595.44 × 841.68 pt are 1654 × 2338 pixels at 200 dpi; single precision makes a hair more of it."""
    paper = papers.document(papers.pages([b""], box=b"0 0 595.44 841.68"))
    for name in ("pdfium", "poppler"):
        (page,) = drawn(render.pages(paper, RenderSettings(dpi=200, renderer=name)))
        assert page.pixels.shape == (2338, 1654, 3), name


@pytest.mark.medium
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_pictures_by_their_bytes(renderer: Renderer, kind: str) -> None:
    paper = papers.document(papers.picture(kind), uri="/a/misleading.pdf")
    (page,) = drawn(renderer.pages(paper))
    assert (page.page, page.pixels.shape, page.renderer) == (1, (40, 60, 3), "pillow")
    assert np.abs(page.pixels[20, 30].astype(int) - [255, 0, 0]).max() < 8


def test_each_page_of_a_tiff(renderer: Renderer) -> None:
    paper = papers.document(papers.tiff(4))
    assert renderer.page_count(paper) == 4
    assert [page.pixels.shape[1] for page in drawn(renderer.pages(paper))] == [10, 11, 12, 13]


BAD = {
    "nothing": (b"", Reason.empty_file),
    "text named pdf": (b"Hoa don so 1", Reason.unsupported_type),
    "encrypted": (None, Reason.pdf_encrypted),
    "cut before the first object": (papers.pages([papers.text("x")])[:12], Reason.pdf_damaged),
    "no pages": (papers.pages([]), Reason.pdf_no_pages),
    "png cut in the header": (papers.picture("PNG")[:30], Reason.image_damaged),
    "webp cut": (papers.picture("WEBP")[:25], Reason.image_damaged),
    "900 million pixels": (papers.picture("PNG", size=(8, 8)), Reason.too_many_pixels),
}


@pytest.mark.parametrize("name", BAD)
def test_a_document_that_cannot_be_read_has_a_reason(renderer: Renderer, name: str) -> None:
    data, reason = BAD[name]
    if name == "encrypted":
        data = encrypted()
    elif name == "900 million pixels":
        data = resized_png(30_000, 30_000)
    assert data is not None
    with pytest.raises(Permanent) as caught:
        list(renderer.pages(papers.document(data)))
    assert caught.value.reason is reason
    assert len(caught.value.message) > 10 and "\n" not in caught.value.message


def encrypted() -> bytes:
    """A PDF whose user password nobody told us: the check value in /U fits no password."""
    lock = b"<</Filter/Standard/V 1/R 2/O<%s>/U<%s>/P -4>>" % (b"41" * 32, b"42" * 32)
    return papers.pages([papers.text("x")], extra=[lock]).replace(
        b"/Root 1 0 R", b"/Root 1 0 R/Encrypt 6 0 R/ID[<00><00>]"
    )


def resized_png(width: int, height: int) -> bytes:
    """A small PNG that claims another size."""
    import struct
    import zlib

    data = bytearray(papers.picture("PNG", size=(8, 8)))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def test_a_page_too_large_to_draw_is_named_before_it_is_drawn(renderer: Renderer) -> None:
    (page,) = renderer.pages(papers.document(papers.pages([b""], box=b"0 0 200000 200000")))
    assert isinstance(page, Failure)
    assert (page.reason, page.page) == (Reason.too_many_pixels, 1)
    assert "200,000×200,000" in page.message and "render.max_pixels" in page.message


@pytest.mark.medium
def test_too_many_pages() -> None:
    with Renderer(RenderSettings(max_pages=3)) as renderer:
        for data in (papers.pages([b""] * 4), papers.tiff(4)):
            with pytest.raises(Permanent, match=r"4 pages; at most 3 .*render.max_pages") as caught:
                renderer.page_count(papers.document(data))
            assert caught.value.reason is Reason.too_many_pages


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pdfium", "poppler"])
def test_a_page_that_never_ends_takes_only_itself(name: str) -> None:
    # Seconds for good pages on a busy machine; room, because on an idle one it fills 2 GiB in the same time.
    settings = RenderSettings(dpi=72, seconds=4, memory_bytes=8 << 30, renderer=name)
    with Renderer(settings) as renderer:
        pages = list(renderer.pages(papers.document(papers.endless(page=2))))
        group = child_pid(renderer, name)
    assert [type(page) for page in pages] == [PageImage, Failure, PageImage]
    assert isinstance(pages[1], Failure)
    assert (pages[1].reason, pages[1].page, pages[1].retryable) == (Reason.render_timeout, 2, False)
    assert "render.seconds" in pages[1].message
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)


@pytest.mark.slow
def test_cpu_time_is_bounded_without_the_parent() -> None:
    """The child ends itself even when its parent no longer looks at the clock."""
    with Renderer(RenderSettings(seconds=0.2)) as renderer:
        paper = papers.document(papers.endless(page=1))
        renderer.page_count(paper)
        child = renderer._children["pdfium"]
        channel.send(child._commands, {"page": 1, "unit": 1})
        assert os.waitid(os.P_PID, child._process.pid, os.WEXITED | os.WNOWAIT) is not None
        with pytest.raises(Permanent, match="CPU time") as caught:
            child._answer(10)
        assert caught.value.reason is Reason.render_timeout


@pytest.mark.medium
def test_a_hungry_page_meets_the_memory_limit() -> None:
    settings = RenderSettings(dpi=72, max_pixels=MIB, memory_bytes=200 * MIB)
    with Renderer(settings) as renderer:
        paper = papers.document(papers.pages([b"", b"q " * 2_000_000, papers.text("after")]))
        pages = list(renderer.pages(paper))
    assert isinstance(pages[1], Failure) or pages[1].renderer == "poppler"
    assert [page.page for page in pages if isinstance(page, PageImage)][-1] == 3


@pytest.mark.slow
def test_a_picture_larger_than_memory_meets_the_limit() -> None:
    settings = RenderSettings(max_pixels=100_000_000, memory_bytes=500 * MIB)
    with Renderer(settings) as renderer:
        png = papers.document(papers.picture("PNG", size=(9_000, 9_000)))
        (page,) = renderer.pages(png)
        assert isinstance(page, Failure)
        assert page.reason is Reason.render_memory and "render.memory_bytes" in page.message
        assert drawn(renderer.pages(papers.document(papers.picture("PNG"))))


@pytest.mark.medium
def test_a_crash_in_the_middle_of_a_page_takes_only_the_page() -> None:
    """With one renderer only, so that no second opinion hides it."""
    with Renderer(RenderSettings(dpi=72, seconds=20)) as renderer:
        renderer._installed = ["pdfium"]
        paper = papers.document(papers.endless(page=2))
        items = renderer.pages(paper)
        first = next(items)
        killer = threading.Timer(1.0, os.kill, (child_pid(renderer), signal.SIGSEGV))
        killer.start()
        second, third = next(items), next(items)
        killer.join()
    assert isinstance(first, PageImage) and isinstance(third, PageImage)
    assert isinstance(second, Failure)
    assert (second.reason, second.page) == (Reason.render_crashed, 2)
    assert "SIGSEGV" in second.message and second.traceback is not None


@pytest.mark.medium
def test_a_child_that_the_system_kills_is_worth_another_try() -> None:
    with Renderer(RenderSettings(dpi=72)) as renderer:
        paper = papers.document(papers.endless(page=1, count=1))
        renderer.page_count(paper)
        killer = threading.Timer(1.0, os.kill, (child_pid(renderer), signal.SIGKILL))
        killer.start()
        (page,) = renderer.pages(paper)
        killer.join()
    assert isinstance(page, Failure) and page.retryable and page.reason is Reason.render_memory


@pytest.mark.medium
def test_a_child_that_died_between_pages_blames_no_page(renderer: Renderer) -> None:
    paper = papers.document(papers.pages([papers.text("a"), papers.text("b")]))
    items = renderer.pages(paper)
    next(items)
    pid = child_pid(renderer)
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert isinstance(next(items), PageImage)
    assert child_pid(renderer) != pid


@pytest.mark.medium
def test_the_second_renderer_opens_what_the_first_cannot() -> None:
    uncounted = papers.document(papers.pages([papers.text("x")]).replace(b"/Count 1", b"/Count 0"))
    with Renderer(RenderSettings(dpi=72, renderer="poppler")) as renderer:
        assert renderer.page_count(uncounted) == 1
        (page,) = drawn(renderer.pages(uncounted))
    assert page.renderer == "pdfium" and page.pixels.min() < 50


@pytest.mark.medium
def test_the_second_renderer_draws_a_page_that_the_first_cannot(renderer: Renderer) -> None:
    paper = papers.pages([papers.text("x"), papers.text("y")]).replace(b"/Type/Page/", b"/Type/Pag/", 1)
    pages = drawn(renderer.pages(papers.document(paper)))
    assert [(page.page, page.renderer) for page in pages] == [(1, "poppler"), (2, "pdfium")]
    assert all(page.pixels.min() < 50 for page in pages)


@pytest.mark.medium
def test_a_renderer_is_chosen_once_for_all_pages_of_a_document(monkeypatch: pytest.MonkeyPatch) -> None:
    uncounted = papers.document(papers.pages([papers.text("x")]).replace(b"/Count 1", b"/Count 0"))
    opened: list[str] = []
    with Renderer(RenderSettings(dpi=72, renderer="poppler")) as renderer:
        within = renderer._opened
        monkeypatch.setattr(renderer, "_opened", lambda *given: opened.append(given[1]) or within(*given))
        drawn([renderer.page(uncounted, 1) for _ in range(3)])
        assert opened.count("poppler") == 1  # each look at what it cannot open may cost a child
        drawn([renderer.page(papers.document(papers.pages([papers.text("y")])), 1)])
        assert opened.count("poppler") > 1  # another document, another choice


@pytest.mark.medium
def test_a_blank_page_is_asked_of_the_other_renderer(monkeypatch: pytest.MonkeyPatch) -> None:
    paper = papers.document(papers.pages([papers.text("x")]))
    with Renderer(RenderSettings(dpi=72)) as renderer:
        renderer.page_count(paper)
        child = renderer._children["pdfium"]
        white = np.full((842, 595, 3), 255, np.uint8)
        monkeypatch.setattr(child, "draw", lambda *page: (white, ()))
        (page,) = drawn(renderer.pages(paper))
        assert page.renderer == "poppler" and page.pixels.min() < 50
    empty = papers.document(papers.pages([b""]))
    with Renderer(RenderSettings(dpi=72)) as renderer:
        (page,) = drawn(renderer.pages(empty))
        assert page.renderer == "pdfium"


def test_without_poppler_the_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="apt install poppler-utils"):
        Renderer(RenderSettings(renderer="poppler"))


@pytest.mark.medium
def test_the_child_is_confined_and_has_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "do not tell")
    with Renderer(RenderSettings()) as renderer:
        renderer.page_count(papers.document(papers.pages([b""])))
        child = renderer._children["pdfium"]
        assert child.confinement == renderer.confinement
        assert b"do not tell" not in Path(f"/proc/{child._process.pid}/environ").read_bytes()


@pytest.mark.medium
def test_a_child_is_replaced_after_many_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    short = replace(DRAWERS["pdfium"], documents=2)
    monkeypatch.setattr(render, "DRAWERS", {**DRAWERS, "pdfium": short})
    pids = []
    with Renderer(RenderSettings(dpi=36)) as renderer:
        for _ in range(5):
            renderer.page_count(papers.document(papers.pages([b""])))
            pids.append(child_pid(renderer))
    assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4]


@pytest.mark.medium
def test_closing_leaves_no_process_and_no_file() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with Renderer(RenderSettings(dpi=36)) as renderer:
        renderer.page_count(papers.document(papers.pages([b""])))
        renderer.page_count(papers.document(papers.picture("PNG")))
        pids = [child_pid(renderer), child_pid(renderer, "pillow")]
    renderer.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.medium
def test_a_child_whose_parent_vanishes_ends() -> None:
    program = """if True:
        import os, sys
        from pipeline.render import Renderer
        from pipeline.settings import RenderSettings
        from tests.pipeline import papers
        renderer = Renderer(RenderSettings(dpi=36))
        renderer.page_count(papers.document(papers.pages([b""])))
        print(renderer._children["pdfium"]._process.pid, flush=True)
        os.kill(os.getpid(), 9)
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    pid = int(done.stdout)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and _running(pid):
        time.sleep(0.02)
    assert not _running(pid)


def _running(pid: int) -> bool:
    """Neither gone nor a zombie that nobody waits for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_start_that_fails_is_worth_another_try() -> None:
    with (
        Renderer(RenderSettings(memory_bytes=20 * MIB)) as renderer,
        pytest.raises(Transient, match="did not start"),
    ):
        renderer.page_count(papers.document(papers.pages([b""])))


def test_failures_survive_pickling(renderer: Renderer) -> None:
    import pickle

    with pytest.raises(Coded) as caught:
        renderer.page_count(papers.document(papers.pages([])))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), copy.reason, copy.message) == (Permanent, caught.value.reason, caught.value.message)
    (page,) = renderer.pages(papers.document(papers.pages([b""], box=b"0 0 200000 200000")))
    assert isinstance(page, Failure) and asdict(pickle.loads(pickle.dumps(page))) == asdict(page)
