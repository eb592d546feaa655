"""Answers in free text: a page's whole answer is its value, and pages stay apart.

Nothing holds such an answer to a form, so other things speak for it or against it: how sure its words are,
whether it came to its end, and what the page says by its own text or to a second reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from pipeline import merge, textlayer, wording
from pipeline.flags import FlagCode
from pipeline.normal import normal
from pipeline.parse import raise_unfinished
from pipeline.quality import verdicts
from pipeline.records import Check, Code, Extraction, Failure, Field, Flag, Generation, PageRecord
from schemas.shape import Group, Leaf, Repeated

if TYPE_CHECKING:
    from schemas.registry import SchemaSpec

DOUBTFUL = 0.5  # a word below is likelier wrong than right
PASSED_OVER = 0.1  # of the words that stand on a page: an answer that leaves out more is not verbatim
_FEWEST = 10  # words on a page: of fewer a share says nothing
_WORD = re.compile(r"\S+")


def page_record(
    generation: Generation, spec: SchemaSpec, page: int, codes: Sequence[Code] = ()
) -> PageRecord:
    """What page `page` (1-based) was answered with.

    The confidence of a short answer is the product of its tokens' probabilities, that of running text their
    geometric mean. Words that are likelier wrong than right are told by a flag. No words at all are None.

    Raises Permanent: output_truncated, generation_loop, or what the engine says.
    """
    raise_unfinished(generation, page)
    listed, leaf = _shape(spec)
    raw, _ = normal(leaf, generation.text)
    chances = generation.probability.astype(np.float64)
    sure = _sure(chances, running=spec.task is not None and spec.task.running)
    path = f"{listed.name}[0]"
    fields = (
        Field(listed.name, None, 1, 1.0, "read", page),
        Field(f"{path}.{leaf.name}", raw or None, raw or None, sure, "read", page),
    )
    return PageRecord(page, fields, tuple(codes), tuple(_doubtful(generation)))


def document(
    pages: Sequence[PageRecord],
    spec: SchemaSpec,
    *,
    failed: Sequence[Failure] = (),
    review_below: float = merge.REVIEW_BELOW,
) -> Extraction:
    """The document that `pages` make, an item for each. One at least must have been answered."""
    if not pages:
        raise ValueError("no page was answered: the document has a failure, not an extraction")
    pages = sorted(pages, key=lambda page: page.page)
    listed, _ = _shape(spec)
    fields = tuple(_numbered(pages, listed.name))
    checks = (
        *merge.flagged(pages, fields),
        *merge.untrusted(pages),
        *verdicts.checks(pages),
        *_unsure(fields, review_below),
        *_held_against_pages(pages, spec),
    )
    warned = any(not check.passed and check.severity != "info" for check in checks)
    state: Literal["done", "review", "partial"] = "partial" if failed else "review" if warned else "done"
    count = len(pages) + len({why.page for why in failed})
    day = max((page.read_on for page in pages if page.read_on is not None), default=None)
    record = merge.record_of(spec.shape, fields)
    return Extraction(state, record, fields, checks, count, tier=verdicts.tier(pages), read_on=day)


def _shape(spec: SchemaSpec) -> tuple[Repeated, Leaf]:
    """The list of pages, and the text of each."""
    listed = spec.shape.fields[0]
    if not isinstance(listed, Repeated) or not isinstance(listed.item, Group):
        raise TypeError(f"{spec.name} is not answered in free text")
    leaf = listed.item.fields[0]
    if not isinstance(leaf, Leaf):
        raise TypeError(f"{spec.name} is not answered in free text")
    return listed, leaf


def _sure(chances: np.ndarray[tuple[int], np.dtype[np.float64]], *, running: bool) -> float | None:
    """None where nothing was said, or nothing of its tokens: the model's certainty is not known then."""
    if not len(chances):
        return None
    if np.isnan(chances).any():
        return None
    return float(np.exp(np.mean(np.log(np.maximum(chances, 1e-12))))) if running else float(np.prod(chances))


def _doubtful(generation: Generation) -> Iterator[Flag]:
    starts, ends = generation.spans[:, 0], generation.spans[:, 1]
    words = list(_WORD.finditer(generation.text))
    chances = []
    for word in words:
        own = (starts < word.end()) & (ends > word.start())
        chance = float(np.prod(generation.probability[own], dtype=np.float64))
        chances.append(0.0 if "\ufffd" in word[0] else chance)  # bytes that are no letter
    few = sum(chance < DOUBTFUL for chance in chances)
    if few:
        message = (
            f"{few} of {len(words)} words of the answer are likelier wrong than right, "
            f"the least sure at {min(chances):.2f}"
        )
        yield Flag(FlagCode.words_doubtful, message)


def _numbered(pages: Sequence[PageRecord], name: str) -> Iterator[Field]:
    """The fields of all pages, numbered through."""
    yield Field(name, None, len(pages), 1.0, "read", pages[0].page)
    for at, page in enumerate(pages):
        for field in page.fields:
            if field.path != name:
                yield _told(field._replace(path=f"{name}[{at}]" + field.path.removeprefix(f"{name}[0]")))


def _told(field: Field) -> Field:
    """With why it has no value: nothing on the page answers it, as far as the model says."""
    return field._replace(absence="not_read") if field.value is None else field


def _unsure(fields: Sequence[Field], below: float) -> Iterator[Check]:
    """A failed check for pages without an answer, and for answers that are less sure than this."""
    texts = [field for field in fields if field.path.endswith("]") is False and "[" in field.path]
    for field in texts:
        if field.value is None:
            message = f"{field.path}: the model said nothing about page {field.page}"
            yield Check("line_empty", False, "warning", message, (field.path,))
    low = [field for field in texts if field.value is not None and (field.confidence or 0.0) < below]
    if low:
        least = min(low, key=lambda field: field.confidence or 0.0)
        message = (
            f"{len(low)} of {len(texts)} answers are less sure than {below:g} (uncalibrated), "
            f"the least sure is {least.path} at {least.confidence or 0.0:.2f}"
        )
        paths = tuple(field.path for field in low)
        found = f"{least.confidence or 0.0:.4f}"
        yield Check("low_confidence", False, "warning", message, paths, f">= {below:g}", found)


def _held_against_pages(pages: Iterable[PageRecord], spec: SchemaSpec) -> Iterator[Check]:
    """What a page's own text, or a second reader's, says against its answer."""
    verbatim = spec.task is not None and spec.task.verbatim
    question = spec.task.question if spec.task is not None else ""
    for at, page in enumerate(pages):
        layer = next((some for some in (page.text, page.reader) if some is not None and some.trusted), None)
        said = next(
            (field.value for field in page.fields if field.value and field.path.endswith("text")), None
        )
        if layer is None or said is None:
            continue
        exact = layer is page.text  # a reader misses lines and misreads words
        path = f"pages[{at}].text"
        standing = "\n".join(" ".join(word.text for word in line) for line in textlayer.lines(layer.words))
        invented = wording.made_up(said, f"{standing}\n{question}") if exact else set()
        if invented:
            message = (
                f"{path}: {len(invented)} figures of the answer stand nowhere in the text of page {page.page}"
            )
            yield Check("text_invented", False, "warning", message, (path,), None, str(len(invented)))
        left, of = wording.left_out(standing, said)
        if verbatim and of >= _FEWEST and left > (PASSED_OVER if exact else 3 * PASSED_OVER) * of:
            message = f"{path}: {left} of {of} words that stand on page {page.page} are not in the answer"
            yield Check("text_passed_over", False, "warning", message, (path,), str(of), str(of - left))
