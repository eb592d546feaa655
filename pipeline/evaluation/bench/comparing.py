"""Two files of answers to the same questions, with a paired test for each measure."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.evaluation import drawing
from pipeline.evaluation.bench import scoring
from pipeline.evaluation.bench.predictions import Predictions
from pipeline.evaluation.bench.questions import Question
from pipeline.evaluation.comparing import Comparison


def compare(questions: Sequence[Question], a: Predictions, b: Predictions) -> Comparison:
    """A question that one of them has not answered counts as answered with nothing.

    Raises UsageError where a file answers none of the questions.
    """
    notes = []
    for side in (a, b):
        if missing := scoring.missing(questions, side.answers):
            notes.append(f"{missing} questions have no answer in {side.path.name}, and count as wrong.")
    one, other = (scoring.sums(questions, side.answers) for side in (a, b))
    found = drawing.differences(scoring.NAMES, one, other, scoring.measure)
    tested = [
        drawing.right_or_wrong(each.name, one[:, i], other[:, i]) if each.name in scoring.SHARES else each
        for i, each in enumerate(found)
    ]
    return Comparison(str(a.path), str(b.path), len(questions), "questions", tuple(tested), tuple(notes))
