"""Vintern-1B, in our own modules: the only home of torch.

`load` reads a published checkpoint; `Vintern.logits` is the plain forward pass that everything faster is
proved equal to; `engine.Engine` is the faster way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.vintern.config import Config, Profile

if TYPE_CHECKING:
    from pipeline.vintern.model import Vintern, load

__all__ = ["Config", "Profile", "Vintern", "load"]


def __getattr__(name: str) -> Any:
    """The two that bring torch, when asked for: a job's driver only wants a checkpoint's hash."""
    if name in ("Vintern", "load"):
        from pipeline.vintern import model

        return getattr(model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
