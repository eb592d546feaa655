"""Specimens: synthetic documents with known truth, for the demo, the tests and the training.

    make("id_card_front", seed)      one document as pixels, with the place of every character
    write(folder, count, kinds)      documents as files, and truth.jsonl beside them

Everything on them is invented and marked; the same seed gives the same document.
"""

from __future__ import annotations

from pipeline.specimens.making import KINDS, make
from pipeline.specimens.specimen import MARK, Glyphs, Page, Run, Specimen
from pipeline.specimens.writing import ANCHORS, write

__all__ = ["ANCHORS", "KINDS", "MARK", "Glyphs", "Page", "Run", "Specimen", "make", "write"]
