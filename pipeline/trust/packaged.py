"""Calibrations in a file: `calibration.json`, which may lie beside a checkpoint's weights.

It decides nothing that the model says, and is in no hash.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError
from pipeline.trust.calibration import Calibration
from pipeline.trust.promise import Promise
from pipeline.trust.scoring import InForce

NAME = "calibration.json"


def find(directory: Path, schema: str, checkpoint: str) -> Calibration | None:
    """The one for this schema and these weights, where the directory has one. Raises UsageError for a file
    that is broken.
    """
    path = directory / NAME
    if not path.is_file():
        return None
    found = [one for one in _all(path) if one["schema"] == schema and one["checkpoint"] == checkpoint]
    return Calibration.of_json(found[-1], f"{path}, {schema}") if found else None


def in_force(directory: Path, schema: str, checkpoint: str, accept_at: float) -> InForce | None:
    """The same with what is promised by it."""
    made = find(directory, schema, checkpoint)
    return None if made is None else InForce(made, Promise.of(made, accept_at))


def write(path: Path, made: Calibration) -> None:
    """Puts the calibration into the file, in the place of one for the same schema and weights."""
    same = (made.schema, made.checkpoint)
    kept = [one for one in _all(path) if (one["schema"], one["checkpoint"]) != same] if path.is_file() else []
    lines = [json.dumps(one, ensure_ascii=False) for one in (*kept, made.as_json())]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def _all(path: Path) -> Sequence[Any]:
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(given, list) and all({"schema", "checkpoint"} <= set(one) for one in given):
            return given
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} is no JSON: {error}") from None
    raise UsageError(f"{path} is no list of calibrations: make it with vinbatch calibrate --out {path.name}")
