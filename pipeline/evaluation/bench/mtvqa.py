"""MTVQA: a row an image, with a list of questions in one language. Those in Vietnamese are read.

As published (parquet): image {bytes, path}, id, qa_pairs, lang ("VI"). `qa_pairs` is a text that holds a list
of {"question", "answer"}, written as Python or as JSON. JSON lines with the same columns are read too; their
`image` is a file's name.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError
from pipeline.evaluation.bench.annotated import Pictures, answers
from pipeline.evaluation.bench.questions import Question
from pipeline.settings import SourceSettings

_LANGUAGE = "VI"
_LONGEST = 200_000  # characters of one image's questions


def read(file: Path, root: Path, settings: SourceSettings) -> list[Question]:
    """Raises UsageError naming the row that cannot be read."""
    pictures = Pictures(root, settings)
    rows = _parquet(file) if file.suffix == ".parquet" else _lines(file)
    found: list[Question] = []
    for number, row in enumerate(rows):
        place = f"{file}, row {number + 1}"
        if str(row.get("lang", "")).upper() != _LANGUAGE:
            continue
        where, picture = _picture(row.get("image"), pictures, place)
        for at, pair in enumerate(_pairs(row.get("qa_pairs"), place)):
            id = f"{row.get('id', number)}-{at}"
            found.append(Question(id, str(pair["question"]), answers(pair, place), where, picture))
    return found


def _parquet(file: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as arrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(file) as held:
            for batch in held.iter_batches(batch_size=64):
                yield from batch.to_pylist()
    except (arrow.ArrowException, OSError) as error:
        raise UsageError(f"{file} cannot be read as parquet: {error}") from None


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                raise UsageError(f"{file}, line {number} is no JSON: {error}") from None
            if not isinstance(row, dict):
                raise UsageError(f"{file}, line {number} is no JSON object")
            yield row


def _picture(image: Any, pictures: Pictures, place: str) -> tuple[str, Callable[[], bytes]]:
    if isinstance(image, dict) and isinstance(image.get("bytes"), bytes):
        data: bytes = image["bytes"]
        return place, lambda: data
    name = image.get("path") if isinstance(image, dict) else image
    if not isinstance(name, str):
        raise UsageError(f"{place} has no image")
    path = pictures.find(name, place)
    return str(path), partial(pictures.bytes, path)


def _pairs(held: Any, place: str) -> list[dict[str, Any]]:
    if isinstance(held, str):
        held = _literal(held, place)
    if not isinstance(held, list) or not all(isinstance(one, dict) and "question" in one for one in held):
        raise UsageError(f'{place}: qa_pairs is no list of "question" and "answer"')
    return held


def _literal(text: str, place: str) -> Any:
    if len(text) > _LONGEST:
        raise UsageError(f"{place}: qa_pairs has {len(text)} characters, at most {_LONGEST} are read")
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise UsageError(f"{place}: qa_pairs is neither JSON nor a list as Python writes it") from None
