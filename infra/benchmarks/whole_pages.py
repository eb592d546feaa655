"""How well a PDF's text layer is read, at what cost, and whether it tells a page that was not read whole.

    python -m infra.benchmarks.whole_pages [--invoices 100] [--seed 1000]

Specimens of invoices as PDFs with real text are drawn as a run draws them. Their words are held against those
that were printed. Then five readings of each are judged by `pipeline.completeness`: a whole one, one with
each third value misread, one without a tenth of its lines, one without a column of figures, and one without a
third of the words of its longest page. The cost is CPU time of this process and the one that draws.
"""

from __future__ import annotations

import argparse
import random
import re
import time
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256

from pipeline.completeness import incomplete
from pipeline.records import Document, Field, PageImage, Word
from pipeline.render import Renderer
from pipeline.sandbox import limits
from pipeline.settings import RenderSettings
from pipeline.specimens.files import encode
from pipeline.specimens.making import make
from pipeline.specimens.specimen import Specimen
from pipeline.store import page_rows, rows
from schemas.registry import resolve

_LINE = re.compile(r"lines\[(\d+)\](\.\w+)")
_LAYOUTS = ("standard", "held-out")


def main() -> None:
    options = _options()
    shape = resolve("invoice@1").shape
    counts: Counter[str] = Counter()
    rng = random.Random(options.seed)
    with Renderer(RenderSettings()) as renderer:
        for number in range(options.invoices):
            specimen = make("invoice", options.seed + number, layouts=_LAYOUTS[number % 2], preset="clean")
            words = _words(renderer, specimen, counts)
            counts["invoices"] += 1
            for name, read in _readings(specimen, rng):
                checks = list(incomplete(read, words, shape))
                counts[f"{name}: readings"] += 1
                counts[f"{name}: flagged"] += bool(checks)
                counts[f"{name}: flagged pages"] += len({check.message.split(":")[0] for check in checks})
    _report(counts)


def _words(renderer: Renderer, specimen: Specimen, counts: Counter[str]) -> Mapping[int, Sequence[Word]]:
    """The trusted words of each page. Counts what is missing, what is too much, and the milliseconds."""
    data = encode(specimen, "pdf")
    document = Document("specimen", data, sha256(data).hexdigest(), None)
    found: dict[int, Sequence[Word]] = {}
    for number, drawn in enumerate(specimen.pages, 1):
        page = renderer.page(document, number)
        assert isinstance(page, PageImage), page
        started = _cpu_seconds(renderer)
        text = renderer._text(document, page)  # alone, once more
        counts["microseconds"] += round(1e6 * (_cpu_seconds(renderer) - started))
        counts["pages"] += 1
        counts["trusted pages"] += text is not None and text.trusted
        printed = Counter(unicodedata.normalize("NFC", " ".join(run.text for run in drawn.runs)).split())
        given = Counter(word.text for word in text.words) if text is not None else Counter[str]()
        counts["words"] += sum(printed.values())
        counts["words missing"] += sum((printed - given).values())
        counts["words too much"] += sum((given - printed).values())
        if text is not None and text.trusted:
            counts["bytes stored"] += len(rows.dump(page_rows.text(text)).encode())
            found[number] = text.words
    return found


def _cpu_seconds(renderer: Renderer) -> float:
    return time.process_time() + limits.cpu_seconds(renderer._children["pdfium"]._process.pid)


def _readings(specimen: Specimen, rng: random.Random) -> Iterator[tuple[str, list[Field]]]:
    whole = [
        Field(path, each["raw"], each["raw"], 1.0, "read", each["page"], each["box"])
        for path, each in specimen.truth["fields"].items()
    ]
    yield "whole", whole
    yield "misread", [each._replace(raw=f"{each.raw}0") if rng.random() < 1 / 3 else each for each in whole]
    lines = sorted({int(match[1]) for each in whole if (match := _LINE.fullmatch(each.path))})
    if len(lines) > 1:
        gone = set(rng.sample(lines, max(1, len(lines) // 10)))
        yield "a tenth of the lines dropped", _without(whole, gone)
    if len(lines) > 2:  # of fewer no column can be told
        column = rng.choice(("quantity", "unit_price", "amount"))
        read = [each for each in whole if not each.path.endswith(f"].{column}")]
        yield "a column of figures dropped", read
    page = max(range(1, len(specimen.pages) + 1), key=lambda number: sum(f.page == number for f in whole))
    there = sorted((each for each in whole if each.page == page), key=lambda each: (each.box or ())[1:2])
    start, left = rng.randrange(len(there) // 2), sum(len(str(each.raw).split()) for each in there) / 3
    dropped: list[str] = []
    for each in there[start:]:
        if left > 0:
            left -= len(str(each.raw).split())
            dropped.append(each.path)
    yield "a third of a page dropped", [each for each in whole if each.path not in dropped]


def _without(whole: Sequence[Field], gone: set[int]) -> list[Field]:
    kept: dict[int, int] = {}
    read = []
    for each in whole:
        match = _LINE.fullmatch(each.path)
        if match is None:
            read.append(each)
        elif int(match[1]) not in gone:
            number = kept.setdefault(int(match[1]), len(kept))
            read.append(each._replace(path=f"lines[{number}]{match[2]}"))
    return read


def _report(counts: Counter[str]) -> None:
    pages = counts["pages"]
    print(
        f"{counts['invoices']} invoices, {pages} pages, {counts['trusted pages']} of them with trusted text"
    )
    print(
        f"words: {counts['words']:,} printed, {counts['words missing']} missing, "
        f"{counts['words too much']} too much"
    )
    cost = counts["microseconds"] / 1000 / pages
    print(f"cost: {cost:.0f} ms of CPU and {counts['bytes stored'] / pages:,.0f} bytes a page")
    for name in dict.fromkeys(key.partition(":")[0] for key in counts if ":" in key):
        flagged, pages = counts[f"{name}: flagged"], counts[f"{name}: flagged pages"]
        print(f"{name}: {flagged} of {counts[f'{name}: readings']} flagged, {pages} pages")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--invoices", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1000)
    return parser.parse_args()


if __name__ == "__main__":
    main()
