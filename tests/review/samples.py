"""A store to review: specimens as files, read by a stand-in for the model that errs in known places."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from pipeline import merge
from pipeline.normal import normal
from pipeline.records import DocumentRef, Extraction, Field, PageRecord, PageResult, TextLayer, Word
from pipeline.specimens import files, making
from pipeline.specimens.specimen import Page, Specimen
from pipeline.store import Job, Store
from schemas.registry import resolve
from schemas.shape import Group, Leaf, Node, Repeated

SURE, UNSURE = 0.9991, 0.71


@dataclass(frozen=True)
class Sample:
    """One paper: the file, what was read of it, and the printed texts that are right, by path."""

    name: str
    data: bytes
    extraction: Extraction
    pages: tuple[PageResult, ...]
    truth: dict[str, str]


@cache
def sample(kind: str, seed: int, errors: int = 1, unsure: int = 1, form: str = "png") -> Sample:
    """A specimen of which `errors` digits are misread and `unsure` other values are doubted.

    The page's words, as a PDF's text would have them, are a witness, and no authority.
    """
    specimen = making.make(kind, seed, preset="clean")
    spec = resolve(specimen.schema)
    known = specimen.truth["fields"]
    fields = list(_fields(spec.shape, specimen.truth["raw"], known))
    wrong = [
        at for at, field in enumerate(fields) if (field.raw or "").isdecimal() and field.value is not None
    ]
    for at in wrong[:: max(1, len(wrong) // max(1, errors))][:errors]:
        fields[at] = _misread(fields[at], dict(spec.shape.leaves()))
    texts = [
        at for at, field in enumerate(fields) if field.raw and field.confidence == SURE and at not in wrong
    ]
    for at in texts[:: max(1, len(texts) // max(1, unsure))][:unsure]:
        fields[at] = fields[at]._replace(confidence=UNSURE)
    alone = len(specimen.pages) == 1
    layer = TextLayer(tuple(_words(specimen.pages[0])), True) if alone else None
    record = PageRecord(1, tuple(fields), text=layer)
    found = merge.document([record], spec, authority=())
    sizes = [page.pixels.shape for page in specimen.pages]
    data = files.encode(specimen, form if alone else "pdf")
    digest = hashlib.sha256(data).hexdigest()
    pages = tuple(
        PageResult(n, f"{digest}/{n}", PageRecord(n, ()), None, "pdfium", size[1], size[0])
        for n, size in enumerate(sizes, 1)
    )
    name = f"{kind}-{seed}.{form if alone else 'pdf'}"
    return Sample(
        name,
        data,
        replace(found, pages=len(sizes)),
        pages,
        {path: value["raw"] for path, value in known.items()},
    )


def filled(store: Store, folder: Path, schema: str, papers: Sequence[Sample], count: int, name: str) -> Job:
    """A job of `count` documents, which are these papers by turns, each under a name of its own."""
    spec = resolve(schema)
    settings = {"review_below": 0.9}
    job = store.jobs.ensure(
        name, spec, sources=[str(folder)], settings=settings, model="demo", checkpoint="c" * 64
    )
    by_uri: dict[str, Sample] = {}
    for number in range(count):
        paper = papers[number % len(papers)]
        first = folder / paper.name
        if not first.exists():
            first.write_bytes(paper.data)
        path = folder / f"{number:04}-{paper.name}"
        os.link(first, path)
        by_uri[str(path)] = paper
    store.ledger.add(job, [DocumentRef(uri, size=1) for uri in by_uri])
    while leases := store.ledger.claim(job, "worker", 200, lease_seconds=600):
        for lease in leases:
            paper = by_uri[lease.uri]
            digest = hashlib.sha256(paper.data).hexdigest()
            store.results.commit(lease, paper.extraction, paper.pages, sha256=digest)
    return job


def _fields(shape: Group, printed: Any, known: dict[str, Any]) -> Iterator[Field]:
    yield from (
        field
        for node in shape.fields
        for field in _node(node, node.name, (printed or {}).get(node.name), known)
    )


def _node(node: Node, path: str, printed: Any, known: dict[str, Any]) -> Iterator[Field]:
    if isinstance(node, Leaf):
        if not node.asked:
            return
        at = known.get(path, {})
        value, problem = (None, None) if printed is None else normal(node, printed)
        yield Field(path, printed, value, SURE, "read", at.get("page", 1), at.get("box"), problem)
    elif isinstance(node, Group):
        for inner in node.fields:
            yield from _node(inner, f"{path}.{inner.name}", (printed or {}).get(inner.name), known)
    elif isinstance(node, Repeated) and node.asked:
        yield Field(path, None, len(printed or ()), SURE, "read", 1)
        for number, item in enumerate(printed or ()):
            yield from _node(node.item, f"{path}[{number}]", item, known)


def _misread(field: Field, leaves: dict[str, Leaf]) -> Field:
    from schemas.shape import leaf_path

    raw = field.raw or ""
    said = raw[:-1] + str((int(raw[-1]) + 1) % 10)
    value, problem = normal(leaves[leaf_path(field.path)], said)
    return field._replace(raw=said, value=value, confidence=UNSURE, problem=problem)


def _words(page: Page) -> Iterator[Word]:
    """The page's runs cut at their blanks, each letter as wide as the next."""
    height, width = page.pixels.shape[:2]
    for run in page.runs:
        each = run.width / max(1, len(run.text))
        at = 0
        for word in run.text.split(" "):
            if word:
                left, top = run.x + at * each, run.baseline - run.size * 0.8
                box = (
                    left / width,
                    top / height,
                    (left + len(word) * each) / width,
                    (run.baseline + run.size * 0.2) / height,
                )
                yield Word(word, tuple(min(1.0, max(0.0, side)) for side in box))  # type: ignore[arg-type]
            at += len(word) + 1


__all__ = ["Sample", "Specimen", "filled", "sample"]
