"""What scores are worth on documents that they were not calibrated on: the table of issue 16.

    python -m infra.benchmarks.trust --seed 7 --count 150 --cache FOLDER

For each kind a calibration is made of `--count` specimens of each quality of picture, and as they usually
come, under one seed, and tried on others of another seed: documents that end as done, wrong values among
them, calibration and ranking of the values, and nulls on templates that no calibration and no training has
seen. With --write FILE the calibration is written there, to lie beside the checkpoint.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from infra.benchmarks.readings import SCHEMAS, Reader, Readings, Set
from pipeline import reading
from pipeline.evaluation.known import of_truth
from pipeline.records import Extraction
from pipeline.trust import InForce, Promise, measures, packaged
from pipeline.trust.examples import Example
from pipeline.trust.fitting import Belongs, fitted

_TEST = 1000  # added to the seed of what scores are tried on
_UNSEEN = 2000  # and of templates never seen
_SURE = 0.9


@dataclass(frozen=True, slots=True)
class Item:
    uri: str
    extraction: Extraction


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=150, help="documents of each kind and tier, in each set")
    parser.add_argument("--tried", type=int, help="as many in the set that is tried [default: as --count]")
    parser.add_argument("--tried-seed", type=int, help="of that set [default: 1000 more than --seed]")
    parser.add_argument("--tried-tiers", help="of that set [default: as --tiers]")
    parser.add_argument(
        "--unseen", type=int, default=60, help="documents of templates never seen, of each kind"
    )
    parser.add_argument("--kind", choices=SCHEMAS, action="append")
    parser.add_argument(
        "--tiers", default="usual,clean,scan,noisy,photo", help="usual: as specimens come by themselves"
    )
    parser.add_argument("--accept-at", type=float, default=0.99)
    parser.add_argument("--cache", type=Path, default=Path("/tmp/vinbatch-trust"))
    parser.add_argument("--write", type=Path, help="put the calibrations into this file")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    reader = Reader(given.cache)
    tiers, tried_tiers = (_tiers(names) for names in (given.tiers, given.tried_tiers or given.tiers))
    tried_seed = given.seed + _TEST if given.tried_seed is None else given.tried_seed
    found: dict[str, Any] = {}
    values: list[tuple[str, float, bool]] = []
    for kind in given.kind or SCHEMAS:
        known = [reader.readings(Set(kind, given.seed, given.count, tier)) for tier in tiers]
        trust = calibrated(known, given.accept_at)
        number = given.tried or given.count
        tried = [reader.readings(Set(kind, tried_seed, number, tier)) for tier in tried_tiers]
        unseen = reader.readings(Set(kind, given.seed + _UNSEEN, given.unseen, layouts="held-out"))
        judged = [one for readings in tried for one in _judged(readings, trust)]
        found[kind] = {
            **_documents(judged),
            **_values(judged, values),
            **_nulls(list(_judged(unseen, trust))),
        }
        print(f"{kind}: {json.dumps(found[kind], indent=1)}", flush=True)
        if given.write:
            packaged.write(given.write, trust.calibration)
    found["all"] = _worth([score for _, score, _ in values], [right for _, _, right in values])
    print(f"all: {json.dumps(found['all'])}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


def _tiers(names: str) -> list[str | None]:
    return [None if name == "usual" else name for name in names.split(",")]


def calibrated(known: Sequence[Readings], accept_at: float) -> InForce:
    examples = [example for readings in known for example in of_truth(_merged(readings), readings.truth)]
    first = known[0]
    numerics = Counter(page.numerics or "" for one in known for pages in one.pages.values() for page in pages)
    name = f"{first.spec.name}@{first.spec.version}"
    made = fitted(
        examples,
        Belongs(name, first.checkpoint, "; ".join(name for name, _ in numerics.most_common()), "specimens"),
    )
    return InForce(made, Promise.of(made, accept_at))


def _merged(readings: Readings, trust: InForce | None = None) -> Iterator[Item]:
    for name, pages in readings.pages.items():
        if any(page.record is not None for page in pages):
            yield Item(name, reading.merged(pages, readings.spec, 0.9, trust=trust))


Judged = tuple[Extraction, Example]


def _judged(readings: Readings, trust: InForce) -> Iterator[Judged]:
    """Each document as a run would end it, with what is right in it."""
    items = list(_merged(readings, trust))
    known = {example.name: example for example in of_truth(items, readings.truth)}
    for item in items:
        yield item.extraction, known[item.uri]


def _documents(judged: Sequence[Judged]) -> dict[str, Any]:
    """How many pass; of those, values and documents that are wrong; by tier, and with a text layer."""
    tiers: dict[str, list[Judged]] = {}
    for one in judged:
        tiers.setdefault(one[0].tier or "unknown", []).append(one)
    return {
        "documents": _passing(judged),
        "tiers": {tier: _passing(some) for tier, some in sorted(tiers.items())},
        "with a text layer": _passing([one for one in judged if _has_text(one[0])]),
    }


def _has_text(made: Extraction) -> bool:
    sources = {*(said.source for said in made.testimony), *(field.source for field in made.fields)}
    return "text" in sources


def _passing(judged: Sequence[Judged]) -> dict[str, Any]:
    done = [example for made, example in judged if made.state == "done"]
    fields, right = sum(one.fields for one in done), sum(one.correct for one in done)
    wrong = sum(one.correct < one.fields for one in done)
    return {
        "known": len(judged),
        "right throughout": sum(one.correct == one.fields for _, one in judged),
        "done": _share(len(done), len(judged)),
        "of these some value wrong": _share(wrong, len(done)),
        "values accepted": fields,
        "error among them": _share(fields - right, fields),
    }


def _share(part: int, whole: int) -> str:
    found = measures.wilson(part, whole)
    return "–" if found is None else f"{found.share:.2%} ({found.low:.2%} to {found.high:.2%})"


def _values(judged: Sequence[Judged], into: list[tuple[str, float, bool]]) -> dict[str, Any]:
    scores = [
        (value.leaf, _score(made, value.path), right)
        for made, example in judged
        for value, right in zip(example.values, example.right, strict=True)
    ]
    into += scores
    by_leaf: dict[str, list[tuple[float, bool]]] = {}
    for leaf, score, right in scores:
        by_leaf.setdefault(leaf, []).append((score, right))
    fields = {
        leaf: _ece([score for score, _ in some], [right for _, right in some])
        for leaf, some in by_leaf.items()
        if len(some) >= 100
    }
    raw = [
        {field.path: field.confidence or 0.0 for field in made.fields}[value.path]
        for made, example in judged
        for value in example.values
    ]
    right = [right for _, _, right in scores]
    return {
        "scores": _worth([score for _, score, _ in scores], right),
        "confidence alone": _worth([min(one, 1.0) for one in raw], right),
        "ECE of fields": fields,
    }


def _score(made: Extraction, path: str) -> float:
    return next(field.score or 0.0 for field in made.fields if field.path == path)


def _worth(scores: Sequence[float], right: Sequence[bool]) -> dict[str, Any]:
    return {
        "values": len(right),
        "right": round(float(np.mean(right)), 4),
        "ECE": _ece(scores, right),
        "AUROC": round(measures.auroc(scores, right) or 0.0, 4),
        "pass at 99%": round(measures.passing(scores, right, 0.99) / len(right), 3),
    }


def _ece(scores: Sequence[float], right: Sequence[bool]) -> float:
    return round(measures.ece(measures.calibration(scores, right)) or 0.0, 4)


def _nulls(judged: Sequence[Judged]) -> dict[str, Any]:
    """Of templates never seen: nulls where paper has a value, by how sure they are."""
    false = [
        field
        for made, example in judged
        for field in made.fields
        for value, right in zip(example.values, example.right, strict=True)
        if value.path == field.path and not right and field.raw is None and field.value is None
    ]
    return {
        "templates never seen": {
            **_passing(judged),
            "false nulls": len(false),
            "of these scored 0.9 or more": sum((field.score or 0) >= _SURE for field in false),
            "of these read at 0.9 or more": sum((field.confidence or 0) >= _SURE for field in false),
        }
    }


if __name__ == "__main__":
    main()
