"""What a PDF's own objects say of a page and no renderer tells: its unit, and what is on it and not drawn.

By qpdf (pikepdf), in the same confined child as PDFium, and bounded as it is. Only objects are read, nothing
is drawn. What a page holds in its streams and pictures is looked at in `damage`.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import pikepdf
from pikepdf import Dictionary

from pipeline.errors import Permanent, Reason
from pipeline.flags import FlagCode
from pipeline.sandbox import damage, texts
from pipeline.sandbox.annotations import (
    Field,
    Told,
    extent,
    field,
    inherited,
    not_drawn,
    not_shown,
    visible,
)
from pipeline.sandbox.attachments import Attachments
from pipeline.sandbox.drawer import LARGEST_UNIT
from pipeline.sandbox.losses import Loss
from pipeline.sandbox.texts import Absent

# What pikepdf raises about objects that are not what they should be.
BROKEN = (
    pikepdf.PdfError, pikepdf.PasswordError, ValueError, TypeError, KeyError, AttributeError, IndexError,
    RuntimeError, OverflowError, NotImplementedError,
)  # fmt: skip
_DEEPEST = 50  # nodes of the tree of pages within one another
_MOST = 2_000  # annotations of a page, attachments, fonts, parents: what is beyond is not looked at
_UNDECODED = re.compile(r"error decoding stream data for object (\d+) 0")  # of qpdf's warnings


@dataclass(frozen=True, slots=True)
class PageFacts:
    """Of one page. `unit` is the length of its unit in 1/72 inch; `absent` are fonts that are not in the file
    and have letters that not every renderer has, `unmapped` the names of fonts that do not say which letters
    their codes are. `legacy`: there are fonts of before Unicode, of which `by_code` tells the codes.
    """

    unit: float = 1.0
    flags: tuple[Told, ...] = ()
    fields: tuple[Field, ...] = ()
    pictures: tuple[Loss, ...] = ()
    absent: tuple[Absent, ...] = ()
    unmapped: frozenset[str] = frozenset()
    legacy: bool = False


NOT_INSPECTED = PageFacts(
    flags=(
        (FlagCode.not_inspected, "the file is damaged, and what may be missing on the page cannot be told"),
    )
)


class Structure:
    """The objects of a PDF that a renderer has opened as well and says has `pages` pages.

    The file is closed with it. Where qpdf cannot open it, or counts other pages, nothing is known.
    """

    def __init__(self, file: BinaryIO, pages: int) -> None:
        self._pdf: pikepdf.Pdf | None = None
        self._file = file
        self.more_pages = False  # than the renderer says
        self._lost_objects = False
        self._losses: dict[tuple[int, int], Loss | None] = {}  # of pictures, by object
        self._leaves: list[Any] = []
        try:
            pdf = pikepdf.open(self._file, inherit_page_attributes=False)
            # By hand: qpdf leaves out a page that is not in the file, and the others change their numbers.
            self._leaves = [*itertools.islice(_leaves(pdf.Root.Pages, 0), pages + 1)]
            self.more_pages = len(self._leaves) > pages
            self._pdf = pdf if len(self._leaves) == pages else None
        except BROKEN:
            pass

    def page(self, number: int) -> PageFacts:
        """Of page `number` (from 1). Raises Permanent(pdf_damaged) where what it draws is cut short."""
        if self._pdf is None:
            return NOT_INSPECTED
        try:
            page = self._leaves[number - 1]
            if isinstance(page, pikepdf.Stream) or not isinstance(page, Dictionary):
                raise Permanent(
                    Reason.pdf_damaged, "something else stands in the place of the page", lost=100
                )
            flags = [*self._of_document()] if number == 1 else []
            if not extent(inherited(page, "/MediaBox")):
                flags.append(
                    (FlagCode.size_missing, "the page has no size, and was drawn on a sheet of Letter")
                )
            fields: list[Field] = []
            for annotation in visible(page):
                flags += not_drawn(annotation)
                flags += not_shown(annotation, self.draws_fields_anew)
                fields += field(annotation)
            if self._has_lost_objects():
                flags.append(
                    (
                        FlagCode.not_inspected,
                        "objects of the file are damaged: what may be missing on the page cannot be told",
                    )
                )
            content = damage.Content(self._pdf, page, inherited(page, "/Resources"), self._losses)
            return PageFacts(
                _unit(page),
                (*flags, *content.flags),
                tuple(fields),
                content.pictures,
                tuple(content.absent),
                frozenset(content.unmapped),
                content.legacy,
            )
        except BROKEN:
            return NOT_INSPECTED

    def attachments(self) -> Attachments | None:
        """What is attached to the document and to its pages; None where that cannot be told."""
        try:
            return None if self._pdf is None else Attachments(self._pdf, _hung(self._leaves))
        except BROKEN:
            return None

    @property
    def has_xfa(self) -> bool:
        """Whether the document is also an XFA form, which its pages may only stand for."""
        if self._pdf is None:
            return False
        try:
            return "/XFA" in _form(self._pdf)
        except BROKEN:
            return False

    @property
    def draws_fields_anew(self) -> bool:
        """Whether appearances of fields are made by whoever shows them."""
        if self._pdf is None:
            return False
        try:
            return bool(_form(self._pdf).get("/NeedAppearances", False))
        except BROKEN:
            return False

    def close(self) -> None:
        if self._pdf is not None:
            self._pdf.close()
        self._file.close()

    def _has_lost_objects(self) -> bool:
        """Whether a stream that holds other objects has been found damaged: these are null for who asks."""
        assert self._pdf is not None
        for warning in map(str, self._pdf.get_warnings()):
            within, failed = re.search(r"\bobject stream \d+ \(", warning), _UNDECODED.search(warning)
            self._lost_objects |= within is not None or (failed is not None and self._packs(int(failed[1])))
        return self._lost_objects

    def _packs(self, number: int) -> bool:
        assert self._pdf is not None
        found = self._pdf.get_object((number, 0))
        return isinstance(found, pikepdf.Stream) and found.get("/Type") == "/ObjStm"

    def _of_document(self) -> Iterator[Told]:
        assert self._pdf is not None
        root = self._pdf.Root
        if self.has_xfa and bool(root.get("/NeedsRendering", False)):
            yield FlagCode.placeholder, DYNAMIC_FORM


DYNAMIC_FORM = "a dynamic XFA form: the page stands for a form that only Adobe's programs show"


def unlocked(data: bytes) -> bytes:
    """A copy of an encrypted PDF without its lock, for who cannot open what needs no password.

    Raises Permanent: pdf_encrypted where a password or a certificate is needed, else pdf_damaged.
    """
    copy = io.BytesIO()
    try:
        with pikepdf.open(io.BytesIO(data)) as pdf:
            pdf.save(copy, encryption=False)
    except pikepdf.PasswordError as error:
        raise Permanent(Reason.pdf_encrypted, "the PDF asks for a password") from error
    except BROKEN as error:
        if "encryption filter" in str(error) or "encryption handler" in str(error):
            message = (
                "the PDF is locked in a way that no password opens: by a certificate or a rights service"
            )
            raise Permanent(Reason.pdf_encrypted, message) from error
        raise Permanent(Reason.pdf_damaged, "its encryption is damaged") from error
    return copy.getvalue()


def counted_anew(data: bytes) -> bytes:
    """A copy of a PDF whose own number of pages is that of the pages it has. Raises one of `BROKEN`."""
    copy = io.BytesIO()
    with pikepdf.open(io.BytesIO(data)) as pdf:
        len(pdf.pages)  # qpdf goes through them all and writes the list anew
        pdf.save(copy, encryption=False, compress_streams=False)
    return copy.getvalue()


def by_code(data: bytes) -> bytes:
    """A copy of a PDF whose fonts of before Unicode give their codes as private characters (`legacy`).

    Raises one of `BROKEN`.
    """
    copy = io.BytesIO()
    with pikepdf.open(io.BytesIO(data)) as pdf:
        for font, own in texts.legacy_by_code(pdf.objects):
            font.ToUnicode = pdf.make_stream(own)
        pdf.save(copy, encryption=False, compress_streams=False)
    return copy.getvalue()


def _leaves(node: Any, depth: int) -> Iterator[Any]:
    """The pages beneath a node of the tree of pages, in order, and whatever else stands in their places."""
    kids = node.get("/Kids") if isinstance(node, Dictionary) else None
    if not isinstance(kids, pikepdf.Array):
        yield node
    elif depth < _DEEPEST:
        for kid in kids:
            yield from _leaves(kid, depth + 1)


def _unit(page: Any) -> float:
    unit = page.get("/UserUnit", 1)
    try:
        number = float(unit)
    except (TypeError, ValueError):
        return 1.0
    return number if 0 < number <= LARGEST_UNIT else 1.0


def _form(pdf: pikepdf.Pdf) -> Any:
    form = pdf.Root.get("/AcroForm")
    return form if isinstance(form, Dictionary) else Dictionary()


def _hung(pages: Iterable[Any]) -> Iterator[Dictionary]:
    """The file specifications of annotations. A page that is damaged says so itself."""
    for page in pages:
        try:
            found = [a.get("/FS") for a in visible(page) if a.get("/Subtype") == "/FileAttachment"]
        except BROKEN:
            continue
        yield from (spec for spec in found if isinstance(spec, Dictionary))
