"""Answers of people in files come in again: sheets "to check" as workbook or CSV, and Label Studio's tasks.

    file → entries (`workbook`, `table`, `tasks`) → plan → decisions, as one batch

A file is of others and is read within bounds. Nothing is applied before it was planned: each entry is held
against the document as it is now.
"""

from pipeline.corrections.entry import Entry
from pipeline.corrections.plan import Change, Plan, Refusal, apply, plan
from pipeline.corrections.reading import File, read

__all__ = ["Change", "Entry", "File", "Plan", "Refusal", "apply", "plan", "read"]
