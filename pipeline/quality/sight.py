"""A page as it is looked at: grey, small, and what on it is ink."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from pipeline.records import Pixels

SMALL = 1200  # the longer side of the reduced copy, pixels at most
CELL = 8  # pixels of the reduced copy in a cell of the coarse one
_PATCH, _ACROSS = 48, 7
_LEAST, _MOST = 20, 60  # grey levels between paper and what is called ink, on smooth and on grainy paper

Grey = npt.NDArray[np.uint8]  # [height, width]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Sight:
    """`pixels` uint8 [height, width, 3], at least 64 on each side. Each view is made once, when it is needed.

    `faint`: by how much of the paper's brightness ink is darker, at least.
    """

    pixels: Pixels
    faint: float = 0.2

    @cached_property
    def grey(self) -> Grey:
        """The green band: most of what eyes call brightness, at a third of the cost."""
        return np.ascontiguousarray(self.pixels[:, :, 1])

    @cached_property
    def scale(self) -> int:
        """Pixels of the page in one of the reduced copy."""
        return -(-int(max(self.grey.shape)) // SMALL)

    @cached_property
    def small(self) -> Grey:
        image = Image.fromarray(self.grey)
        return np.asarray(image.reduce(self.scale) if self.scale > 1 else image)

    @cached_property
    def coarse(self) -> Grey:
        """Mean brightness of cells of CELL × CELL pixels of the reduced copy, whole cells only."""
        height, width = (side // CELL * CELL for side in self.small.shape)
        return np.asarray(Image.fromarray(self.small[:height, :width]).reduce(CELL))

    @cached_property
    def paper(self) -> Grey:
        """Brightness of the paper about each cell of the coarse copy, as if nothing small lay on it."""
        image = Image.fromarray(self.coarse)
        return np.asarray(image.filter(ImageFilter.MaxFilter(3)).filter(ImageFilter.MinFilter(3)))

    @cached_property
    def evenness(self) -> float:
        """Share of the coarse copy whose paper is as bright as beside it: low in pictures of other things."""
        steps = np.abs(np.diff(self.paper.astype(np.int16), axis=1))
        return float((steps <= 4).mean()) if steps.size else 0.0

    @cached_property
    def ink(self) -> Mask:
        """What is darker than the paper about it, of the reduced copy's whole cells."""
        height, width = self.coarse.shape
        cells = self.small[: height * CELL, : width * CELL].reshape(height, CELL, width, CELL)
        least = np.maximum(self.faint * self.paper, max(_LEAST, min(_MOST, 5 * self.noise)))
        limit = np.maximum(self.paper - least, 0).astype(np.uint8)[:, None, :, None]
        ink: npt.NDArray[np.bool_] = (cells < limit).reshape(height * CELL, width * CELL)
        return ink

    @cached_property
    def ink_share(self) -> npt.NDArray[np.float32]:
        """How much of each cell of the coarse copy is ink."""
        height, width = self.coarse.shape
        cells = self.ink.reshape(height, CELL, width, CELL)
        share: npt.NDArray[np.float32] = cells.mean(axis=(1, 3), dtype=np.float32)
        return share

    @cached_property
    def noise(self) -> float:
        """Standard deviation of the grain on plain parts of the page, grey levels."""
        return grain(self.patches(_PATCH, _ACROSS))

    def patches(self, side: int, across: int) -> npt.NDArray[np.int16]:
        """Square pieces at full size, spread evenly: int16 [n, side, side], at most across² of them."""
        height, width = self.grey.shape
        rows = np.unique(np.linspace(0, height - side, min(across, height // side)).astype(int))
        columns = np.unique(np.linspace(0, width - side, min(across, width // side)).astype(int))
        pieces = [self.grey[y : y + side, x : x + side] for y in rows for x in columns]
        return np.stack(pieces).astype(np.int16)


def grain(patches: npt.NDArray[np.int16]) -> float:
    """Standard deviation of the grain: of what is between a pixel and the next but one, where it is least.

    In blocks of 8 × 8, a quarter of which is taken for plain paper. There is no grain to see where the paper
    is blown out, so that such blocks count only where most of the page is like that.
    """
    count, side, _ = patches.shape
    step = (patches[:, :, 2:] - patches[:, :, :-2])[:, :, : side - 8].astype(np.float32)
    blocks = step.reshape(count, side // 8, 8, side // 8 - 1, 8)
    mean = blocks.mean(axis=(2, 4))
    spread = np.sqrt(np.maximum(np.square(blocks).mean(axis=(2, 4)) - np.square(mean), 0) / 2)
    level = patches[:, 3::8, 3 : side - 8 : 8]
    seen = spread[(level > 20) & (level < 252)]
    return float(np.percentile(seen if seen.size > spread.size / 2 else spread, 25))
