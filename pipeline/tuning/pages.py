"""The pages of a run as its model gets them: drawn, cut, and seen by the frozen vision tower."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.tuning import dataset, plan
from pipeline.tuning.dataset import HELDOUT, Item
from pipeline.tuning.learner import Learner
from pipeline.tuning.prepare import Prepared
from pipeline.tuning.wish import Wish
from pipeline.vintern.ranks import Ranks

if TYPE_CHECKING:
    from pipeline.vintern.tuning import Example


@dataclass(frozen=True, slots=True)
class Sets:
    """What is learned and what is held out: "new", and "old" for what the model reads already."""

    learned: Mapping[str, Sequence[Item]]
    heldout: Mapping[str, Sequence[Item]]


@dataclass(frozen=True, slots=True)
class Pages:
    """The same, prepared."""

    learned: Mapping[str, Sequence[Prepared]]
    heldout: Mapping[str, Sequence[Prepared]]

    @property
    def digest(self) -> str:
        """Of all that is learned."""
        return sha256(
            "\n".join(one.digest for rows in self.learned.values() for one in rows).encode()
        ).hexdigest()


class _Stopped(Exception):
    """Somebody asked for the end."""


def sets(wish: Wish) -> Sets:
    """Raises UsageError for a set with a row that is no item."""
    return Sets(
        {"new": dataset.good(wish.data), "old": [one for path in wish.replay for one in dataset.good(path)]},
        {"new": _held(wish.data), "old": [one for path in wish.replay for one in _held(path)]},
    )


def prepared(
    given: Sets, learner: Learner, ranks: Ranks, tell: Callable[[str], None], stopped: Callable[[], bool]
) -> Pages | None:
    """All of them; None where that was stopped at one of the ranks.

    Every rank draws every page, and sees those whose turn is its own; at the end all have been seen.
    """
    how, numbers = learner.tuner.settings, count()
    hash, dtype = learner.model.checkpoint_hash, learner.model.dtype
    seen_by = sha256(f"{hash} {dtype}".encode()).hexdigest()

    def seen(one: Prepared, *, keep: bool) -> Prepared:
        """With its pictures kept; their tiles leave the memory where nobody needs them again."""
        from pipeline.vintern.tuning import picture_key

        if stopped():
            raise _Stopped
        keys = tuple(picture_key(seen_by, look) for look in one.looks)
        if next(numbers) % ranks.world == ranks.rank:
            for key, look in zip(keys, one.looks, strict=True):
                learner.tuner.see(key, look)
        return replace(one, looks=one.looks if keep else (), keys=keys)

    def part(items: Mapping[str, Sequence[Item]], looks: int, *, keep: bool) -> dict[str, list[Prepared]]:
        found: dict[str, list[Prepared]] = {}
        for which, some in items.items():
            if which == "old" and some:
                # Of many old pages most come once, and are not moved for another time.
                looks = min(looks, max(1, plan.rounds(len(found["new"]), len(some), how)))
            found[which] = [seen(one, keep=keep) for one in learner.preparer.prepared(some, looks)]
            if some:
                tell(f"{len(found[which])} pages seen")
        return found

    try:
        learned = part(given.learned, how.looks, keep=how.train == "vision")
        pages = Pages(learned, part(given.heldout, 1, keep=ranks.first))  # the first rank reads them
        whole = True
    except _Stopped:
        whole = False
    return None if ranks.any(not whole) else pages


def example(one: Prepared, look: int = 0) -> Example:
    from pipeline.vintern.tuning import Example

    tiles = one.looks[look % len(one.looks)] if one.looks else None
    return Example(one.tokens, one.keys[look % len(one.keys)] if one.keys else None, tiles)


def _held(path: Path) -> list[Item]:
    """The held-out part of a folder of ours; none of any other set."""
    if not path.is_dir() or not (path / HELDOUT).is_file() or not (path / HELDOUT).stat().st_size:
        return []
    return dataset.good(path, HELDOUT)
