"""Lines that a person adds: they get numbers behind those that are there, and their list its length."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from pipeline import deciding
from pipeline.corrections.entry import Entry
from pipeline.records import Decision
from pipeline.store import StoredExtraction, doubts

_NEW = re.compile(r"(.+)\[\+([0-9]{0,4})\]\.(.+)")  # lines[+1].amount; of one line also lines[+].amount

_Lines = dict[int, dict[str, Entry]]  # by the numbers that the person gave; values by what follows the index


def numbered(entries: Sequence[Entry], found: StoredExtraction) -> list[Entry]:
    """The entries with the paths that new lines will have, and one more for each list that grows.

    A line that was added before with the same values is that line: the same file again adds nothing.
    """
    kept: list[Entry] = []
    new: dict[str, _Lines] = {}
    for entry in entries:
        if (path := _NEW.fullmatch(entry.field or "")) is None:
            kept.append(entry)
        else:
            new.setdefault(path[1], {}).setdefault(int(path[2] or 1), {})[path[3]] = entry
    made = deciding.standing(found.decisions)
    return kept + [entry for name, lines in new.items() for entry in _of_list(name, lines, found, made)]


def _of_list(
    name: str, lines: _Lines, found: StoredExtraction, made: Mapping[str | None, Decision]
) -> Iterator[Entry]:
    read = doubts.value_of(found, name) or 0
    count = made[name].value if name in made else read
    added = list(range(read, count))
    end = count
    for _, values in sorted(lines.items()):
        at = next((i for i in added if _is(values, f"{name}[{i}]", made)), None)
        if at is None:
            at, end = end, end + 1
        else:
            added.remove(at)
        yield from (replace(entry, field=f"{name}[{at}].{rest}") for rest, entry in values.items())
    if end > count:
        first = next(iter(min(lines.items())[1].values()))
        yield Entry(first.where, first.uri, name, None, "correct", exact=str(end))


def _is(values: Mapping[str, Entry], line: str, made: Mapping[str | None, Decision]) -> bool:
    """Whether these values are what a person has given this line."""
    for rest, entry in values.items():
        decision = made.get(f"{line}.{rest}")
        if decision is None or decision.ruling != "correct":
            return False
        given = decision.raw if entry.text is not None else decision.value
        if str(given) != (entry.text if entry.text is not None else entry.exact):
            return False
    return True
