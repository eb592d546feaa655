"""RapidOCR (Apache-2.0): PP-OCR's detector and recogniser in ONNX Runtime, with weights in its wheel."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
from rapidocr import RapidOCR

from pipeline.sandbox.drawer import Layer
from pipeline.sandbox.recogniser import Place, layer

# One thread: others would not be confined with this one if they were there before, and the lane counts CPUs.
_OPTIONS = {
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    "Global.log_level": "error",
    "Global.use_cls": False,  # pages are upright
    "Global.return_word_box": True,
}


class RapidOcr:
    """Reads digits and codes well, and no Vietnamese letters."""

    def __init__(self) -> None:
        self._engine = RapidOCR(params=_OPTIONS)

    def read(self, canvas: mmap.mmap, width: int, height: int) -> Layer:
        rgb = np.frombuffer(canvas, np.uint8, 3 * width * height).reshape(height, width, 3)
        found: Any = self._engine(rgb[:, :, ::-1])  # it takes BGR, as OpenCV does
        return layer(_words(found.word_results or ()), width, height)


def _words(lines: Any) -> Iterator[tuple[str, Place]]:
    """Of each line (text, score, four corners) for each word."""
    for line in lines:
        for text, _, corners in line:
            across, down = zip(*corners, strict=True)
            yield str(text), (float(min(across)), float(min(down)), float(max(across)), float(max(down)))
