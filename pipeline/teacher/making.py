"""Pages are shown to a teacher, and what it says becomes a data set in the format of InternVL.

    train.jsonl       a row for each answer that nothing speaks against
    meta.json         names that file, as InternVL's training scripts take it
    images/           the pictures, as the teacher saw them
    provenance.jsonl  of each row: whose answer to what it is, under which settings, and that it passed
    refused.jsonl     the same of what was refused, with why
    ledger.db         what was asked and answered: the same command goes on, and judges anew without asking

The rows are written anew from the ledger at each end, in the order in which pages were first asked about.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from pipeline.errors import Unavailable, UsageError, VinbatchError
from pipeline.private import whole_file, write_text
from pipeline.settings import Settings
from pipeline.store.teaching import Asked, TaughtPage, Teaching
from pipeline.teacher import filters
from pipeline.teacher.answers import NoTurns, Turn, turns
from pipeline.teacher.asking import Asking, Purse, Refused, Teacher, TryLater
from pipeline.teacher.held_out import HeldOut
from pipeline.teacher.pages import Pages, image_path
from pipeline.teacher.prompts import Prompt
from pipeline.teacher.protocols import Decoding, Reply
from pipeline.tuning.dataset import META, TRAIN, Item

LEDGER, ROWS, PROVENANCE, REFUSED = "ledger.db", TRAIN, "provenance.jsonl", "refused.jsonl"
STOPPED = "it was stopped"
_AWAY = 3  # requests in a row that get no answer: then the teacher is away


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be made. `licence` is what a person says of pages and answers, and goes into each row."""

    sources: tuple[str, ...]
    prompts: tuple[Prompt, ...]
    licence: str
    concurrency: int = 8
    most_pages: int | None = None


@dataclass(slots=True)
class Made:
    """How it went. Counts of this run, and rows of the whole set."""

    pages: int = 0
    asked: int = 0
    known: int = 0  # answered in an earlier run
    waiting: int = 0  # requests without an answer, which the same command asks again
    refused_by_teacher: int = 0
    rows: int = 0
    turns: int = 0
    refused: Counter[str] = field(default_factory=Counter)  # turns by verdict
    spent: float = 0.0  # of all runs
    stopped: str | None = None  # why not everything was asked
    problems: list[tuple[str, str]] = field(default_factory=list)  # files without pages


def key_of(
    page: TaughtPage, prompt: Prompt, teacher: Teacher, decoding: Decoding
) -> tuple[str, dict[str, Any]]:
    """The name of a request, and what it was asked beside the picture, JSON-ready.

    It holds all that can change the answer, and not where the teacher stands: a server may move.
    """
    asked = {
        "teacher": teacher.model,
        "protocol": teacher.protocol,
        "prompt": prompt.id,
        "prompt_sha256": hashlib.sha256(prompt.text.encode()).hexdigest(),
        "decoding": asdict(decoding),
    }
    named = json.dumps({"image": page.image, **asked}, sort_keys=True)
    return hashlib.sha256(named.encode()).hexdigest(), asked


_Todo = tuple[TaughtPage, Prompt, str, dict[str, Any]]  # with the request's key, and what it is made of


class Making:
    """One run over one folder. `told` is called with what was done so far, now and then."""

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        asking: Asking,
        purse: Purse,
        settings: Settings,
        held_out: HeldOut,
        stop: Callable[[], bool] = lambda: False,
        told: Callable[[Made], None] = lambda _made: None,
    ) -> None:
        self._folder, self._plan, self._asking, self._purse = folder, plan, asking, purse
        self._settings, self._held_out, self._stop, self._told = settings, held_out, stop, told
        self.made = Made()
        self._unanswered = 0  # in a row
        self._looked_at = ("", False)  # a picture, and whether it is held out
        self._taken = 0.0  # of the purse, for the next request
        self._kinds = {prompt.id: prompt for prompt in plan.prompts}

    async def run(self) -> Made:
        """Ask what was not asked yet, then write the rows. Raises UsageError and Unavailable."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with Teaching(self._folder / LEDGER) as ledger:
            self._purse.spent = ledger.spent()
            try:
                await self._ask_all(ledger)
            finally:
                await self._asking.close()
                self.made.spent = ledger.spent()
                self.made.problems = ledger.problems()
                self._write(ledger)
        return self.made

    async def _ask_all(self, ledger: Teaching) -> None:
        """Several requests at a time. The first error that is about all of them lets the others end, and is
        raised.
        """
        todo = self._todo(ledger)
        waiting: set[asyncio.Task[None]] = set()
        coming: _Todo | None = None
        more = True
        try:
            while more or waiting:
                while more and len(waiting) < self._plan.concurrency:
                    if self._stopped():
                        more = False
                        break
                    coming = coming or await asyncio.to_thread(next, todo, None)
                    if coming is None:
                        more = False
                    elif self._affordable(alone=not waiting):
                        waiting.add(asyncio.create_task(self._one(ledger, *coming, self._taken)))
                        coming = None
                    else:  # until those that are under way have told what they cost
                        break
                if waiting:
                    done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                    errors = [error for task in done if (error := task.exception()) is not None]
                    if errors:
                        raise errors[0]
                    self._told(self.made)
        finally:
            if waiting:
                self._asking.hurry()
                await asyncio.gather(*waiting, return_exceptions=True)

    def _stopped(self) -> bool:
        if self._stop() and self.made.stopped is None:
            self.made.stopped = STOPPED
            self._asking.hurry()
        return self.made.stopped is not None

    def _affordable(self, *, alone: bool) -> bool:
        """Whether there is money for one more request, which is taken then. `alone`: none is under way."""
        most = self._purse.most(self._asking.decoding)
        if self._purse.take(most):
            self._taken = most
            return True
        if alone:
            self.made.stopped = (
                f"the next request may cost {most:.4f}, and {self._purse.spent:.4f} of "
                f"{self._purse.limit or 0:g} are spent (--max-cost)"
            )
        return False

    def _todo(self, ledger: Teaching) -> Iterator[_Todo]:
        """What was neither answered nor refused yet, page by page."""
        decoding, teacher = self._asking.decoding, self._asking.teacher
        seen: set[str] = set()
        for page in Pages(self._folder, ledger, self._settings).of(self._plan.sources):
            if page.image in seen:
                continue
            if self._plan.most_pages is not None and len(seen) >= self._plan.most_pages:
                return
            seen.add(page.image)
            self.made.pages += 1
            for prompt in self._plan.prompts:
                key, asked = key_of(page, prompt, teacher, decoding)
                if ledger.ended(key):
                    self.made.known += 1
                else:
                    yield page, prompt, key, asked

    async def _one(
        self,
        ledger: Teaching,
        page: TaughtPage,
        prompt: Prompt,
        key: str,
        asked: Mapping[str, Any],
        most: float,
    ) -> None:
        path = image_path(self._folder, page.image)
        picture = await asyncio.to_thread(path.read_bytes)
        if hashlib.sha256(picture).hexdigest() != page.image:
            raise UsageError(f"{path} is not the picture that it was: use another folder")
        ask = Asked(key, page.image, prompt.id, asked, cost=most)
        ledger.begin(ask)
        self.made.asked += 1
        try:
            answer = await self._asking.ask(prompt.text, picture)
        except TryLater as error:
            ledger.give_up(key, most, self._purse.settle(most, None, error.unsettled))
            self._not_answered(error)
        except Refused as error:
            self._purse.settle(most, None)
            ledger.end(_ended(ask, problem=error.message), most)
            self.made.refused_by_teacher += 1
        except VinbatchError:
            ledger.give_up(key, most, self._purse.settle(most, None))
            raise
        else:
            self._unanswered = 0
            cost = self._purse.settle(most, answer.reply, answer.unsettled)
            await asyncio.to_thread(ledger.end, _ended(ask, answer.reply, cost), most)

    def _not_answered(self, error: TryLater) -> None:
        """Raises Unavailable where the teacher seems to be away."""
        self.made.waiting += 1
        self._unanswered += 1
        if self._unanswered >= _AWAY and self.made.stopped is None:
            raise Unavailable(f"{error.message}; the same command goes on where this one stopped") from None

    # from the ledger to rows

    def _write(self, ledger: Teaching) -> None:
        folder, made = self._folder, self.made
        made.rows, made.turns, made.refused = 0, 0, Counter()
        with (
            whole_file(folder / ROWS) as rows,
            whole_file(folder / PROVENANCE) as provenance,
            whole_file(folder / REFUSED) as refused,
        ):
            seen: set[int] = set()
            for page, ask in ledger.answers():
                prompt = self._kinds.get(ask.prompt)
                if prompt is None:  # of a run with other tasks: what it asked is not asked for now
                    continue
                good, bad = self._sorted(page, ask, prompt, seen)
                source = self._provenance(page, ask)
                if good:
                    made.rows += 1
                    made.turns += len(good)
                    _line(rows, _row(page, ask, prompt, good))
                    _line(provenance, {**source, "verdict": "passed", "turns": len(good)})
                for turn, verdict in bad:
                    made.refused[verdict.code] += 1
                    said = {} if turn is None else {"question": turn.question}
                    _line(refused, {**source, "verdict": verdict.code, "why": verdict.why, **said})
        entry = {
            "root": "images/",
            "annotation": ROWS,
            "data_augment": False,
            "repeat_time": 1,
            "length": made.rows,
        }
        write_text(folder / META, json.dumps({"teacher": entry}, indent=1) + "\n")

    def _sorted(
        self, page: TaughtPage, ask: Asked, prompt: Prompt, seen: set[int]
    ) -> tuple[list[Turn], list[tuple[Turn | None, filters.Verdict]]]:
        """The turns that nothing speaks against, and the others."""
        if self._is_held_out(page):
            return [], [(None, _DUPLICATE)]
        if (
            ask.finish in ("blocked", "length")
            or not (ask.text or "").strip()
            or filters.declines(ask.text or "")
        ):
            whole = filters.judged(prompt.kind, Turn("", ask.text or ""), page, ask.finish)
            return [], [(None, whole or filters.Verdict("refusal", "the teacher declined in words"))]
        try:
            found = turns(prompt, ask.text or "", whole=page.of == 1)
        except NoTurns as error:
            return [], [(None, filters.Verdict(error.code, str(error)))]
        good: list[Turn] = []
        bad: list[tuple[Turn | None, filters.Verdict]] = []
        for turn in found:
            verdict = filters.judged(prompt.kind, turn, page, ask.finish)
            named = _number(page.image, turn.question.casefold())
            if verdict is None and named in seen:
                verdict = filters.Verdict("duplicate", "the same is asked of this page in another row")
            if verdict is None and (
                self._held_out.has_pair(turn.question, turn.answer) or self._held_out.has_text(turn.answer)
            ):
                verdict = _DUPLICATE
            if verdict is None:
                seen.add(named)
                good.append(turn)
            else:
                bad.append((turn, verdict))
        return good, bad

    def _is_held_out(self, page: TaughtPage) -> bool:
        if page.image != self._looked_at[0]:  # a page's answers come one after the other, mostly
            held = self._held_out
            picture = image_path(self._folder, page.image)
            known = page.text is not None and held.has_text(page.text)
            known = known or (bool(held.names) and held.has_picture(page.image, picture.read_bytes()))
            self._looked_at = page.image, known
        return self._looked_at[1]

    def _provenance(self, page: TaughtPage, ask: Asked) -> dict[str, Any]:
        return {
            "id": ask.key[:24],
            "key": ask.key,
            "image_sha256": page.image,
            "document": page.uri,
            "document_sha256": page.document,
            "page": page.page,
            **ask.asked,
            "teacher_version": ask.version,
            "answer_sha256": hashlib.sha256((ask.text or "").encode()).hexdigest(),
            "tokens": {"in": ask.tokens_in, "out": ask.tokens_out},
            "cost": round(ask.cost, 6),
            "asked_at": ask.at,
            "licence": self._plan.licence,
            "filters": filters.VERSION,
            "held_against": "text" if page.exact and page.text else "reader" if page.reader else "nothing",
        }


_DUPLICATE = filters.Verdict("duplicate_of_evaluation", "it is in a set that models are measured by")


def _ended(ask: Asked, reply: Reply | None = None, cost: float = 0.0, problem: str | None = None) -> Asked:
    if reply is None:
        return Asked(ask.key, ask.image, ask.prompt, ask.asked, "refused", problem=problem)
    return Asked(
        ask.key,
        ask.image,
        ask.prompt,
        ask.asked,
        "answered",
        cost,
        reply.text,
        reply.finish,
        reply.version,
        reply.tokens_in,
        reply.tokens_out,
    )


def _row(page: TaughtPage, ask: Asked, prompt: Prompt, found: Sequence[Turn]) -> dict[str, Any]:
    spec = prompt.spec
    item = Item(
        ask.key[:24],
        page.uri,
        None,
        tuple((turn.question, turn.answer) for turn in found),
        page.width,
        page.height,
        None if spec is None else f"{spec.name}@{spec.version}",
        page.document,
        page.page,
    )
    return item.row(f"{page.image[:2]}/{page.image}.jpg")


def _number(*parts: str) -> int:
    """One that stands for these texts: millions of them are held in memory."""
    return int.from_bytes(hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest())


def _line(file: IO[bytes], row: Mapping[str, Any]) -> None:
    file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
