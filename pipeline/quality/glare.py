"""Where a reflection has taken the print away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from pipeline.quality.sight import Grey, Mask, Sight

_LENGTH = 208  # the longer side of the copy that is looked at, pixels
_WHITE = 246  # of the least of the three colours
_WHITE_PAPER = 238  # a reflection cannot be told from paper as white as this
_LEAST = 0.008  # of the card, to be worth a word
_RISE = 12  # grey levels of a reflection over the paper about it, at least


@dataclass(frozen=True, slots=True)
class Glare:
    """`share` of the picture that is blown out; `about`: how much of what surrounds it is darker by far;
    `fading`: how much of its rim lies between its white and the paper; `filled`: its share of its own box.
    """

    share: float
    about: float
    fading: float
    filled: float


NONE = Glare(0.0, 0.0, 0.0, 0.0)


def glare(sight: Sight) -> Glare:
    """Reflections on paper that is not white itself."""
    step = max(1, -(-max(sight.grey.shape) // _LENGTH))
    thumb = sight.pixels[step // 2 :: step, step // 2 :: step]
    least = np.minimum(np.minimum(thumb[..., 0], thumb[..., 1]), thumb[..., 2])
    if np.median(least) > _WHITE_PAPER:
        return NONE
    white = least >= _WHITE
    core = _grown(_shrunk(white, 5), 5) & white  # codes and frames have white of their own, in small pieces
    if core.sum() < 12:
        return NONE
    rim = _grown(core, 5) & ~core
    around = _grown(core, 17) & ~_grown(core, 11)
    dark = least[around] < _WHITE - _RISE
    paper = float(np.median(least[around])) if around.any() else 0.0
    between = (least[rim] > paper + _RISE) & (least[rim] < _WHITE)
    y, x = np.nonzero(core)
    box = (np.ptp(y) + 1) * (np.ptp(x) + 1)
    return Glare(
        float(core.mean()),
        float(dark.mean()) if around.any() else 0.0,
        float(between.mean()) if rim.any() else 0.0,
        float(core.sum() / box),
    )


def is_glare(found: Glare) -> bool:
    """A spot that fades into the paper or has no straight sides; a white label has them."""
    return found.share > _LEAST and found.about > 0.45 and (found.fading > 0.12 or found.filled < 0.88)


def _grown(mask: Mask, size: int) -> Mask:
    return np.asarray(_image(mask).filter(ImageFilter.MaxFilter(size))) > 0


def _shrunk(mask: Mask, size: int) -> Mask:
    return np.asarray(_image(mask).filter(ImageFilter.MinFilter(size))) > 0


def _image(mask: Mask) -> Image.Image:
    levels: Grey = mask.view(np.uint8) * np.uint8(255)
    return Image.fromarray(levels)
