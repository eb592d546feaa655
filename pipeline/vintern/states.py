"""What was worked out once for a state of a grammar: where each token leads, what is forced, what may follow.

A state is what may still be said, exactly (`following.Place`). Tokens whose letters the grammar does not tell
apart lead to the same state, so one way serves them all. Only tokens that the grammar allows are asked for.
"""

from __future__ import annotations

from typing import Any

from pipeline.vintern.following import Follower, Place

MOST = 1 << 16  # states and ways of one grammar, some 20 MB; an invoice's pages come to a third of it
UNKNOWN = -1  # the row of a mask that is not in the table


class Near:
    """What is the same for all states that differ only in bounds beyond the reach of tokens.

    row: of the mask in the table. forced: by the token before, which llguidance may join to what it forces;
    empty where nothing is forced, None until it was asked. complete: nothing may follow; None likewise.
    """

    __slots__ = ("complete", "forced", "place", "row")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.row = UNKNOWN
        self.forced: dict[int | None, list[int]] | None = None
        self.complete: bool | None = None


class State:
    """ways: to the next state, by the kind of token. runs: what is forced here, by the token before."""

    __slots__ = ("at", "by_letters", "near", "runs", "ways")

    def __init__(self, at: Place, near: Near) -> None:
        self.at = at
        self.near = near
        # Within a label, or a character that is not complete, a token's own bytes count.
        self.by_letters = at.now.kind != "word" and not at.open
        self.ways: dict[int, State] = {}
        self.runs: dict[int | None, Run] = {}


class Run:
    """Tokens that are forced one after the other, and the state behind them. said: what they do to an
    answer's text, by where it stands (`values.Position`).
    """

    __slots__ = ("end", "said", "tokens")

    def __init__(self, tokens: list[int], end: State | None) -> None:
        self.tokens = tokens
        self.end = end
        self.said: dict[Any, Any] = {}


class States:
    """Of one grammar, at most MOST: when there are more, all are forgotten, and found anew as they come."""

    def __init__(self, follower: Follower, most: int = MOST) -> None:
        self.follower = follower
        self.most = most
        self.made = 0  # states, ways and runs that are kept
        self._states: dict[Place, State] = {}
        self._nears: dict[Place, Near] = {}
        self._kinds: dict[int, int] = {}  # by token
        self._named: dict[tuple[int, ...], int] = {}  # kinds of letters → the kind of token

    def start(self) -> State:
        return self._at(self.follower.start)

    def after(self, state: State, token: int) -> State | None:
        """The state behind a token that is allowed here; None where it cannot be told."""
        kind = self._kinds.get(token) if state.by_letters else ~token
        if kind is None:
            kind = self._kind(token)
        found = state.ways.get(kind)
        if found is None:
            place = self.follower.follow(state.at, token)
            if place is None:
                return None
            self._count()
            found = state.ways[kind] = self._at(place)
        return found

    def keep_run(self, state: State, last: int | None, tokens: list[int]) -> Run:
        end: State | None = state
        for token in tokens:
            end = None if end is None else self.after(end, token)
        self._count()
        state.runs[last] = run = Run(tokens, end)
        return run

    def _at(self, place: Place) -> State:
        state = self._states.get(place)
        if state is None:
            self._count()
            near = self.follower.near(place)
            state = self._states[place] = State(place, self._nears.setdefault(near, Near(near)))
        return state

    def _count(self) -> None:
        self.made += 1
        if self.made > self.most:
            for state in self._states.values():
                # Answers that stand there go on: what they come to is found anew.
                state.ways.clear()
                state.runs.clear()
            self._states.clear()
            # Of the others nothing stands in the table of masks.
            self._nears = {place: near for place, near in self._nears.items() if near.row != UNKNOWN}
            for near in self._nears.values():
                near.forced = None
            self.made = 0

    def _kind(self, token: int) -> int:
        """One number for all tokens with letters of the same kinds; ~token where it has not whole letters."""
        letters = self.follower.kinds(token)
        found = ~token if letters is None else self._named.setdefault(letters, len(self._named))
        self._kinds[token] = found
        return found
