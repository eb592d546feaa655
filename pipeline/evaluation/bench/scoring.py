"""Every measure of a set of answers, with its interval and n."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.errors import UsageError
from pipeline.evaluation import drawing
from pipeline.evaluation.bench import measures, words
from pipeline.evaluation.bench.questions import Question
from pipeline.evaluation.drawing import Figure, Floats
from pipeline.trust.measures import wilson

EM, MTVQA = "EM", "MTVQA accuracy"
SHARES = (EM, MTVQA)  # right or wrong
MEANS = (EM, MTVQA, "F1", "ANLS", "ROUGE-L", "CIDEr-D")
NAMES = (*MEANS, "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "BLEU-1 to 4, mean")


@dataclass(frozen=True, slots=True)
class BenchReport:
    """`unanswered` questions count as answered with nothing; `unknown` answers belong to no question."""

    bench: str
    questions: int
    unanswered: int
    unknown: int
    made_by: tuple[str, ...]
    figures: tuple[Figure, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def score(
    bench: str, questions: Sequence[Question], answers: Mapping[str, str], made_by: Sequence[str] = ()
) -> BenchReport:
    """Raises UsageError where no answer belongs to any question."""
    unanswered = missing(questions, answers)
    rows = sums(questions, answers)
    figures = drawing.figures(NAMES, rows, measure)
    return BenchReport(
        bench,
        len(questions),
        unanswered,
        len(answers) - len(questions) + unanswered,
        tuple(made_by),
        tuple(_of_share(figure) if figure.name in SHARES else figure for figure in figures),
    )


def missing(questions: Sequence[Question], answers: Mapping[str, str]) -> int:
    """How many questions have no answer. Raises UsageError where that is all of them."""
    count = sum(question.id not in answers for question in questions)
    if count == len(questions):
        raise UsageError(
            f"none of {len(answers)} answers is to one of the {count} questions: their ids differ"
            if answers
            else "there are no answers"
        )
    return count


def sums(questions: Sequence[Question], answers: Mapping[str, str]) -> Floats:
    """[n, 17]: each question's own measures (`MEANS`), what BLEU adds up, and 1 to count it."""
    given = [answers.get(question.id, "") for question in questions]
    said = [words.plain(text) for text in given]
    true = [[words.plain(answer) for answer in question.answers] for question in questions]
    mild = [words.folded(text) for text in given]
    folded = [[words.folded(answer) for answer in question.answers] for question in questions]
    columns = (
        list(map(measures.exact, said, true)),
        list(map(measures.contained, mild, folded)),
        list(map(measures.f1, said, true)),
        list(map(measures.anls, mild, folded)),
        list(map(measures.rouge_l, said, true)),
        measures.cider(said, true),
    )
    return np.column_stack([*columns, measures.bleu_counts(said, true), np.ones(len(said))])


def measure(rows: Floats) -> Floats:
    """The figures `NAMES`, [..., 11], from sums of the rows above."""
    means = rows[..., : len(MEANS)] / rows[..., -1:]
    bleu = measures.bleu(rows[..., len(MEANS) : -1])
    return np.concatenate([means, bleu, bleu.mean(axis=-1, keepdims=True)], axis=-1)


def _of_share(figure: Figure) -> Figure:
    """With Wilson's interval, which has a width also where all are right, or none."""
    found = wilson(round(figure.value * figure.n), figure.n)
    return figure if found is None else Figure(figure.name, found.share, found.low, found.high, figure.n)
