"""Files with "images" and "annotations", as OpenViVQA, ViTextVQA and the VLSP tasks have them.

    {"images": {"68857": "000000068857.jpg"}, "annotations": {"5253": {"image_id", "question", "answer"}}}
    {"images": [{"id", "filename"}],          "annotations": [{"id", "image_id", "question", "answers": […]}]}

OpenViVQA (and VLSP 2023) has the first form, ViTextVQA and EVJVQA (VLSP 2022) the second; either may have one
"answer" or several "answers".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pipeline import sources
from pipeline.errors import UsageError
from pipeline.evaluation.bench.questions import Question
from pipeline.settings import SourceSettings


def read(file: Path, root: Path, settings: SourceSettings) -> list[Question]:
    """Raises UsageError naming the entry that cannot be read, and images that are not below `root`."""
    held = parsed(file)
    if not isinstance(held, dict) or not held.keys() >= {"images", "annotations"}:
        raise UsageError(f'{file} has no "images" and "annotations"')
    names = {str(id): name for id, name in _images(held["images"], file)}
    pictures = Pictures(root, settings)
    return [_question(id, row, names, pictures, file) for id, row in _rows(held["annotations"], file)]


def parsed(file: Path) -> Any:
    """The JSON of a file."""
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{file} is no JSON: {error}") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None


class Pictures:
    """Image files below a folder, by their names."""

    def __init__(self, root: Path, settings: SourceSettings) -> None:
        self._settings = settings
        self._root = root
        self._known: dict[str, list[Path]] = {}
        for path in sorted(root.rglob("*")):
            self._known.setdefault(path.name, []).append(path)

    def find(self, name: str, place: str) -> Path:
        """Raises UsageError where there is no such file, or several."""
        own = self._root / name
        found = [own] if own.is_file() else self._known.get(Path(name).name, [])
        if len(found) != 1:
            what = "not" if not found else f"{len(found)} times"
            raise UsageError(f"{place}: the image {name} is {what} below {self._root}")
        return found[0]

    def bytes(self, path: Path) -> bytes:
        """What `sources.fetch` makes of it, with its bounds."""
        return sources.fetch(str(path.absolute()), self._settings).data


def answers(row: dict[str, Any], place: str) -> tuple[str, ...]:
    """Under "answers" or "answer", one or several. Raises UsageError where there is none."""
    given = row.get("answers", row.get("answer"))
    found = [given] if isinstance(given, str | int | float) else given
    if (
        not isinstance(found, list)
        or not found
        or not all(isinstance(one, str | int | float) for one in found)
    ):
        raise UsageError(f"{place} has no answer: a split without answers cannot be scored")
    return tuple(str(one) for one in found)


def _images(held: Any, file: Path) -> Iterator[tuple[Any, str]]:
    if isinstance(held, dict):
        yield from held.items()
        return
    for number, row in enumerate(held if isinstance(held, list) else (), 1):
        name = row.get("filename", row.get("file_name")) if isinstance(row, dict) else None
        if not isinstance(name, str) or "id" not in row:
            raise UsageError(f'{file}: image {number} has no "id" and "filename"')
        yield row["id"], name


def _rows(held: Any, file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    rows = held.items() if isinstance(held, dict) else enumerate(held if isinstance(held, list) else ())
    for key, row in rows:
        if not isinstance(row, dict) or "question" not in row or "image_id" not in row:
            raise UsageError(f'{file}: annotation {key} has no "image_id" and "question"')
        yield str(row.get("id", key)), row


def _question(
    id: str, row: dict[str, Any], names: dict[str, str], pictures: Pictures, file: Path
) -> Question:
    place = f"{file}: question {id}"
    name = names.get(str(row["image_id"]))
    if not isinstance(name, str):
        raise UsageError(f'{place}: its image {row["image_id"]} is not among "images"')
    path = pictures.find(name, place)
    return Question(id, str(row["question"]), answers(row, place), str(path), partial(pictures.bytes, path))
