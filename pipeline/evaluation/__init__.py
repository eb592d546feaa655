"""How well a job reads, and which of two better: truth in, measures out. In the order of use:

truth.load(path, spec)            what stands on the papers
decided(store.results.…)          results as they are after people looked at them
evaluate(results, truth)          the Report: `as_json`, and its dataclasses
beside(results, truth)            what was read beside what is printed, document by document
summary.headline, rows, figures   the report in words and cells; `pipeline.report` makes a page of it
comparing.compare(names, a, b, …) two jobs side by side with paired tests; `side_by_side` has the words
reviewed.known(store.results.…)   what people decided, in place of a truth
stickler.export(results, truth)   the same documents as pairs for stickler-eval
bench                             questions about images, as published benchmarks ask them
"""

from pipeline.evaluation.report import Report, beside, decided, evaluate
from pipeline.evaluation.truth import Truth, load

__all__ = ["Report", "Truth", "beside", "decided", "evaluate", "load"]
