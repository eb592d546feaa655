"""A PDF's annotations and the fields of its forms: what they say, and what of it nobody draws."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pikepdf
from pikepdf import Dictionary, Name

from pipeline.flags import FlagCode
from pipeline.sandbox.attachments import plain

_MOST = 2_000  # annotations of a page, parents, options: what is beyond is not looked at
_HIDDEN = 1 << 1 | 1 << 5  # flags of an annotation: hidden, not to be seen on a screen
# What PDFium draws without an appearance stream, and what has nothing to show.
_DRAWN_BARE = frozenset({
    "/Circle", "/FreeText", "/Highlight", "/Ink", "/Popup", "/Square", "/Squiggly", "/StrikeOut", "/Text",
    "/Underline", "/Link", "/Widget", "/FileAttachment", "/Sound", "/Movie", "/Screen", "/PrinterMark",
    "/TrapNet", "/3D", "/RichMedia", "/Projection",
})  # fmt: skip
_TEXT_FIELDS = ("/Tx", "/Ch")
_RADIO, _PUSH_BUTTON = 1 << 15, 1 << 16  # flags of a button (PDF 32000-1, table 226)
_SHOWS = re.compile(rb"\b(?:Tj|TJ|Do|[fFbBsS]\*?|sh|EI)\b|['\"]")  # operators that leave a mark

Told = tuple[FlagCode, str]


@dataclass(frozen=True, slots=True)
class Field:
    """A form's field as it stands on a page: its text, and whether it has an appearance of its own."""

    name: str
    text: str
    rectangle: tuple[float, float, float, float]
    appearance: bool


def inherited(page: Any, name: str) -> Any:
    node = page
    for _ in range(_MOST):
        if not isinstance(node, Dictionary):
            return None
        if name in node:
            return node[name]
        node = node.get("/Parent")
    return None


def extent(box: Any) -> float | None:
    """The area of a box; None if there is none."""
    if box is None or len(box) != 4:
        return None
    left, bottom, right, top = (float(side) for side in box)
    return abs((right - left) * (top - bottom))


def visible(page: Any) -> Iterator[Any]:
    found = page.get("/Annots")
    for _, annotation in zip(range(_MOST), found if found is not None else (), strict=False):
        if isinstance(annotation, Dictionary) and not int(annotation.get("/F", 0)) & _HIDDEN:
            yield annotation


def not_drawn(annotation: Any) -> Iterator[Told]:
    kind = str(annotation.get("/Subtype", "/Unknown"))
    if kind in _DRAWN_BARE or _has_appearance(annotation):
        return
    words = annotation.get("/Contents") or annotation.get("/Name")
    named = f" ({plain(str(words).lstrip('/'))})" if words is not None else ""
    yield (
        FlagCode.annotation_not_drawn,
        f"an annotation of the kind {plain(kind.lstrip('/'))}{named} has no appearance and is not drawn",
    )


def _has_appearance(annotation: Any) -> bool:
    look = annotation.get("/AP")
    normal = look.get("/N") if isinstance(look, Dictionary) else None
    if isinstance(normal, pikepdf.Stream):
        return True
    if not isinstance(normal, Dictionary):
        return False
    state = annotation.get("/AS")
    return state is None or state == Name.Off or isinstance(normal.get(str(state)), pikepdf.Stream)


def field(annotation: Any) -> Iterator[Field]:
    """The text of a widget, if it has one to show."""
    if annotation.get("/Subtype") != "/Widget":
        if annotation.get("/Subtype") == "/FreeText" and "/Contents" in annotation:
            yield Field(
                "FreeText", str(annotation.Contents), _rectangle(annotation), _has_appearance(annotation)
            )
        return
    if str(inherited(annotation, "/FT")) not in _TEXT_FIELDS:
        return
    text = _value(annotation)
    if text.strip():
        yield Field(_name(annotation), text, _rectangle(annotation), _has_appearance(annotation))


def _name(annotation: Any) -> str:
    return plain(str(inherited(annotation, "/T") or ""))


def _value(annotation: Any) -> str:
    """What a field shows: of a choice, the words that stand for the value."""
    value = inherited(annotation, "/V")
    values = value if isinstance(value, pikepdf.Array) else [value]
    chosen = [str(each) for each in values if isinstance(each, pikepdf.String | str)]
    options = inherited(annotation, "/Opt")
    pairs = itertools.islice(options, _MOST) if isinstance(options, pikepdf.Array) else ()
    shown = {
        str(pair[0]): str(pair[1]) for pair in pairs if isinstance(pair, pikepdf.Array) and len(pair) > 1
    }
    return " ".join(shown.get(each, each) for each in chosen)


def not_shown(annotation: Any, drawn_anew: bool) -> Iterator[Told]:
    """A value of a form that nobody draws: a tick without a look, and text whose look is empty."""
    if annotation.get("/Subtype") != "/Widget":
        return
    kind = str(inherited(annotation, "/FT"))
    if kind == "/Btn" and _is_on(annotation) and not _has_appearance(annotation):
        radio = bool(int(inherited(annotation, "/Ff") or 0) & _RADIO)
        if radio or "/AP" in annotation:  # PDFium itself draws a tick that has no look at all
            message = f"the field “{_name(annotation)}” is ticked, and that is not drawn"
            yield FlagCode.field_not_drawn, message
    if kind in _TEXT_FIELDS and not drawn_anew and _value(annotation).strip() and _has_empty_look(annotation):
        message = f"the field “{_name(annotation)}” has a value and shows nothing"
        yield FlagCode.field_not_drawn, message


def _is_on(annotation: Any) -> bool:
    """Whether a box is ticked; a push button is not."""
    if int(inherited(annotation, "/Ff") or 0) & _PUSH_BUTTON:
        return False
    state = annotation.get("/AS", inherited(annotation, "/V"))
    return isinstance(state, Name) and state != Name.Off


def _has_empty_look(annotation: Any) -> bool:
    look = annotation.get("/AP")
    normal = look.get("/N") if isinstance(look, Dictionary) else None
    if not isinstance(normal, pikepdf.Stream) or extent(annotation.get("/Rect")) == 0:
        return False
    return _SHOWS.search(normal.read_bytes()) is None


def _rectangle(annotation: Any) -> tuple[float, float, float, float]:
    one, two, three, four = (float(side) for side in annotation.Rect)
    return min(one, three), min(two, four), max(one, three), max(two, four)
