"""What is known of a value beside itself, as a few numbers that a calibration weighs.

More than these overfit on the hundred documents that a person may have the truth of. Of the model's own
figures only the product of the token probabilities is here: smallest token, margin and the probability
without the mask added nothing to it.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.records import Check, Extraction, Field, Tier
from pipeline.witnesses.witness import AGAIN, WRITTEN
from schemas.shape import leaf_path

# In the order of `Value.features`.
NAMES = ("sure", "borne_out", "accused", "witnessed", "again", "strange")

_SUREST = 1 - 1e-7  # a float32 says no more
_MOST = 2  # further checks or witnesses for a value say little more than the second
# Checks that are no evidence about one value: they look at confidence itself, or at what is not there.
NO_EVIDENCE = frozenset({"low_confidence", "calibrated_elsewhere", "field_invalid", "required", "incomplete"})

_INDEX = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class Value:
    """A value as a calibration sees it; `features` float64 [len(NAMES)].

    sure       logit of the product of the probabilities of the tokens that decided it
    borne_out  passed checks that it had a part in, at most 2
    accused    failed checks that point at it, each shared among all that one change could mend
    witnessed  witnesses that bear it out (at most 2), less twice those that do not
    again      1 where a second look at the page agrees, -1 where it does not, 0 where there was none
    strange    of a null: the share of nulls among all that the paper may bear
    """

    path: str
    leaf: str
    features: npt.NDArray[np.float64]
    written: bool  # it was not read by the model: a file says so


def values(extraction: Extraction) -> tuple[Value, ...]:
    """All values of a document, nulls and the counts of lists included, in the order of its fields."""
    fields = {field.path: field for field in extraction.fields}
    borne_out, accused = _checked(extraction, fields)
    witnessed = _witnessed(extraction)
    again = _again(extraction)
    strange = _nulls(extraction.fields)
    return tuple(
        Value(
            path,
            leaf_path(path),
            np.array(
                [
                    logit(field.confidence),
                    min(borne_out[path], _MOST),
                    accused[path],
                    witnessed[path],
                    again.get(path, 0.0),
                    strange if field.raw is None and field.value is None else 0.0,
                ]
            ),
            field.source in WRITTEN,
        )
        for path, field in fields.items()
    )


def logit(probability: float | None) -> float:
    """Of a probability that may be 0, 1 or unknown; unknown is even."""
    if probability is None or not math.isfinite(probability):
        return 0.0
    held = min(max(probability, 1 - _SUREST), _SUREST)
    return math.log(held / (1 - held))


def tier(extraction: Extraction) -> Tier | None:
    """Of the document's picture."""
    return extraction.tier


def evidence(extraction: Extraction) -> Iterator[Check]:
    """The checks that say something of values: what a witness says is counted as the witness's."""
    said = {f"{item.source}_{_INDEX.sub('', item.field.rpartition('.')[2])}" for item in extraction.testimony}
    for check in extraction.checks:
        if check.severity != "info" and check.code not in NO_EVIDENCE and check.code not in said:
            yield check


def _checked(
    extraction: Extraction, fields: Mapping[str, Field]
) -> tuple[defaultdict[str, int], defaultdict[str, float]]:
    borne_out: defaultdict[str, int] = defaultdict(int)
    accused: defaultdict[str, float] = defaultdict(float)
    for check in evidence(extraction):
        named = check.fields if check.passed else check.suspects or check.fields
        found = [path for name in named for path in _meant(name, fields)]
        for path in dict.fromkeys(found):
            if check.passed:
                borne_out[path] += 1
            else:
                accused[path] += 1 / len(found)
    return borne_out, accused


def _meant(name: str, fields: Mapping[str, Field]) -> Iterator[str]:
    """The values that a rule looked at which names this field: of a list its count and its figures."""
    if name in fields and (fields[name].value is not None or fields[name].raw is not None):
        yield name
    for path, field in fields.items():
        if path.startswith(f"{name}[") and _is_figure(field):
            yield path


def _is_figure(field: Field) -> bool:
    return isinstance(field.value, str) and re.fullmatch(r"-?\d+(\.\d+)?", field.value) is not None


def _witnessed(extraction: Extraction) -> defaultdict[str, float]:
    agree: defaultdict[str, int] = defaultdict(int)
    against: set[str] = set()
    for item in extraction.testimony:
        if item.source == AGAIN:
            continue
        if item.verdict == "agrees":
            agree[item.field] += 1
        elif item.verdict in ("differs", "offers"):
            against.add(item.field)
    found: defaultdict[str, float] = defaultdict(float)
    for path in {*agree, *against}:
        found[path] = min(agree[path], _MOST) - _MOST * (path in against)
    return found


def _again(extraction: Extraction) -> dict[str, float]:
    said = {"agrees": 1.0, "differs": -1.0, "offers": -1.0}
    return {item.field: said.get(item.verdict, 0.0) for item in extraction.testimony if item.source == AGAIN}


def _nulls(fields: Sequence[Field]) -> float:
    """Of the fields that are no part of a list."""
    single = [field for field in fields if "[" not in field.path]
    return sum(field.raw is None and field.value is None for field in single) / max(1, len(single))
