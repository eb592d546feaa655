"""What of a page's streams and pictures cannot be decoded, so that a renderer leaves it out without a word.

A renderer shows what comes before the damage. Streams are judged by their own ends (`filters`), pictures by
their data (`losses`).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pikepdf
from pikepdf import Dictionary, Name, Stream

from pipeline.errors import Permanent, Reason
from pipeline.flags import FlagCode
from pipeline.sandbox import filters, losses, texts
from pipeline.sandbox.filters import End
from pipeline.sandbox.losses import Loss

_MOST_FORMS = 500  # forms within a page's content that are looked into
_DRAWS = re.compile(rb"/([^\s/<>\[\](){}%]+)\s+Do\b")
_INLINE = re.compile(rb"\bBI\b.{1,500}?\bID\b", re.S)
_MOST_INLINE = 200  # pictures within a page's content that are looked at
# What a string or a text object begins or ends with; a backslash takes the next byte along.
_CLOSES = re.compile(rb"\b(?:Q|EMC)\b")
_BRACKETS = re.compile(rb"\\.|[()]|(?<![^\s\])>}])(?:BT|ET)(?![^\s\[(<{/%])", re.S)


class Content:
    """What a page draws: its content streams, and the forms and pictures that these name.

    `known` are the losses of pictures by object, which pages share. Raises Permanent(pdf_damaged) where what
    is drawn ends before its end, or is not there.
    """

    def __init__(
        self, pdf: pikepdf.Pdf, page: Any, resources: Any, known: dict[tuple[int, int], Loss | None]
    ) -> None:
        self.flags: list[tuple[FlagCode, str]] = []
        self.absent: list[texts.Absent] = []
        self.unmapped: set[str] = set()
        self.legacy = False
        self._pdf = pdf
        self._known = known
        self._losses: list[Loss] = []
        self._seen: set[tuple[int, int]] = set()
        drawing = b"\n".join(self._streams(page))
        if self._end is not End.whole:
            self._judge(drawing, self._end)
        elif (within := _ends_within(drawing)) is not None:
            self.flags.append((FlagCode.content_cut, f"what the page draws ends in the middle of {within}"))
        self._look(drawing, resources)
        for annotation_look in _looks(page):
            self._form(annotation_look, resources)

    @property
    def pictures(self) -> tuple[Loss, ...]:
        return tuple(self._losses)

    def _streams(self, page: Any) -> Iterator[bytes]:
        self._end = End.whole
        contents = page.get("/Contents")
        if contents is None:  # there is none, or it leads nowhere: qpdf does not tell them apart
            own = page.get("/Resources")
            if isinstance(own, Dictionary) and any(len(own.get(n, ())) for n in ("/Font", "/XObject")):
                self.flags.append((FlagCode.content_cut, "the page has fonts or pictures and draws nothing"))
            return
        for stream in contents if isinstance(contents, pikepdf.Array) else [contents]:
            if not isinstance(stream, Stream):
                raise Permanent(
                    Reason.pdf_damaged, "a part of what the page draws is not in the file", lost=100
                )
            data, end = filters.decoded(stream)
            self._end = end if self._end is End.whole else self._end
            yield data

    def _look(self, drawing: bytes, resources: Any) -> None:
        """Into the text, and into what is drawn by its name."""
        if not isinstance(resources, Dictionary):
            return
        self._inline(drawing)
        fonts = resources.get("/Font")
        self.absent += texts.absent(lambda: self._pdf.make_stream(drawing), fonts)
        self.unmapped.update(texts.unmapped(fonts))
        self.legacy |= any(texts.legacy_by_code(fonts))
        objects = resources.get("/XObject")
        for name in sorted(set(_DRAWS.findall(drawing))):
            drawn = objects.get("/" + name.decode("latin-1")) if isinstance(objects, Dictionary) else None
            if not isinstance(drawn, Stream):
                named = name.decode("latin-1")[:40]
                self.flags.append(
                    (FlagCode.content_cut, f"“{named}”, which the page draws, is not in the file")
                )
            elif drawn.get("/Subtype") == "/Image":
                self._picture(drawn)
            elif drawn.get("/Subtype") == "/Form":
                self._form(drawn, resources)

    def _form(self, form: Stream, resources: Any) -> None:
        if form.objgen in self._seen or len(self._seen) >= _MOST_FORMS:
            return
        self._seen.add(form.objgen)
        data, end = filters.decoded(form)
        if end is not End.whole:
            self._judge(data, end)
        self._look(data, form.get("/Resources", resources))

    def _judge(self, drawing: bytes, end: End) -> None:
        """Raises Permanent(pdf_damaged) where a stream that broke off did so in the middle of something."""
        if end is End.wrong:
            message = "a part of what the page draws may be wrong: its checksum does not agree"
            self.flags.append((FlagCode.content_cut, message))
            return
        words = re.sub(rb"\((?:\\.|[^\\)])*\)", b"()", drawing).split()
        balanced = words.count(b"q") == words.count(b"Q") and words.count(b"BT") == words.count(b"ET")
        if drawing.strip() and not (balanced and drawing[-1:].isspace()):
            message = f"what the page draws breaks off after {len(drawing):,} bytes"
            raise Permanent(Reason.pdf_damaged, message, lost=100)
        self.flags.append((FlagCode.content_cut, "a part of what the page draws cannot be decoded"))

    def _inline(self, drawing: bytes) -> None:
        """The pictures that stand within the content itself."""
        if not _INLINE.search(drawing):
            return
        found = pikepdf.parse_content_stream(self._pdf.make_stream(drawing), "BI ID EI")
        inline = (each for each in found if isinstance(each, pikepdf.ContentStreamInlineImage))
        for each in itertools.islice(inline, _MOST_INLINE):
            try:
                picture = each.iimage
            except pikepdf.PdfError:
                continue  # it is described in a way that qpdf does not take
            if not picture.filters:
                continue  # where its bytes end is a guess
            loss = losses.of(_as_stream(self._pdf, picture))
            if loss is not None:
                self._losses.append(loss)

    def _picture(self, picture: Stream) -> None:
        if picture.objgen not in self._known:
            self._known[picture.objgen] = losses.of(picture)
        loss = self._known[picture.objgen]
        if loss is not None:
            self._losses.append(loss)


def _looks(page: Any) -> Iterator[Stream]:
    """The appearances of a page's annotations."""
    found = page.get("/Annots")
    for annotation in found if isinstance(found, pikepdf.Array) else ():
        look = annotation.get("/AP") if isinstance(annotation, Dictionary) else None
        normal = look.get("/N") if isinstance(look, Dictionary) else None
        if isinstance(normal, Stream):
            yield normal


def _ends_within(drawing: bytes) -> str | None:
    """What is open at the end of a content stream and must not be; of pictures within it nothing is said."""
    if _INLINE.search(drawing):
        return None
    depth, text = 0, 0  # strings within one another; where the text object began that is open
    for found in _BRACKETS.finditer(drawing):
        mark = found[0]
        if mark == b"(":
            depth += 1
        elif mark == b")":
            depth = max(0, depth - 1)
        elif depth == 0 and mark in (b"BT", b"ET"):
            text = found.end() if mark == b"BT" else 0
    # What closes other things behind it was written by a program that forgot to close the text.
    forgotten = _CLOSES.search(drawing, text) is not None
    return "a string" if depth else "a text" if text and not forgotten else None


def _as_stream(pdf: pikepdf.Pdf, picture: pikepdf.PdfInlineImage) -> Stream:
    made = pdf.make_stream(picture.read_raw_bytes())
    made.Width, made.Height = picture.width, picture.height
    made.ImageMask, made.BitsPerComponent = picture.image_mask, picture.bits_per_component
    if picture.filters:
        made.Filter = pikepdf.Array([Name(each) for each in picture.filters])
        made.DecodeParms = pikepdf.Array([Dictionary(each) for each in picture.decode_parms])
    if picture.colorspace is not None:
        made.ColorSpace = Name(picture.colorspace)
    return made
