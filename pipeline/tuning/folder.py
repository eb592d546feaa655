"""The folder of one run: what it is, how it went, and who is at work on it.

run.json       what is learned, from what, how: another run is refused
state.pt       masters and optimiser after a step
curve.jsonl    losses and held-out scores; curve.svg the same as a picture
before.json    scores of the held-out pages before anything was learned
visual/        what the frozen vision tower says of each page
tokenizer/     the tokenizer's files, where tokens were added
adapter/       the adapter in peft's format, named for transformers' classes
model/         the checkpoint with the adapter merged into it, and its card
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError
from pipeline.tuning import curve
from pipeline.tuning.scoring import Score


class RunFolder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = path / "state.pt"
        self.visual = path / "visual"
        self.words = path / "tokenizer"
        self._before = path / "before.json"

    def claim(self, told: Mapping[str, Any]) -> None:
        """`told` is all that decides what comes of the run. Raises UsageError where another run is there."""
        path = self.path / "run.json"
        if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != told:
            raise UsageError(
                f"{self.path} holds a run of another model, data or settings: choose another --out, or give "
                "the same options to go on with it"
            )
        path.write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    def must_be(self, told: Mapping[str, Any]) -> None:
        """What another process has just claimed. Raises UsageError where it is not there, or not the same."""
        path = self.path / "run.json"
        if not path.is_file() or json.loads(path.read_text(encoding="utf-8")) != told:
            raise UsageError(self.elsewhere)

    @property
    def elsewhere(self) -> str:
        """Said where the machines of a run have not the same before them."""
        return (
            f"the workers do not find the same in {self.path}, or not the same data and base: a run by "
            "several of them needs storage that all their machines see under one name, for --out and for "
            "the sets"
        )

    def log(self, step: int, numbers: Mapping[str, float], scores: Mapping[str, Score]) -> None:
        """One entry more, and the picture drawn again."""
        entry: dict[str, Any] = {"step": step, **numbers}
        if scores:
            entry["scores"] = {name: one.as_json() for name, one in scores.items()}
        path = self.path / "curve.jsonl"
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        lines = path.read_text(encoding="utf-8").splitlines()
        (self.path / "curve.svg").write_text(curve.svg(map(json.loads, lines)), encoding="utf-8")

    @property
    def before(self) -> dict[str, Score] | None:
        """The scores before anything was learned; None where they were not taken yet."""
        if not self._before.is_file():
            return None
        told = json.loads(self._before.read_text(encoding="utf-8"))
        return {name: Score(**one) for name, one in told.items()}

    def keep_before(self, scores: Mapping[str, Score]) -> None:
        text = json.dumps({name: asdict(one) for name, one in scores.items()}, ensure_ascii=False)
        self._before.write_text(text + "\n", encoding="utf-8")


@contextmanager
def opened(path: Path) -> Iterator[RunFolder]:
    """The folder, for one process at a time. Raises UsageError where another is at work on it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    with (path / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"another process is at work on the run in {path}") from None
        yield RunFolder(path)
