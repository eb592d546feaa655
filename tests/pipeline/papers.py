"""PDFs and pictures made by hand, byte by byte, so that a test can say exactly what is wrong with one."""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Sequence

import pillow_heif
from PIL import Image

from pipeline.records import Document

A4 = b"0 0 595 842"
pillow_heif.register_heif_opener()  # Pillow writes HEIC, too


def document(data: bytes, uri: str = "/paper") -> Document:
    return Document(uri, data, hashlib.sha256(data).hexdigest(), None)


def pdf(objects: Sequence[bytes]) -> bytes:
    """A PDF of these objects, numbered from 1; the first one is the catalogue."""
    out = b"%PDF-1.4\n"
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = len(out)
    size = len(objects) + 1
    out += b"xref\n0 %d\n0000000000 65535 f \n%strailer<</Size %d/Root 1 0 R>>\n" % (size, table, size)
    return out + b"startxref\n%d\n%%%%EOF" % end


def stream(entries: bytes, data: bytes) -> bytes:
    return b"<<%s/Length %d>>stream\n%s\nendstream" % (entries, len(data), data)


def text(words: str) -> bytes:
    """Page contents: `words` in large type."""
    return b"BT /F 40 Tf 60 600 Td (%s) Tj ET" % words.encode()


def pages(
    contents: Sequence[bytes],
    page: bytes = b"",
    resources: bytes = b"",
    box: bytes = A4,
    extra: Sequence[bytes] = (),
) -> bytes:
    """A PDF with a page for each of `contents`; `extra` are objects from number 4 + 2·pages on."""
    count = len(contents)
    kids = b" ".join(b"%d 0 R" % (4 + 2 * i) for i in range(count))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, count),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    for i, drawing in enumerate(contents):
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[%s]/Resources<</Font<</F 3 0 R>>%s>>/Contents %d 0 R%s>>"
            % (box, resources, 5 + 2 * i, page)
        )
        objects.append(stream(b"", drawing))
    return pdf([*objects, *extra])


def endless(page: int | None, count: int = 3, depth: int = 30) -> bytes:
    """`count` pages of text; `page` (all: None) draws a form that draws another twice, and so on, 2^depth in
    all.
    """
    first = 4 + 2 * count
    form = b"/Type/XObject/Subtype/Form/BBox[0 0 600 900]"
    forms = [
        stream(form + b"/Resources<</XObject<</N %d 0 R>>>>" % (first + i + 1), b"/N Do /N Do")
        for i in range(depth)
    ]
    contents = [b"/B Do" if page in (None, i + 1) else text(f"page {i + 1}") for i in range(count)]
    return pages(
        contents, resources=b"/XObject<</B %d 0 R>>" % first, extra=[*forms, stream(form, b"0 0 9 9 re f")]
    )


def scan(width: int, height: int) -> bytes:
    """One page that is one grey picture of `width` × `height` pixels, all black."""
    entries = b"/Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceGray/BitsPerComponent 8"
    picture = stream(entries % (width, height) + b"/Filter/FlateDecode", zlib.compress(bytes(width * height)))
    return pages([b"595 0 0 842 0 0 cm /I Do"], resources=b"/XObject<</I 6 0 R>>", extra=[picture])


def filled_form() -> bytes:
    """A page whose only mark is a filled form field."""
    look = stream(b"/Type/XObject/Subtype/Form/BBox[0 0 200 50]", b"0 0 200 50 re f")
    widget = b"<</Type/Annot/Subtype/Widget/FT/Tx/T(a)/V(x)/F 4/Rect[100 100 300 150]/AP<</N 7 0 R>>>>"
    plain = pages([b""], page=b"/Annots[6 0 R]", extra=[widget, look])
    # The catalogue gains the form; the reader repairs the table, which is now off by some bytes.
    return plain.replace(b"/Catalog/Pages 2 0 R", b"/Catalog/Pages 2 0 R/AcroForm<</Fields[6 0 R]>>")


def picture(kind: str, size: tuple[int, int] = (60, 40), colour: str = "red", **options: object) -> bytes:
    """An image file of one colour."""
    stored = io.BytesIO()
    Image.new("RGB", size, colour).save(stored, kind, **options)
    return stored.getvalue()


def tiff(count: int) -> bytes:
    """A TIFF of `count` pages; page n is n pixels wide, from 10 on."""
    stored = io.BytesIO()
    first, *rest = [Image.new("L", (10 + n, 20), 40 * n) for n in range(count)]
    first.save(stored, "TIFF", save_all=True, append_images=rest)
    return stored.getvalue()
