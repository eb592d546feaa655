"""What people decided as what is known of documents, to compare readings with.

Of a document that somebody accepted as a whole all values are known; of another only those that somebody
accepted, corrected or found absent. What nobody can read ("illegible") is not known, and a document that was
rejected is left out. Reviewers saw one reading before them and looked first at doubtful documents: what is
measured here is measured on those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipeline.deciding import rejected
from pipeline.evaluation.comparing import Known
from pipeline.evaluation.truth import TrueDocument, TrueValue, Truth
from pipeline.grammar import canonical
from pipeline.store import StoredExtraction
from schemas.registry import SchemaSpec
from schemas.shape import leaf_path


def known(stored: Iterable[StoredExtraction], spec: SchemaSpec) -> dict[str, Known]:
    """By URI, the documents of which people decided something."""
    found = {item.uri: one for item in stored if (one := _known(item, spec)) is not None}
    return found


def fields(spec: SchemaSpec) -> Truth:
    """The fields that are compared: all of the schema; of each document as far as they are known."""
    return Truth(spec, (), frozenset(path for path, _ in spec.shape.leaves()))


def _known(item: StoredExtraction, spec: SchemaSpec) -> Known | None:
    if not item.decisions or rejected(item.decisions) is not None:
        return None
    leaves = dict(spec.shape.leaves())
    decided = [field for field in item.decided.fields if leaf_path(field.path) in leaves]
    unread = any(field.absence == "illegible" for field in decided)
    whole = any(each.field is None for each in item.decisions) and not unread
    told = [
        field for field in decided if whole or (field.source == "review" and field.absence != "illegible")
    ]
    values = {
        field.path: TrueValue(canonical(field.raw or str(field.value)), field.value)
        for field in told
        if field.value is not None
    }
    if not told:
        return None
    return Known(TrueDocument(item.uri, values), None if whole else frozenset(field.path for field in told))


def documents(found: Mapping[str, Known]) -> tuple[int, int]:
    """How many are known as a whole, and how many in part."""
    whole = sum(one.partly is None for one in found.values())
    return whole, len(found) - whole
