"""One run of fine-tuning, in a folder of its own (`folder`), which the same command goes on with.

Several processes may make it together (`vintern.ranks`): the first of them has the folder and speaks, and the
plan of what is learned when does not depend on how many they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.settings import EngineSettings, Settings
from pipeline.tuning import finish, folder, learner, pages, plan
from pipeline.tuning.finish import Learned
from pipeline.tuning.folder import RunFolder
from pipeline.tuning.prepare import Resolve
from pipeline.tuning.scoring import Known, Score, score
from pipeline.tuning.wish import Wish
from pipeline.vintern.ranks import ALONE, Ranks

SAVE_SECONDS = 60.0
SAMPLE = 24  # held-out pages that are read while the run goes on


@dataclass(frozen=True, slots=True)
class Outcome:
    """`seconds` went into steps, those of earlier sittings included; `scores`: of each held-out set before
    and after. Without a hash: the run was stopped before its end; with `of` 0, before any step.
    """

    steps: int
    of: int
    seconds: float
    checkpoint_hash: str | None = None
    scores: Mapping[str, tuple[Score | None, Score]] = field(default_factory=dict)
    too_long: int = 0


Tell = Callable[[str], None]


def tune(
    wish: Wish,
    settings: Settings,
    resolve: Resolve,
    tell: Tell,
    stopped: Callable[[], bool],
    ranks: Ranks = ALONE,
) -> Outcome:
    """Learns until the plan is through, or `stopped` at one of the ranks: then it is saved and the same wish
    goes on. Scores are those of the first rank.

    Raises UsageError for a set that cannot be learned from and for a folder that holds another run.
    """
    with folder.opened(wish.out) if ranks.first else nullcontext(RunFolder(wish.out)) as opened:
        run = Run(wish, opened, settings, resolve, tell, ranks)
        return run.go(stopped) if run.prepare(stopped) else Outcome(0, 0, 0.0)


class Run:
    def __init__(
        self, wish: Wish, opened: RunFolder, settings: Settings, resolve: Resolve, tell: Tell, ranks: Ranks
    ) -> None:
        self.wish, self.folder, self.settings, self.ranks = wish, opened, settings, ranks
        self.tell: Tell = tell if ranks.first else lambda _line: None
        self.sets = pages.sets(wish)
        self.learner = learner.load(wish, self.sets.learned["new"], opened, settings.render, resolve, ranks)
        self.tuner = self.learner.tuner
        self.how = self.tuner.settings
        self.seconds = 0.0

    def prepare(self, stopped: Callable[[], bool]) -> bool:
        """Pages are drawn, seen and planned; False where that was stopped."""
        found = pages.prepared(self.sets, self.learner, self.ranks, self.tell, stopped)
        if found is None:
            return False
        if not found.learned["new"]:
            raise UsageError(f"{self.wish.data}: no item fits into the model's context")
        self.pages = found
        self._claim()
        lengths = {which: [len(one.tokens.ids) for one in rows] for which, rows in found.learned.items()}
        self.batches = plan.batches(lengths["new"], lengths["old"], self.how)
        if self.wish.steps is not None:
            self.batches = self.batches[: self.wish.steps]
        return True

    def _claim(self) -> None:
        """What decides what comes of the run is kept in its folder, where no other run may be."""
        model = self.learner.model
        self.told = {
            "base": self.wish.model,
            "base_hash": model.checkpoint_hash,
            "data_hash": self.pages.digest,
            "new_tokens": self.learner.new_words,
            "settings": asdict(self.how),
            "steps": self.wish.steps,
            "dtype": str(model.dtype).removeprefix("torch."),
        }
        if self.ranks.first:
            self.folder.claim(self.told)
        self.ranks.wait()
        if not self.ranks.first:
            self.folder.must_be(self.told)

    def go(self, stopped: Callable[[], bool]) -> Outcome:
        step, steps = self._restore(), len(self.batches)
        if self.ranks.first and self.folder.before is None:
            before = self._score(whole=True)
            self.folder.keep_before(before)
            self._log(0, scores=before)
        every = max(1, steps // (self.wish.evaluate + 1))
        saved = told = time.monotonic()
        losses: list[float] = []
        while step < steps and not self.ranks.any(stopped()):
            began = time.monotonic()
            losses.append(self._step(step))
            step += 1
            now = time.monotonic()
            self.seconds += now - began
            if now - told > 10 or step == steps or step % every == 0:
                self._log(step, loss=sum(losses) / len(losses), seconds=self.seconds)
                losses, told = [], now
            if step % every == 0 and step < steps:
                self._look(step)
            if time.monotonic() - saved > SAVE_SECONDS:
                self._save(step)
                saved = time.monotonic()
        self._save(step)
        too_long = len(self.learner.preparer.too_long)
        if step < steps or not self.ranks.first:
            return Outcome(step, steps, self.seconds, too_long=too_long)
        after = self._look(step, whole=True)
        known = self.folder.before or {}
        scores = {name: (known.get(name), one) for name, one in after.items()}
        digest = finish.finish(self._learned(), scores)
        return Outcome(step, steps, self.seconds, digest, scores, too_long)

    def _step(self, step: int) -> float:
        batch = [
            pages.example(self.pages.learned["old" if old else "new"][at], look)
            for old, at, look in self.batches[step]
        ]
        return self.tuner.step(batch, plan.rate(step, len(self.batches), self.how.warm_up))

    def _learned(self) -> Learned:
        model, learned = self.learner.model, self.pages.learned
        on = (
            f"{model.device}"
            if self.ranks.world == 1
            else f"{self.ranks.world} workers ({model.device.type})"
        )
        specs = [one.labels.spec for one in learned["new"] if one.labels is not None]
        return Learned(
            self.folder.path,
            self.wish.model,
            self.learner.base,
            self.tuner,
            self.how,
            self.learner.words,
            {
                "base hash": f"`{model.checkpoint_hash}`",
                "data hash": f"`{self.pages.digest}`",
                "learned from": f"{len(learned['new'])} items of {self.wish.data.name}",
                "mixed in": f"{len(learned['old'])} old items to draw from",
                "new tokens": str(len(self.learner.new_words)),
                "steps": f"{len(self.batches)} in {self.seconds:.0f} s on {on}, {self.told['dtype']}",
            },
            [f"{spec.name}@{spec.version}" for spec in specs],
        )

    def _look(self, step: int, *, whole: bool = False) -> Mapping[str, Score]:
        """Held-out pages are read and the loss over some of them is taken, by the first rank."""
        if not self.ranks.first or not any(self.pages.heldout.values()):
            return {}
        scores = self._score(whole=whole)
        some = [pages.example(one) for one in self.pages.heldout["new"][:SAMPLE]]
        self._log(step, scores=scores, heldout_loss=self.tuner.loss(some) if some else None)
        return scores

    def _score(self, *, whole: bool = False) -> dict[str, Score]:
        """Of each held-out set with a schema: a sample on the way, all of it before and after."""
        found: dict[str, Score] = {}
        engine = self.settings.engine.model_copy(update={"device": self.wish.device})
        for which, rows in self.pages.heldout.items():
            for schema in dict.fromkeys(one.item.schema for one in rows if one.labels is not None):
                known = [
                    Known(one.looks[0], one.item.question, one.item.answer, one.labels)
                    for one in rows
                    if one.labels is not None and one.looks and one.item.schema == schema
                ]
                name = f"{'old' if which == 'old' else 'new'}: {Path(str(schema)).name}"
                found[name] = score(self.tuner.learned(), known if whole else known[:SAMPLE], _room(engine))
        return found

    def _log(self, step: int, scores: Mapping[str, Score] | None = None, **what: float | None) -> None:
        numbers = {key: round(value, 4) for key, value in what.items() if value is not None}
        if not self.ranks.first or not (numbers or scores):
            return
        self.folder.log(step, numbers, scores or {})
        shown = [f"{key.replace('_', ' ')} {value:g}" for key, value in numbers.items()]
        shown += [f"{name}: F1 {one.f1:.3f} on {one.pages} pages" for name, one in (scores or {}).items()]
        self.tell(f"step {step} of {len(self.batches)}: {', '.join(shown)}")

    def _save(self, step: int) -> None:
        if self.ranks.first:
            self.tuner.save(self.folder.state, step=step, seconds=self.seconds)

    def _restore(self) -> int:
        """The step to go on with. Raises UsageError where the ranks do not find the same one."""
        step = 0
        if self.folder.state.is_file():
            told = self.tuner.load(self.folder.state)
            step, self.seconds = int(told["step"]), told["seconds"]
        if not self.ranks.same(step):
            raise UsageError(self.folder.elsewhere)
        return step


def _room(engine: EngineSettings) -> EngineSettings:
    """The engine beside a model that learns: no more requests at once than on a CPU."""
    return engine.model_copy(update={"max_batch": engine.max_batch or 16})
