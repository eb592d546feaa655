"""A data set in the field's format: pictures, and conversations about them.

    meta.json    {"delivery": {"root": "images/", "annotation": "train.jsonl", "repeat_time": 1, …}}
    train.jsonl  {"id", "image", "width", "height", "conversations":
                 [{"from": "human", "value": "<image>\\n…"}, {"from": "gpt", "value": "…"}]}

Paths in a meta file are relative to its folder. Rows of ours also say of which schema the answer is, and of
which document the page; other tools pass over what they do not know. The columns of 5CD-AI's sets (image,
description, conversations) are read from JSONL and Parquet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.errors import UsageError
from pipeline.tuning import parquet

PLACEHOLDER = "<image>"
META, TRAIN, HELDOUT, IMAGES = "meta.json", "train.jsonl", "heldout.jsonl", "images"
_DESCRIBE = (
    "Hãy mô tả chi tiết nội dung của bức ảnh."  # what 5CD-AI's `description` is taken for an answer to
)
_ASKS, _ANSWERS = ("human", "user"), ("gpt", "assistant")
MOST_BYTES = 100 * 2**20  # of one picture


@dataclass(frozen=True, slots=True)
class Picture:
    """A file, or the bytes in a row of a Parquet file."""

    path: Path
    row: int | None = None

    @property
    def name(self) -> str:
        return str(self.path) if self.row is None else f"{self.path}, row {self.row + 1}"

    @property
    def there(self) -> bool:
        return self.path.is_file()

    def read(self) -> bytes:
        """Raises UsageError where it is not there or too large to be a picture of a page."""
        if self.row is not None:
            return parquet.picture(self.path, self.row)
        try:
            size = self.path.stat().st_size
            data = self.path.read_bytes() if size <= MOST_BYTES else b""
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read: {error.strerror}") from None
        if size > MOST_BYTES:
            raise UsageError(f"{self.path} has {size} bytes, more than any picture of a page")
        return data


@dataclass(frozen=True, slots=True)
class Item:
    """One picture, or none, and a conversation about it.

    where   file and line, for messages
    turns   (question without the placeholder, answer), in order
    schema  of whose pages it is ("id_card@1", "delivery.py:DeliveryNote"); None: free text
    document, page  where the picture comes from, if that is known
    """

    id: str
    where: str
    picture: Picture | None
    turns: tuple[tuple[str, str], ...]
    width: int | None = None
    height: int | None = None
    schema: str | None = None
    document: str | None = None
    page: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def question(self) -> str:
        return self.turns[0][0]

    @property
    def answer(self) -> str:
        return self.turns[-1][1]

    def row(self, image: str | None) -> dict[str, Any]:
        """The line of a JSONL file, its picture called `image`."""
        spoken: list[dict[str, str]] = []
        for number, (question, answer) in enumerate(self.turns):
            asked = f"{PLACEHOLDER}\n{question}" if number == 0 and image is not None else question
            spoken += [{"from": "human", "value": asked}, {"from": "gpt", "value": answer}]
        known = {"schema": self.schema, "document": self.document, "page": self.page, **self.more}
        return {
            "id": self.id,
            **({} if image is None else {"image": image, "width": self.width, "height": self.height}),
            "conversations": spoken,
            **{key: value for key, value in known.items() if value is not None},
        }


@dataclass(frozen=True, slots=True)
class Wrong:
    """A row that is no item, and why."""

    where: str
    why: str


def items(path: Path, part: str = TRAIN) -> Iterator[Item | Wrong]:
    """Every row of a data set: a folder of ours (its `part`), a meta JSON, a JSONL or a Parquet file.

    Raises UsageError where there is none, or the file as a whole cannot be read.
    """
    if path.is_dir():
        if not (path / part).is_file():
            raise UsageError(f"{path} is no data set: it has no {part} (vinbatch dataset export writes one)")
        yield from _jsonl(path / part, path / IMAGES)
    elif path.suffix == ".parquet" and path.is_file():
        yield from _parquet(path)
    elif path.suffix in (".jsonl", ".ndjson") and path.is_file():
        beside = path.parent / IMAGES
        yield from _jsonl(path, beside if beside.is_dir() else path.parent)
    elif path.suffix == ".json" and path.is_file():
        yield from _of_meta(path)
    else:
        raise UsageError(f"no data set at {path}: give a folder, a meta .json, a .jsonl or a .parquet")


def good(path: Path, part: str = TRAIN) -> list[Item]:
    """The same, all of them. Raises UsageError with the first row that is no item."""
    found: list[Item] = []
    for item in items(path, part):
        if isinstance(item, Wrong):
            raise UsageError(f"{item.where}: {item.why} (vinbatch dataset check shows all that is wrong)")
        found.append(item)
    if not found:
        raise UsageError(f"{path} holds no items")
    return found


def _of_meta(path: Path) -> Iterator[Item | Wrong]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}") from None
    if not isinstance(told, dict) or not all(isinstance(entry, dict) for entry in told.values()):
        raise UsageError(f"{path} is no meta file: expected names with root and annotation")
    for name, entry in told.items():
        if not isinstance(entry.get("annotation"), str):
            raise UsageError(f"{path}: {name} has no annotation")
        annotation = path.parent / entry["annotation"]
        if not annotation.is_file():
            raise UsageError(f"{path}: {name}: there is no {annotation}")
        yield from _jsonl(annotation, path.parent / str(entry.get("root", "")))


def _jsonl(path: Path, root: Path) -> Iterator[Item | Wrong]:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                row = json.loads(line)
            except ValueError as error:
                yield Wrong(where, f"is no JSON: {error}")
                continue
            if not isinstance(row, dict):
                yield Wrong(where, "is no JSON object")
                continue
            yield from _items(row, where, str(number), _picture(row.get("image"), root))


def _parquet(path: Path) -> Iterator[Item | Wrong]:
    for number, row in enumerate(parquet.rows(path)):
        yield from _items(row, f"{path}, row {number + 1}", str(number + 1), Picture(path, number))


def _picture(image: Any, root: Path) -> Picture | Wrong | None:
    if image is None or image == "":
        return None
    if isinstance(image, Mapping):  # as Hugging Face writes a picture that is a file
        image = image.get("path")
    if not isinstance(image, str):
        return Wrong("", f"image is {type(image).__name__}, expected one path")
    parts = PurePosixPath(image).parts
    if PurePosixPath(image).is_absolute() or ".." in parts:
        return Wrong("", "image leads out of the set's folder")
    return Picture(root / image)


def _items(
    row: Mapping[str, Any], where: str, number: str, picture: Picture | Wrong | None
) -> Iterator[Item | Wrong]:
    if isinstance(picture, Wrong):
        yield Wrong(where, picture.why)
        return
    name = str(row.get("id", number))
    spoken = row.get("conversations")
    if spoken is not None:
        turns = _turns(spoken, picture is not None)
        if isinstance(turns, str):
            yield Wrong(where, turns)
        else:
            yield Item(
                name,
                where,
                picture,
                turns,
                _whole(row.get("width")),
                _whole(row.get("height")),
                _text(row.get("schema")),
                _text(row.get("document")),
                _whole(row.get("page")),
                {"pseudonyms": True} if row.get("pseudonyms") is True else {},
            )
    description = row.get("description")
    if isinstance(description, str) and description.strip():
        yield Item(f"{name}#description", where, picture, ((_DESCRIBE, description.strip()),))
    elif spoken is None:
        yield Wrong(where, "has neither conversations nor a description")


def _turns(spoken: Any, with_picture: bool) -> tuple[tuple[str, str], ...] | str:
    """The turns in pairs, or what is wrong with them."""
    if not isinstance(spoken, Sequence) or isinstance(spoken, str) or not spoken:
        return "conversations is no list of turns"
    texts: list[str] = []
    for number, turn in enumerate(spoken):
        if not isinstance(turn, Mapping):
            return f"turn {number + 1} is no object"
        who, text = turn.get("from", turn.get("role")), turn.get("value", turn.get("content"))
        expected = _ASKS if number % 2 == 0 else _ANSWERS
        if who not in expected:
            return f"turn {number + 1} is of {who!r}, expected {expected[0]!r}"
        if not isinstance(text, str) or not text.strip():
            return f"turn {number + 1} says nothing"
        texts.append(text)
    if len(texts) % 2:
        return "the last question has no answer"
    marks = [text.count(PLACEHOLDER) for text in texts]
    if any(marks[1:]) or marks[0] > 1:
        return f"{PLACEHOLDER} must stand once, in the first question; several pictures are not supported"
    if marks[0] and not with_picture:
        return f"the question has {PLACEHOLDER}, and the row no image"
    texts[0] = texts[0].replace(f"{PLACEHOLDER}\n", "").replace(PLACEHOLDER, "").strip()
    if not texts[0]:
        return "turn 1 asks nothing"
    return tuple((texts[at], texts[at + 1]) for at in range(0, len(texts), 2))


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
