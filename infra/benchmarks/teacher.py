"""What `dataset make` makes of a teacher that is sometimes wrong, and how fast.

    .venv/bin/python -m infra.benchmarks.teacher --documents 120

A stub teacher (`stub_teacher`) knows the truth of specimens. Of its answers a share is bad in a known way:
it declines, changes a digit, tells of another paper, leaves off diacritics … What the filters refuse is held
against what was planted: how much bad they caught, by kind, and how much good they lost. Papers are PDFs with
their own text; with --scanned so many more are pictures that only a second reader can bear witness of.
Rows an hour are of everything: drawing, sending, the ledger with its fsync, rows.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from infra.benchmarks.planting_teacher import Planted, PlantingTeacher, Truth
from infra.benchmarks.stub_teacher import serving
from pipeline import specimens
from pipeline.settings import Settings, load
from pipeline.store.teaching import TaughtPage, Teaching
from pipeline.teacher import held_out, prompts
from pipeline.teacher.asking import Asking, Purse, Teacher
from pipeline.teacher.making import LEDGER, PROVENANCE, REFUSED, Made, Making, Plan
from pipeline.teacher.pages import Pages, image_path
from pipeline.teacher.protocols import Decoding
from schemas.registry import resolve

KINDS = ("invoice", "receipt", "id_card_front")


def main() -> None:
    arguments = _arguments()
    folder = Path(tempfile.mkdtemp(prefix="vinbatch-teacher-"))
    try:
        print(json.dumps(_measured(arguments, folder), indent=1, ensure_ascii=False))
    finally:
        shutil.rmtree(folder)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--documents", type=int, default=120)
    parser.add_argument("--scanned", action="store_true", help="pictures alone, with a second reader")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--latency", type=float, default=0.5, help="seconds an answer takes")
    parser.add_argument("--concurrency", type=int, default=32)
    return parser.parse_args()


def _measured(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    papers, out = folder / "papers", folder / "made"
    settings = load(second_reader={"on": True, "readers": ["tesseract"]}) if arguments.scanned else load()
    form = "scanned-pdf" if arguments.scanned else "pdf"
    specimens.write(papers, arguments.documents, KINDS, arguments.seed, worn=False, formats=[form])
    began = time.monotonic()
    pages = _drawn(papers, out, settings)
    drawing = time.monotonic() - began
    truths = _truths(papers, pages)
    measured_by = _evaluation(folder / "evaluation", out, list(pages.values())[::10])
    held = {page.image for page in list(pages.values())[::10]}
    asked = prompts.chosen(
        ["general", "ocr", "extraction"], [resolve(name) for name in ("invoice@1", "receipt@1", "id_card@1")]
    )
    # Each paper is asked by its own schema alone.
    planted = Planted()
    teacher = PlantingTeacher(pages, truths, planted, random.Random(arguments.seed))
    began = time.monotonic()
    with serving(teacher.says, seconds=arguments.latency) as stub:
        made = asyncio.run(_make(stub.url, papers, out, settings, asked, measured_by, arguments.concurrency))
    seconds = time.monotonic() - began
    return {
        "documents": arguments.documents,
        "witness": "second reader" if arguments.scanned else "own text",
        "requests": made.asked,
        "rows": made.rows,
        "seconds_drawing": round(drawing, 1),
        "seconds_asking": round(seconds, 1),
        "requests_an_hour": round(3600 * made.asked / (seconds + drawing)),
        "rows_an_hour": round(3600 * made.rows / (seconds + drawing)),
        **_caught(out, planted, held),
    }


def _drawn(papers: Path, out: Path, settings: Settings) -> dict[str, TaughtPage]:
    out.mkdir()
    with Teaching(out / LEDGER) as ledger:
        return {page.image: page for page in Pages(out, ledger, settings).of([str(papers)])}


def _truths(papers: Path, pages: dict[str, TaughtPage]) -> dict[str, Truth]:
    """By picture. The text is that of the PDF, or what the second reader saw."""
    rows = {}
    for line in (papers / "truth.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        rows[row["file"]] = row
    found = {}
    for page in pages.values():
        row = rows[Path(page.uri).name]
        values = {
            each["path"]: each["raw"] for each in row["fields"] if each["raw"] and each["page"] == page.page
        }
        text = page.text if page.exact and page.text else page.reader or "\n".join(values.values())
        found[page.image] = Truth(row["schema"].partition("@")[0], values, text)
    return found


def _evaluation(folder: Path, out: Path, pages: list[TaughtPage]) -> held_out.HeldOut:
    """Every tenth page, saved again smaller as others would."""
    folder.mkdir()
    for page in pages:
        with Image.open(image_path(out, page.image)) as image:
            smaller = image.resize((image.width * 4 // 5, image.height * 4 // 5), Image.Resampling.BICUBIC)
        data = io.BytesIO()
        smaller.save(data, "JPEG", quality=80)
        (folder / f"{page.image[:16]}.jpg").write_bytes(data.getvalue())
    return held_out.load([folder])


async def _make(
    url: str,
    papers: Path,
    out: Path,
    settings: Settings,
    asked: tuple[prompts.Prompt, ...],
    measured_by: held_out.HeldOut,
    concurrency: int,
) -> Made:
    plan = Plan((str(papers),), asked, "specimens", concurrency)
    asking = Asking(Teacher(url, "stub"), Decoding(2048))
    return await Making(out, plan, asking, Purse(), settings, measured_by).run()


def _caught(out: Path, planted: Planted, held: set[str]) -> dict[str, Any]:
    """Of what was planted, how much was refused, by kind; and how much good was lost, with why."""
    passed = {(row["image_sha256"], row["prompt"]) for row in _lines(out / PROVENANCE)}
    why: dict[tuple[str, str], str] = {}
    for row in _lines(out / REFUSED):
        why[row["image_sha256"], row["prompt"]] = row["verdict"]
    by_text = {prompt.text: prompt.id for prompt in _all_prompts()}
    bad, caught, good, lost, missed = Counter[str](), Counter[str](), 0, Counter[str](), Counter[str]()
    for (image, question), how in planted.how.items():
        row = image, by_text[question]
        if how == "not asked":
            continue
        if image in held:
            how = "in an evaluation set"
        if how:
            bad[how] += 1
            caught[how] += row not in passed
            missed[how] += row in passed
        else:
            good += 1
            if row not in passed or row in why:
                lost[f"{row[1]}: {why.get(row, 'none')}"] += 1
    return {
        "planted": bad.total(),
        "caught": caught.total(),
        "caught_share": round(caught.total() / bad.total(), 4),
        "missed": dict(+missed),
        "good": good,
        "good_lost": dict(lost),
        "good_lost_share": round(lost.total() / good, 4),
        "by_kind": {how: f"{caught[how]}/{number}" for how, number in sorted(bad.items())},
    }


def _all_prompts() -> tuple[prompts.Prompt, ...]:
    specs = [resolve(name) for name in ("invoice@1", "receipt@1", "id_card@1")]
    return prompts.chosen(["general", "ocr", "extraction"], specs)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


if __name__ == "__main__":
    main()
