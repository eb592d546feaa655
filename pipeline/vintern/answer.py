"""One request in flight and its answer so far: what a chosen token leads to, and how the answer ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from pipeline.errors import Permanent, Reason
from pipeline.records import Generation, Request
from pipeline.transcript import transcript
from pipeline.vintern import passes
from pipeline.vintern.blank import shades
from pipeline.vintern.constrain import Constraint
from pipeline.vintern.sampler import Choice
from pipeline.vintern.values import ValueText

NOWHERE = np.zeros(4, dtype=np.float32)  # the place of a token that was never shown to the model


class Forget(Protocol):
    """`KVCache.forget`."""

    def __call__(self, slot: int, start: int, stop: int, end: int) -> None: ...


class Answer:
    """`pending` tokens are fed next, the first to the place `cached` of the slot; `finish` is set when all is
    said.
    """

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
        self.probability: list[float] = []
        self.unmasked: list[float] = []
        self.forced: list[bool] = []
        self._values = ValueText()
        self.unseen: list[int] = []  # forced tokens of values, by number, before which the model was not seen
        self.knew: dict[int, Tensor] = {}  # its hidden state [hidden] before those that it was seen before
        self.said = False  # the grammar is complete, and what was forced last is still to be fed
        self.places: list[npt.NDArray[np.float32]] = []  # [4] each; see Generation.place
        self._coming = NOWHERE
        self.seams: list[int] = []  # how many tokens there were when each further pass began
        self._pieces: list[bytes] = []  # of each token
        self._sight: list[bytes] = []  # of those that have not left the slot again
        self.watched = False  # the guard against loops has begun to
        self.unwatched: list[
            tuple[int, bool]
        ] = []  # tokens that it has not seen, and whether they break a run
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
        return self.cached + len(self.tokens) - len(self._sight)

    def fed(self, count: int) -> None:
        """The first `count` pending tokens are in the cache."""
        self.cached += count
        del self.pending[:count]

    def weighs(self, choice: Choice) -> bool:
        """Whether what the model chose counts. If not, the answer is finished: it is said, or has failed."""
        if self.said:
            self.finish = "stop"
        elif not (math.isfinite(choice.probability) and math.isfinite(choice.unmasked)):
            self.fail(Permanent(Reason.internal_error, "the model's logits are not finite"))
        return self.finish is None

    def take(self, choice: Choice) -> bool:
        """The model chose its next token, and the grammar has accepted it; False where that is the end.

        Then the guard against loops looks at what is `unwatched`, and `follow` appends what is forced.
        """
        if choice.token == self._end:
            self.finish = "stop"
        else:
            self._append(choice.token, choice.probability, choice.unmasked, forced=False)
        return self.finish is None

    def see(self, hidden: Tensor) -> None:
        """`hidden` [n, hidden] are the states of the next n pending tokens, which were fed."""
        first = self.position - len(self.prompt) + 1  # the number of the token that the first one leads to
        for number in [number for number in self.unseen if first <= number < first + len(hidden)]:
            self.knew[number] = hidden[number - first].clone()
            self.unseen.remove(number)

    def look(self, cached: int, fed: npt.NDArray[np.float32], coming: npt.NDArray[np.float32]) -> None:
        """Where tokens fed to places from `cached` on looked, float32 [n, 4], and where the next one comes
        from.
        """
        left = len(self.tokens) - len(self._sight)
        for index, place in enumerate(fed, start=cached + left - len(self.prompt)):
            if index >= 0:
                self.places[index] = place
        self._coming = coming

    def fail(self, error: Permanent) -> None:
        self.finish, self.error = "error", error

    def generation(self, place: bool) -> Generation:
        """The finished answer. `place`: with where each token looked."""
        if self.finish is None:
            raise ValueError(f"request {self.request.id} is not finished")
        text, spans = transcript(self._pieces)
        return Generation(
            request_id=self.request.id,
            text=text,
            finish=self.finish,
            spans=spans,
            probability=np.array(self.probability, dtype=np.float32),
            unmasked=np.array(self.unmasked, dtype=np.float32),
            forced=np.array(self.forced, dtype=np.bool_),
            prompt_tokens=len(self.prompt),
            place=np.array(self.places, dtype=np.float32).reshape(-1, 4) if place else None,
            message=self.error.message if self.error else None,
            reason=self.error.reason if self.error else None,
            attempts=self.attempts,
            seams=tuple(self.seams),
        )

    def follow(self) -> None:
        """Append what is forced, and see whether that is the end."""
        if self.constraint is not None and self.finish is None:
            try:
                for token in self.constraint.forced():
                    self._append(token, 1.0, math.nan, forced=True)
            except Permanent as error:
                self.fail(error)
            if self.finish is None and self.constraint.complete:
                self.said = bool(self.unseen)
                self.finish = None if self.said else "stop"
        if not self.said:
            self._make_room()

    def _make_room(self) -> None:
        """Begin another pass where the room of this one is used up; where none can begin, the answer ends."""
        if self.finish is not None or (len(self._sight) < self.limit and len(self.tokens) < self._longest):
            return
        leave = None
        if (
            self.constraint is not None
            and len(self.tokens) < self._longest
            and len(self.seams) + 1 < self._max_passes
        ):
            leave = passes.leaving(self._sight, self.limit, self.cached - len(self.prompt))
        if leave is None:
            self.finish = "length"
        elif passes.goes_round(b"".join(self._pieces)):
            self.finish = "loop"
        else:
            self._begin_pass(*leave)

    def _begin_pass(self, start: int, stop: int) -> None:
        """The tokens `start` to `stop` of those in sight leave."""
        first = len(self.prompt)
        self._forget(self.slot, first + start, first + stop, self.cached)
        del self._sight[start:stop]
        self.cached -= stop - start
        self.seams.append(len(self.tokens))

    def _append(self, token: int, probability: float, unmasked: float, *, forced: bool) -> None:
        self._make_room()
        if self.finish is not None:
            return
        piece = self._bytes_of(token)
        self._pieces.append(piece)
        self._sight.append(piece)
        self.tokens.append(token)
        self.pending.append(token)
        self.probability.append(probability)
        self.unmasked.append(unmasked)
        self.forced.append(forced)
        if self._values.holds(piece) and forced:
            self.unseen.append(len(self.tokens) - 1)
        self.places.append(NOWHERE if forced else self._coming)
        self.unwatched.append((token, b'"' in piece or not self._values.inside))
