"""How well a job reads: truth in, measures out. In the order of use:

truth.load(path, spec)            what stands on the papers
evaluate(extractions, truth)      the Report: `as_json`, and its dataclasses
beside(extractions, truth)        what was read beside what is printed, document by document
summary.headline, rows, figures   the report in words and cells, for a terminal
page.write(report, out, settings) the report as one HTML file with the worst pages
"""

from pipeline.evaluation.report import Report, beside, evaluate
from pipeline.evaluation.truth import Truth, load

__all__ = ["Report", "Truth", "beside", "evaluate", "load"]
