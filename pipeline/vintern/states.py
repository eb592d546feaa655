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
    open: both were asked, nothing is forced and something may follow, as within most values.
    """

    __slots__ = ("complete", "forced", "open", "place", "row")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.row = UNKNOWN
        self.forced: dict[int | None, list[int]] | None = None
        self.complete: bool | None = None
        self.open = False


class State:
    """kinds: of tokens here. ways: to the next state, by the kind of token. runs: what is forced here, by the
    token before.
    """

    __slots__ = ("at", "kinds", "near", "runs", "ways")

    def __init__(self, at: Place, near: Near, kinds: Kinds) -> None:
        self.at = at
        self.near = near
        self.kinds = kinds
        self.ways: dict[int, State] = {}
        self.runs: dict[int | None, Run] = {}


class Kinds:
    """Numbers for the kinds of tokens that lead to the same, in states where letters are told apart at
    `edges`; None: as finely as anywhere. alone: each token is a kind of its own.
    """

    __slots__ = ("alone", "edges", "known")

    def __init__(self, edges: tuple[int, ...] | None, *, alone: bool = False) -> None:
        self.edges = edges
        self.alone = alone
        self.known: dict[int, int] = {}  # by token


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
        self._kinds: dict[tuple[int, ...] | None, Kinds] = {}
        self._alone = Kinds(None, alone=True)
        self._named: dict[object, int] = {}  # kinds of letters → the kind of token

    def start(self) -> State:
        return self._at(self.follower.start)

    def after(self, state: State, token: int) -> State | None:
        """The state behind a token that is allowed here; None where it cannot be told."""
        kind = state.kinds.known.get(token)
        if kind is None:
            kind = self._kind(state.kinds, token)
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
            state = State(place, self._nears.setdefault(near, Near(near)), self._kinds_at(place))
            self._states[place] = state
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
                near.open = False
            self.made = 0

    def _kinds_at(self, place: Place) -> Kinds:
        # Within a label, or a character that is not complete, a token's own bytes count.
        if place.now.kind == "word" or place.open:
            return self._alone
        edges = self.follower.edges(place)
        found = self._kinds.get(edges)
        if found is None:
            found = self._kinds[edges] = Kinds(edges)
        return found

    def _kind(self, kinds: Kinds, token: int) -> int:
        """One number for all tokens with letters of the same kinds; ~token where it has not whole letters."""
        letters = None if kinds.alone else self.follower.kinds(token, kinds.edges)
        found = ~token if letters is None else self._named.setdefault(letters, len(self._named))
        kinds.known[token] = found
        return found
