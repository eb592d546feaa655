"""A job in one HTML file for people: what became of it, how sure it is, what stops it, what was spent.

gathered.gather(store, job, …)   the figures, added up by the database; memory does not grow with the job
scored.of_truth(…)               with a truth: measures by field, curves, the worst documents
page.html(gathered, scored)      the page: tables that sort, charts as SVG, nothing from the network
"""

from pipeline.report.gathered import Curves, Gathered, gather
from pipeline.report.page import html

__all__ = ["Curves", "Gathered", "gather", "html"]
