"""Whether a value that was not read is noticed, and whether sound papers stay without an alarm.

    python -m infra.benchmarks.missing --count 300 --seed 1

Planned specimens of every kind, cards also by form and side, are merged and checked as in a run; nothing is
drawn and no model is asked. Then each value is left out alone, and a check should name it.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from infra.benchmarks.rules import PLANS, Raw, faults, printed
from pipeline.specimens import id_card
from pipeline.specimens.specimen import VERSION
from schemas.registry import SchemaSpec, resolve
from schemas.shape import leaf_path

# What no law and no custom asks for: a buyer may have no tax code, and a line no number.
OPTIONAL = {"invoice": {"buyer_tax_code", "currency", "related_invoice", "lines[].no"}}
# One value in two places: a rate stands on each line, or once below.
ALSO = {"lines[].vat_rate": "vat_rate"}
ASKED = 0.95


@dataclass
class Found:
    """Of one kind of paper."""

    papers: int = 0
    stopped: Counter[str] = field(default_factory=Counter)  # sound papers, by code
    left_out: Counter[str] = field(default_factory=Counter)  # by field
    named: Counter[str] = field(default_factory=Counter)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="specimens of each kind")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = measured(options.count, options.seed)
    missed = 0
    for kind, one in found.items():
        print(f"{kind}: {sum(one.stopped.values())} alarms on {one.papers} sound ones {dict(one.stopped)}")
        for path, times in sorted(one.left_out.items()):
            share = one.named[path] / times
            asked = path not in OPTIONAL.get(kind, ())
            missed += asked and share < ASKED
            remark = "" if asked else ", optional"
            print(f"  {path:32} named {one.named[path]:5} of {times:5} ({share:.1%}){remark}")
    alarms = sum(sum(one.stopped.values()) for one in found.values())
    print(f"{missed} kinds of values below {ASKED:.0%}, {alarms} false alarms")
    sys.exit(bool(missed or alarms))


def measured(count: int, seed: int) -> dict[str, Found]:
    """By kind of paper, "id_card 2021 front" and so on, over `count` specimens a schema."""
    found: dict[str, Found] = {}
    for schema, drawn in PLANS.items():
        spec = resolve(VERSION[schema])
        for n in range(count):
            dice = random.Random(f"missing:{seed}:{schema}:{n}")
            whole = printed(drawn(dice, 0.0))
            for kind, raw in _papers(schema, whole):
                _measure(found.setdefault(kind, Found()), spec, raw, dice)
    return found


def _papers(schema: str, raw: Raw) -> Iterator[tuple[str, Raw]]:
    """The paper itself; of a card its sides, too."""
    if schema != "id_card":
        yield schema, raw
        return
    form = "2021" if "place_of_origin" in raw else "2024"
    front, back = id_card.FRONT[form], id_card.BACK[form]
    for side, paths in (("front", front), ("back", back), ("both", (*front, *back))):
        yield f"{schema} {form} {side}", {path: raw[path] for path in paths}


def _measure(found: Found, spec: SchemaSpec, raw: Raw, dice: random.Random) -> None:
    found.papers += 1
    found.stopped.update({check.code for check in faults(spec, raw)})
    for path in sorted({leaf_path(path) for path in raw}):
        if _says_nothing(raw, path):
            continue
        one = dice.choice([other for other in raw if leaf_path(other) == path])
        found.left_out[path] += 1
        rest = {other: text for other, text in raw.items() if other != one}
        names = {one, ALSO.get(path, one)}
        found.named[path] += any(not names.isdisjoint(check.fields) for check in faults(spec, rest))


def _says_nothing(raw: Raw, path: str) -> bool:
    """A nought of tax or change need not be printed, nor the unit of an only line: a service has none."""
    single = not any(other.startswith("lines[1].") for other in raw)
    return raw.get(path) == "0" or (path == "lines[].unit" and single)


if __name__ == "__main__":
    main()
