"""Pictures as phones, scanners and fax machines write them: what is there is read, what is lost is said."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pillow_heif
import pytest
from PIL import Image, ImageDraw

from pipeline.errors import Permanent, Reason
from pipeline.filetype import sniff
from pipeline.flags import FlagCode
from pipeline.records import Failure, PageImage
from pipeline.render import Renderer
from pipeline.settings import RenderSettings
from tests.pipeline import papers

KINDS = {"HEIF": "heic", "AVIF": "avif", "GIF": "gif", "BMP": "bmp", "JPEG2000": "jp2"}


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    with Renderer(RenderSettings()) as shared:
        yield shared


def slip(width: int = 320, height: int = 480, colour: str = "white") -> Image.Image:
    """Lines of print from top to bottom."""
    page = Image.new("RGB", (width, height), colour)
    draw = ImageDraw.Draw(page)
    for y in range(4, height - 10, 14):
        draw.text((5, y), f"Dong {y} tong cong 1.250.000 dong, hoa don so {y * 7919}", fill="black")
    return page


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stored = io.BytesIO()
    image.save(stored, kind, **options)
    return stored.getvalue()


def one(renderer: Renderer, data: bytes) -> PageImage | Failure:
    """The only page of a file, or its failure as a whole."""
    try:
        (page,) = renderer.pages(papers.document(data))
    except Permanent as error:
        return Failure.of(error)
    return page


def read(renderer: Renderer, data: bytes) -> PageImage:
    page = one(renderer, data)
    assert isinstance(page, PageImage), page
    return page


def flags(page: PageImage | Failure) -> list[str]:
    return [flag.code for flag in page.flags] if isinstance(page, PageImage) else [page.reason]


# Formats.


@pytest.mark.medium
@pytest.mark.parametrize(("kind", "sniffed"), KINDS.items())
def test_formats_of_phones_and_old_programs(renderer: Renderer, kind: str, sniffed: str) -> None:
    data = papers.picture(kind, size=(70, 50))
    assert sniff(data[:1024]) == sniffed
    page = read(renderer, data)
    assert (page.pixels.shape, page.renderer, page.flags) == ((50, 70, 3), "pillow", ())
    assert np.abs(page.pixels[20, 30].astype(int) - [255, 0, 0]).max() < 8


@pytest.mark.medium
def test_a_bare_jpeg_2000_codestream(renderer: Renderer) -> None:
    data = saved(slip(), "JPEG2000", no_jp2=True)
    assert data.startswith(b"\xff\x4f") and read(renderer, data).pixels.shape == (480, 320, 3)


@pytest.mark.parametrize(
    "head",
    [
        b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",  # a film
        b"\0\0\0\x14ftypqt  \0\0\0\0qt  ",
        b"BM is how a text may begin, too",
        b"GIF for short",
    ],
)
def test_what_only_begins_alike_is_no_picture(head: bytes) -> None:
    assert sniff(head.ljust(200, b" ")) is None


@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("xmp", [False, True])
def test_a_picture_is_turned_once(renderer: Renderer, kind: str, xmp: bool) -> None:
    """Orientation 6: the camera was held upright, and the sensor's left edge is the picture's top."""
    sensor = Image.new("RGB", (60, 40), "white")
    sensor.paste("red", (0, 0, 20, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    options: dict[str, object] = {"exif": exif.tobytes()}
    if xmp and kind in ("HEIF", "AVIF", "WEBP", "JPEG"):
        options["xmp"] = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="6"></x:xmpmeta>'
    page = read(renderer, saved(sensor, kind, **options))
    assert page.pixels.shape == (60, 40, 3)
    red = page.pixels.astype(int)[:, :, 1] < 100
    assert red[2:18].all() and not red[22:].any()


def test_an_orientation_beside_that_of_the_boxes_does_not_count(renderer: Renderer) -> None:
    """Of a HEIC and an AVIF the file's own boxes say which way is up, whatever stands in XMP."""
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="6"></x:xmpmeta>'
    data = saved(Image.new("RGB", (60, 40)), "AVIF", xmp=xmp)
    assert b"tiff:Orientation" in data and read(renderer, data).pixels.shape == (40, 60, 3)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF", "HEIF"])
def test_of_an_animation_the_first_picture_is_a_page_and_the_rest_is_named(
    renderer: Renderer, kind: str
) -> None:
    first, second = Image.new("RGB", (40, 40), "red"), Image.new("RGB", (40, 40), "blue")
    data = saved(first, kind, save_all=True, append_images=[second], duration=100)
    page = read(renderer, data)
    assert np.abs(page.pixels[20, 20].astype(int) - [255, 0, 0]).max() < 8
    assert flags(page) == [FlagCode.pictures_not_read]


def test_the_primary_picture_is_the_page(renderer: Renderer) -> None:
    file = pillow_heif.from_pillow(Image.new("RGB", (40, 40), "red"))
    file.add_from_pillow(Image.new("RGB", (60, 40), "blue"))
    stored = io.BytesIO()
    file.save(stored, primary_index=1)
    page = read(renderer, stored.getvalue())
    assert page.pixels.shape == (40, 60, 3) and page.pixels[20, 20, 2] > 240


def huge_gif() -> bytes:
    return b"GIF89a" + struct.pack("<HH", 60_000, 60_000) + papers.picture("GIF")[10:]


def huge_bmp() -> bytes:
    data = papers.picture("BMP")
    return data[:18] + struct.pack("<ii", 60_000, 60_000) + data[26:]


def huge_jp2() -> bytes:
    data = papers.picture("JPEG2000", size=(60, 40))
    return data.replace(struct.pack(">II", 40, 60), struct.pack(">II", 60_000, 60_000)).replace(
        struct.pack(">II", 60, 40), struct.pack(">II", 60_000, 60_000)
    )


def huge_boxes(kind: str) -> Callable[[], bytes]:
    def data() -> bytes:
        found = papers.picture(kind, size=(64, 64))
        at = found.index(b"ispe") + 8
        return found[:at] + struct.pack(">II", 12_000, 12_000) + found[at + 8 :]

    return data


BOMBS = {
    "gif": huge_gif,
    "bmp": huge_bmp,
    "jp2": huge_jp2,
    "heic": huge_boxes("HEIF"),
    "avif": huge_boxes("AVIF"),
}


@pytest.mark.parametrize("made", BOMBS.values(), ids=BOMBS)
def test_a_claimed_size_is_judged_before_a_pixel_is_decoded(
    renderer: Renderer, made: Callable[[], bytes]
) -> None:
    found = one(renderer, made())
    assert isinstance(found, Failure)
    assert found.reason is Reason.too_many_pixels and "render.max_pixels" in found.message


# What is damaged or cut.


@pytest.mark.medium
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", *KINDS])
@pytest.mark.parametrize("share", [0.03, 0.3, 0.6, 0.95])
def test_a_cut_picture_fails_in_words_for_people(renderer: Renderer, kind: str, share: float) -> None:
    data = saved(slip(), kind)
    cut = data[: max(20, int(share * len(data)))]
    found = one(renderer, cut)
    if isinstance(found, PageImage):
        assert share > 0.9 and found.flags
        return
    assert found.reason is Reason.image_damaged
    assert "mmap" not in found.message and "<" not in found.message and "0x" not in found.message
    assert len(found.message) > 20


@pytest.mark.medium
@pytest.mark.parametrize("kind", ["PNG", "BMP", "JPEG2000", "HEIF", "AVIF", "GIF", "WEBP", "JPEG"])
def test_a_mark_with_nothing_behind_it(renderer: Renderer, kind: str) -> None:
    data = saved(slip(), kind)
    found = one(renderer, data[:24] + bytes(500))
    assert isinstance(found, Failure) and found.reason is Reason.image_damaged
    assert "mmap" not in found.message and "cannot identify" not in found.message


@pytest.mark.medium
@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
@pytest.mark.parametrize("share", [0.5, 0.97])
def test_tiles_of_a_photo_that_are_not_there_are_no_page(renderer: Renderer, kind: str, share: float) -> None:
    """As phones write it: a grid of tiles, of which a decoder leaves out what it does not find."""
    data = saved(slip(520, 520), kind, tile_size=256) if kind == "HEIF" else saved(slip(520, 520), kind)
    assert read(renderer, data).flags == ()
    found = one(renderer, data[: int(share * len(data))])
    assert isinstance(found, Failure) and "cut short" in found.message


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_a_jpeg_without_its_last_marker_is_whole(renderer: Renderer, options: dict[str, object]) -> None:
    data = saved(slip(), "JPEG", **options)
    whole, page = read(renderer, data), read(renderer, data[:-2])
    assert np.array_equal(page.pixels, whole.pixels) and page.flags == whole.flags == ()


@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.75])
def test_a_jpeg_cut_in_its_middle_is_no_page(renderer: Renderer, share: float, end: bytes) -> None:
    data = saved(slip(), "JPEG")
    found = one(renderer, data[: int(share * len(data))] + end)
    assert isinstance(found, Failure) and found.reason is Reason.image_damaged
    assert "data break off" in found.message


def test_a_jpeg_that_lacks_a_little_is_read_and_flagged(renderer: Renderer) -> None:
    data = saved(slip(), "JPEG")
    page = read(renderer, data[:-60])
    assert flags(page) == [FlagCode.picture_damaged] and page.pixels[:400].min() < 60


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_jpeg_with_wrong_bits_is_flagged(renderer: Renderer, options: dict[str, object]) -> None:
    data = bytearray(saved(slip(), "JPEG", **options))
    middle = len(data) // 2
    data[middle : middle + 400] = b"\xfe" * 400
    assert flags(one(renderer, bytes(data))) == [FlagCode.picture_damaged]


@pytest.mark.medium
def test_no_wrong_byte_of_a_deflated_tiff_goes_unseen(renderer: Renderer) -> None:
    data = saved(slip(), "TIFF", compression="tiff_adobe_deflate")
    whole = read(renderer, data)
    assert whole.flags == ()
    seen = []
    for at in range(100, len(data) - 300, len(data) // 25):
        found = one(renderer, data[:at] + bytes([data[at] ^ 0x15]) + data[at + 1 :])
        same = isinstance(found, PageImage) and np.array_equal(found.pixels, whole.pixels)
        seen.append(same or isinstance(found, Failure) or flags(found) == [FlagCode.picture_damaged])
    assert len(seen) > 20 and all(seen)


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_a_sound_jpeg_is_not_flagged(renderer: Renderer, mode: str) -> None:
    for tail in (b"", bytes(1000), b"\xff\xd8\xff\xe1 another picture of the camera"):
        assert read(renderer, saved(slip().convert(mode), "JPEG") + tail).flags == ()


def with_chunk(data: bytes, name: bytes, body: bytes, *, sound: bool = True) -> bytes:
    """A PNG with one more chunk before its pixels."""
    at = data.index(b"IDAT") - 4
    checksum = zlib.crc32(name + body) ^ (not sound)
    return data[:at] + struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum) + data[at:]


XMP = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"<x>" + bytes(3_000_000))
ODD_CHUNKS = {
    "3 MB of XMP": (b"iTXt", XMP, True),
    "3 MB of text": (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(3_000_000)), True),
    "a profile that is too long": (b"iCCP", b"icc\0\0" + zlib.compress(bytes(3_000_000)), True),
    "a text with a wrong checksum": (b"tEXt", b"Comment\0words", False),
    "a time with a wrong checksum": (b"tIME", b"\x07\xea\x0b\x19\0\0\0", False),
    "a resolution that is cut": (b"pHYs", b"\0\0", True),
    "a gamma that is cut": (b"gAMA", b"", True),
    "a colour space that is cut": (b"sRGB", b"", True),
    "a broken animation": (b"acTL", b"\0", True),
}


@pytest.mark.parametrize("name", ODD_CHUNKS)
def test_what_is_wrong_beside_the_pixels_of_a_png_does_not_matter(renderer: Renderer, name: str) -> None:
    chunk, body, sound = ODD_CHUNKS[name]
    sensor = Image.new("RGBA", (60, 40), (0, 0, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(sensor, "PNG", exif=exif)
    page = read(renderer, with_chunk(data, chunk, body, sound=sound))
    assert np.array_equal(page.pixels, read(renderer, data).pixels) and page.pixels.shape == (60, 40, 3)


def test_wrong_pixels_of_a_png_are_no_page(renderer: Renderer) -> None:
    data = bytearray(saved(slip(), "PNG"))
    data[len(data) // 2] ^= 0xFF
    found = one(renderer, bytes(data))
    assert isinstance(found, Failure) and found.reason is Reason.image_damaged


@pytest.mark.parametrize("tiled", [{}, {"tiffinfo": {322: 64, 323: 64}}])
def test_wrong_bits_of_jpegs_in_a_tiff_are_flagged(renderer: Renderer, tiled: dict[str, object]) -> None:
    data = bytearray(saved(slip(), "TIFF", compression="jpeg", **tiled))
    assert read(renderer, bytes(data)).flags == ()
    middle = len(data) // 2
    data[middle : middle + 60] = b"\xff\xd9" + b"\xfe" * 58
    found = one(renderer, bytes(data))
    assert flags(found) in ([FlagCode.picture_damaged], [Reason.image_damaged])
    assert "premature end" in str(found.flags if isinstance(found, PageImage) else found.message)


@pytest.mark.medium
@pytest.mark.parametrize("compression", ["group4", "group3"])
def test_what_a_decoder_complains_of_is_a_flag(renderer: Renderer, compression: str) -> None:
    data = bytearray(saved(slip(1600, 2000).convert("1"), "TIFF", compression=compression))
    whole = read(renderer, bytes(data))
    assert whole.flags == ()
    at = len(data) // 2
    data[at : at + 300] = (b"\x35\xaa\x01\x73\0\0" if compression == "group4" else b"\3\0\x80" * 2) * 50
    page = read(renderer, bytes(data))
    assert not np.array_equal(page.pixels, whole.pixels)
    assert flags(page) == [FlagCode.picture_damaged] and "ecode" in page.flags[0].message
    assert (
        read(renderer, saved(slip().convert("1"), "TIFF", compression="group4")).flags == ()
    )  # not for ever


@pytest.mark.medium
def test_a_child_that_has_said_much_is_replaced(renderer: Renderer) -> None:
    """What it may say in all is bounded, and it must be heard."""
    read(renderer, papers.picture("PNG"))
    child = renderer._children["pillow"]
    child._stderr.write(b"x" * 600_000)
    child._stderr.flush()
    read(renderer, papers.picture("PNG"))
    assert renderer._children["pillow"] is not child and not child.alive


# A TIFF's pages.


def directories(*kinds: dict[int, int], order: str = "<", big: bool = False, tail: int = 0) -> bytes:
    """A TIFF of one grey pixel row a directory, with these further entries (tag: SHORT); `tail` is the last
    one's next."""
    count, entry, offset = ("Q", "HHQQ", "Q") if big else ("H", "HHII", "I")
    mark = b"II" if order == "<" else b"MM"
    version = struct.pack(order + "HHH", 43, 8, 0) if big else struct.pack(order + "H", 42)
    out = bytearray(mark + version + bytes(struct.calcsize(offset)))
    pointer = len(out) - struct.calcsize(offset)
    for number, more in enumerate(kinds):
        strip = len(out)
        out += bytes([40 * number] * 8)
        tags = {256: 8, 257: 1, 258: 8, 259: 1, 262: 1, 273: strip, 277: 1, 278: 1, 279: 8} | more
        struct.pack_into(order + offset, out, pointer, len(out))
        out += struct.pack(order + count, len(tags))
        for tag, value in sorted(tags.items()):
            size = 8 if big else 4
            out += struct.pack(order + entry[:-1], tag, 3, 1)
            out += struct.pack(order + "H", value) + bytes(size - 2)
        pointer = len(out)
        out += bytes(struct.calcsize(offset))
    struct.pack_into(order + offset, out, pointer, tail)
    return bytes(out)


SMALLER, MASK, OLD_SMALLER = {254: 1}, {254: 4}, {255: 2}


@pytest.mark.parametrize(
    ("kinds", "shades"),
    [
        (({}, SMALLER), [0]),
        ((SMALLER, {}), [40]),
        (({}, SMALLER, {}, OLD_SMALLER, MASK, {254: 2}), [0, 80, 200]),
        ((SMALLER,), [0]),  # there is nothing else
        (({}, {}, {}), [0, 40, 80]),
    ],
)
@pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True)])
def test_a_smaller_version_of_a_page_is_no_page(
    renderer: Renderer, kinds: tuple[dict[int, int], ...], shades: list[int], order: str, big: bool
) -> None:
    pages = list(renderer.pages(papers.document(directories(*kinds, order=order, big=big))))
    assert [int(page.pixels[0, 0, 0]) for page in pages if isinstance(page, PageImage)] == shades
    assert len(pages) == len(shades)


@pytest.mark.parametrize("tail", [10_000_000, 9])
def test_a_list_of_pages_that_leads_nowhere_ends_with_a_failed_page(renderer: Renderer, tail: int) -> None:
    first, second, last = renderer.pages(papers.document(directories({}, {}, tail=tail)))
    assert isinstance(first, PageImage) and isinstance(second, PageImage)
    assert isinstance(last, Failure) and (last.reason, last.page) == (Reason.image_damaged, 3)
    assert "after 2 pages: others may be missing" in last.message


def test_a_list_of_pages_in_a_circle_ends(renderer: Renderer) -> None:
    data = directories({}, {})
    first = struct.unpack("<I", data[4:8])[0]
    assert renderer.page_count(papers.document(directories({}, {}, tail=first))) == 2


@pytest.mark.medium
@pytest.mark.parametrize(
    "compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group4"]
)
@pytest.mark.parametrize("share", [0.7, 0.45])
def test_a_cut_tiff_keeps_its_first_pages(renderer: Renderer, compression: str, share: float) -> None:
    sheets = [
        slip(300, 300, shade).convert("1" if compression == "group4" else "L") for shade in ("white",) * 5
    ]
    for number, sheet in enumerate(sheets):
        sheet.paste(0, (0, 0, 30 * (number + 1), 30))
    data = saved(sheets[0], "TIFF", save_all=True, append_images=sheets[1:], compression=compression)
    pages = list(renderer.pages(papers.document(data[: int(share * len(data))])))
    whole = list(renderer.pages(papers.document(data)))
    good = [page for page in pages if isinstance(page, PageImage)]
    assert len(whole) == 5 and len(good) == int(5 * share)
    for page, same in zip(good, whole, strict=False):
        assert isinstance(same, PageImage) and np.array_equal(page.pixels, same.pixels) and not page.flags
    assert all(isinstance(page, Failure) for page in pages[len(good) :]) and len(pages) > len(good)


# Pixels that are not square, and whites that are not white.


@pytest.mark.parametrize(
    ("kind", "dpi", "size"),
    [
        ("TIFF", (204, 98), (100, 125)),
        ("TIFF", (98, 204), (208, 60)),
        ("PNG", (204, 98), (100, 125)),
        ("JPEG", (200, 100), (100, 120)),
        ("BMP", (200, 100), (100, 120)),
        ("TIFF", (204, 196), (100, 60)),  # fine: nobody sees it
        ("TIFF", (300, 300), (100, 60)),
        ("TIFF", (300, 1), (100, 60)),  # no resolution
        ("JPEG", (1, 2), (100, 60)),
    ],
)
def test_pixels_become_square(
    renderer: Renderer, kind: str, dpi: tuple[int, int], size: tuple[int, int]
) -> None:
    page = read(renderer, saved(Image.new("L", (100, 60)), kind, dpi=dpi))
    assert page.pixels.shape == (size[1], size[0], 3)


def test_a_fax_page_lying_on_its_side(renderer: Renderer) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(Image.new("L", (100, 60)), "TIFF", dpi=(204, 102), exif=exif)
    for page in renderer.pages(papers.document(data), [1, 1]):  # the second time as the first
        assert isinstance(page, PageImage) and page.pixels.shape == (100, 120, 3)


def test_a_resolution_in_centimetres(renderer: Renderer) -> None:
    data = saved(Image.new("L", (100, 60)), "TIFF", resolution_unit=3, x_resolution=80, y_resolution=40)
    assert read(renderer, data).pixels.shape == (120, 100, 3)


@pytest.mark.medium
def test_square_pixels_stay_within_the_limit() -> None:
    data = saved(Image.new("L", (100, 60)), "TIFF", dpi=(200, 100))
    with Renderer(RenderSettings(max_pixels=7_000)) as renderer:
        assert read(renderer, data).pixels.shape == (60, 50, 3)


def deep(data: npt.NDArray[np.uint16], png: bool) -> bytes:
    """16-bit colours, which Pillow does not write."""
    height, width, _ = data.shape
    if png:
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in data)
        head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
        chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
            for name, body in chunks
        )
    tags = {256: (3, 1, width), 257: (3, 1, height), 258: (3, 3, 8), 259: (3, 1, 1), 262: (3, 1, 2),
            273: (4, 1, 14), 277: (3, 1, 3), 278: (3, 1, height), 279: (4, 1, data.nbytes)}  # fmt: skip
    pixels = struct.pack("<3H", 16, 16, 16) + data.astype("<u2").tobytes()
    listed = b"".join(
        struct.pack("<HHI", tag, kind, count) + struct.pack("<I", value)
        for tag, (kind, count, value) in tags.items()
    )
    return b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + struct.pack("<H", 9) + listed + bytes(4)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_fewer_bits_than_a_grey_picture_could_hold_are_as_bright_as_they_were(
    renderer: Renderer, bits: int
) -> None:
    white = 2**bits - 1
    ramp = np.linspace(0, white, 16).astype(np.uint16).reshape(4, 4)
    for kind in ("TIFF", "PNG"):
        page = read(renderer, saved(Image.fromarray(ramp), kind))
        expected = np.rint(ramp * (255 / white)).astype(np.uint8)
        assert np.array_equal(page.pixels[:, :, 0], expected) and page.flags == ()


def test_a_deep_picture_in_which_white_is_zero(renderer: Renderer) -> None:
    ramp = np.array([[0, 4095], [0, 4095]], np.uint16)
    data = saved(Image.fromarray(ramp), "TIFF")
    photometric = struct.pack("<HHI", 262, 3, 1)
    data = data.replace(photometric + b"\1", photometric + b"\0")
    assert read(renderer, data).pixels[0, :, 0].tolist() == [255, 0]


@pytest.mark.parametrize("png", [False, True])
def test_fewer_bits_than_colours_could_hold_are_seen_and_flagged(renderer: Renderer, png: bool) -> None:
    colours = np.zeros((4, 4, 3), np.uint16)
    colours[:2] = 4095
    for page in renderer.pages(papers.document(deep(colours, png)), [1, 1]):
        assert isinstance(page, PageImage) and flags(page) == [FlagCode.colours_coarse]
        assert page.pixels[0, 0].tolist() == [255] * 3 and page.pixels[3, 3].tolist() == [0] * 3
    whole = read(renderer, deep(colours * 16, png))
    assert whole.pixels[0, 0].tolist() == [255] * 3 and whole.flags == ()


def test_a_fax_page_with_a_hole_breaks_off(renderer: Renderer) -> None:
    """As a disk or a download leaves it: libtiff takes zeros for the end, and says nothing."""
    stored = io.BytesIO()
    noise = np.random.default_rng(3).integers(0, 2, (60, 80), dtype=np.uint8) * 255
    picture = Image.fromarray(noise).resize((800, 600), Image.Resampling.NEAREST).convert("1")
    picture.save(stored, "TIFF", compression="group4")
    with Image.open(stored) as found:
        (start,), (size,) = found.tag_v2[273], found.tag_v2[279]
    whole = stored.getvalue()
    page = renderer.page(papers.document(whole), 1)
    assert isinstance(page, PageImage) and page.flags == ()
    for begin, end, much in ((0.5, 1.0, True), (0.3, 0.6, True), (0.97, 1.0, False)):
        first, last = start + int(begin * size), start + int(end * size)
        holed = renderer.page(papers.document(whole[:first] + bytes(last - first) + whole[last:]), 1)
        if much:
            assert isinstance(holed, Failure) and "lines of it are not there" in holed.message
        else:
            assert isinstance(holed, PageImage)
            assert [flag.code for flag in holed.flags] == [FlagCode.picture_damaged]
