"""Vintern-1B, in our own modules: the only home of torch.

`load` reads a published checkpoint; `Vintern.logits` is the plain forward pass that everything faster is
proved equal to; `engine.Engine` is the faster way.
"""

from pipeline.vintern.config import Config, Profile
from pipeline.vintern.model import Vintern, load

__all__ = ["Config", "Profile", "Vintern", "load"]
