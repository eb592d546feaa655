"""The text that a PDF brings along, or that a second reader saw, as a witness of what was read otherwise.

It bears a value out where the value stands on a page at its place: beside its label, in its line, within its
box, or as often as values say it. It contradicts one only where that is sure: the value stands nowhere, and
what stands in its place is off by one digit, two swapped, or a word that is nearly the same; or one place on
a page has most of a long text or code. Else it says nothing, nor does a layer that is not trusted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

from pipeline.normal import normal
from pipeline.records import Check, Field, Testimony
from pipeline.witnesses.layer import Layer, Line, Place, layers, tokens
from pipeline.witnesses.slips import Slips, are_spelt_alike, is_slip
from pipeline.witnesses.witness import NAMES, Subject, Witness
from schemas.printed import Printed
from schemas.same import same
from schemas.shape import Leaf, leaf_path

_AROUND = " :;,"  # what a word may have beside it that is no part of a value
_LONG = 5  # letters and digits: from here a value is its own, and is not found by chance
_DIGITS = 4  # from here a figure with one other digit is that figure misread
_NOWHERE = 200  # values of a document that may stand nowhere and be looked for as misread
# What a text's place and the one where the model looked have in common: shares of each; the second is wider.
_COVERED, _FILLED = 0.8, 0.3
# Words, and letters of a single one, from which a garbled text is told by the rest of it.
_PHRASE, _CODE = 4, 12
_OWN_CODE = 20  # letters of a code from which none is like another by chance
_IN_BRACKETS = re.compile(r"\([^)]*\)")
_LONG_DAY = re.compile(r"ngày\D.*\bnăm\b", re.IGNORECASE)
_WORDS = 3  # from here a text with one other word is that text misread


def found(subject: Subject) -> Iterator[Witness | Check]:
    """One witness, where any page has text that can be trusted, and one where a second reader saw any."""
    leaves = dict(subject.spec.shape.leaves())
    # A zone with check digits is a second reader's only where these are right (`zone`).
    zones = {evidence.path for evidence in subject.spec.evidence if evidence.seen is not None}
    texts = {
        "text": layers((page.page, page.text) for page in subject.pages),
        "reader": layers((page.page, page.reader) for page in subject.pages),
    }
    for source, some in texts.items():
        if some:
            known = leaves if source == "text" else {p: leaf for p, leaf in leaves.items() if p not in zones}
            yield TextLayers(some, subject.fields, known, source)


def surely(subject: Subject, said: Iterable[Testimony], *, read: bool = False) -> frozenset[str]:
    """The paths of what a page's own text has otherwise and that is surely the field's own.

    `read`: a second look read it in the field's place, too.
    """
    leaves = dict(subject.spec.shape.leaves())
    some = layers((page.page, page.text) for page in subject.pages)
    witness = TextLayers(some, subject.fields, leaves)
    fields = {field.path: field for field in subject.fields}
    return frozenset(one.field for one in said if witness.is_own(fields[one.field], one, read))


class TextLayers:
    """The text of all pages that have some, from one source."""

    def __init__(
        self, some: Sequence[Layer], fields: Sequence[Field], leaves: Mapping[str, Leaf], source: str = "text"
    ) -> None:
        self.source, self.name = source, NAMES[source]
        # A reader misses lines and misreads words: only its figures contradict.
        self._exact = source == "text"
        self._layers, self._leaves = some, leaves
        self._of_line: dict[str, list[Field]] = {}
        self._said: Counter[str] = Counter()  # how many fields have a value
        for field in fields:
            if field.value is not None and (leaf := leaves.get(leaf_path(field.path))) is not None:
                self._said[_key(leaf, field)] += 1
                if line := _line(field.path):
                    self._of_line.setdefault(line, []).append(field)
        self._nowhere = 0  # values that stand on no page
        self._found: dict[str, list[Place]] = {}
        self._slips_of: dict[tuple[int, Printed | None], Slips] = {}
        self._columns: dict[str, bool] = {}
        self._printed: dict[str, frozenset[Line]] = {}
        self._found_labels: dict[str, list[tuple[Layer, Place]]] = {}

    def testify(self, field: Field) -> Testimony:
        leaf = self._leaves.get(leaf_path(field.path))
        if leaf is None and isinstance(field.value, int) and self._exact:
            return self._of_list(field)
        if leaf is None or field.value is None:
            return Testimony(field.path, self.source, "silent")
        places = self._places(leaf, field)
        if places:
            place = self._at_its_place(leaf, field, places)
            if place is not None:
                return Testimony(
                    field.path, self.source, "agrees", place.text, field.value, place.page, place.box
                )
        elif (other := self._sought(leaf, field)) is not None:
            value, place = other
            raw = place.text
            if leaf.printed.sql == "text":
                raw = raw.strip(_AROUND)
                value = normal(leaf, raw)[0]
            return Testimony(field.path, self.source, "differs", raw, value, place.page, place.box)
        return Testimony(field.path, self.source, "silent")

    def offers(self, fields: Sequence[Field]) -> Iterator[Testimony]:
        """Figures and days beside their labels, where these stand once."""
        for field in fields:
            leaf = self._leaves.get(leaf_path(field.path))
            if leaf is None or field.value is not None or _line(field.path):
                continue
            beside = self._beside_label(leaf)
            if beside is not None and not self._said[beside[0]]:
                value, place = beside
                yield Testimony(field.path, self.source, "offers", place.text, value, place.page, place.box)

    def is_own(self, field: Field, other: Testimony, read: bool = False) -> bool:
        """Whether what the text has otherwise is the field's own, and not something else that is like it.

        Of one line of a table it is; outside of those it stands where the model looked, or behind the label,
        or is too long to be like the value by chance.
        """
        leaf = self._leaves[leaf_path(field.path)]
        if _line(field.path) or _is_there(field, other) or self._is_behind_label(leaf, other):
            return True
        if field.value is None or leaf.printed.sql == "date":
            return False  # a page has several days that are nearly the same
        if read and " " not in str(field.value):
            return are_spelt_alike([str(field.value)], [str(other.value)])
        if leaf.printed.sql != "text":
            return False
        mine, yours = tokens(str(field.value)), tokens(str(other.value))
        if len(mine) == len(yours) == 1:
            return len(yours[0]) >= _OWN_CODE
        return are_spelt_alike(mine, yours)

    def _is_behind_label(self, leaf: Leaf, other: Testimony) -> bool:
        """Whether nothing but the label, with a translation in brackets, stands before it in its cell."""
        if other.page is None or other.box is None:
            return False
        before = next(layer.before(other.box) for layer in self._layers if layer.page == other.page)
        said = tokens(_IN_BRACKETS.sub(" ", before))
        if leaf.printed.sql == "date" and not said:
            return _LONG_DAY.match(other.raw or "") is not None
        return bool(said) and said == tokens(leaf.label)

    def _of_list(self, field: Field) -> Testimony:
        """Of a list with its number of items: whether those stand on the pages of which any does.

        An item is missing where none of its values stands anywhere, though most of the others do.
        """
        missing = there = 0
        for line, items in self._of_line.items():
            if line.startswith(f"{field.path}["):
                own = [item for item in items if self._is_its_own(item)]
                found = [bool(self._places(self._leaves[leaf_path(item.path)], item)) for item in own]
                missing += len(found) > 1 and not any(found)
                there += 2 * sum(found) > len(found)
        if missing and there > missing:
            raw = f"{field.value - missing} of {field.value}"
            return Testimony(field.path, self.source, "differs", raw)
        return Testimony(field.path, self.source, "silent")

    def _is_its_own(self, field: Field) -> bool:
        """Whether no other field has the value, and it is not found by chance."""
        key = _key(self._leaves[leaf_path(field.path)], field)
        return self._said[key] == 1 and len(_letters(str(field.value))) >= _DIGITS

    # where a value stands

    def _places(self, leaf: Leaf, field: Field) -> list[Place]:
        """Wherever the value stands on any page."""
        if field.path not in self._found:
            self._found[field.path] = list(self._look(leaf, field))
        return self._found[field.path]

    def _look(self, leaf: Leaf, field: Field) -> Iterator[Place]:
        kind, value = leaf.printed.sql, str(field.value)
        for layer in self._layers:
            match kind:
                case "decimal":
                    if exact := layer.figures.get(Decimal(value)):
                        yield from exact
                        continue
                    for figure in layer.near(Decimal(value)):
                        if same(leaf.printed, format(figure, "f"), value):
                            yield from layer.figures[figure]
                case "date":
                    yield from layer.days.get(value, ())
                case _:
                    at = layer.find(value if field.raw is None else field.raw) or layer.find(value)
                    yield from at
                    if not at and leaf.printed.same is not None and " " not in value:
                        equal = leaf.printed.same
                        words = ((word, word.text.strip(":;,.").upper()) for word in layer.words)
                        yield from (word for word, text in words if equal(text, value))

    def _at_its_place(self, leaf: Leaf, field: Field, places: Sequence[Place]) -> Place | None:
        """The place that is the field's own; None where it may as well be another's."""
        if field.box is not None:
            for place in places:
                if place.page == field.page and place.overlaps(field.box):
                    return place
        if line := _line(field.path):
            lines = self._lines(line, field)
            return next((place for place in places if not lines.isdisjoint(place.lines)), None)
        for place in places:
            if any(_follows(label, place) for _, label in self._labels(leaf)):
                return place
        own = len(_letters(str(field.value))) >= _LONG and len(places) >= self._said[_key(leaf, field)]
        return places[0] if own else None

    def _column_stands(self, path: str) -> bool:
        """Whether this field stands on the pages for half of the lines that have it.

        Else the paper has no such column, and those that were found stand there by chance.
        """
        name = leaf_path(path)
        if name not in self._columns:
            found = [
                bool(self._places(self._leaves[name], item))
                for items in self._of_line.values()
                for item in items
                if leaf_path(item.path) == name
            ]
            self._columns[name] = 2 * sum(found) >= len(found)
        return self._columns[name]

    def _lines(self, line: str, field: Field) -> frozenset[Line]:
        """Where other values of the field's line are printed, as far as they are not found by chance."""
        lines: set[Line] = set()
        for other in self._of_line[line]:
            if other.path != field.path and len(_letters(str(other.value))) >= _DIGITS:
                if other.path not in self._printed:
                    places = self._places(self._leaves[leaf_path(other.path)], other)
                    self._printed[other.path] = frozenset(each for place in places for each in place.lines)
                lines |= self._printed[other.path]
        return frozenset(lines)

    def _labels(self, leaf: Leaf) -> list[tuple[Layer, Place]]:
        if leaf.label not in self._found_labels:
            self._found_labels[leaf.label] = [
                (layer, label) for layer in self._layers for label in layer.find(leaf.label)
            ]
        return self._found_labels[leaf.label]

    # what stands there instead

    def _sought(self, leaf: Leaf, field: Field) -> tuple[str, Place] | None:
        """What the value was misread from; None where so many stand nowhere that the text is another's."""
        self._nowhere += 1
        return self._misread(leaf, field) if self._nowhere <= _NOWHERE else None

    def _misread(self, leaf: Leaf, field: Field) -> tuple[str, Place] | None:
        """The one thing on the pages that the value is a misreading of, and that is no other field's."""
        nearby = list(self._candidates(leaf, field))
        if line := _line(field.path):
            if len(self._of_line) > 1 and not self._column_stands(field.path):
                return None  # the paper has no such column
            lines = self._lines(line, field)
            others = [(self._leaves[leaf_path(item.path)], item) for item in self._of_line[line]]
            taken = {_key(leaf, item) for leaf, item in others}
            theirs = {place for leaf, item in others for place in self._places(leaf, item)}
            nearby = [
                (key, place)
                for key, place in nearby
                if key not in taken and place not in theirs and not lines.isdisjoint(place.lines)
            ]
        else:
            stands = Counter(key for key, _ in {(key, (place.page, place.box)) for key, place in nearby})
            nearby = [(key, place) for key, place in nearby if stands[key] > self._said[key]]
        if len({key for key, _ in nearby}) == 1:
            return nearby[0]
        if nearby:
            return None
        return self._contradicted_by_label(leaf, field) or self._garbled(leaf, field)

    def _garbled(self, leaf: Leaf, field: Field) -> tuple[str, Place] | None:
        """The one long text on the pages that the value has most in common with, and that is no other's."""
        words = _key(leaf, field).split()
        if not self._exact or leaf.printed.sql != "text" or _line(field.path):
            return None
        if len(words) == 1 and len(words[0]) >= _CODE:
            found = [layer.spelt_alike(words[0]) for layer in self._layers]
        elif len(words) >= _PHRASE:
            found = [layer.alike(words) for layer in self._layers]
        else:
            return None
        there = [one for one in found if one is not None]
        return there[0] if len(there) == 1 and not self._said[there[0][0]] else None

    def _candidates(self, leaf: Leaf, field: Field) -> Iterator[tuple[str, Place]]:
        """What stands on the pages, is of the field's kind, and is off by one slip."""
        wanted = _key(leaf, field)
        words = wanted.split()
        text = leaf.printed.sql == "text"
        figure = leaf.printed.sql in ("decimal", "date") and len(_letters(wanted)) >= _DIGITS
        in_line = self._exact and _line(field.path) is not None and len(_letters(wanted)) >= _LONG
        phrase = len(words) > 1 and (in_line or (self._exact and len(words) >= _WORDS))
        code = len(words) == 1 and len(wanted) >= _LONG and (in_line or any(map(str.isdigit, wanted)))
        for layer in self._layers:
            if text and phrase:
                yield from (found for found in layer.nearly(words) if is_slip(found[0], wanted))
            elif figure or (text and code):
                yield from self._slips(leaf, layer).of(wanted)

    def _slips(self, leaf: Leaf, layer: Layer) -> Slips:
        key = (layer.page, None if leaf.printed.sql == "text" else leaf.printed)
        if key not in self._slips_of:
            items = layer.tokens if leaf.printed.sql == "text" else _typed(leaf, layer)
            self._slips_of[key] = Slips(items)
        return self._slips_of[key]

    def _contradicted_by_label(self, leaf: Leaf, field: Field) -> tuple[str, Place] | None:
        if _line(field.path):
            return None
        beside = self._beside_label(leaf)
        return beside if beside is not None and not self._said[beside[0]] else None

    def _beside_label(self, leaf: Leaf) -> tuple[str, Place] | None:
        """The figure or the day that follows the field's label, where that stands once on all pages."""
        if leaf.printed.sql not in ("decimal", "date") or len(tokens(leaf.label)) < 2:
            return None
        labels = self._labels(leaf)
        if len(labels) != 1:
            return None
        [(layer, label)] = labels
        behind = [
            (place.box[0], value, place)
            for value, place in _typed(leaf, layer)
            if place.beside(label) and place.box[0] >= label.box[2]
        ]
        return min(behind, key=lambda found: found[0])[1:] if behind else None


def _typed(leaf: Leaf, layer: Layer) -> Iterator[tuple[str, Place]]:
    """The figures or the days of a page, as the field's own type reads them."""
    if leaf.printed.sql == "date":
        yield from ((day, place) for day, places in layer.days.items() for place in places)
        return
    for figure, places in layer.figures.items():
        for place in places:
            try:
                likeliest = leaf.printed.parse(place.text.strip(":;*").rstrip(".,"))
            except (ValueError, ArithmeticError):
                continue
            if likeliest == figure:  # not the other thing that "1.234" may mean
                yield _figure(figure), place


def _line(path: str) -> str | None:
    """ "lines[2]" of "lines[2].amount"; None for a field that is in no list."""
    return path[: path.index("]") + 1] if "[" in path else None


def _key(leaf: Leaf, field: Field) -> str:
    """A value as candidates are compared: figures and days as they are, texts as their tokens."""
    if leaf.printed.sql == "decimal":
        return _figure(Decimal(str(field.value)))
    return str(field.value) if leaf.printed.sql == "date" else " ".join(tokens(str(field.value)))


def _is_there(field: Field, other: Testimony) -> bool:
    """Whether what stands in the text fills the place where the value was read, and little else does.

    A misread value is placed as well as one that was read rightly.
    """
    if field.box is None or other.box is None or field.page != other.page:
        return False
    (a, b, c, d), (e, f, g, h) = field.box, other.box
    common = max(0.0, min(c, g) - max(a, e)) * max(0.0, min(d, h) - max(b, f))
    read, stands = (c - a) * (d - b), (g - e) * (h - f)
    return common > 0 and common >= _COVERED * stands and common >= _FILLED * read


def _figure(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _letters(text: str) -> str:
    return "".join(char for char in text if char.isalnum())


def _follows(label: Place, value: Place) -> bool:
    """Whether the value stands right of its label, or beneath it."""
    if label.page != value.page:
        return False
    if label.beside(value):
        return value.box[0] >= label.box[2]
    height = label.box[3] - label.box[1]
    beneath = 0 <= value.box[1] - label.box[3] <= 2 * height
    return beneath and value.box[0] < label.box[2] and label.box[0] < value.box[2]
