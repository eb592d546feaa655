"""What of a page's streams and pictures cannot be decoded, so that a renderer leaves it out without a word.

A renderer shows what comes before the damage. Streams are judged by their own ends: a deflated one has a last
block, a JPEG an end marker, a JPEG 2000 codestream the lengths of its tile-parts.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pikepdf
from pikepdf import Dictionary, Stream

from pipeline.errors import Permanent, Reason
from pipeline.flags import FlagCode
from pipeline.sandbox import jpeg, texts

_CHUNK = 2**20
_MOST_BYTES = 512 * 2**20  # of a stream, decoded; what is beyond is not looked at
_MOST_FORMS = 500  # forms within a page's content that are looked into
_DRAWS = re.compile(rb"/([^\s/<>\[\](){}%]+)\s+Do\b")
_FLATE = ("/FlateDecode", "/Fl")
_JPEG = ("/DCTDecode", "/DCT")
_JPEG_2000 = ("/JPXDecode",)
_FAX = ("/CCITTFaxDecode", "/CCF")
_FLUSH = b"\x00\x00\xff\xff"
_TAIL = 64  # bytes after a JPEG's end marker that scanners and senders add
_COMPONENTS = {"/DeviceGray": 1, "/CalGray": 1, "/G": 1, "/Indexed": 1, "/I": 1, "/Separation": 1,
               "/DeviceRGB": 3, "/CalRGB": 3, "/RGB": 3, "/Lab": 3, "/DeviceCMYK": 4, "/CMYK": 4}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Loss:
    """A picture of `size` pixels of which the part `lost` (0..1, from its lower end) is not there."""

    size: tuple[int, int]
    lost: float
    why: str


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
        self.see_through: set[tuple[int, int]] = set()  # sizes of pictures with a mask
        self._pdf = pdf
        self._known = known
        self._losses: list[Loss] = []
        self._seen: set[tuple[int, int]] = set()
        drawing = b"\n".join(self._streams(page))
        if self._is_cut:
            self._judge_cut(drawing)
        self._look(drawing, resources)
        for annotation_look in _looks(page):
            self._form(annotation_look, resources)

    @property
    def pictures(self) -> tuple[Loss, ...]:
        return tuple(self._losses)

    def _streams(self, page: Any) -> Iterator[bytes]:
        self._is_cut = False
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
            data, ended = _decoded(stream)
            self._is_cut |= not ended
            yield data

    def _look(self, drawing: bytes, resources: Any) -> None:
        """Into the text, and into what is drawn by its name."""
        if not isinstance(resources, Dictionary):
            return
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
        data, ended = _decoded(form)
        if not ended:
            self._judge_cut(data)
        self._look(data, form.get("/Resources", resources))

    def _judge_cut(self, drawing: bytes) -> None:
        """Raises Permanent(pdf_damaged) where a stream that broke off did so in the middle of something."""
        words = re.sub(rb"\((?:\\.|[^\\)])*\)", b"()", drawing).split()
        balanced = words.count(b"q") == words.count(b"Q") and words.count(b"BT") == words.count(b"ET")
        if drawing.strip() and not (balanced and drawing[-1:].isspace()):
            message = f"what the page draws breaks off after {len(drawing):,} bytes"
            raise Permanent(Reason.pdf_damaged, message, lost=100)
        self.flags.append((FlagCode.content_cut, "a part of what the page draws cannot be decoded"))

    def _picture(self, picture: Stream) -> None:
        if _is_see_through(picture):
            self.see_through.add((_number(picture.get("/Width")), _number(picture.get("/Height"))))
        if picture.objgen not in self._known:
            self._known[picture.objgen] = _loss(picture)
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


def _filters(stream: Stream) -> list[str]:
    named = stream.get("/Filter")
    if named is None:
        return []
    return [str(each) for each in named] if isinstance(named, pikepdf.Array) else [str(named)]


def _decoded(stream: Stream) -> tuple[bytes, bool]:
    """A content stream's bytes, and whether they are all there."""
    filters = _filters(stream)
    if len(filters) == 1 and filters[0] in _FLATE and "/DecodeParms" not in stream:
        parts = bytearray()
        ended = False
        for part, is_last in _inflated(stream.read_raw_bytes()):
            parts += part
            ended = is_last
        return bytes(parts), ended
    try:
        return stream.read_bytes(), True
    except pikepdf.PdfError:
        return b"", False


def _inflated(data: bytes) -> Iterator[tuple[bytes, bool]]:
    """(part, whether the last block has ended) of a deflated stream, as far as it can be read.

    Many writers leave out the checksum after the last block; some end with the mark of a flush instead of it.
    """
    data = data.lstrip(b"\r\n")
    has_header = data[:1] and data[0] & 15 == 8 and int.from_bytes(data[:2], "big") % 31 == 0
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    left, total = data[2:] if has_header else data, 0
    while left and not inflater.eof and total < _MOST_BYTES:
        try:
            part = inflater.decompress(left, _CHUNK)
        except zlib.error:
            break
        left = inflater.unconsumed_tail
        total += len(part)
        yield part, inflater.eof
    flushed = not left and data.rstrip(b"\r\n").endswith(_FLUSH)
    yield b"", inflater.eof or flushed or not data or total >= _MOST_BYTES


def _loss(picture: Stream) -> Loss | None:
    """What of a picture cannot be decoded; None if nothing, or if its kind does not tell."""
    size = _number(picture.get("/Width")), _number(picture.get("/Height"))
    filters = _filters(picture)
    if not filters or min(size) < 1:
        return None
    last = filters[-1]
    if len(filters) == 1 and last in _FLATE:
        lost, why = _flate_loss(picture, size)
    elif len(filters) == 1 and last in _JPEG:
        lost, why = _jpeg_loss(picture.read_raw_bytes())
    elif len(filters) == 1 and last in _JPEG_2000:
        lost, why = _jpeg_2000_loss(picture.read_raw_bytes())
    else:
        return None
    return Loss(size, lost, why) if lost > 0 else None


def _is_see_through(picture: Stream) -> bool:
    """Whether a picture has a mask, and that is not one that leaves nothing out, as some writers give all."""
    if "/Mask" in picture or bool(picture.get("/ImageMask", False)):
        return True
    mask = picture.get("/SMask")
    if not isinstance(mask, Stream):
        return False
    if tuple(_filters(mask)) not in ((), *((name,) for name in _FLATE)) or "/DecodeParms" in mask:
        return True
    data = mask.read_raw_bytes()
    parts = _inflated(data) if _filters(mask) else iter([(data, True)])
    return any(part.strip(b"\xff") for part, _ in parts)


def _number(found: Any) -> int:
    return int(found) if isinstance(found, int) else 0


def _flate_loss(picture: Stream, size: tuple[int, int]) -> tuple[float, str]:
    expected = _expected(picture, size)
    total, ended = 0, False
    for part, is_last in _inflated(picture.read_raw_bytes()):
        total += len(part)
        ended = is_last
        if expected is not None and total >= expected:
            return 0.0, ""
    if expected is None:
        return (0.0, "") if ended else (0.5, "its data break off")
    missing = 1 - total / expected
    return (missing, "its data break off") if missing * size[1] >= 1 else (0.0, "")


def _expected(picture: Stream, size: tuple[int, int]) -> int | None:
    """Bytes that a picture of this size has, undeflated; None if its colours do not tell."""
    bits = 1 if bool(picture.get("/ImageMask", False)) else int(picture.get("/BitsPerComponent", 8))
    components = 1 if bool(picture.get("/ImageMask", False)) else _components(picture.get("/ColorSpace"))
    if components is None:
        return None
    row = (size[0] * components * bits + 7) // 8
    parameters = picture.get("/DecodeParms")
    if isinstance(parameters, pikepdf.Array):
        parameters = parameters[0] if len(parameters) else None
    predictor = int(parameters.get("/Predictor", 1)) if isinstance(parameters, Dictionary) else 1
    return (row + (predictor >= 10)) * size[1]


def _components(space: Any) -> int | None:
    if isinstance(space, pikepdf.Array) and len(space):
        kind = str(space[0])
        if kind == "/ICCBased":
            return int(space[1].N)
        if kind == "/DeviceN":
            return len(space[1])
        return _COMPONENTS.get(kind)
    return _COMPONENTS.get(str(space)) if space is not None else None


def _jpeg_loss(data: bytes) -> tuple[float, str]:
    if jpeg.END in data[-_TAIL:]:
        return 0.0, ""
    data = data.lstrip(b"\r\n")
    if not data.startswith(b"\xff\xd8"):
        return 1.0, "it is no JPEG"
    return jpeg.damage(data + jpeg.END) or (0.0, "")


def _jpeg_2000_loss(data: bytes) -> tuple[float, str]:
    """By the lengths of its tile-parts (ISO/IEC 15444-1, annex A): SOT says how long each one is."""
    at = data.find(b"\xff\x4f\xff\x51")
    if at < 0:
        return 1.0, "it is no JPEG 2000 picture"
    at += 2
    while data[at : at + 2] != b"\xff\x90":
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if length < 2 or at + 2 + length > len(data):
            return 1.0, "its data break off"
        at += 2 + length
    while data[at : at + 2] == b"\xff\x90":
        length = int.from_bytes(data[at + 6 : at + 10], "big")
        if length == 0:  # until the end
            return 0.0, ""
        if at + length > len(data):
            return max(0.01, 1 - len(data) / (at + length)), "its data break off"
        at += length
    return (0.0, "") if data[at : at + 2] == b"\xff\xd9" or at >= len(data) else (0.5, "its data are damaged")
