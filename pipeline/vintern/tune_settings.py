"""How a model is tuned. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SMALL = 100_000_000  # parameters; below, a model is one for demonstrations and learns at other rates

Part = Literal["language", "projector", "vision"]


@dataclass(frozen=True, slots=True)
class TuneSettings:
    """How a model is tuned. The defaults are those of the paper's second fine-tuning of InternVL's 1B size.

    train        "language": LoRA alone; "projector": the projector as a whole too; "vision": and the tower
    rate         of the adapters; `whole_rate` of what is trained as a whole
    warm_up      share of all steps; after it the rate falls to nothing as a cosine
    batch        conversations a step; `at_once` of them pass the model together
    replay       share of old pages among all that are learned
    skeleton     weight of what the grammar forces, against 1 for values and decisions
    looks        pictures of a page that are learned by turns: the first as it is, others moved by up to 1.5%
    remember     activations are kept for the backward pass; False: they are computed again, for memory
    """

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    rate: float = 4e-5
    whole_rate: float = 4e-5
    weight_decay: float = 0.01
    warm_up: float = 0.03
    clip: float = 1.0
    epochs: int = 1
    batch: int = 16
    at_once: int = 2
    max_tiles: int = 6
    context: int = 4096
    replay: float = 0.2
    skeleton: float = 1.0
    train: Part = "language"
    looks: int = 1
    remember: bool = False
    seed: int = 0


def usual(parameters: int) -> TuneSettings:
    """The settings that suit a model of so many parameters."""
    if parameters >= SMALL:
        return TuneSettings()
    return TuneSettings(
        rate=3e-3,
        whole_rate=5e-4,
        epochs=15,
        batch=8,
        at_once=8,
        skeleton=0.05,
        looks=3,
        remember=True,
        context=2048,
    )
