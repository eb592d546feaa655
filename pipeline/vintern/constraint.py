"""Where one answer stands in its grammar."""

from __future__ import annotations

from collections.abc import Sequence

from llguidance import LLMatcher

from pipeline.errors import Permanent, Reason
from pipeline.vintern.states import UNKNOWN, Near, Run, State, States

APART = -2  # the row of a mask that is worked out for this step alone


class Constraint:
    """Where one answer stands in its grammar.

    Where the grammar is followed, the matcher is asked only what is not known of the state; the tokens since
    then are kept for it.
    """

    __slots__ = ("_behind", "_last", "_matcher", "_own", "state", "states")

    def __init__(
        self,
        matcher: LLMatcher,
        states: States | None = None,
        state: State | None = None,
        last: int | None = None,
        behind: Sequence[int] = (),
        *,
        own: bool = True,
    ) -> None:
        """`states` and `state` are None where the grammar is not followed. `behind`: tokens that the matcher
        has not consumed yet. own: no other constraint has this matcher.
        """
        self._matcher = matcher
        self._own = own
        self.states = states
        self.state = state
        self._last = last
        self._behind = list(behind)

    @property
    def matcher(self) -> LLMatcher:
        """At this state. Raises Permanent when it broke on the way."""
        if not self._own:
            self._matcher, self._own = self._matcher.deep_copy(), True
        if self._behind:
            tokens, self._behind = self._behind, []
            if not self._matcher.consume_tokens(tokens):
                raise broken(self._matcher)
        if self._matcher.is_error():
            raise broken(self._matcher)
        return self._matcher

    @property
    def complete(self) -> bool:
        """Nothing may follow. Raises Permanent."""
        if self.state is None:
            return bool(self.matcher.is_stopped())
        near = self.state.near
        if near.complete is None:
            near.complete = bool(self.matcher.is_stopped())
        near.open = near.forced == {} and not near.complete
        return near.complete

    @property
    def open(self) -> bool:
        """It is known that nothing is forced here and something may follow."""
        return self.state is not None and self.state.near.open

    @property
    def near(self) -> Near | None:
        """By which its mask is remembered; None where it is not. Raises Permanent."""
        # Where tokens are still forced, the mask is the first of them, which depends on the token before it.
        return None if self.state is None or self._ahead() else self.state.near

    @property
    def row(self) -> int:
        """Of its mask in the table; UNKNOWN where more is to be asked."""
        if self.state is None:
            return APART
        near = self.state.near
        if near.open:
            return near.row
        free = near.forced is not None and (not near.forced or near.forced.get(self._last) == [])
        return near.row if free else UNKNOWN

    def forced(self) -> list[int]:
        """The tokens that the grammar leaves no choice about, now consumed. Often none. Raises Permanent."""
        run = self.run()
        return [] if run is None else list(run.tokens)

    def run(self) -> Run | None:
        """As `forced`."""
        state = self.state
        if state is None:
            tokens = self.matcher.compute_ff_tokens()
            if tokens:
                self.accept(*tokens)
            return Run(tokens, None) if tokens else None
        if state.near.forced == {}:
            return None
        run = state.runs.get(self._last)
        if run is None:
            tokens = self._ahead()
            if not tokens:
                return None
            run = self.states.keep_run(state, self._last, tokens)  # type: ignore[union-attr]
        self._behind += run.tokens
        self._last = run.tokens[-1]
        self.state = run.end
        return run

    def accept(self, *tokens: int) -> None:
        """Consume tokens. Raises Permanent when the grammar does not allow them."""
        if not self.matcher.consume_tokens(list(tokens)):
            raise broken(self._matcher)
        self._go_on(*tokens)

    def allowed(self, token: int) -> None:
        """The next token, of which its mask in the table says that it is allowed."""
        state = self.state
        if self.states is None or state is None:
            raise RuntimeError("a grammar that is not followed has no mask in the table")
        self._behind.append(token)
        self._last = token
        # As `States.after`, which is not called for a way that is known.
        kind = state.kinds.known.get(token)
        self.state = None if kind is None else state.ways.get(kind)
        if self.state is None:
            self.state = self.states.after(state, token)

    def consumed(self, token: int) -> None:
        """The next token, which the matcher has consumed."""
        self._go_on(token)

    def copy(self) -> Constraint:
        # A matcher that is nobody's own is never changed.
        matcher = self._matcher.deep_copy() if self._own else self._matcher
        return Constraint(matcher, self.states, self.state, self._last, self._behind, own=self._own)

    def _go_on(self, *tokens: int) -> None:
        if self.states is not None:
            for token in tokens:
                self.state = None if self.state is None else self.states.after(self.state, token)
            self._last = tokens[-1] if tokens else self._last

    def _ahead(self) -> list[int]:
        """What is forced at a state."""
        near = self.state.near  # type: ignore[union-attr]
        if near.forced is None:
            near.forced = (
                {self._last: self.matcher.compute_ff_tokens()} if self.matcher.compute_ff_bytes() else {}
            )
        if not near.forced:
            return []
        found = near.forced.get(self._last)
        if found is None:
            found = near.forced[self._last] = self.matcher.compute_ff_tokens()
        return found


def broken(matcher: LLMatcher) -> Permanent:
    """What a matcher complains about."""
    complaint = matcher.get_error().strip().splitlines()
    return Permanent(
        Reason.grammar_error, f"grammar: {complaint[0] if complaint else 'token not allowed here'}"
    )
