"""What the model chose is entered into the answers, of all rows of a pass together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.vintern.answer import Answer
from pipeline.vintern.constrain import Grammars
from pipeline.vintern.constraint import Constraint
from pipeline.vintern.loops import LoopGuard


class Booking:
    """Enters choices, asks the grammars what follows, and stops loops."""

    def __init__(self, grammars: Grammars, slots: int) -> None:
        self._grammars = grammars
        self._guard = LoopGuard(slots)

    def enter(self, answers: Sequence[Answer], chosen: npt.NDArray[Any]) -> None:
        """Of answers, each in a slot of its own, the next token; what is forced after it is appended too.

        chosen float64 [3, n], as of `sampler.choose`. One that is not finite fails its answer; an answer that
        is said already is at its end.
        """
        finite = np.isfinite(chosen[1:]).all(0).tolist()
        tokens = chosen[0].astype(np.int64).tolist()
        probability, unmasked = chosen[1].tolist(), chosen[2].tolist()
        going: list[int] = []
        for row, answer in enumerate(answers):
            if answer.said:
                answer.finish = "stop"
            elif not finite[row]:
                answer.not_finite()
            else:
                going.append(row)
        self._accept(answers, tokens, going)
        told = []
        for row in going:
            answer = answers[row]
            if answer.finish is None and answer.take(tokens[row], probability[row], unmasked[row]):
                told.append(answer)
        self._watch(told)
        for answer in told:
            answer.follow()

    def _accept(self, answers: Sequence[Answer], tokens: Sequence[int], going: Sequence[int]) -> None:
        held: list[tuple[Constraint, int]] = []
        rows: list[int] = []
        for row in going:
            constraint = answers[row].constraint
            if constraint is not None:
                held.append((constraint, tokens[row]))
                rows.append(row)
        for number, error in self._grammars.accept(held).items():
            answers[rows[number]].fail(error)

    def _watch(self, answers: Sequence[Answer]) -> None:
        """What was forced since the last choice, and the choice.

        What the grammar forces may repeat as it likes; only the model's own choice makes a loop.
        """
        watched: list[int] = []
        counts: list[int] = []
        for answer in answers:
            if not answer.watched:
                self._guard.begin(answer.slot, values=answer.constraint is not None)
                answer.watched = True
            watched += answer.unwatched
            counts.append(len(answer.unwatched))
            answer.unwatched.clear()
        tokens = np.array(watched, dtype=np.int32)
        loops = self._guard.loops(
            np.array([answer.slot for answer in answers], dtype=np.int64),
            tokens >> 1,
            (tokens & 1).astype(np.bool_),
            np.array(counts, dtype=np.int64),
        )
        for row in np.flatnonzero(loops).tolist():
            answers[row].finish = "loop"
