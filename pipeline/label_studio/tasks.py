"""One task a page: its picture, and a region for each value that is known to stand on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.deciding import standing
from pipeline.label_studio.config import IMAGE, LABEL, TEXT
from pipeline.records import Field, PageResult
from pipeline.store import Job, StoredExtraction, doubts, evidence
from pipeline.store.doubts import Called
from schemas.shape import leaf_path


def tasks(
    found: StoredExtraction, pages: Sequence[PageResult], job: Job, names: Mapping[str, Called]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each page that has a picture, with its task; `data.image` is left to who knows where pictures are.

    Values that somebody has decided, and those without a place, have no region.
    """
    doubtful = list(doubts.of(found, job, names))
    decided = standing(found.decisions)
    placed: dict[int, list[Field]] = {}
    for field in found.reading.fields:
        if field.page is not None and field.box is not None and field.path not in decided:
            placed.setdefault(field.page, []).append(field)
    for page in pages:
        if page.record is None or page.width is None or page.height is None:
            continue
        why = [_why(doubt) for doubt in doubtful if doubt.page in (None, page.page)]
        regions = [part for field in placed.get(page.page, ()) for part in _region(field, found, job, page)]
        yield (
            page.page,
            {
                "data": {
                    "document_uri": found.uri,
                    "job": job.name,
                    "page": page.page,
                    "state": found.extraction.state,
                    "why": "\n".join(why),
                },
                "predictions": [
                    {
                        "model_version": f"{job.model} {job.checkpoint[:12]}",
                        **({} if found.extraction.score is None else {"score": found.extraction.score}),
                        "result": regions,
                    }
                ],
            },
        )


def _why(doubt: doubts.Doubt) -> str:
    shown = "" if doubt.raw is None else f" = {doubt.raw}"
    return f"{doubt.field or doubt.label}{shown}: {doubt.why}"


def _region(field: Field, found: StoredExtraction, job: Job, page: PageResult) -> Iterator[dict[str, Any]]:
    """The results of one value: its rectangle, in percent of the page, and what is printed there."""
    assert field.box is not None
    left, top, right, bottom = (100 * side for side in field.box)
    place = {"x": left, "y": top, "width": right - left, "height": bottom - top, "rotation": 0}
    sure = evidence.confidence(field, calibrated=found.extraction.score is not None)
    shared = {
        "id": doubts.key(job.name, found.uri, field.path, doubts.value_of(found, field.path)),
        "to_name": IMAGE,
        "original_width": page.width,
        "original_height": page.height,
        "image_rotation": 0,
        "meta": {"text": [field.path]},
        **({} if sure is None else {"score": sure}),
    }
    labels = [leaf_path(field.path)]
    yield {
        **shared,
        "from_name": LABEL,
        "type": "rectanglelabels",
        "value": {**place, "rectanglelabels": labels},
    }
    if field.raw is not None:
        yield {**shared, "from_name": TEXT, "type": "textarea", "value": {**place, "text": [field.raw]}}
