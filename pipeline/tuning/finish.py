"""What is left of a run: the adapter, the checkpoint with it merged in, and the card of both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from pipeline.tuning import card
from pipeline.tuning.scoring import Score
from pipeline.vintern import checkpoint, saving

if TYPE_CHECKING:
    from pipeline.tuning.run import Run

CARD = "README.md"


def finish(run: Run, scores: Mapping[str, tuple[Score | None, Score]]) -> str:
    """Writes OUT/adapter and OUT/model; returns the checkpoint's hash.

    The adapter belongs to the base with the new tokens, if there are any; the checkpoint needs nothing else.
    """
    from pipeline.vintern import adapters

    config, network = run.model.config, run.tuner.network
    adapters.save(run.out / "adapter", network, config.language, run.tuner.lora, run.wish.model)
    digest = saving.save(
        run.out / "model",
        adapters.merged(network),
        config,
        run.base,
        run.model.tokenizer,
        reads=_reads(run),
        tokenizer_files=run.words,
    )
    told = card.text(_facts(run, digest, scores))
    for folder in ("adapter", "model"):
        (run.out / folder / CARD).write_text(told, encoding="utf-8")
    return digest


def _reads(run: Run) -> list[str] | None:
    """The schemas that the checkpoint says it reads; None where the base says nothing of that."""
    path = run.base / checkpoint.SCHEMAS
    if not path.is_file():
        return None
    known = json.loads(path.read_text(encoding="utf-8"))
    specs = [one.labels.spec for one in run.prepared["new"] if one.labels is not None]
    return list(dict.fromkeys([*known, *(f"{spec.name}@{spec.version}" for spec in specs)]))


def _facts(run: Run, digest: str, scores: Mapping[str, tuple[Score | None, Score]]) -> dict[str, object]:
    told = run.told
    about = {
        "checkpoint hash": f"`{digest}`",
        "base": f"`{run.wish.model}`",
        "base hash": f"`{run.model.checkpoint_hash}`",
        "data hash": f"`{run.data_hash}`",
        "learned from": f"{len(run.prepared['new'])} items of {run.wish.data.name}",
        "mixed in": f"{len(run.prepared['old'])} old items to draw from",
        "numbers learned": f"{run.tuner.trained:,} (LoRA of rank {run.how.rank}"
        + ("" if run.how.train == "language" else f", and the {run.how.train} as a whole")
        + ")",
        "new tokens": f"{len(run.new_words)}",
        "steps": f"{len(run.batches)} in {run.seconds:.0f} s on {run.model.device}, {told['dtype']}",
        **card.software(),
    }
    return {
        "name": run.out.name,
        "base": run.wish.model,
        "about": about,
        "settings": asdict(run.how),
        "scores": {
            name: (None if before is None else before.as_json(), after.as_json())
            for name, (before, after) in scores.items()
        },
    }
