"""One run of fine-tuning, in a folder of its own (`folder`), which the same command goes on with."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError
from pipeline.settings import EngineSettings, Settings
from pipeline.tuning import dataset, finish, folder, plan
from pipeline.tuning.dataset import HELDOUT, Item
from pipeline.tuning.finish import Learned
from pipeline.tuning.folder import RunFolder
from pipeline.tuning.prepare import Prepared, Preparer, Resolve, schemas_of
from pipeline.tuning.scoring import Known, Score, score
from pipeline.vintern import checkpoint, growing, tune_settings
from pipeline.vintern import tokenizer as tokenizers
from pipeline.vintern.config import limited, resized
from pipeline.vintern.tune_settings import TuneSettings

if TYPE_CHECKING:
    from pipeline.vintern.tuning import Example, Tuner

SAVE_SECONDS = 60.0
SAMPLE = 24  # held-out pages that are read while the run goes on


@dataclass(frozen=True, slots=True)
class Wish:
    """What a run is to do. `settings` None: those that suit the model's size, changed by `changes`.

    replay   data sets of pages that the model reads already
    evaluate how often a sample of the held-out pages is read on the way, beside before and after
    """

    data: Path
    model: str
    out: Path
    replay: Sequence[Path] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = "auto"
    device: str = "auto"
    evaluate: int = 3
    steps: int | None = None  # end after so many


@dataclass(frozen=True, slots=True)
class Outcome:
    """`seconds` went into steps, those of earlier sittings included; `scores`: of each held-out set before
    and after. Without a hash: the run was stopped before its end.
    """

    steps: int
    of: int
    seconds: float
    checkpoint_hash: str | None = None
    scores: Mapping[str, tuple[Score | None, Score]] = field(default_factory=dict)
    too_long: int = 0


Tell = Callable[[str], None]


def tune(
    wish: Wish, settings: Settings, resolve: Resolve, tell: Tell, stopped: Callable[[], bool]
) -> Outcome:
    """Learns until the plan is through, or `stopped`: then it is saved and the same wish goes on.

    Raises UsageError for a set that cannot be learned from and for a folder that holds another run.
    """
    with folder.opened(wish.out) as opened:
        return Run(wish, opened, settings, resolve, tell).go(stopped)


class _Stopped(Exception):
    """Somebody asked for the end before the first step."""


class Run:
    def __init__(
        self, wish: Wish, opened: RunFolder, settings: Settings, resolve: Resolve, tell: Tell
    ) -> None:
        self.wish, self.folder, self.settings, self.tell = wish, opened, settings, tell
        self.items: dict[str, list[Item]] = {"new": dataset.good(wish.data), "old": []}
        self.heldout: dict[str, list[Item]] = {"new": _held(wish.data), "old": []}
        for path in wish.replay:
            self.items["old"] += dataset.good(path)
            self.heldout["old"] += _held(path)
        self.base = checkpoint.locate(wish.model)
        self._load(resolve)
        self.seconds = 0.0

    def _load(self, resolve: Resolve) -> None:
        """The model, with tokens for the words of a new paper where its tokenizer is a small one."""
        from pipeline.vintern.model import load
        from pipeline.vintern.tuning import Tuner, with_tokens

        model = load(self.wish.model, dtype=self.wish.dtype, device=self.wish.device)
        count = sum(weight.numel() for weight in model.network.parameters())
        usual = plan_settings(count, self.wish.changes)
        self.how = usual
        small = model.tokenizer.size < growing.SMALL
        specs = [resolve(name) for name in schemas_of(self.items["new"])]
        wanted = [word for spec in specs for word in growing.words(spec, model.config.answer_form)]
        self.new_words = growing.missing(model.tokenizer, wanted) if small else []
        self.words: Path | None = None
        tokenizer, vocab = model.tokenizer, model.config.language.vocab
        if self.new_words:
            self.words = self.folder.words
            growing.grow(self.base, model.tokenizer, self.new_words, self.words)
            tokenizer = tokenizers.load(self.words)
            vocab = tokenizer.size
        limit = limited(model.config, self.how.max_tiles)
        config = resized(limit, vocab, limit.max_tiles)
        self.model = with_tokens(model, config, tokenizer, self.new_words)
        self.preparer = Preparer(
            config,
            tokenizer,
            min(self.how.context, config.context_length),
            self.how.skeleton,
            resolve,
            self.settings.render,
        )
        self.tuner: Tuner = Tuner(self.model, self.how, self.folder.visual)
        self.seen_by = sha256(f"{model.checkpoint_hash} {self.model.dtype}".encode()).hexdigest()

    def _prepare(self, stopped: Callable[[], bool]) -> None:
        """Pages are drawn and cut, and what the frozen vision tower says of them is kept. Raises _Stopped."""
        self.prepared: dict[str, list[Prepared]] = {}
        self.known: dict[str, list[Prepared]] = {}
        for parts, prepared, looks in (
            (self.items, self.prepared, self.how.looks),
            (self.heldout, self.known, 1),
        ):
            for which, items in parts.items():
                found = self.preparer.prepared(items, looks)
                prepared[which] = [self._seen(one, parts is self.items, stopped) for one in found]
                if items:
                    self.tell(f"{len(prepared[which])} pages seen")
        if not self.prepared["new"]:
            raise UsageError(f"{self.wish.data}: no item fits into the model's context")
        self._fingerprint()
        lengths = {which: [len(one.tokens.ids) for one in rows] for which, rows in self.prepared.items()}
        self.batches = plan.batches(lengths["new"], lengths["old"], self.how)
        if self.wish.steps is not None:
            self.batches = self.batches[: self.wish.steps]

    def _seen(self, one: Prepared, learned: bool, stopped: Callable[[], bool]) -> Prepared:
        """The item with its pictures kept; their tiles leave the memory where nobody needs them again."""
        from pipeline.vintern.tuning import picture_key

        if stopped():
            raise _Stopped
        keys = tuple(picture_key(self.seen_by, look) for look in one.looks)
        for key, look in zip(keys, one.looks, strict=True):
            self.tuner.see(key, look)
        again = not learned or self.how.train == "vision"
        return replace(one, looks=one.looks if again else (), keys=keys)

    def _fingerprint(self) -> None:
        """What decides what comes of the run, kept in its folder, where no other run may be."""
        self.data_hash = sha256(
            "\n".join(one.digest for rows in self.prepared.values() for one in rows).encode()
        ).hexdigest()
        self.told = {
            "base": self.wish.model,
            "base_hash": self.model.checkpoint_hash,
            "data_hash": self.data_hash,
            "new_tokens": self.new_words,
            "settings": asdict(self.how),
            "steps": self.wish.steps,
            "dtype": str(self.model.dtype).removeprefix("torch."),
        }
        self.folder.claim(self.told)

    def go(self, stopped: Callable[[], bool]) -> Outcome:
        step = self._restore()
        try:
            self._prepare(stopped)
        except _Stopped:
            return Outcome(step, 0, self.seconds)
        steps = len(self.batches)
        if self.folder.before is None:
            before = self._score(whole=True)
            self.folder.keep_before(before)
            self._log(0, scores=before)
        every = max(1, steps // (self.wish.evaluate + 1))
        saved = told = time.monotonic()
        losses: list[float] = []
        while step < steps and not stopped():
            began = time.monotonic()
            examples = [
                self._example(self.prepared["old" if old else "new"][at], look)
                for old, at, look in self.batches[step]
            ]
            losses.append(self.tuner.step(examples, plan.rate(step, steps, self.how.warm_up)))
            step += 1
            now = time.monotonic()
            self.seconds += now - began
            if now - told > 10 or step == steps or step % every == 0:
                self._log(step, loss=sum(losses) / len(losses), seconds=self.seconds)
                losses, told = [], now
            if step % every == 0 and step < steps and any(self.known.values()):
                self._log(step, scores=self._score(), heldout_loss=self._heldout_loss())
            if time.monotonic() - saved > SAVE_SECONDS:
                self._save(step)
                saved = time.monotonic()
        self._save(step)
        if step < steps:
            return Outcome(step, steps, self.seconds, too_long=len(self.preparer.too_long))
        after = self._score(whole=True)
        self._log(step, scores=after, heldout_loss=self._heldout_loss())
        known = self.folder.before or {}
        scores = {name: (known.get(name), one) for name, one in after.items()}
        digest = finish.finish(self._learned(), scores)
        return Outcome(step, steps, self.seconds, digest, scores, len(self.preparer.too_long))

    def _learned(self) -> Learned:
        where = f"on {self.model.device}, {self.told['dtype']}"
        specs = [one.labels.spec for one in self.prepared["new"] if one.labels is not None]
        return Learned(
            self.folder.path,
            self.wish.model,
            self.base,
            self.tuner,
            self.how,
            self.words,
            {
                "base hash": f"`{self.model.checkpoint_hash}`",
                "data hash": f"`{self.data_hash}`",
                "learned from": f"{len(self.prepared['new'])} items of {self.wish.data.name}",
                "mixed in": f"{len(self.prepared['old'])} old items to draw from",
                "new tokens": str(len(self.new_words)),
                "steps": f"{len(self.batches)} in {self.seconds:.0f} s {where}",
            },
            [f"{spec.name}@{spec.version}" for spec in specs],
        )

    def _example(self, one: Prepared, look: int = 0) -> Example:
        from pipeline.vintern.tuning import Example

        tiles = one.looks[look] if one.looks else None
        return Example(one.tokens, one.keys[look] if one.keys else None, tiles)

    def _heldout_loss(self) -> float | None:
        rows = self.known["new"][:SAMPLE]
        return self.tuner.loss([self._example(one) for one in rows]) if rows else None

    def _score(self, *, whole: bool = False) -> dict[str, Score]:
        """Of each held-out set with a schema: a sample on the way, all of it before and after."""
        found: dict[str, Score] = {}
        engine = self.settings.engine.model_copy(update={"device": self.wish.device})
        for which, rows in self.known.items():
            for schema in dict.fromkeys(one.item.schema for one in rows if one.labels is not None):
                pages = [
                    Known(one.looks[0], one.item.question, one.item.answer, one.labels)
                    for one in rows
                    if one.labels is not None and one.looks and one.item.schema == schema
                ]
                name = f"{'old' if which == 'old' else 'new'}: {Path(str(schema)).name}"
                found[name] = score(self.tuner.learned(), pages if whole else pages[:SAMPLE], _room(engine))
        return found

    def _log(self, step: int, scores: Mapping[str, Score] | None = None, **what: float | None) -> None:
        numbers = {key: round(value, 4) for key, value in what.items() if value is not None}
        if not numbers and not scores:
            return
        self.folder.log(step, numbers, scores or {})
        shown = [f"{key.replace('_', ' ')} {value:g}" for key, value in numbers.items()]
        shown += [f"{name}: F1 {one.f1:.3f} on {one.pages} pages" for name, one in (scores or {}).items()]
        self.tell(f"step {step} of {len(self.batches)}: {', '.join(shown)}")

    def _save(self, step: int) -> None:
        self.tuner.save(self.folder.state, step=step, seconds=self.seconds)

    def _restore(self) -> int:
        if not self.folder.state.is_file():
            return 0
        told = self.tuner.load(self.folder.state)
        self.seconds = told["seconds"]
        return int(told["step"])


def plan_settings(parameters: int, changes: Mapping[str, Any]) -> TuneSettings:
    """The usual settings of a model of that size, with what is asked for instead."""
    usual = tune_settings.usual(parameters)
    return replace(usual, **{name: value for name, value in changes.items() if value is not None})


def _held(path: Path) -> list[Item]:
    """The held-out part of a folder of ours; none of any other set."""
    if not path.is_dir() or not (path / HELDOUT).is_file() or not (path / HELDOUT).stat().st_size:
        return []
    return dataset.good(path, HELDOUT)


def _room(engine: EngineSettings) -> EngineSettings:
    """The engine beside a model that learns: no more requests at once than on a CPU."""
    return engine.model_copy(update={"max_batch": engine.max_batch or 16})
