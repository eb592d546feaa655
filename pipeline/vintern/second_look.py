"""A page whose answer is doubtful is read once more, from a picture that is moved by a few pixels.

What a model reads from the pixels it reads again; what it guessed it may guess otherwise, because the patches
of the vision tower cut the letters elsewhere. The second answer stands beside the first; which of the two is
taken is decided where pages are merged.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline.records import Generation, Pixels, Request
from pipeline.vintern.answer import Answer

ACROSS, DOWN = 3, 2  # pixels of a tile; a patch has 14


class SecondLooks:
    """The first answers that wait for a second one."""

    def __init__(self) -> None:
        self._first: dict[str, Generation] = {}

    def wanted(self, asked: Answer, answer: Generation) -> Request | None:
        """The request for a second look where the answer asks for one; the answer is kept until then."""
        below = asked.request.second_look
        if below is None or answer.finish != "stop" or not doubtful(answer, below):
            return None
        request = asked.whole_request()
        again = replace(request, id=f"{request.id}/again", tiles=moved(request.tiles), second_look=None)
        self._first[again.id] = answer
        return again

    def taken(self, request: Request, answer: Generation) -> Generation | None:
        """The first answer with this second one beside it, if it is one; one that did not come to its end is
        left out.
        """
        first = self._first.pop(request.id, None)
        if first is None:
            return None
        return replace(first, again=answer if answer.finish == "stop" else None, looked_again=True)


def doubtful(answer: Generation, below: float) -> bool:
    """Whether between two tokens that the grammar forced the probabilities multiply to less than `below`.

    Keys are forced, so that is a value, or a value and what may stand beside it.
    """
    chances = np.fmin(answer.probability, answer.unmasked).astype(np.float64)
    forced = np.asarray(answer.forced, dtype=np.bool_)
    chances[forced] = 1.0
    logs = np.log(np.maximum(chances, 1e-12))
    if not len(logs):
        return False
    starts = np.flatnonzero(np.append(True, forced[1:] != forced[:-1]))
    return bool(np.add.reduceat(logs, starts).min() < np.log(below))


def moved(tiles: Pixels) -> Pixels:
    """uint8 [n, side, side, 3] with what they show moved to the right and down; edge pixels fill the gap."""
    wider = np.pad(tiles, ((0, 0), (DOWN, 0), (ACROSS, 0), (0, 0)), mode="edge")
    return np.ascontiguousarray(wider[:, : tiles.shape[1], : tiles.shape[2]])
