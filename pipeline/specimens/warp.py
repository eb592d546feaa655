"""Where a page's corners go, and with them everything on the page."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.records import Box
from pipeline.specimens.specimen import Glyphs

Matrix = npt.NDArray[np.float64]
Points = npt.NDArray[np.float64]  # [4, 2]: x and y of the corners in pixels, from the top left, clockwise


def corners_of(width: float, height: float) -> Points:
    return np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64)


def homography(source: Points, target: Points) -> Matrix:
    """The 3×3 matrix that takes four points to four others."""
    rows, right = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    return np.append(np.linalg.solve(np.array(rows), np.array(right)), 1.0).reshape(3, 3)


def moved_picture(
    image: Image.Image, matrix: Matrix, size: tuple[int, int], fill: int | tuple[int, int, int]
) -> Image.Image:
    """The picture after `matrix`, on a sheet of `size` and colour `fill`."""
    back = np.linalg.inv(matrix)
    return image.transform(
        size,
        Image.Transform.PERSPECTIVE,
        tuple((back / back[2, 2]).ravel()[:8]),
        Image.Resampling.BILINEAR,
        fillcolor=fill,
    )


def moved_glyphs(matrix: Matrix, glyphs: Glyphs) -> Glyphs:
    x, y = _move(matrix, glyphs.x, glyphs.y)
    return Glyphs(glyphs.characters, x.astype(np.float32), y.astype(np.float32))


def moved_boxes(
    matrix: Matrix, boxes: Mapping[str, Box], size: tuple[int, int], new_size: tuple[int, int]
) -> dict[str, Box]:
    """Boxes in shares of a page of `size`, as shares of one of `new_size`; cut off at its sides."""
    moved: dict[str, Box] = {}
    for path, (left, top, right, bottom) in boxes.items():
        x = np.array([left, right, right, left]) * size[0]
        y = np.array([top, top, bottom, bottom]) * size[1]
        u, v = _move(matrix, x, y)
        u, v = np.clip(u / new_size[0], 0, 1), np.clip(v / new_size[1], 0, 1)
        moved[path] = (float(u.min()), float(v.min()), float(u.max()), float(v.max()))
    return moved


def _move(
    matrix: Matrix, x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    moved = matrix @ np.stack([x, y, np.ones_like(x)]).astype(np.float64)
    return moved[0] / moved[2], moved[1] / moved[2]
