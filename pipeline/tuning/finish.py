"""What is left of a run: the adapter, the checkpoint with it merged in, and the card of both."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.tuning import card
from pipeline.tuning.scoring import Score
from pipeline.vintern import checkpoint
from pipeline.vintern.tune_settings import TuneSettings

if TYPE_CHECKING:
    from pipeline.vintern.tuning import Tuner

CARD = "README.md"
Scores = Mapping[str, tuple[Score | None, Score]]


@dataclass(frozen=True, slots=True)
class Learned:
    """A run that is through: where it is, what it began with, and what its card says of it.

    words   a folder with the tokenizer's files, where tokens were added
    reads   the schemas that were learned
    """

    out: Path
    base_name: str
    base: Path
    tuner: Tuner
    how: TuneSettings
    words: Path | None
    about: Mapping[str, str]
    reads: Sequence[str]


def finish(run: Learned, scores: Scores) -> str:
    """Writes OUT/adapter and OUT/model; returns the checkpoint's hash.

    The adapter belongs to the base with the new tokens, if there are any, and then has their files beside it;
    the checkpoint needs nothing else.
    """
    from pipeline.vintern import adapters, saving

    config, network = run.tuner.model.config, run.tuner.network
    adapters.save(run.out / "adapter", network, config.language, run.tuner.lora, run.base_name)
    if run.words is not None:  # an adapter alone would read labels in letters, as it never learned to
        saving.copy_tokenizer(run.words, run.out / "adapter")
    digest = saving.save(
        run.out / "model",
        adapters.merged(network),
        config,
        run.base,
        run.tuner.model.tokenizer,
        reads=_reads(run),
        tokenizer_files=run.words,
    )
    told = card.text(_facts(run, digest, scores))
    for folder in ("adapter", "model"):
        (run.out / folder / CARD).write_text(told, encoding="utf-8")
    return digest


def _reads(run: Learned) -> list[str] | None:
    """The schemas that the checkpoint says it reads; None where the base says nothing of that."""
    path = run.base / checkpoint.SCHEMAS
    if not path.is_file():
        return None
    return list(dict.fromkeys([*json.loads(path.read_text(encoding="utf-8")), *run.reads]))


def _facts(run: Learned, digest: str, scores: Scores) -> dict[str, object]:
    whole = "" if run.how.train == "language" else f", and the {run.how.train} as a whole"
    return {
        "name": run.out.name,
        "base": run.base_name,
        "about": {
            "checkpoint hash": f"`{digest}`",
            "base": f"`{run.base_name}`",
            **run.about,
            "numbers learned": f"{run.tuner.trained:,} (LoRA of rank {run.how.rank}{whole})",
            **card.software(),
        },
        "settings": asdict(run.how),
        "scores": {
            name: (None if before is None else before.as_json(), after.as_json())
            for name, (before, after) in scores.items()
        },
    }
