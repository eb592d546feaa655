"""`vinbatch eval --bench`: answers to a published benchmark are asked for, scored, judged and compared."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError
from pipeline.printable import as_json
from pipeline.private import write_text
from workers import screen
from workers.cli import options

if TYPE_CHECKING:
    from pipeline.evaluation.bench.judging import Judge
    from pipeline.evaluation.bench.predictions import Predictions
    from pipeline.evaluation.bench.questions import Question
    from pipeline.evaluation.drawing import Figure
    from pipeline.settings import Settings

_TELL = 100  # answers between two lines of progress
_URL, _KEY = "VINBATCH_JUDGE_URL", "VINBATCH_JUDGE_KEY"
_HEADS = ("Measure", "Value", "95% interval", "n")


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed."""

    bench: str
    data: Path | None
    split: str
    limit: int | None
    model: str | None
    predictions: Path | None
    compare: tuple[str, str] | None
    judges: tuple[str, ...]
    marks: Path | None
    send_answers: bool


def run(asked: Asked, settings: Settings, json_path: Path | None) -> None:
    """Raises UsageError before anything is asked where that can be known."""
    with options.extra("evaluation"):
        from pipeline.evaluation.bench import benches, scoring

    if asked.data is None:
        raise UsageError("eval --bench wants --data, the benchmark's folder or the file of one split")
    judges = _judges(asked)
    questions = benches.load(asked.bench, asked.data, asked.split, settings.source)[: asked.limit]
    if asked.compare is not None:
        return _compare(asked, questions, json_path)
    if asked.predictions is None:
        raise UsageError("eval --bench wants --predictions: a file of answers, or with --model one for them")
    failed = _ask(asked, questions, asked.predictions, settings) if asked.model is not None else 0
    given = _read(asked.predictions)
    report = scoring.score(asked.bench, questions, given.answers, given.made_by)
    judged, extra = _judge(judges, asked, questions, given)
    screen.table(_HEADS, [_row(one) for one in (*report.figures, *extra)], f"{asked.bench}, {asked.split}")
    for line in (*_scope(report.questions, report.unanswered, report.unknown, failed), *judged):
        screen.say(line)
    if json_path is not None:
        held = report.as_json() | {"judged": [asdict(one) for one in extra]}
        write_text(json_path, as_json(held, indent=2) + "\n")


def _scope(questions: int, unanswered: int, unknown: int, failed: int) -> list[str]:
    lines = [
        f"{questions} questions. Texts are compared in NFC and lower case; EM, F1, ROUGE-L, BLEU and CIDEr-D "
        "with punctuation as blanks. BLEU is of the whole set, unsmoothed; CIDEr-D goes to 10."
    ]
    if unanswered:
        lines.append(f"{unanswered} questions have no answer, and count as answered with nothing.")
    if failed:
        lines.append(
            f"{failed} of them could not be asked: their pictures failed; the same command tries again."
        )
    if unknown:
        lines.append(f"{unknown} answers belong to no question, and are left out.")
    return lines


def _row(one: Figure) -> tuple[str, ...]:
    return one.name, f"{one.value:.4f}", f"{one.low:.4f} to {one.high:.4f}", str(one.n)


def _read(path: Path) -> Predictions:
    from pipeline.evaluation.bench import predictions

    return predictions.read(path)


def _ask(asked: Asked, questions: Sequence[Question], path: Path, settings: Settings) -> int:
    """Have the model answer what has no answer yet; returns how many could not be asked."""
    from pipeline.evaluation.bench import asking, predictions

    with predictions.appended(path) as add:
        held = predictions.read(path)
        left = [question for question in questions if question.id not in held.answers]
        if not left:
            return 0
        asker = asking.Asker(str(asked.model), settings)
        own = f"{asker.checkpoint} {asking.PROMPT}"
        if others := [maker for maker in held.made_by if maker != own]:
            who = others[0][:12] or "somebody else"
            raise UsageError(f"{path} holds answers of {who}; give {asked.model} a file of its own")
        failed = 0
        for number, answer in enumerate(asker.ask(left), 1):
            if answer.finish == "error":
                failed += 1
                screen.say(f"question {answer.id} could not be asked: {answer.why}", err=True)
            else:
                said: dict[str, Any] = {"id": answer.id, "answer": answer.text, "finish": answer.finish}
                add(said | {"checkpoint": asker.checkpoint, "prompt": asking.PROMPT})
            if number % _TELL == 0:
                screen.say(f"{number} of {len(left)} questions are answered", err=True)
    return failed


def _compare(asked: Asked, questions: Sequence[Question], json_path: Path | None) -> None:
    from pipeline.evaluation.bench import comparing
    from workers.cli.evaluating import show_comparison

    if asked.model or asked.predictions or asked.judges:
        raise UsageError(
            "--compare A B names two files of answers: leave out --model, --predictions and --judge"
        )
    one, other = (_read(Path(name)) for name in asked.compare or ())
    show_comparison(comparing.compare(questions, one, other), json_path)


def _judges(asked: Asked) -> list[Judge]:
    """Raises UsageError where there is no address, or one that may not be asked."""
    from pipeline.evaluation.bench.chat import ChatServer
    from pipeline.evaluation.bench.judging import Judge

    if len(asked.judges) > 2 or len(set(asked.judges)) < len(asked.judges):
        raise UsageError("--judge: one judge, or two of different names")
    found = []
    for number, model in enumerate(asked.judges, 1):
        own = "" if number == 1 else f"_{number}"
        url = os.environ.get(_URL + own, os.environ.get(_URL))
        if not url:
            raise UsageError(f"--judge: set {_URL} to the judge's address, http://HOST:PORT/v1")
        server = ChatServer(url, os.environ.get(_KEY + own, os.environ.get(_KEY)), key_name=_KEY + own)
        server.check(elsewhere=asked.send_answers)
        found.append(Judge(model, server))
    return found


def _judge(
    judges: Sequence[Judge], asked: Asked, questions: Sequence[Question], given: Predictions
) -> tuple[list[str], list[Figure]]:
    """Sentences and figures of what the judges say."""
    from pipeline.evaluation.bench import agreement, judging

    path = asked.marks or given.path.with_suffix(".marks.jsonl")
    lines, figures, all_marks = [], [], []
    for one in judges:
        found = judging.judge(one, questions, given.answers, path)
        all_marks.append(found)
        if (mean := agreement.mean_mark(found.marks, found.judge)) is not None:
            figures.append(mean)
        lines.append(
            f"{found.judge} gave {len(found.marks) - found.unreadable} marks; {found.asked} replies are "
            f"new, {found.unreadable} hold none; kept in {path}."
        )
    if len(all_marks) == 2:
        first, second = all_marks
        both = agreement.agreement((first.judge, second.judge), first.marks, second.marks)
        figures += both.figures
    return lines, figures
