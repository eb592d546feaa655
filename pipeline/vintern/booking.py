"""What the model chose is entered into the answers, of all rows of a pass together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.vintern.answer import Answer
from pipeline.vintern.constrain import Grammars
from pipeline.vintern.loops import LoopGuard
from pipeline.vintern.sampler import Choice


class Booking:
    """Enters choices, asks the grammars what follows, and stops loops."""

    def __init__(self, grammars: Grammars, slots: int) -> None:
        self._grammars = grammars
        self._guard = LoopGuard(slots)

    def enter(self, answers: Sequence[Answer], choices: Sequence[Choice]) -> None:
        """Of answers, each in a slot of its own, the next token; what is forced after it is appended too."""
        going = [pair for pair in zip(answers, choices, strict=True) if pair[0].weighs(pair[1])]
        self._accept(going)
        told = [answer for answer, choice in going if answer.finish is None and answer.take(choice)]
        self._watch(told)
        for answer in told:
            answer.follow()

    def _accept(self, going: Sequence[tuple[Answer, Choice]]) -> None:
        held = [
            (answer, answer.constraint, choice.token)
            for answer, choice in going
            if answer.constraint is not None
        ]
        refused = self._grammars.accept([(constraint, token) for _, constraint, token in held])
        for number, error in refused.items():
            held[number][0].fail(error)

    def _watch(self, answers: Sequence[Answer]) -> None:
        """What was forced since the last choice, one token of each in a turn, and then the choices."""
        for answer in answers:
            if not answer.watched:
                self._guard.begin(answer.slot, values=answer.constraint is not None)
                answer.watched = True
        forced = [answer for answer in answers if len(answer.unwatched) > 1]
        turn = 0
        while forced:
            self._loops(forced, turn)
            turn += 1
            forced = [answer for answer in forced if len(answer.unwatched) > turn + 1]
        # What the grammar forces may repeat as it likes; only the model's own choice makes a loop.
        for answer, loops in zip(answers, self._loops(answers, -1), strict=True):
            answer.unwatched.clear()
            if loops:
                answer.finish = "loop"

    def _loops(self, answers: Sequence[Answer], turn: int) -> list[bool]:
        if not answers:
            return []
        given = [answer.unwatched[turn] for answer in answers]
        found: list[bool] = self._guard.loops(
            np.array([answer.slot for answer in answers]),
            np.array([token for token, _ in given]),
            np.array([breaks for _, breaks in given]),
        ).tolist()
        return found
