"""A confined child draws the same pixels, ends with its parent, and is asked for where it cannot be had."""

from __future__ import annotations

import functools
import io
import mmap
import os
import platform
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import segno
from PIL import Image

from pipeline.errors import UsageError
from pipeline.records import PageImage, Pixels
from pipeline.render import Renderer
from pipeline.sandbox import confine, kernel, landlock, limits, seccomp
from pipeline.sandbox.confine import Confinement
from pipeline.sandbox.drawer import Drawer, PageLimits
from pipeline.sandbox.images import Picture
from pipeline.sandbox.pdfium import PdfiumPdf
from pipeline.settings import RenderSettings
from tests.pipeline import papers

LIMITS = PageLimits(dpi=100, max_pages=10, max_pixels=4_000_000)
SETTINGS = RenderSettings(dpi=100, max_pages=10, max_pixels=4_000_000)


def photo(kind: str, **options: object) -> bytes:
    """Noise, larger than the 512 columns from which WebP is decoded by threads."""
    noise = np.random.default_rng(3).integers(0, 256, (90, 80, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((800, 900)).save(file, kind, **options)
    return file.getvalue()


DOCUMENTS = {
    "pdf": lambda: papers.pages([papers.text("HOA DON"), b"0.3 0.6 0.1 rg 40 40 300 400 re f"]),
    "pdf with a form": papers.filled_form,
    "png": lambda: photo("PNG"),
    "jpeg": lambda: photo("JPEG"),
    "webp": lambda: photo("WEBP"),
    "webp without loss": lambda: photo("WEBP", lossless=True),
    "tiff": lambda: photo("TIFF"),
    "tiff of jpeg": lambda: photo("TIFF", compression="jpeg"),
    "tiff of lzw": lambda: photo("TIFF", compression="tiff_lzw"),
    "tiff of deflate": lambda: photo("TIFF", compression="tiff_adobe_deflate"),
}


def unconfined(data: bytes, kind: str) -> list[Pixels]:
    """As this process itself draws it."""
    canvas = mmap.mmap(-1, 3 * LIMITS.max_pixels)
    file = os.memfd_create("document")
    os.write(file, data)
    drawer: Drawer = (PdfiumPdf if kind == "pdf" else Picture)(file, kind, LIMITS)  # type: ignore[arg-type]
    found = []
    for number in range(1, drawer.pages + 1):
        width, height = drawer.draw(number, canvas).size
        found.append(np.frombuffer(canvas, np.uint8, 3 * width * height).reshape(height, width, 3).copy())
    drawer.close()
    return found


@pytest.mark.medium
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_confined_child_draws_the_same_pixels(name: str) -> None:
    data = DOCUMENTS[name]()
    with Renderer(SETTINGS) as renderer:
        pages = list(renderer.pages(papers.document(data)))
    expected = unconfined(data, name.split()[0])
    assert len(pages) == len(expected)
    for page, pixels in zip(pages, expected, strict=True):
        assert isinstance(page, PageImage)
        np.testing.assert_array_equal(page.pixels, pixels)


@pytest.mark.medium
def test_confined_programs_draw_the_same_pixels(tmp_path: Path) -> None:
    """Poppler, on a page with letters (fonts from the system) and on one without."""
    data = papers.pages([papers.text("HOA DON"), b"0.3 0.6 0.1 rg 40 40 300 400 re f"])
    (tmp_path / "a.pdf").write_bytes(data)
    drawn = ["pdftoppm", "-q", "-r", "100", "-cropbox", "a.pdf", "page"]
    subprocess.run(drawn, cwd=tmp_path, check=True)
    expected = [np.asarray(Image.open(place)) for place in sorted(tmp_path.glob("page*.ppm"))]
    with Renderer(SETTINGS.model_copy(update={"renderer": "poppler"})) as renderer:
        pages = list(renderer.pages(papers.document(data)))
    assert [page.renderer for page in pages if isinstance(page, PageImage)] == ["poppler", "poppler"]
    for page, pixels in zip(pages, expected, strict=True):
        assert isinstance(page, PageImage)
        np.testing.assert_array_equal(page.pixels, pixels)


@pytest.mark.medium
def test_codes_are_found_on_pages_of_every_renderer() -> None:
    code = io.BytesIO()
    segno.make("01|HD|2024").save(code, kind="png", scale=8)
    picture = code.getvalue()
    size = Image.open(code).size
    pixels = Image.open(code).convert("RGB").tobytes()
    entries = b"/Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceRGB/BitsPerComponent 8" % size
    scanned = papers.pages(
        [b"200 0 0 200 100 300 cm /I Do"],
        resources=b"/XObject<</I 6 0 R>>",
        extra=[papers.stream(entries, pixels)],
    )
    found = {}
    for data, name in ((picture, "pdfium"), (scanned, "pdfium"), (scanned, "poppler")):
        with Renderer(SETTINGS.model_copy(update={"renderer": name})) as renderer:
            (page,) = renderer.pages(papers.document(data))
            (silent,) = renderer.pages(papers.document(data), codes=False)
        assert isinstance(page, PageImage) and isinstance(silent, PageImage) and silent.codes == ()
        found[page.renderer] = [code.text for code in page.codes]
    assert found == {name: ["01|HD|2024"] for name in ("pillow", "pdfium", "poppler")}


@pytest.mark.medium
def test_no_code_is_read_in_this_process() -> None:
    """Nor is any other decoder's library ever imported by what the actor imports."""
    program = (
        "import sys; import pipeline.render, pipeline.run; "
        "print([name for name in ('zxingcpp', 'pypdfium2', 'pdf2image') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.medium
def test_what_reads_xml_starts_quickly() -> None:
    """It starts anew after some hundred documents: what the rest of the program needs, it does without."""
    program = (
        "import sys; import pipeline.sandbox.__main__, pipeline.sandbox.xmlfile; "
        "print([name for name in ('pydantic', 'numpy', 'importlib.metadata') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


_TAKEN_OVER = """if True:
    import os, subprocess, sys
    how, inner = sys.argv[1:]
    child = subprocess.Popen([sys.executable, "-c", inner, how, str(os.getpid())])
    os.waitpid(child.pid, os.WNOHANG)
    child.wait(60)
"""
_DEAF = """if True:
    import os, signal, sys, time
    from pipeline.sandbox import confine
    how, parent = sys.argv[1], int(sys.argv[2])
    if how != "bare":
        confine.begin(parent, 2**31, 3600)
        confine.give_up("decoder")
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    print(os.getpid(), flush=True)
    time.sleep(60)
"""


@pytest.mark.medium
@pytest.mark.parametrize("how", ["confined", "bare"])
def test_a_deaf_child_ends_with_its_parent(how: str) -> None:
    """One that neither reads its input nor burns time; the bare one, the control, stays."""
    parent = subprocess.Popen([sys.executable, "-c", _TAKEN_OVER, how, _DEAF], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = os.pidfd_open(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    ended = bool(_wait(lambda: _gone(child), 20 if how == "confined" else 1))
    if not ended:
        signal.pidfd_send_signal(child, signal.SIGKILL)
    os.close(child)
    parent.stdout.close()
    assert ended == (how == "confined")


@pytest.mark.medium
def test_poppler_ends_with_the_actor() -> None:
    """In the middle of an endless page: the actor's end reaches the supervisor, and through it Poppler."""
    program = """if True:
        from pipeline.render import Renderer
        from pipeline.settings import RenderSettings
        from tests.pipeline import papers
        renderer = Renderer(RenderSettings(renderer="poppler"))
        paper = papers.document(papers.endless(page=1, count=1))
        renderer.page_count(paper)
        print(renderer._children["poppler"]._process.pid, flush=True)
        list(renderer.pages(paper))
    """
    actor = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert actor.stdout is not None
    supervisor = psutil.Process(int(actor.stdout.readline()))
    assert _wait(lambda: any("pdftoppm" in child.name() for child in supervisor.children()), 20)
    everybody = [os.pidfd_open(process.pid) for process in (supervisor, *supervisor.children())]
    actor.kill()
    actor.wait()
    actor.stdout.close()
    for process in everybody:
        assert _wait(functools.partial(_gone, process), 20)
        os.close(process)


def test_a_child_whose_parent_is_gone_before_it_asks_ends_at_once() -> None:
    program = "from pipeline.sandbox import limits; limits.end_with_parent(1); print('went on')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.medium
def test_a_child_outlives_the_thread_that_asked_for_it() -> None:
    """The kernel would end it with the thread that started it."""
    with Renderer(SETTINGS) as renderer:
        paper = papers.document(papers.pages([papers.text("a"), papers.text("b")]))
        thread = threading.Thread(target=renderer.page_count, args=(paper,))
        thread.start()
        thread.join()
        pid = renderer._children["pdfium"]._process.pid
        time.sleep(0.1)
        assert all(isinstance(page, PageImage) for page in renderer.pages(paper))
        assert renderer._children["pdfium"]._process.pid == pid


def _gone(pidfd: int) -> bool:
    return bool(select.select([pidfd], [], [], 0)[0])


def _wait(done: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if done():
            return True
        time.sleep(0.02)
    return done()


@pytest.mark.medium
def test_cpu_time_has_a_hard_end() -> None:
    with Renderer(SETTINGS) as renderer:
        renderer.page_count(papers.document(papers.pages([b""])))
        status = Path(f"/proc/{renderer._children['pdfium']._process.pid}/limits").read_text()
    soft, hard = map(int, re.findall(r"Max cpu time +(\d+) +(\d+)", status)[0])
    assert soft <= SETTINGS.seconds + 10 and hard == 3600


@pytest.mark.medium
def test_what_a_child_may_use_up_is_bounded_for_good() -> None:
    with Renderer(SETTINGS) as renderer:
        renderer.page_count(papers.document(papers.pages([b""])))
        status = Path(f"/proc/{renderer._children['pdfium']._process.pid}/limits").read_text()
    for name, most in {
        "Max file size": 2**20,
        "Max address space": SETTINGS.memory_bytes,
        "Max open files": 64,
        "Max msgqueue size": 0,
        "Max locked memory": 0,
        "Max core file size": 0,
    }.items():
        assert re.findall(rf"{name} +(\d+) +(\d+)", status) == [(str(most), str(most))], name


def test_a_child_cannot_fill_a_disk_with_its_complaints(tmp_path: Path) -> None:
    program = """if True:
        import errno, os, sys
        from pipeline.sandbox import limits
        limits.bound(2**40, 3600)
        file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
        try:
            while True:
                os.write(file, bytes(2**16))
        except OSError as error:
            assert error.errno == errno.EFBIG, error
    """
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "stderr")], check=True)
    assert (tmp_path / "stderr").stat().st_size == 2**20


@pytest.mark.medium
def test_a_child_that_has_used_up_its_life_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with Renderer(SETTINGS) as renderer:
        paper = papers.document(papers.pages([papers.text("a"), papers.text("b")]))
        items = renderer.pages(paper)
        next(items)
        old = renderer._children["pdfium"]
        monkeypatch.setattr(limits, "cpu_seconds", lambda pid: 3600.0 if pid == old._process.pid else 0.0)
        assert isinstance(next(items), PageImage)
        assert renderer._children["pdfium"] is not old and not old.alive


@pytest.mark.medium
def test_the_actor_keeps_its_memory_to_itself() -> None:
    """Whoever has started a child is closed to other processes of its user."""
    program = """if True:
        import ctypes
        from pipeline.render import Renderer
        from pipeline.settings import RenderSettings
        from tests.pipeline import papers
        with Renderer(RenderSettings()) as renderer:
            renderer.page_count(papers.document(papers.pages([b""])))
            print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


LESS = [
    (Confinement(0, True), "Landlock", "read this user's files"),
    (Confinement(7, False), "seccomp", "make any system call"),
    (Confinement(0, False), "Landlock.* and seccomp", "write files and reach the network"),
]


@pytest.mark.parametrize(("held", "lacks", "means"), LESS)
def test_a_kernel_that_confines_less_is_named_or_refused(
    monkeypatch: pytest.MonkeyPatch, held: Confinement, lacks: str, means: str
) -> None:
    monkeypatch.setattr(confine, "possible", lambda: held)
    assert re.search(lacks, held.words) and means in held.words and "\n" not in held.words
    with Renderer(SETTINGS) as renderer:
        assert not renderer.confinement.complete
    with pytest.raises(UsageError, match="the sandbox is incomplete"):
        Renderer(SETTINGS.model_copy(update={"require_sandbox": True}))


@pytest.mark.medium
@pytest.mark.parametrize("required", [False, True])
def test_the_command_line_says_once_what_the_kernel_lacks(tmp_path: Path, required: bool) -> None:
    (tmp_path / "one.pdf").write_bytes(papers.pages([papers.text("a")]))
    program = """if True:
        import sys
        from pipeline.sandbox import landlock
        landlock.abi = lambda: 0
        from workers.cli import main
        sys.argv = ["vinbatch", "plan", sys.argv[1]]
        main()
    """
    environment = os.environ | {"VINBATCH_RENDER__REQUIRE_SANDBOX": str(required)}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, env=environment
    )
    assert done.stderr.count("the sandbox is incomplete: this kernel lacks Landlock") == 1
    assert (done.returncode, "pages      1" in done.stdout) == ((2, False) if required else (0, True))


def test_without_landlock_the_list_of_calls_still_holds() -> None:
    """Also what a kernel before 5.13 gives: nothing is written and nobody reached."""
    program = """if True:
        import os, socket
        from pipeline.sandbox import confine, landlock
        landlock.abi = lambda: 0
        confine.begin(os.getppid(), 2**31, 100)
        print(confine.give_up("decoder"))
        for act in (lambda: open("/dev/shm/x", "w"), socket.socket, os.fork, lambda: os.mkdir("/tmp/x")):
            try:
                act()
            except PermissionError:
                print("refused")
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["Confinement(landlock=0, seccomp=True)", *["refused"] * 4], (
        done.stderr
    )


@pytest.mark.parametrize("abi", range(1, 7))
def test_an_older_landlock_is_asked_for_what_it_knows(abi: int) -> None:
    """Rights that a kernel does not know it refuses; so a ruleset of each age must be one that it takes."""
    if landlock.abi() < abi:
        pytest.skip("this kernel's own is older")
    program = f"""if True:
        import os
        from pipeline.sandbox import kernel, landlock
        landlock.abi = lambda: {abi}
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        assert landlock.restrict(["/usr"]) == {abi}
        os.listdir("/usr")
        try:
            os.listdir("/etc")
        except PermissionError:
            print("refused")
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "refused\n", done.stderr


@pytest.mark.parametrize(
    ("column", "header"),
    [(0, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), (1, "/usr/include/asm-generic/unistd.h")],
    ids=["x86_64", "aarch64"],
)
def test_the_numbers_of_system_calls_are_the_kernels(column: int, header: str) -> None:
    if not Path(header).exists():
        pytest.skip("the kernel's headers are not installed (linux-libc-dev)")
    text = Path(header).read_text()
    known = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)}
    for name, numbers in seccomp._NUMBERS.items():
        assert numbers[column] == known.get(name, known.get({"newfstatat": "fstatat"}.get(name, name))), name


def test_this_machine_confines_in_full_where_it_can() -> None:
    held = confine.possible()
    assert held.seccomp == (platform.machine() in ("x86_64", "aarch64"))
    assert "sandbox" in held.words
    assert kernel.PR_SET_PDEATHSIG == 1
