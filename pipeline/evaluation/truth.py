"""What stands on the papers, in the forms in which people keep it.

    truth.jsonl       ours: {"file", "schema", "record", "fields": [{"path", "raw", …}]}
    metadata.jsonl    Donut and CORD: {"file_name", "ground_truth": "{\\"gt_parse\\": {…}}"}
    any other .jsonl  flat: {"file", "total", …}
    a folder          SROIE: one JSON object for each image, named like it (also as .txt)
    a .csv            a column with the file's name, and one for each field

Fields may be called by their name in the schema, their path ("seller.name", "lines[0].amount") or their
printed label; capital letters make no difference. A field that no document of the truth names is not scored:
SROIE, for one, says nothing of tax codes. Where some name it, it is absent on the paper of the others.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError
from pipeline.filetype import TRUTHS
from pipeline.grammar import canonical
from pipeline.normal import normal
from schemas.shape import Group, Leaf, Node, Repeated, leaf_path

if TYPE_CHECKING:
    from schemas.registry import SchemaSpec

_NAMES = ("file", "file_name", "filename", "document", "document_uri", "uri", "image", "path")


@dataclass(frozen=True, slots=True)
class TrueValue:
    """A value that stands on paper: its printed text, and its normal form if the text has one.

    `page` (from 1) is known of our own truth alone.
    """

    text: str
    value: Any
    page: int | None = None


@dataclass(frozen=True, slots=True)
class TrueDocument:
    """`name` is the file as the truth names it; `values` holds what is printed, by path, absent left out."""

    name: str
    values: Mapping[str, TrueValue]


@dataclass(frozen=True, slots=True)
class Truth:
    """Documents with their values; `labelled` are the fields that are scored ("lines[].amount").

    `other_schema` names the documents of the file that belong to another schema; they are left out.
    """

    spec: SchemaSpec
    documents: tuple[TrueDocument, ...]
    labelled: frozenset[str]
    other_schema: tuple[str, ...] = ()

    def matcher(self) -> Matcher:
        """Finds the document of the truth for one URI after the other."""
        return Matcher(self.documents)

    def match(self, uris: Iterable[str]) -> dict[str, TrueDocument]:
        """Those of all URIs at once. Raises as `Matcher.find` does."""
        matcher = self.matcher()
        return {uri: found for uri in uris if (found := matcher.find(uri)) is not None}


class Matcher:
    """Which document of the truth a URI means: the same URI, else the same ending of the path, else the same
    name, else the same name without its suffix.
    """

    def __init__(self, documents: Sequence[TrueDocument]) -> None:
        self._documents = documents
        self._tables = [_table(documents, form) for form in (str, _name, _stem)]
        self._taken: dict[str, str] = {}

    def find(self, uri: str) -> TrueDocument | None:
        """Raises UsageError where two documents of the truth fit the URI, or two URIs one document."""
        keys = [_endings(uri), [_name(uri)], [_stem(uri)]]
        fits = next((t[k] for t, ks in zip(self._tables, keys, strict=True) for k in ks if k in t), [])
        if len(fits) > 1:
            raise UsageError(f"{uri} fits several documents of the truth: {fits[0].name}, {fits[1].name}")
        if not fits:
            return None
        [document] = fits
        if document.name in self._taken:
            raise UsageError(f"the truth of {document.name} fits both {self._taken[document.name]} and {uri}")
        self._taken[document.name] = uri
        return document

    def left(self) -> Iterator[TrueDocument]:
        """Those that no URI meant."""
        return (document for document in self._documents if document.name not in self._taken)


def load(path: str | Path, spec: SchemaSpec) -> Truth:
    """Read a truth file or folder. Raises UsageError naming the file, the line and what is wrong there."""
    where = Path(path)
    if where.is_dir():
        ours = [where / name for name in TRUTHS if (where / name).is_file()]
        rows = _jsonl(ours[0]) if ours else _folder(where)
    elif not where.is_file():
        raise UsageError(f"no truth at {where}: give a .jsonl, a .csv or a folder")
    else:
        rows = _csv(where) if where.suffix.lower() == ".csv" else _jsonl(where)
    leaves = [path for path, _ in spec.shape.leaves()]
    documents: dict[str, TrueDocument] = {}
    named: set[str] = set()
    other: list[str] = []
    for place, name, schema, given in rows:
        if schema is not None and schema.partition("@")[0] != spec.name:
            other.append(name)
            continue
        if name in documents:
            raise UsageError(f"{place}: {name} has its truth there a second time")
        values: dict[str, TrueValue | None] = dict(_read(spec.shape, given, place))
        named |= set(leaves) if isinstance(given, _Ours) else {leaf_path(path) for path in values}
        documents[name] = TrueDocument(name, {p: value for p, value in values.items() if value is not None})
    labelled = named.intersection(leaves)
    if not labelled:
        raise UsageError(f"{where} holds no field of {spec.name}@{spec.version} for any document")
    return Truth(spec, tuple(documents.values()), frozenset(labelled), tuple(other))


_Row = tuple[str, str, str | None, Mapping[str, Any]]  # place, document, schema, values


def _jsonl(path: Path) -> Iterator[_Row]:
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        row = _object(line, place)
        name = _document(row, place)
        if "ground_truth" in row:
            held = row["ground_truth"]
            parsed = _object(held, place) if isinstance(held, str) else held
            yield place, name, None, parsed.get("gt_parse", parsed)
        elif "record" in row:
            yield place, name, row.get("schema"), _Ours(row["record"], row.get("fields", []))
        else:
            yield place, name, row.get("schema"), row


def _csv(path: Path) -> Iterator[_Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in (reader := csv.DictReader(file)):
            place = f"{path}, line {reader.line_num}"
            yield place, _document(row, place), None, {k: v for k, v in row.items() if k}


def _folder(path: Path) -> Iterator[_Row]:
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in (".json", ".txt"))
    if not files:
        raise UsageError(f"{path} holds no truth.jsonl, no metadata.jsonl and no .json files")
    for file in files:
        yield str(file), file.stem, None, _object(file.read_text(encoding="utf-8-sig"), str(file))


def _object(text: str, place: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{place} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise UsageError(f"{place} is no JSON object")
    return found


def _document(row: Mapping[str, Any], place: str) -> str:
    for key, value in row.items():
        if key and key.casefold() in _NAMES and value:
            return str(value)
    raise UsageError(f"{place} does not name its document: give it one of {', '.join(_NAMES)}")


class _Ours(dict[str, Any]):
    """A record in normal forms that comes with the printed text of each value by its path."""

    def __init__(self, record: Mapping[str, Any], fields: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(record)
        self.texts = {field["path"]: field["raw"] for field in fields}
        self.pages = {field["path"]: field.get("page") for field in fields}


def _read(shape: Group, given: Mapping[str, Any], place: str) -> Iterator[tuple[str, TrueValue | None]]:
    """Each leaf that `given` names, by its path; None where it is named and empty."""
    ours = given if isinstance(given, _Ours) else None
    for path, leaf, value in _leaves(shape, "", given, place):
        if value is None or value == "":
            yield path, None
        elif ours is not None and path in ours.texts:
            yield path, TrueValue(canonical(ours.texts[path]), value, ours.pages[path])
        else:
            text = canonical(value if isinstance(value, str) else json.dumps(value))
            yield path, TrueValue(text, normal(leaf, text)[0])


def _leaves(
    group: Group, prefix: str, given: Mapping[str, Any], place: str
) -> Iterator[tuple[str, Leaf, Any]]:
    folded = {key.casefold(): value for key, value in given.items()}
    for node in group.fields:
        path = f"{prefix}{node.name}"
        names = (path, node.name, node.label, f"{prefix}{node.label}")
        found = [folded[name.casefold()] for name in names if name.casefold() in folded]
        if found:
            yield from _node(node, path, found[0], place)
        else:
            yield from _by_path(node, path, folded, place)


def _by_path(node: Node, path: str, folded: Mapping[str, Any], place: str) -> Iterator[tuple[str, Leaf, Any]]:
    """Values that a flat row gives by their full path: "seller.name", "lines[0].amount"."""
    if isinstance(node, Group):
        inside = {k: v for k, v in folded.items() if k.startswith(f"{path.casefold()}.")}
        if inside:
            yield from _leaves(node, f"{path}.", inside, place)
    elif isinstance(node, Repeated):
        index = 0
        while item := {k: v for k, v in folded.items() if k.startswith(f"{path.casefold()}[{index}]")}:
            here = f"{path}[{index}]"
            if isinstance(node.item, Leaf):
                yield here, node.item, item.get(here.casefold())
            else:
                yield from _leaves(node.item, f"{here}.", item, place)
            index += 1


def _node(node: Node, path: str, value: Any, place: str) -> Iterator[tuple[str, Leaf, Any]]:
    if isinstance(node, Leaf):
        if isinstance(value, dict | list):
            raise UsageError(
                f"{place}: {path} is one value in the schema and {type(value).__name__} in the truth"
            )
        yield path, node, value
    elif isinstance(node, Group):
        if value is not None and not isinstance(value, Mapping):
            raise UsageError(f"{place}: {path} has fields of its own in the schema and none in the truth")
        yield from _leaves(node, f"{path}.", value or {}, place)
    else:
        items = (
            [value] if isinstance(value, Mapping) else value or []
        )  # Donut writes a single item without a list
        if not isinstance(items, list):
            raise UsageError(
                f"{place}: {path} is a list in the schema and {type(value).__name__} in the truth"
            )
        for i, item in enumerate(items):
            if isinstance(node.item, Leaf):
                yield f"{path}[{i}]", node.item, item
            else:
                yield from _node(node.item, f"{path}[{i}]", item, place)


def _table(documents: Sequence[TrueDocument], form: Any) -> dict[str, list[TrueDocument]]:
    table: dict[str, list[TrueDocument]] = {}
    for document in documents:
        table.setdefault(form(document.name), []).append(document)
    return table


def _endings(uri: str) -> list[str]:
    """The URI and its endings at each "/", the longest first; a member of an archive ends the same way."""
    parts = uri.replace("!/", "/").split("/")
    return [uri, *("/".join(parts[i:]) for i in range(1, len(parts)))]


def _name(path: str) -> str:
    return PurePosixPath(path.replace("!/", "/")).name


def _stem(path: str) -> str:
    return PurePosixPath(_name(path)).stem
