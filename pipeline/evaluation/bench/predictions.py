"""Answers to a benchmark's questions as a file, JSON lines: {"id", "answer"}.

What others made may call them "question_id" and "prediction". What we write says also which checkpoint
answered and by which prompt; answers of two models never get into one file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipeline.errors import UsageError
from pipeline.printable import as_json

_IDS, _ANSWERS = ("id", "question_id"), ("answer", "prediction")


@dataclass(frozen=True, slots=True)
class Predictions:
    """Answers by their question's id, and who made them ("" where the file does not say)."""

    path: Path
    answers: Mapping[str, str]
    made_by: tuple[str, ...]


class Add(Protocol):
    def __call__(self, row: Mapping[str, Any]) -> None: ...


def read(path: Path) -> Predictions:
    """Raises UsageError naming the line that is no answer, or answers a question again."""
    answers: dict[str, str] = {}
    made_by: list[str] = []
    for place, row in rows(path):
        id = next((row[name] for name in _IDS if name in row), None)
        answer = next((row[name] for name in _ANSWERS if name in row), None)
        if id is None or not isinstance(answer, str):
            raise UsageError(f'{place} has no "id" with an "answer" that is a text')
        if str(id) in answers:
            raise UsageError(f"{place} answers question {id} a second time")
        answers[str(id)] = answer
        made_by.append(f"{row.get('checkpoint', '')} {row.get('prompt', '')}".strip())
    return Predictions(path, answers, tuple(dict.fromkeys(made_by)))


def rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The lines of a file of JSON lines, each with its place in words."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError):
            raise UsageError(f"{path}, line {number} is no JSON") from None
        if not isinstance(row, dict):
            raise UsageError(f"{path}, line {number} is no JSON object")
        yield f"{path}, line {number}", row


@contextmanager
def appended(path: Path) -> Iterator[Add]:
    """Adds rows to a file that only its owner may read, each on disk before the next; what a dying process
    left half-written at the end is dropped first.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(handle, "r+b") as file:
        _drop_half_line(file)

        def add(row: Mapping[str, Any]) -> None:
            file.write(as_json(dict(row)).encode() + b"\n")
            file.flush()

        yield add


def _drop_half_line(file: Any) -> None:
    held = file.read()
    file.seek(held.rfind(b"\n") + 1)
    file.truncate()
