"""How often the rules stop a sound paper, and how often they miss a misread digit.

    python -m infra.benchmarks.rules --count 3000

Planned specimens of every kind, as they would be printed, are merged and checked as in a run; nothing is
drawn and no model is asked. Then one digit of one figure is changed, and the paper should be stopped.
"""

from __future__ import annotations

import argparse
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date

from pipeline import merge
from pipeline.normal import normal
from pipeline.records import Code, Field, PageRecord
from pipeline.specimens import id_card, invoice, receipt
from pipeline.specimens.specimen import VERSION, Value
from schemas.checks import CheckResult
from schemas.registry import SchemaSpec, resolve
from schemas.shape import Group, Leaf, Repeated, leaf_path

Raw = dict[str, str]  # path → printed text

FIGURES = {
    "invoice": ("vat", "net", "total", "lines[].amount", "lines[].quantity", "lines[].unit_price"),
    "receipt": ("total", "lines[].amount", "lines[].quantity", "lines[].unit_price", "paid", "change"),
    "id_card": ("number", "date_of_birth", "expiry"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="specimens of each kind")
    parser.add_argument("--blank", type=float, default=0.0, help="chance that a value is not printed")
    options = parser.parse_args()
    for kind, drawn in PLANS.items():
        spec = resolve(VERSION[kind])
        stops: Counter[str] = Counter()
        stopped = 0
        missed: Counter[str] = Counter()
        planted: Counter[str] = Counter()
        for seed in range(options.count):
            dice = random.Random(seed)
            raw = printed(drawn(dice, options.blank))
            failed = {check.code for check in faults(spec, raw)}
            stopped += bool(failed)
            stops.update(failed)
            for path, other in misread(dice, kind, raw):
                planted[leaf_path(path)] += 1
                missed[leaf_path(path)] += not failed and not faults(spec, raw | {path: other})
        print(f"{kind}: {stopped} of {options.count} sound ones stopped {dict(stops)}")
        for path in FIGURES[kind]:
            share = missed[path] / max(1, planted[path])
            print(f"  one digit of {path}: {missed[path]} of {planted[path]} pass ({share:.1%})")


PLANS: dict[str, Callable[[random.Random, float], dict[str, Value]]] = {
    "invoice": lambda dice, blank: _kept(invoice.plan(dice, "standard", "standard", blank, 0.0)),
    "receipt": lambda dice, blank: _kept(receipt.plan(dice, "standard", "standard", blank, 0.0)),
    "id_card": lambda dice, blank: _kept(id_card.plan(dice, "standard", "standard", blank, 0.0, False)),
}


def _kept(paper: invoice.Bill | receipt.Slip | id_card.Card) -> dict[str, Value]:
    return {path: value for path, value in paper.plan.items() if path not in paper.left_out}


def printed(plan: dict[str, Value]) -> Raw:
    return {path: value.raw for path, value in plan.items()}


def misread(dice: random.Random, kind: str, raw: Raw) -> Iterator[tuple[str, str]]:
    """For each figure one that was misread: its path, and the text with one digit changed."""
    for figure in FIGURES[kind]:
        paths = [path for path, text in raw.items() if leaf_path(path) == figure and re.search("[0-9]", text)]
        if not paths:
            continue
        path = dice.choice(paths)
        text = raw[path]
        at = dice.choice([found.start() for found in re.finditer("[0-9]", text)])
        other = dice.choice([digit for digit in "0123456789" if digit != text[at]])
        yield path, text[:at] + other + text[at + 1 :]


def faults(
    spec: SchemaSpec, raw: Raw, codes: Sequence[str] = (), read_on: date | None = None
) -> list[CheckResult]:
    """The failed checks that send the paper to a person. `codes` are the texts of its QR codes."""
    fields = tuple(_fields(spec.shape.of_pages, raw, ""))
    page = PageRecord(1, fields, tuple(Code("qr", text) for text in codes), read_on=read_on)
    made = merge.document([page], spec)
    return [check for check in made.checks if not check.passed and check.severity != "info"]


def _fields(group: Group, raw: Raw, prefix: str) -> Iterator[Field]:
    for node in group.fields:
        path = f"{prefix}{node.name}"
        if isinstance(node, Leaf):
            text = raw.get(path)
            value, problem = normal(node, text) if text is not None else (None, None)
            yield Field(path, text, value, 1.0, "read", 1, problem=problem)
        elif isinstance(node, Repeated) and isinstance(node.item, Group):
            count = len({path.partition("]")[0] for path in raw if path.startswith(f"{node.name}[")})
            yield Field(path, None, count, 1.0, "read", 1)
            for i in range(count):
                yield from _fields(node.item, raw, f"{path}[{i}].")


if __name__ == "__main__":
    main()
