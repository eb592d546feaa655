"""Pages whose values are known become a data set: pictures, train.jsonl, heldout.jsonl and meta.json.

A document is learnt from or held out by a hash of its bytes and the seed, so that it never changes sides when
the set is written again with more documents. images/heldout has a truth.jsonl: `vinbatch eval` scores a job
over that folder.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from PIL import Image

from pipeline import prompt
from pipeline.errors import UsageError
from pipeline.filetype import TRUTHS
from pipeline.grammar import Form
from pipeline.private import whole_file, write_text
from pipeline.records import Pixels
from pipeline.tuning.dataset import HELDOUT, IMAGES, META, TRAIN, Item, Picture
from pipeline.tuning.labelled import LeftOut, Page
from pipeline.tuning.labels import Labels
from pipeline.tuning.pseudonyms import Pseudonyms
from schemas.shape import Repeated
from schemas.spec import SchemaSpec

PARTS: Mapping[str, str] = {"train": TRAIN, "heldout": HELDOUT}


@dataclass(slots=True)
class Exported:
    """Pages by part, and documents with pages that were left out and why."""

    pages: Counter[str] = field(default_factory=Counter)
    left_out: list[LeftOut] = field(default_factory=list)
    not_whole: int = 0  # pages of documents of which only some values were looked at


def export(
    out: Path,
    pages: Iterable[Page | LeftOut],
    spec: SchemaSpec,
    form: Form,
    *,
    heldout: float = 0.2,
    seed: int = 0,
    pseudonymise: bool = False,
) -> Exported:
    """Writes the set into the folder `out`, new or empty. With pseudonyms it has no pictures.

    Raises UsageError where the folder holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not empty: choose a new folder")
    out.mkdir(parents=True, exist_ok=True)
    labels, question = Labels(spec, form), prompt.build(spec, form)
    replaced = Pseudonyms(spec) if pseudonymise else None
    made = Exported()
    truth: list[str] = []
    with ExitStack() as files:
        lines = {part: files.enter_context(whole_file(out / name)) for part, name in PARTS.items()}
        for page in pages:
            if isinstance(page, LeftOut):
                made.left_out.append(page)
                continue
            values = page.values if replaced is None else replaced.values(page.values, page.group)
            answer = labels.answer(values)
            refused = labels.refused(answer)
            if refused is not None:
                made.left_out.append(LeftOut(page.document, f"page {page.page} cannot be learnt: {refused}"))
                continue
            part = "heldout" if _share(seed, page.group) < heldout else "train"
            name = hashlib.sha256(f"{page.document} {page.group}".encode()).hexdigest()[:16]
            document = page.document if replaced is None else replaced.name(page.document)
            image = None if replaced is not None else f"{part}/{name}-{page.page}.png"
            if image is not None:
                _draw(out / IMAGES / image, page.pixels)
            height, width, _ = page.pixels.shape
            item = Item(
                f"{name}-{page.page}" if replaced is None else f"{document}-{page.page}",
                "",
                None if image is None else Picture(out / IMAGES / image),
                ((question, answer),),
                width,
                height,
                spec.reference or f"{spec.name}@{spec.version}",
                document,
                page.page,
                {} if replaced is None else {"pseudonyms": True},
            )
            _line(lines[part], item.row(image))
            made.pages[part] += 1
            made.not_whole += not page.whole
            if part == "heldout" and image is not None:
                truth.append(_true(Path(image).name, spec, values))
    _finish(out, made, truth, spec)
    return made


def _share(seed: int, group: str) -> float:
    """0 to 1, the same for the same document and seed."""
    digest = hashlib.sha256(f"{seed} {group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _draw(path: Path, pixels: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "PNG", compress_level=3)
    with whole_file(path) as file:
        file.write(held.getvalue())


def _line(file: IO[bytes], row: Mapping[str, Any]) -> None:
    file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def _true(name: str, spec: SchemaSpec, values: Mapping[str, str]) -> str:
    """The line of truth.jsonl, printed texts by path; a field of the header that is not there is null."""
    header = {
        path: None
        for path, _ in spec.shape.of_pages.leaves()
        if not any(isinstance(one, Repeated) and path.startswith(one.name) for one in spec.shape.fields)
    }
    row = {"file": name, "schema": f"{spec.name}@{spec.version}", **header, **values}
    return json.dumps(row, ensure_ascii=False)


def _finish(out: Path, made: Exported, truth: list[str], spec: SchemaSpec) -> None:
    if truth:
        write_text(out / IMAGES / "heldout" / TRUTHS[0], "".join(f"{line}\n" for line in truth))
    entry = {
        "root": f"{IMAGES}/",
        "annotation": TRAIN,
        "data_augment": False,
        "repeat_time": 1,
        "length": made.pages["train"],
    }
    meta = {spec.name: entry}
    write_text(out / META, json.dumps(meta, ensure_ascii=False, indent=2) + "\n")
