"""Documents become page images, drawn in a child process (`pipeline.sandbox`) that a hostile file may kill.

PDFs are drawn by PDFium, or by Poppler where the setting says so; the other one is asked when the first
cannot open the file, dies on a page, or shows a blank page. Pictures are decoded by Pillow. What is on a page
and was not drawn is told by its flags; where much of it is lost, the page fails. QR codes are looked for in
the child too, and a PDF's own text is read there; both are evidence beside the print, never put in its place.
A page that fails takes nothing with it: it becomes a `Failure` in its place, and the next page is drawn.
Documents that are attached to a PDF have their pages behind its own (`attached`).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType

import numpy as np

from pipeline import attached
from pipeline.attached import Attachments
from pipeline.einvoice.tree import Element
from pipeline.errors import Coded, Permanent, Reason, Transient, UsageError
from pipeline.filetype import SUPPORTED, Kind, sniff
from pipeline.flags import FlagCode
from pipeline.records import Code, Document, Failure, Flag, PageImage, Pixels, Signature, TextLayer
from pipeline.sandbox import confine
from pipeline.sandbox.drawers import DRAWERS
from pipeline.sandbox.parent import Child
from pipeline.second_reader import SecondReader
from pipeline.settings import RenderSettings, SecondReaderSettings

_OPEN_ELSEWHERE = (Reason.pdf_damaged, Reason.pdf_no_pages, Reason.render_crashed)
_DRAW_ELSEWHERE = (Reason.pdf_damaged, Reason.image_damaged, Reason.render_crashed)
_KNOWN = ("width", "lost")  # what a failure tells that another renderer cannot know better
_ENDS = (Reason.render_timeout, Reason.render_memory, Reason.render_crashed)
_MOST_ENDS = 5  # of the renderer that is asked second, in one document: then it is asked no more
_WITH_FACES = "pdfium-faces"


def pages(
    document: Document, settings: RenderSettings, numbers: Iterable[int] | None = None
) -> Iterator[PageImage | Failure]:
    """Each page of one document. A caller with many documents keeps a `Renderer`, which keeps its child."""
    with Renderer(settings) as renderer:
        yield from renderer.pages(document, numbers)


def page_count(document: Document, settings: RenderSettings) -> int:
    """Number of pages of one document; raises as `Renderer.page_count`."""
    with Renderer(settings) as renderer:
        return renderer.page_count(document)


@dataclass
class _Account:
    """What one document has cost so far, in this process; those attached to it count to its seconds."""

    sha256: str
    whole: str  # of the document that it is attached to, or its own
    seconds: float = 0.0
    ends: int = 0  # of the renderer that was asked second
    blind: bool = False  # who looks at pages cannot open it
    mute: str | None = None  # why its text is not read any more


class Renderer:
    """Draws documents one after the other. Not for two threads at once; a context manager.

    The child starts with the first document. Raises UsageError if the chosen renderer is not installed, or if
    the kernel cannot confine a child and the settings insist on it.
    """

    def __init__(
        self,
        settings: RenderSettings,
        second: SecondReaderSettings | None = None,
        xml_root: str | None = None,
        *,
        members: bool = False,
        anchors: bytes = b"",
    ) -> None:
        """`xml_root`: the element that is a document in XML attached to PDFs; None: no such XML is read.

        `members`: the documents within a portfolio of several are no pages of it but told by `members`.
        `anchors`: trusted certificates, as `einvoice.anchors` packs them.
        """
        self._settings, self._xml_root, self._apart, self._anchors = settings, xml_root, members, anchors
        # The last PDF, its own pages, and what is attached to it.
        self._attached: tuple[Document, int, Attachments] | None = None
        self._second = SecondReader(second or SecondReaderSettings(), settings)
        self.confinement = confine.possible()  # what will hold the children
        if settings.require_sandbox and not self.confinement.complete:
            raise UsageError(self.confinement.words)
        self._children: dict[str, Child] = {}
        self._opener: tuple[Document, str, int] | None = None  # the last document, by whom, its pages
        self._account = _Account("", "")
        installed = [name for name, entry in DRAWERS.items() if all(map(shutil.which, entry.programs))]
        if settings.renderer not in installed:
            needed = ", ".join(DRAWERS[settings.renderer].programs)
            raise UsageError(
                f"render.renderer is {settings.renderer}, but {needed} are not installed: "
                "apt install poppler-utils"
            )
        self._installed = sorted(installed, key=lambda name: name != settings.renderer)

    def page_count(self, document: Document) -> int:
        """With the pages of what is attached to it. Raises Permanent for a document that cannot be drawn,
        Transient when trying again may help.
        """
        return self._open(document)[1] + len(self.attached_kinds(document))

    def attached_kinds(self, document: Document) -> tuple[Kind, ...]:
        """The kind of each page behind a document's own: what is attached to it. Raises as `page_count`."""
        return self._attachments(document).kinds

    def members(self, document: Document) -> tuple[str, ...]:
        """The names of those documents in a portfolio that are to be read by themselves. Raises as
        `page_count`.
        """
        return self._attachments(document).members

    def kind(self, document: Document, number: int) -> Kind:
        """Of page `number` (from 1). Raises as `page_count` does."""
        return _kind(self._place(document, number)[0])

    def page(self, document: Document, number: int, *, codes: bool = True) -> PageImage | Failure:
        """Page `number` (from 1) of a document, or why it cannot be drawn. With `codes`, its codes and text.

        The pages of a document that is drawn without another in between have `document_seconds` together.
        """
        try:
            document, own = self._place(document, number)
        except Coded as error:
            return Failure.of(error, number)
        account = self._account_of(document)
        most = self._settings.document_seconds
        if account.seconds > most:
            message = f"not tried: the document's pages took over {most:g} s (render.document_seconds)"
            return Failure(Reason.render_timeout, message, number)
        started = time.monotonic()
        try:
            page = self._page(document, own, self._open(document)[0])
            if own == 1 and (unread := self._attachments(document).flags):
                page = replace(page, flags=(*page.flags, *unread))
            text = self._text(document, page) if codes else None
            page = replace(page, page=number, text=text, codes=self._codes(page) if codes else ())
            if not codes:
                return page
        except Coded as error:
            return replace(Failure.of(error, number), traceback=error.details.get("last_words"))
        finally:
            account.seconds += time.monotonic() - started
        return self._read_again(page)

    def read(self, document: Document, number: int = 1) -> tuple[Element, Signature]:
        """Page `number` of a document, which is XML, and what its signatures are worth. Raises as
        `page_count` does.
        """
        document, _ = self._place(document, number)
        return self._opened(document, self._open(document)[0])[0].read()

    def pages(
        self, document: Document, numbers: Iterable[int] | None = None, *, codes: bool = True
    ) -> Iterator[PageImage | Failure]:
        """One item for each of `numbers` (from 1; all pages if None), in order.

        Without `codes` no page is searched for them, nor for text. Raises before the first item, as
        `page_count` does.
        """
        count = self.page_count(document)
        for number in range(1, count + 1) if numbers is None else numbers:
            yield self.page(document, number, codes=codes)

    def _read_again(self, page: PageImage) -> PageImage | Failure:
        """The page with what the second reader sees on it, whose time is no part of the document's."""
        try:
            return replace(page, reader=self._second.read(page.pixels))
        except Transient as error:
            return Failure.of(error, page.page)

    def close(self) -> None:
        for child in self._children.values():
            child.close()
        self._children.clear()
        self._second.close()
        self._opener = self._attached = None

    def __enter__(self) -> Renderer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, document: Document) -> tuple[str, int]:
        """(renderer, pages): the first renderer that opens the document.

        If none does, raises what the first one complained of; but one that can tell that there are no pages
        knows more than one that cannot open the file. The choice is remembered: it may have cost a child.
        """
        if self._opener is not None and self._opener[0] is document:
            return self._opener[1:]
        self._opener = None
        complaint: Permanent | None = None
        for renderer in self._renderers(document):
            try:
                self._opener = (document, renderer, self._opened(document, renderer)[1])
                return self._opener[1:]
            except Permanent as error:
                if complaint is None or error.reason is Reason.pdf_no_pages:
                    complaint = error
                if error.reason not in _OPEN_ELSEWHERE:
                    break
        raise complaint or Permanent(Reason.internal_error, "no renderer for this document")

    def _place(self, document: Document, number: int) -> tuple[Document, int]:
        """The file in which page `number` of a document stands, itself or attached, and its number there."""
        if number == 1:
            return document, number
        last = self._attached
        pages = last[1] if last is not None and last[0] is document else self._open(document)[1]
        if number <= pages:
            return document, number
        found = self._attachments(document).place(number - pages)
        if found is None:
            raise Permanent(Reason.unsupported_type, f"{document.uri} has no page {number} that can be drawn")
        return found

    def _attachments(self, document: Document) -> Attachments:
        """What is attached to a document. One level deep: of what is itself attached, none is read."""
        if _kind(document) != "pdf":
            return attached.NONE
        last = self._attached
        if last is not None and last[0] is document:
            return last[2]
        within = self._whole(document) is not document
        opener, pages = self._open(document)
        looker = next(name for name in self._installed if DRAWERS[name].looks)
        if opener != looker == self._settings.renderer:
            return attached.NONE  # it could not open the document
        found = attached.NONE
        try:
            child, _ = self._opened(document, looker)
            left = 0 if within else self._settings.max_pages - pages
            found = attached.find(
                document,
                child,
                left,
                self._pages_of,
                self._tree,
                self._xml_root,
                members=self._apart and not within,
            )
        except Permanent as error:
            self._account_of(document).blind |= error.reason in _ENDS
            found = Attachments(flags=(Flag(FlagCode.not_inspected, "what is attached cannot be told"),))
        if not within:
            self._attached = document, pages, found
        return found

    def _whole(self, document: Document) -> Document:
        """The PDF that a document is attached to, or itself."""
        last = self._attached
        attached_here = last is not None and any(one.document is document for one in last[2].read)
        return last[0] if last is not None and attached_here else document

    def _pages_of(self, document: Document) -> int:
        return self._open(document)[1]

    def _tree(self, document: Document) -> Element:
        return self._opened(document, self._open(document)[0])[0].read()[0]

    def _page(self, document: Document, number: int, renderer: str) -> PageImage:
        """The page as `renderer` draws it, or as another does where this one fails or shows nothing."""
        if DRAWERS[renderer].reads:
            raise Permanent(Reason.unsupported_type, "it is no picture: what it says is read, not drawn")
        others = [other for other in self._renderers(document) if other != renderer]
        try:
            page = self._drawn(document, number, renderer)
        except Permanent as error:
            if error.reason not in _DRAW_ELSEWHERE or not error.details.keys().isdisjoint(_KNOWN):
                raise
            for other in others:
                second = self._second_opinion(document, number, other)
                if isinstance(second, PageImage) and _excuses(second, error):
                    return second
            raise
        if any(flag.code is FlagCode.letters_missing for flag in page.flags):
            page = self._with_faces(document, number) or page
        if others and _blank(page.pixels):
            second = self._second_opinion(document, number, others[0])
            if isinstance(second, PageImage) and not _blank(second.pixels):
                return replace(second, flags=(*page.flags, *second.flags))
            if isinstance(second, Failure) and second.reason in _ENDS:
                message = f"the page is blank as {page.renderer} draws it; {others[0]}: {second.message}"
                flag = Flag(FlagCode.blank_unconfirmed, message)
                return replace(page, flags=(*page.flags, flag), ended=second)
        return page

    def _drawn(self, document: Document, number: int, renderer: str) -> PageImage:
        """The page as `renderer` draws it, and what is known of it otherwise."""
        unit: float = 1.0
        flags: tuple[Flag, ...] = ()
        if not DRAWERS[renderer].looks and DRAWERS[renderer].opinion and _kind(document) == "pdf":
            unit, flags = self._looked(document, number)
        pixels, told = self._opened(document, renderer)[0].draw(number, unit)
        return PageImage(number, pixels, renderer, flags=(*flags, *told))

    def _looked(self, document: Document, number: int) -> tuple[float, tuple[Flag, ...]]:
        """What one renderer can say of a page that another draws: its unit and flags.

        Raises Permanent where what the page draws is lost.
        """
        account = self._account_of(document)
        unseen = 1.0, (Flag(FlagCode.not_inspected, "what may be missing on the page cannot be told"),)
        looker = next(name for name in self._installed if DRAWERS[name].looks)
        if account.blind or looker == self._settings.renderer:
            return unseen  # it could not open the document
        try:
            return self._opened(document, looker)[0].look(number)
        except Permanent as error:
            if "lost" in error.details:
                raise
            account.blind = error.reason in _ENDS or self._child(looker).open_document is not document
            return unseen

    def _with_faces(self, document: Document, number: int) -> PageImage | None:
        """The page with the system's faces in place of fonts that are not in the file; None if that fails."""
        try:
            return self._drawn(document, number, _WITH_FACES)
        except Coded:
            return None

    def _codes(self, page: PageImage) -> tuple[Code, ...]:
        """The QR codes on a page, found by the child that drew it or, where that one cannot, by another."""
        if _blank(page.pixels):
            return ()
        searcher = next(name for name in (page.renderer, *self._installed) if DRAWERS[name].codes)
        try:
            return self._child(searcher).codes(page.pixels)
        except Coded as error:
            message = f"the search for QR codes failed: {error.message}"
            raise type(error)(error.reason, message, **error.details) from error

    def _text(self, document: Document, page: PageImage) -> TextLayer | None:
        """The text that a PDF's page brings along. A page whose text cannot be read is still a page."""
        if _kind(document) != "pdf":
            return None
        account = self._account_of(document)
        if account.mute is None:
            speller = next(name for name in (page.renderer, *self._installed) if DRAWERS[name].words)
            try:
                child, count = self._opened(document, speller)
                if page.page <= count:
                    height, width = page.pixels.shape[:2]
                    return child.words(page.page, (width, height))
                account.mute = f"{speller} finds {count} pages"
            except Permanent as error:
                if error.reason not in _ENDS and self._child(speller).open_document is document:
                    return TextLayer((), False, f"the text cannot be read: {error.message}")
                account.mute = error.message
        return TextLayer((), False, f"the text cannot be read: {account.mute}")

    def _second_opinion(self, document: Document, number: int, renderer: str) -> PageImage | Failure | None:
        """The page drawn by `renderer`, or why it is not; None if it does not have the same pages.

        Its ends count against the document: after some it is asked no more.
        """
        account = self._account_of(document)
        if account.ends >= _MOST_ENDS:
            return Failure(Reason.render_crashed, f"not asked: it ended on {account.ends} pages", number)
        try:
            child, count = self._opened(document, renderer)
            if count != self._open(document)[1]:
                return None  # of what it leaves out, the others change their numbers
            pixels, flags = child.draw(number)
            return PageImage(number, pixels, renderer, flags=flags)
        except Coded as error:
            account.ends += error.reason in _ENDS
            return Failure.of(error, number)

    def _account_of(self, document: Document) -> _Account:
        if self._account.sha256 != document.sha256:
            whole = self._whole(document).sha256
            spent = self._account.seconds if self._account.whole == whole else 0.0
            self._account = _Account(document.sha256, whole, spent)
        return self._account

    def _opened(self, document: Document, renderer: str) -> tuple[Child, int]:
        """A living child with the document open in it, and its number of pages there."""
        child = self._child(renderer)
        if child.open_document is document:
            return child, child.pages
        if child.served >= DRAWERS[renderer].documents:
            child.close()
            child = self._child(renderer)
        return child, child.open(document, _kind(document), document.data)

    def _child(self, renderer: str) -> Child:
        """A living child of this kind. Raises UsageError or Transient if none can be started."""
        child = self._children.get(renderer)
        if child is not None and child.spent:
            child.close()
            child = None
        if child is None:
            anchors = self._anchors if DRAWERS[renderer].reads else b""
            child = self._children[renderer] = Child(renderer, self._settings, anchors=anchors)
            if self._settings.require_sandbox and not child.confinement.complete:
                child.close()
                raise UsageError(child.confinement.words)
        return child

    def _renderers(self, document: Document) -> tuple[str, ...]:
        kind = _kind(document)
        entries = ((name, DRAWERS[name]) for name in self._installed)
        return tuple(name for name, entry in entries if kind in entry.kinds and entry.opinion)


def _kind(document: Document) -> Kind:
    """By the first bytes, never by the name. Raises Permanent for what is none of ours."""
    if not document.data:
        raise Permanent(Reason.empty_file, f"{document.uri} has no bytes")
    kind = sniff(document.data)
    if kind is None:
        raise Permanent(
            Reason.unsupported_type, f"{document.uri} is not a {SUPPORTED} file, whatever its name says"
        )
    return kind


def _excuses(second: PageImage, first: Permanent) -> bool:
    """Whether a second renderer's page may stand where the first one failed.

    Not one that shows nothing; nor one that it complains of, where the first one missed a picture.
    """
    return not _blank(second.pixels) and not (first.reason is Reason.image_damaged and second.flags)


def _blank(pixels: Pixels) -> bool:
    """Nothing but one colour; a coarse look spares most pages the full one."""
    first = pixels[0, 0]
    return bool(np.all(pixels[::64, ::64] == first)) and bool(np.all(pixels == first))
