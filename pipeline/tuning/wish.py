"""What a run of fine-tuning is to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError
from pipeline.vintern import tune_settings
from pipeline.vintern.tune_settings import TuneSettings


@dataclass(frozen=True, slots=True)
class Wish:
    """`changes`: to the settings that suit the model's size.

    replay    data sets of pages that the model reads already
    evaluate  how often a sample of the held-out pages is read on the way, beside before and after
    model_at  the same as `model`, for a process in another working directory
    """

    data: Path
    model: str
    out: Path
    replay: Sequence[Path] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = "auto"
    device: str = "auto"
    evaluate: int = 3
    steps: int | None = None  # end after so many
    model_at: str | None = None

    def settings(self, parameters: int) -> TuneSettings:
        """The usual settings of a model of that size, with what is asked for instead."""
        usual = tune_settings.usual(parameters)
        return replace(usual, **{name: value for name, value in self.changes.items() if value is not None})

    def from_anywhere(self, device: str) -> Wish:
        """The same for processes with another working directory, on this device."""
        return replace(
            self,
            data=self.data.absolute(),
            out=self.out.absolute(),
            replay=tuple(path.absolute() for path in self.replay),
            model_at=str(Path(self.model).absolute()) if Path(self.model).exists() else self.model,
            device=device,
        )


def must_share(batch: int, workers: int) -> None:
    """Raises UsageError where some of the workers would have nothing to do in any step."""
    if batch < workers:
        raise UsageError(
            f"a step learns {batch} conversations, which {workers} workers cannot share: give fewer "
            "--workers or a larger --batch"
        )
