"""How well a job reads: truth in, measures out.

truth = load("truth.jsonl", spec)
report = evaluate(store.extractions(job), truth)
page.write(report, Path("report.html"), settings)
"""

from pipeline.evaluation.report import Report, evaluate
from pipeline.evaluation.truth import Truth, load

__all__ = ["Report", "Truth", "evaluate", "load"]
