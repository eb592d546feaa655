"""Which of a record's values a rule looks at, seen by handing it the record in a wrapper that notes them.

A rule that did not look at a value says the same when that value alone is another one, whatever it is: up to
its end it has seen nothing new.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from pydantic import BaseModel

_ALL = "*"  # behind a path: everything below it


class Observed:
    """Stands for a record, or a part of one: its values are those of the record, and `looked_at` grows.

    Paths are those of leaves, like "lines[].amount". What is asked of it beside its values (a method, its
    items, whether it is equal) counts as having looked at all of them.
    """

    def __init__(self, record: BaseModel, looked_at: set[str], at: str = "") -> None:
        self._record, self._looked_at, self._at = record, looked_at, at

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._record)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._record, name)  # what is not there is not there with any values
        if name not in type(self._record).model_fields:
            self._looked_at.add(self._at + _ALL)
            return value
        self._looked_at.add(self._at + name)
        part = self.__dict__[name] = self._part(value, self._at + name)  # this is asked once for a name
        return part

    def _part(self, value: Any, at: str) -> Any:
        if isinstance(value, BaseModel):
            return Observed(value, self._looked_at, f"{at}.")
        if type(value) is list:
            return [self._part(item, f"{at}[]") for item in value]
        self._looked_at.add(f"{at}{_ALL}" if isinstance(value, Collection) else at)
        return value

    def _whole(self) -> BaseModel:
        self._looked_at.add(self._at + _ALL)
        return self._record

    def __iter__(self) -> Iterator[Any]:
        return iter(self._whole())

    def __eq__(self, other: object) -> bool:
        return self._whole() == (other._whole() if isinstance(other, Observed) else other)

    def __repr__(self) -> str:
        return repr(self._whole())

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._whole().__reduce_ex__(protocol)

    __hash__ = None  # type: ignore[assignment]


def touches(looked_at: Iterable[str], changed: str) -> bool:
    """Whether a change of the value at this leaf's path may be seen by a rule that looked at these."""
    return any(
        changed.startswith(path.removesuffix(_ALL)) if path.endswith(_ALL) else _overlap(path, changed)
        for path in looked_at
    )


def _overlap(path: str, changed: str) -> bool:
    """One is the other; or all of a list or group is changed, and a value below it was looked at."""
    return path == changed or path.startswith((f"{changed}.", f"{changed}[]"))
