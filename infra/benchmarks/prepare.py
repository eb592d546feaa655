"""Preparing a page for the model: ours against the model card's way, on the same files.

    python -m infra.benchmarks.prepare [--files 6] [--rounds 3] [--dpi 200] [--max-tiles 6] [--json OUT]

Ours: drawn by PDFium in the sandboxed child, tiled as uint8; normalising is left to the device. The model
card's: pdf2image with PNG, then its loader (PIL tiles, each made float32, normalised, stacked). Both get the
same bytes and take turns, file by file; CPU time counts this process and all its children. Given the same
image, both cut the same tiles: the run checks it first. The figure is pages per core-second.

Then pages that are one scan, which keep its pixels, beside the same scans with a dot on them, which are
drawn at --dpi.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pdf2image
import psutil
from PIL import Image
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from pipeline import sources, specimens, tiles
from pipeline.filetype import sniff
from pipeline.records import Document, PageImage
from pipeline.render import Renderer
from pipeline.settings import RenderSettings, SourceSettings

MEAN, SPREAD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
FORMATS = ("pdf", "scanned-pdf", "jpeg", "png", "tiff")


def main() -> None:
    options = _options()
    documents = _documents(options.files)
    cost: dict[tuple[str, str], list[float]] = defaultdict(
        list
    )  # (format, way) → CPU seconds a page, each round
    with Renderer(RenderSettings(dpi=options.dpi)) as renderer:
        ways: dict[str, Callable[[Document], int]] = {
            "ours": lambda document: _ours(renderer, document, options.max_tiles),
            "model card": lambda document: _model_card(document, options.dpi, options.max_tiles),
        }
        for form, document in documents[:: max(1, options.files // 2)]:
            _same_tiles(document, options.dpi, options.max_tiles)
            for way in ways.values():
                way(document)  # warm: processes started, modules imported
            print(f"the same tiles from the same image: {form}", file=sys.stderr)
        for _ in range(options.rounds):
            spent: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
            for form, document in documents:
                for name, way in ways.items():
                    before = _cpu_seconds()
                    pages = way(document)
                    for row in (form, "all"):
                        spent[row, name][0] += _cpu_seconds() - before
                        spent[row, name][1] += pages
            for key, (seconds, pages) in spent.items():
                cost[key].append(seconds / pages)
        scans = {str(dpi): _scans(renderer, documents, dpi, options) for dpi in (100, 150, 200)}
    _report(cost, scans, options)


def _scans(
    renderer: Renderer, documents: Sequence[tuple[str, Document]], dpi: int, options: argparse.Namespace
) -> dict[str, float]:
    """Median CPU milliseconds a page of scans of `dpi`: as they are, and with a dot."""
    page = Image.open(io.BytesIO(next(document.data for form, document in documents if form == "png")))
    page = page.convert("RGB").resize([side * dpi // 200 for side in page.size])  # type: ignore[arg-type]
    picture = io.BytesIO()
    page.save(picture, "JPEG", quality=85)
    spent = defaultdict[str, list[float]](list)
    for _ in range(10 * options.rounds):
        for name in ("own pixels", "drawn"):
            data = io.BytesIO()
            pdf = Canvas(data, pagesize=[side * 72 / dpi for side in page.size])
            pdf.drawImage(ImageReader(picture), 0, 0, *[side * 72 / dpi for side in page.size])
            if name == "drawn":
                pdf.circle(9, 9, 1)
            pdf.save()
            document = Document("scan.pdf", data.getvalue(), "", None)
            before = _cpu_seconds()
            _ours(renderer, document, options.max_tiles)
            spent[name].append(1000 * (_cpu_seconds() - before))
    return {name: statistics.median(each) for name, each in spent.items()}


def _ours(renderer: Renderer, document: Document, max_tiles: int) -> int:
    pages = 0
    for page in renderer.pages(document, codes=False):
        if not isinstance(page, PageImage):
            raise RuntimeError(f"{document.uri}: {page.message}")
        tiles.split(Image.fromarray(page.pixels), max_tiles)
        pages += 1
    return pages


def _model_card(document: Document, dpi: int, max_tiles: int) -> int:
    images = _images(document, dpi, "png")
    for image in images:
        parts = [np.asarray(part.resize((448, 448)), np.float32) / 255 for part in _loader(image, max_tiles)]
        np.stack([((part - MEAN) / SPREAD).transpose(2, 0, 1) for part in parts])
    return len(images)


def _images(document: Document, dpi: int, via: str) -> list[Image.Image]:
    if sniff(document.data) == "pdf":
        return list(pdf2image.convert_from_bytes(document.data, dpi, fmt=via))
    image = Image.open(io.BytesIO(document.data))
    found = []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        found.append(image.convert("RGB"))
    return found


def _loader(image: Image.Image, max_tiles: int) -> list[Image.Image]:
    """The published steps, a crop at a time."""
    image = image.convert("RGB")
    columns, rows = tiles.grid(image.width, image.height, max_tiles)
    whole = image.resize((448 * columns, 448 * rows))
    parts = [
        whole.crop((448 * column, 448 * row, 448 * (column + 1), 448 * (row + 1)))
        for row in range(rows)
        for column in range(columns)
    ]
    return [*parts, image.resize((448, 448))] if len(parts) > 1 else parts


def _same_tiles(document: Document, dpi: int, max_tiles: int) -> None:
    for image in _images(document, dpi, "ppm"):
        theirs = np.stack([np.asarray(part) for part in _loader(image, max_tiles)])
        if not np.array_equal(tiles.split(image, max_tiles), theirs):
            raise RuntimeError(f"{document.uri}: our tiles differ from the model card's")


def _cpu_seconds() -> float:
    """Of this process, of its living children, and of those that have ended."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    for child in psutil.Process().children(recursive=True):
        times = child.cpu_times()
        total += times.user + times.system
    return total


def _documents(count: int) -> list[tuple[str, Document]]:
    """`count` specimen invoices of each format."""
    documents = []
    with tempfile.TemporaryDirectory() as folder:
        for form in FORMATS:
            place = Path(folder) / form
            specimens.write(place, count, ("invoice",), seed=7, formats=(form,))
            for ref in sources.list_documents([str(place)], SourceSettings()):
                documents.append((form, sources.fetch(ref.uri, SourceSettings())))
    return documents


def _report(
    cost: dict[tuple[str, str], list[float]],
    scans: dict[str, dict[str, float]],
    options: argparse.Namespace,
) -> None:
    rows = {}
    print(f"{'':12} {'ours':>18} {'model card':>18}   ratio")
    print(f"{'':12} {'pages/core-second':>18} {'pages/core-second':>18}")
    for form in (*FORMATS, "all"):
        ours, theirs = (1 / statistics.median(cost[form, way]) for way in ("ours", "model card"))
        rows[form] = {"ours": ours, "model_card": theirs, "ratio": ours / theirs}
        print(f"{form:12} {ours:18.2f} {theirs:18.2f} {ours / theirs:6.1f}×")
    for dpi, each in scans.items():
        figures = ", ".join(f"{name} {spent:.0f} ms" for name, spent in each.items())
        print(f"a scan of {dpi} dpi: {figures}, {each['drawn'] / each['own pixels']:.1f}×")
    if options.json:
        found = {"options": vars(options), "rows": rows, "scans": scans}
        Path(options.json).write_text(json.dumps(found, indent=1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=6, help="documents of each format")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dpi", type=int, default=200)
    parser.add_argument("--max-tiles", type=int, default=6)
    parser.add_argument("--json", help="write the figures here too")
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
