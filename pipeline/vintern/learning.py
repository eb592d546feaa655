"""The states that answers of a grammar come to, so that their masks are there before the first page asks.

They are found by saying the grammar letter by letter: of letters that lead to one state (`following`), one is
said. A value is said up to a usual length; a state beyond is met where an answer comes to it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice

import torch

from pipeline.vintern.constrain import Grammars
from pipeline.vintern.constraint import Constraint
from pipeline.vintern.following import Place
from pipeline.vintern.states import State

LARGE = 32_768  # tokens; with fewer a mask costs some microseconds, and its state need not be learned
TOGETHER = 64  # masks that are worked out at once
DEEP = 48  # characters of a value; beyond, only what is still new is followed


def learn(grammars: Grammars, grammar: str) -> int:
    """Let masks of the states that answers usually come to be remembered, as far as there is room.

    Takes seconds at a large vocabulary, and does nothing at a small one. Returns how many there are.
    Raises Permanent when the grammar is not valid.
    """
    start = grammars.start(grammar)
    tokens = grammars.vocabulary.tokens
    if len(tokens) < LARGE:
        return 0
    spelled = {text: [token] for token, text in enumerate(tokens) if text}

    def spell(letter: str) -> list[int] | None:
        text = letter.encode()
        parts = [spelled.get(text[at : at + 1]) for at in range(len(text))]
        return spelled.get(text) or (None if None in parts else [part[0] for part in parts if part])

    found = 0
    masks = torch.zeros(TOGETHER, grammars.words, dtype=torch.int32)
    coming = islice(states(start, spell), grammars.room)
    while some := list(islice(coming, TOGETHER)):
        grammars.fill(some, masks[: len(some)])
        found += len(some)
    return found


def states(start: Constraint, spell: Callable[[str], list[int] | None]) -> Iterator[Constraint]:
    """Each state that a mask is remembered by, nearest first, as a constraint that is in it.

    `spell` gives the tokens of one letter, None where there are none. None are found where the grammar is not
    followed.
    """
    said: set[Place] = set()
    known: set[Place] = set()
    waiting = deque([(start, 0)])
    while waiting:
        here, depth = waiting.popleft()
        here.forced()
        state, near = here.state, here.near
        if here.complete or here.states is None or state is None or near is None:
            continue
        new = near.place not in known
        # What is behind the value counts only as far as masks tell it apart: line 2 is as line 100.
        where = state.at._replace(rest=near.place.rest)
        if where in said or (depth > DEEP and not new):
            continue
        said.add(where)
        known.add(near.place)
        if new:
            yield here
        for letter in here.states.follower.letters(state.at):
            tokens = spell(letter)
            # Behind a backslash there may be nothing to come.
            if tokens is not None and here.matcher.validate_tokens(tokens) == len(tokens):
                further = here.copy()
                further.accept(*tokens)
                waiting.append((further, depth + 1 if _within_one_value(state, further.state) else 0))


def _within_one_value(one: State, other: State | None) -> bool:
    return other is not None and one.at.now.kind == other.at.now.kind == "quoted"
