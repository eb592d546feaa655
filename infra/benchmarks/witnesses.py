"""What witnesses notice: invoices as XML beside PDF, with one difference planted in the XML.

    python -m infra.benchmarks.witnesses --count 300

Each specimen is written as e-invoice XML and as a PDF with text, and both go through the decoding child as in
a job. The print is "read" as a perfect reader would, so what is counted are the witnesses and not a model:
take the column without it for what needs no model at all. Every document is judged as it is (each
contradiction is false) and once with each kind of difference.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from random import Random
from typing import Any

from pipeline import merge
from pipeline.einvoice import reading as einvoice
from pipeline.normal import normal
from pipeline.records import Document, Extraction, Field, PageImage, PageRecord
from pipeline.render import Renderer
from pipeline.settings import RenderSettings
from pipeline.specimens import make
from pipeline.specimens.einvoice import Form, xml_of
from pipeline.specimens.files import encode
from pipeline.specimens.specimen import Specimen
from schemas.registry import SchemaSpec, resolve
from schemas.shape import Group, Leaf, Repeated

KINDS = ("digit", "swapped", "name", "line")
WITNESSES = ("text", "qr", "read")
_FIGURES = ("number", "seller_tax_code", "net", "vat", "total", "amount", "unit_price")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=300)
    count = parser.parse_args().count
    invoice = resolve("invoice@1")
    seen: Counter[tuple[str, str]] = Counter()
    false: list[str] = []
    pages = 0
    seconds = Counter[str]()
    with Renderer(RenderSettings()) as renderer:
        for seed in range(count):
            name = ("standard", "held-out")[seed % 2]
            specimen = make("invoice", seed, preset="clean", fonts=name, layouts=name)
            printed = _printed(specimen, renderer, invoice)
            pages += len(printed)
            for kind in ("", *KINDS):
                truth = _planted(specimen.truth, kind, Random(f"{seed}:{kind}"))
                if truth is None:
                    continue
                began = time.process_time()
                xml = _written(truth, Form.drawn(seed), renderer, invoice)
                parsed = time.process_time()
                made = merge.document([xml, *printed], invoice)
                seconds["merge"] += time.process_time() - parsed
                seconds["xml"] += parsed - began
                seen[kind, ""] += 1
                _count(seen, false, kind, made, seed)
    _tell(seen, false, pages, seconds)


def _printed(specimen: Specimen, renderer: Renderer, spec: SchemaSpec) -> list[PageRecord]:
    """The pages of the PDF with their text and codes, and the values that stand on each; XML is page 1."""
    data = encode(specimen, "pdf")
    document = Document("specimen.pdf", data, hashlib.sha256(data).hexdigest(), None)
    pages = []
    for number in range(1, renderer.page_count(document) + 1):
        drawn = renderer.page(document, number)
        if not isinstance(drawn, PageImage):
            raise SystemExit(f"a specimen cannot be drawn: {drawn.message}")
        fields = tuple(_fields(spec.shape, specimen.raw(number), number + 1))
        pages.append(PageRecord(number + 1, fields, drawn.codes, text=drawn.text))
    return pages


def _fields(group: Group, values: Mapping[str, Any], page: int, path: str = "") -> list[Field]:
    fields: list[Field] = []
    for node in group.fields:
        name, value = f"{path}{node.name}", values.get(node.name)
        if isinstance(node, Leaf):
            parsed, problem = (None, None) if value is None else normal(node, value)
            fields.append(Field(name, value, parsed, 1.0, "read", page, problem=problem))
        elif isinstance(node, Repeated) and isinstance(node.item, Group):
            items = value or []
            fields.append(Field(name, None, len(items), 1.0, "read", page))
            for at, item in enumerate(items):
                fields += _fields(node.item, item, page, f"{name}[{at}].")
    return fields


def _written(truth: Mapping[str, Any], form: Form, renderer: Renderer, spec: SchemaSpec) -> PageRecord:
    data = xml_of(truth, form)
    document = Document("specimen.xml", data, hashlib.sha256(data).hexdigest(), None)
    root, _ = renderer.read(document)  # specimens are not signed
    return replace(einvoice.page_record(root, spec), page=1)


def _planted(truth: Mapping[str, Any], kind: str, rng: Random) -> dict[str, Any] | None:
    """The truth with one difference of that kind; None where there is no place for it."""
    changed: dict[str, Any] = {**truth, "record": deepcopy(truth["record"])}
    record = changed["record"]
    if not kind:
        return changed
    if kind == "line":
        if len(record["lines"]) < 2:
            return None
        record["lines"].insert(rng.randrange(len(record["lines"])), _one_more(record["lines"][0], rng))
        return changed
    holders = [record, *record["lines"]]
    wanted = ("seller_name", "buyer_name", "name") if kind == "name" else _FIGURES
    places = [(holder, name) for holder in holders for name in wanted if _long(holder.get(name))]
    rng.shuffle(places)
    for holder, name in places:
        other = _other(str(holder[name]), kind, rng)
        if other is not None:
            holder[name] = other
            return changed
    return None


def _one_more(line: Mapping[str, Any], rng: Random) -> dict[str, Any]:
    """A line that the print does not have."""
    price = rng.randrange(11, 999) * 1000 + 500
    return {
        **line,
        "name": "Phí lưu kho bãi",
        "quantity": "3",
        "unit_price": str(price),
        "amount": str(3 * price),
    }


def _long(value: object) -> bool:
    return value is not None and len(str(value)) >= 4


def _other(text: str, kind: str, rng: Random) -> str | None:
    digits = [at for at, char in enumerate(text) if char.isdigit() and at]
    letters = [at for at, char in enumerate(text) if char.isalpha() and at]
    if kind == "swapped":
        pairs = [
            at for at in digits if text[at : at + 2].isdigit() and text[at] != text[at + 1 : at + 2] != ""
        ]
        if not pairs:
            return None
        at = rng.choice(pairs)
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    at = rng.choice(letters if kind == "name" else digits)
    choices = set("AEINOU" if text[at].isupper() else "aeinou") if kind == "name" else set("0123456789")
    return text[:at] + rng.choice(sorted(choices - {text[at]})) + text[at + 1 :]


def _count(seen: Counter[tuple[str, str]], false: list[str], kind: str, made: Extraction, seed: int) -> None:
    differs = {said.source for said in made.testimony if said.verdict == "differs"}
    for source in differs:
        seen[kind, source] += 1
    seen[kind, "without a reader"] += bool(differs - {"read"})
    seen[kind, "any"] += bool(differs)
    if not kind:
        for said in made.testimony:
            seen["", said.verdict] += said.source == "text"
            if said.verdict == "differs":
                false.append(f"specimen {seed}: {said.source} has {said.raw!r} for {said.field}")


def _tell(seen: Counter[tuple[str, str]], false: list[str], pages: int, seconds: Counter[str]) -> None:
    columns = (*WITNESSES, "without a reader", "any")
    print("| planted | documents |", " | ".join(columns), "|")
    print("|---" * (len(columns) + 2) + "|")
    for kind in ("", *KINDS):
        count = seen[kind, ""]
        shares = " | ".join(f"{seen[kind, column] / max(count, 1):.1%}" for column in columns)
        print(f"| {kind or 'nothing: false'} | {count} | {shares} |")
    print(f"\nThe text layer bears out {seen['', 'agrees']} values of unchanged documents, on {pages} pages.")
    documents = sum(seen[kind, ""] for kind in ("", *KINDS))
    print(
        f"Merging and hearing all witnesses: {1000 * seconds['merge'] / documents:.0f} ms of CPU a document."
    )
    for line in false[:20]:
        print(line)


if __name__ == "__main__":
    main()
