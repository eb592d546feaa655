"""What sends a document to a person whatever its score."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.records import Check, Extraction

LOW = "low_confidence"  # the check that speaks of the score itself: with a promise it says what that decides


def stops(extraction: Extraction) -> Iterator[Check]:
    """The failed checks that do: all but remarks, and but what is said of confidence itself.

    Failed checks are in the scores as well, where they show which of the values is likely to be wrong. But a
    document that contradicts itself, or a witness, is wrong somewhere: on sound papers they do not fail.
    """
    for check in extraction.checks:
        if not check.passed and check.severity != "info" and check.code != LOW:
            yield check
