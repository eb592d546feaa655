"""One request in flight and its answer so far: what a chosen token leads to, and how the answer ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from pipeline.blank import shades
from pipeline.errors import Permanent, Reason
from pipeline.records import Generation, Request
from pipeline.transcript import transcript
from pipeline.vintern import passes
from pipeline.vintern.constraint import Constraint
from pipeline.vintern.states import Run
from pipeline.vintern.values import Position, Positions


class Said(NamedTuple):
    """Tokens that are forced, and what they do to an answer's text from where it stands."""

    tokens: Sequence[int]
    end: Position
    values: list[int]  # numbers of those that have a part of a value
    watched: list[int]  # for `Answer.unwatched`


class Forget(Protocol):
    """`KVCache.forget`."""

    def __call__(self, slot: int, start: int, stop: int, end: int) -> None: ...


class Answer:
    """`pending` tokens are fed next, the first to the place `cached` of the slot; `finish` is set when all is
    said.
    """

    # An object with so many attributes would look each of them up in a large dictionary of its own.
    __slots__ = (
        "_at", "_bytes_of", "_end", "_forced", "_forget", "_fresh", "_full", "_gone", "_longest",
        "_max_passes", "_places", "_positions", "_probability", "_unmasked", "attempts", "cached",
        "constraint", "encoded", "error", "finish", "knew", "launched", "limit", "out_of_sight",
        "penalty", "pending", "prompt", "request", "said", "seams", "shades", "slot", "tile_count",
        "tiles", "tokens", "unseen", "unwatched", "visual", "watched", "weighed",
    )  # fmt: skip

    def __init__(
        self,
        request: Request,
        prompt: Sequence[int],
        constraint: Constraint | None,
        *,
        limit: int,
        longest: int,
        max_passes: int,
        end: int,
        bytes_of: Callable[[int], bytes],
        positions: Positions,
        forget: Forget,
        penalty: float = 1.0,
    ) -> None:
        """There is room for `limit` tokens in the slot, and the answer has `longest` at most, forced ones
        included; `end` is the end-of-turn token.
        """
        self.request = request
        self.tile_count = len(request.tiles)
        self.prompt = prompt
        self.limit = limit
        self._longest = longest
        self._max_passes = max_passes
        self._forget = forget
        self.slot = -1  # of the KV cache, while admitted
        self.launched = False  # it is in a pass that has not been entered yet
        self.tiles: Tensor | None = None  # uint8, on the model's device
        self.shades = shades(request.tiles)  # of tiles that are of one colour
        self.visual: Tensor | None = None  # filled tile by tile
        self.encoded = 0  # tiles already in `visual`
        self._fresh = constraint
        self._end = end
        self._bytes_of = bytes_of
        self._positions = positions
        self.attempts = 0
        self.begin(penalty)

    def begin(self, penalty: float) -> None:
        """Start, or start again: the prompt, then what the grammar forces at once."""
        self.attempts += 1
        self.penalty = penalty
        self.constraint = None if self._fresh is None else self._fresh.copy()
        self.finish: Literal["stop", "length", "loop", "error"] | None = None
        self.error: Permanent | None = None
        self.tokens: list[int] = []
        self._forced: list[tuple[int, int]] = []  # tokens that the model did not choose: from, up to
        # Of those that it chose, the probability under and without the mask.
        self._probability: list[float] = []
        self._unmasked: list[float] = []
        self.weighed: dict[int, float] = {}  # the probability without the mask of forced tokens, by number
        self._at = self._positions.start
        self.unseen: list[int] = []  # forced tokens of values, by number, before which the model was not seen
        self.knew: dict[int, Tensor] = {}  # its hidden state [hidden] before those that it was seen before
        self.said = False  # the grammar is complete, and what was forced last is still to be fed
        self._places = np.zeros((0, 4), dtype=np.float32)  # see Generation.place; at least one a token seen
        self.seams: list[int] = []  # how many tokens there were when each further pass began
        self._gone: list[tuple[int, int]] = []  # what each pass took out of those then in sight: from, up to
        self.out_of_sight = 0  # tokens that have left the slot again
        self._full = min(self.limit, self._longest)  # so many tokens use up this pass's room
        self.watched = False  # the guard against loops has begun to
        # Tokens that it has not seen, each as twice its number, and one more where it breaks a run.
        self.unwatched: list[int] = []
        # The second time the cache holds the prompt: only its last token is fed again, for its logits.
        self.cached = 0 if self.attempts == 1 else len(self.prompt) - 1
        self.pending = list(self.prompt[self.cached :])
        self.follow()

    def whole_request(self) -> Request:
        """With its tiles, brought back where they are only on the device."""
        if len(self.request.tiles) == self.tile_count or self.tiles is None:
            return self.request
        return replace(self.request, tiles=self.tiles.cpu().numpy())

    @property
    def position(self) -> int:
        """Of the first pending token. What has left the slot keeps its positions."""
        return self.cached + self.out_of_sight

    def fed(self, count: int) -> None:
        """The first `count` pending tokens are in the cache."""
        self.cached += count
        del self.pending[:count]

    def not_finite(self) -> None:
        self.fail(Permanent(Reason.internal_error, "the model's logits are not finite"))

    def take(self, token: int, probability: float, unmasked: float) -> bool:
        """The model chose its next token, and the grammar has accepted it; False where that is the end.

        Then the guard against loops looks at what is `unwatched`, and `follow` appends what is forced.
        """
        if token == self._end:
            self.finish = "stop"
            return False
        tokens = self.tokens
        if len(tokens) >= self._full:
            self._make_room()
            if self.finish is not None:
                return False
        self._probability.append(probability)
        self._unmasked.append(unmasked)
        tokens.append(token)
        self.pending.append(token)
        at = self._at
        if (
            at.stays and self._positions.plain[token]
        ):  # as `Positions.after` has it, which takes twice as long
            self.unwatched.append(2 * token)
        else:
            self._at, _, breaks = self._positions.after(at, token)
            self.unwatched.append(2 * token + breaks)
        return True

    def to_see(self, count: int) -> list[tuple[int, int]]:
        """Of `unseen` those before which the next `count` pending tokens show the model: which of these, and
        the token's number. They are unseen no longer.
        """
        first = self.position - len(self.prompt) + 1  # the number of the token that the first one leads to
        found = [(number - first, number) for number in self.unseen if first <= number < first + count]
        if found:
            self.unseen = [number for number in self.unseen if not first <= number < first + count]
        return found

    def look(self, cached: int, fed: npt.NDArray[np.float32], coming: npt.NDArray[np.float32]) -> None:
        """Where tokens fed to places from `cached` on looked, float32 [n, 4], and where the next one comes
        from.
        """
        first = cached + self.out_of_sight - len(self.prompt)
        stop = first + len(fed)
        if stop >= len(self._places):
            more = np.zeros((max(64, stop + 1), 4), dtype=np.float32)
            self._places = np.concatenate([self._places, more])
        self._places[max(first, 0) : stop] = fed[max(-first, 0) :]
        if stop == len(self.tokens):  # the next one is chosen, unless something is forced first
            self._places[stop] = coming

    def fail(self, error: Permanent) -> None:
        self.finish, self.error = "error", error

    def generation(self, place: bool) -> Generation:
        """The finished answer. `place`: with where each token looked."""
        if self.finish is None:
            raise ValueError(f"request {self.request.id} is not finished")
        text, spans = transcript(self._pieces())
        count = len(self.tokens)
        forced = np.zeros(count, dtype=np.bool_)
        for start, stop in self._forced:
            forced[start:stop] = True
        chosen = ~forced
        probability = np.ones(count, dtype=np.float32)
        probability[chosen] = self._probability
        unmasked = np.full(count, np.nan, dtype=np.float32)
        unmasked[chosen] = self._unmasked
        unmasked[list(self.weighed)] = list(self.weighed.values())
        return Generation(
            request_id=self.request.id,
            text=text,
            finish=self.finish,
            spans=spans,
            probability=probability,
            unmasked=unmasked,
            forced=forced,
            prompt_tokens=len(self.prompt),
            place=self._looked() if place else None,
            message=self.error.message if self.error else None,
            reason=self.error.reason if self.error else None,
            attempts=self.attempts,
            seams=tuple(self.seams),
        )

    def follow(self) -> None:
        """Append what is forced, and see whether that is the end."""
        if self.constraint is not None and self.finish is None and not self.constraint.open:
            self._force_on(self.constraint)
        if len(self.tokens) >= self._full and not self.said:
            self._make_room()

    def _force_on(self, constraint: Constraint) -> None:
        try:
            run = constraint.run()
            if run is not None:
                self._append(run)
            complete = self.finish is None and constraint.complete
        except Permanent as error:
            self.fail(error)
            complete = False
        if complete:
            self.said = bool(self.unseen)
            self.finish = None if self.said else "stop"

    def _make_room(self) -> None:
        """Begin another pass where the room of this one is used up; where none can begin, the answer ends."""
        if len(self.tokens) < self._full or self.finish is not None:
            return
        leave = None
        if (
            self.constraint is not None
            and len(self.tokens) < self._longest
            and len(self.seams) + 1 < self._max_passes
        ):
            leave = passes.leaving(self._sight(), self.limit, self.cached - len(self.prompt))
        if leave is None:
            self.finish = "length"
        elif passes.goes_round(b"".join(self._pieces())):
            self.finish = "loop"
        else:
            self._begin_pass(*leave)

    def _begin_pass(self, start: int, stop: int) -> None:
        """The tokens `start` to `stop` of those in sight leave."""
        first = len(self.prompt)
        self._forget(self.slot, first + start, first + stop, self.cached)
        self._gone.append((start, stop))
        self.out_of_sight += stop - start
        self._full = min(self.limit + self.out_of_sight, self._longest)
        self.cached -= stop - start
        self.seams.append(len(self.tokens))

    def _append(self, run: Run) -> None:
        """What is forced; where room runs out on the way, as far as there is any."""
        if len(self.tokens) + len(run.tokens) > self._full:
            for token in run.tokens:
                self._make_room()
                if self.finish is not None:
                    return
                self._force(self._forced_by([token]))
            return
        said = run.said.get(self._at)
        if said is None:
            said = run.said[self._at] = self._forced_by(run.tokens)
        self._force(said)

    def _force(self, said: Said) -> None:
        count = len(self.tokens)
        self.tokens += said.tokens
        self._forced.append((count, len(self.tokens)))
        self.pending += said.tokens
        self.unwatched += said.watched
        self._at = said.end
        if said.values:
            self.unseen += [count + number for number in said.values]

    def _forced_by(self, tokens: Sequence[int]) -> Said:
        end, values, watched = self._at, [], []
        for number, token in enumerate(tokens):
            end, holds, breaks_run = self._positions.after(end, token)
            watched.append(2 * token + breaks_run)
            if holds:
                values.append(number)
        return Said(tokens, end, values, watched)

    def _pieces(self) -> list[bytes]:
        """The bytes of each token."""
        return list(map(self._bytes_of, self.tokens))

    def _sight(self) -> list[bytes]:
        """Of those that have not left the slot again."""
        pieces, seen, taken = self._pieces(), list[bytes](), 0
        for (start, stop), seam in zip(self._gone, self.seams, strict=True):
            seen += pieces[taken:seam]
            del seen[start:stop]
            taken = seam
        return seen + pieces[taken:]

    def _looked(self) -> npt.NDArray[np.float32]:
        """float32 [n, 4], zeros for a token that was never shown to the model."""
        more = max(0, len(self.tokens) - len(self._places))
        return np.pad(self._places[: len(self.tokens)], ((0, more), (0, 0)))
