"""Papers in tokens of the published tokenizer, and what a grammar's masks cost at its vocabulary.

    python -m infra.benchmarks.tokens                  # some minutes on two cores
    python -m infra.benchmarks.tokens --pages 8 --form rows

The answers are the truth of specimens, said as by a model that makes no mistake: the tokenizer's own tokens,
and what the grammar forces between them. Masks are of one row, in CPU microseconds of their thread: by
llguidance alone ("plain", the first pages of a schema), and as the engine has them, remembered by state, on
the first page and on those after the first few.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, get_args

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from infra.benchmarks import published
from pipeline import grammar, prompt
from pipeline.specimens import invoice
from pipeline.specimens.making import make
from pipeline.specimens.specimen import shape
from pipeline.vintern import tokenizer
from pipeline.vintern.constrain import Grammars
from pipeline.vintern.constraint import Constraint
from pipeline.vintern.tokenizer import Tokenizer
from schemas.registry import SchemaSpec, resolve

LEARNING = 5  # pages of a schema, after which masks are those of later pages


@dataclass
class Cost:
    """Of one page or several: tokens, and microseconds of each mask."""

    tokens: list[int] = field(default_factory=list)
    decoded: list[int] = field(default_factory=list)
    forced: list[int] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    later: list[float] = field(default_factory=list)


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as scratch:
        published.write(Path(scratch), "v3_5")
        read = tokenizer.load(Path(scratch))
    grammars = Grammars(read, read.size)
    found = {}
    for name, (spec, pages) in papers().items():
        cost, rules = Cost(), grammar.compile(spec, options.form)
        for number, values in enumerate(itertools.islice(pages, options.pages)):
            text = grammar.answer(spec.shape, values, options.form)
            decoded, forced, micros = _say(read, grammars, grammars.start(rules), text)
            cost.tokens.append(len(read.encode_plain(text)))
            cost.decoded.append(decoded)
            cost.forced.append(forced)
            if number == 0:
                cost.first += micros
            if number >= LEARNING:
                cost.later += micros
            else:  # a matcher alone is not followed, so nothing is remembered
                cost.plain += _say(read, grammars, Constraint(grammars.start(rules).matcher), text)[2]
        found[name] = _row(cost) | {"question": len(read.encode_plain(prompt.build(spec, options.form)))}
    _print(found)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1), encoding="utf-8")


def papers() -> dict[str, tuple[SchemaSpec, Iterator[Mapping[str, Any]]]]:
    """By name: the schema, and the values of one page after another."""
    return {
        "ID card": (resolve("id_card@1"), _cards()),
        "receipt": (resolve("receipt@1"), _receipts()),
        "invoice of 10 lines": (resolve("invoice@1"), _invoices(10)),
        "invoice of 30 lines": (resolve("invoice@1"), _invoices(30)),
    }


def _cards() -> Iterator[Mapping[str, Any]]:
    for seed in itertools.count(1):
        card = make("id_card", seed)
        yield from (card.raw(page + 1) for page in range(len(card.pages)))


def _receipts() -> Iterator[Mapping[str, Any]]:
    for seed in itertools.count(1):
        yield make("receipt", seed).raw(1)


def _invoices(lines: int) -> Iterator[Mapping[str, Any]]:
    """Of just so many lines, all on one page."""
    for seed in itertools.count(1):
        bill = invoice.plan(Random(seed), "standard", "standard", 0.0, 0.0)
        if len(bill.lines) == lines:
            yield shape("invoice", {path: value.raw for path, value in bill.plan.items()})


def _say(
    read: Tokenizer, grammars: Grammars, constraint: Constraint, text: str
) -> tuple[int, int, list[float]]:
    """A page, token by token: tokens decoded and forced, and the microseconds of each mask."""
    rest, decoded, forced = text.encode(), 0, 0
    mask = torch.zeros(1, grammars.words, dtype=torch.int32)
    micros: list[float] = []
    while True:
        ahead = constraint.forced()
        forced += len(ahead)
        rest = rest[sum(len(grammars.bytes_of(token)) for token in ahead) :]
        if constraint.complete:
            return decoded, forced, micros
        began = time.thread_time()
        grammars.fill([constraint], mask)
        micros.append(1e6 * (time.thread_time() - began))
        token = _next(read, rest)
        constraint.accept(token)
        decoded += 1
        rest = rest[len(grammars.bytes_of(token)) :]


def _next(read: Tokenizer, rest: bytes) -> int:
    """The first token of what is left; within a letter, the longest token of its bytes."""
    if rest[0] & 0xC0 == 0x80:
        known = published.ranks()
        return next(known[rest[:size]] for size in (3, 2, 1) if rest[:size] in known)
    return read.encode_plain(rest[:300].decode("utf-8", "ignore"))[0]


def _row(cost: Cost) -> dict[str, float]:
    row: dict[str, float] = {"pages": len(cost.tokens)}
    for name in ("tokens", "decoded", "forced"):
        row[name] = float(np.mean(getattr(cost, name)))
    for name in ("plain", "first", "later"):
        micros = getattr(cost, name) or [float("nan")]
        row[f"{name}_mean"] = float(np.mean(micros))
        row[f"{name}_median"] = float(np.median(micros))
        row[f"{name}_p99"] = float(np.percentile(micros, 99))
    return row


def _print(found: Mapping[str, Mapping[str, float]]) -> None:
    table = Table(title="tokens of a page; a mask in CPU µs: mean, median, p99")
    for heading in ("", "question", "answer", "decoded", "forced", "plain", "first page", "later pages"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, row in found.items():
        micros = [
            " ".join(f"{row[f'{kind}_{part}']:.0f}" for part in ("mean", "median", "p99"))
            for kind in ("plain", "first", "later")
        ]
        counts = [f"{row[part]:.0f}" for part in ("question", "tokens", "decoded", "forced")]
        table.add_row(name, *counts, *micros)
    Console().print(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pages", type=int, default=30, help=f"of each paper, more than {LEARNING}")
    parser.add_argument("--form", choices=get_args(grammar.Form), default="objects", help="of answers")
    parser.add_argument("--json", help="write all figures there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
