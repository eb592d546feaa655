"""What a second reader costs a page, and how much of what specimens say it bears out.

    python -m infra.benchmarks.second_reader --count 6 [--readers rapidocr,tesseract] [--preset worn]

Specimens are read as scans. Each value of their truth is asked of the second reader as a witness: it agrees,
is silent, or differs, and where it differs it is wrong. A value is "read" where its letters and digits stand
somewhere on the page as one piece. Seconds are of wall time; the first page, with which the readers start, is
left out.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections import Counter

from infra.benchmarks.witnesses import _fields
from pipeline import merge
from pipeline.records import Document, PageImage, PageRecord, TextLayer
from pipeline.render import Renderer
from pipeline.settings import RenderSettings, SecondReaderSettings, Settings
from pipeline.specimens import make
from pipeline.specimens.files import encode
from pipeline.specimens.specimen import Specimen
from schemas.registry import resolve

_KINDS = ("invoice", "id_card", "receipt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=6, help="of each kind")
    parser.add_argument("--readers", default="rapidocr,tesseract")
    parser.add_argument("--preset", default="clean", choices=("clean", "worn"))
    options = parser.parse_args()
    second = Settings(second_reader={"on": True, "readers": options.readers.split(",")}).second_reader
    for kind in _KINDS:
        _tell(kind, *_measured(kind, options.count, options.preset, second))


def _measured(
    kind: str, count: int, preset: str, second: SecondReaderSettings
) -> tuple[Counter[tuple[str, str]], list[float]]:
    seen: Counter[tuple[str, str]] = Counter()
    seconds: list[float] = []
    bare = SecondReaderSettings()
    with Renderer(RenderSettings(), second) as renderer, Renderer(RenderSettings(), bare) as alone:
        for seed in range(count):
            specimen = make(kind, seed, preset=preset)  # type: ignore[arg-type]
            spec = resolve(specimen.schema)
            pages = []
            for number, took, drawn in _pages(specimen, renderer, alone):
                seconds.append(took)
                fields = tuple(_fields(spec.shape, specimen.raw(number), number))
                pages.append(PageRecord(number, fields, reader=drawn.reader))
            made = merge.document(pages, spec)
            seen["whole", "all"] += 1
            seen["whole", "flagged"] += any(
                check.code == "incomplete" and not check.passed for check in made.checks
            )
            said = {item.field: item.verdict for item in made.testimony if item.source == "reader"}
            texts = "".join(_joined(page.reader) for page in pages)
            for field in made.fields:
                if field.raw is not None and field.value is not None:
                    what = "with digits" if any(map(str.isdigit, field.raw)) else "words"
                    seen[what, "all"] += 1
                    seen[what, "read"] += _bare(field.raw) in texts
                    seen[what, said.get(field.path, "silent")] += 1
    return seen, seconds


def _pages(specimen: Specimen, renderer: Renderer, alone: Renderer) -> list[tuple[int, float, PageImage]]:
    """Each page with the second reader's own seconds."""
    data = encode(specimen, "scanned-pdf")
    document = Document("specimen.pdf", data, hashlib.sha256(data).hexdigest(), None)
    found = []
    for number in range(1, renderer.page_count(document) + 1):
        began = time.monotonic()
        alone.page(document, number)
        drawn_at = time.monotonic()
        page = renderer.page(document, number)
        if not isinstance(page, PageImage):
            raise SystemExit(f"a specimen cannot be drawn: {page.message}")
        found.append((number, time.monotonic() - drawn_at - (drawn_at - began), page))
    return found


def _joined(text: TextLayer | None) -> str:
    return "" if text is None else _bare(" ".join(word.text for word in text.words))


def _bare(text: str) -> str:
    return "".join(sign for sign in text.casefold() if sign.isalnum())


def _tell(kind: str, seen: Counter[tuple[str, str]], seconds: list[float]) -> None:
    rest = sorted(seconds[1:])
    print(f"{kind}: {len(seconds)} pages, {rest[len(rest) // 2]:.1f} s a page, at most {rest[-1]:.1f}")
    print(f"  {seen['whole', 'flagged']} of {seen['whole', 'all']} whole documents are called incomplete")
    for what in ("with digits", "words"):
        count = seen[what, "all"]
        if count:
            shares = ", ".join(
                f"{name} {seen[what, name] / count:.1%}" for name in ("read", "agrees", "silent", "differs")
            )
            print(f"  {count} values {what}: {shares}")


if __name__ == "__main__":
    main()
