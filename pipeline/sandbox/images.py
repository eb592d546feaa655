"""Pages that are pictures: photos and scans in every usual format, and TIFF with its many pages."""

from __future__ import annotations

import io
import mmap
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

import pillow_heif
from PIL import (
    AvifImagePlugin,
    Image,
    ImageFile,
    ImageOps,
    Jpeg2KImagePlugin,  # noqa: F401  (so that it need not be found later)
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
)

from pipeline.errors import Permanent, Reason
from pipeline.filetype import Kind
from pipeline.flags import FlagCode
from pipeline.sandbox import boxes, fax, gif, jpeg, lzw, png, tiff
from pipeline.sandbox.drawer import Drawn, PageLimits, mapped, within_pages, within_pixels
from pipeline.sandbox.limits import FILE_BYTES
from pipeline.tiles import upright

_DECODERS: dict[Kind, str] = {
    "png": "PNG", "jpeg": "JPEG", "webp": "WEBP", "tiff": "TIFF", "heic": "HEIF", "avif": "AVIF",
    "gif": "GIF", "bmp": "BMP", "jp2": "JPEG2000",
}  # fmt: skip
_NAMES: dict[Kind, str] = {"jpeg": "JPEG", "webp": "WebP", "jp2": "JPEG 2000"}  # others as the decoder's
# Only TIFF has pages. Of these kinds further pictures are an animation, or more photos: they are named. A
# JPEG's or a HEIC's thumbnail, its depth and what makes it brighter are parts of the one picture.
_ANIMATED: tuple[Kind, ...] = ("png", "webp", "heic", "avif", "gif")
_MUCH = 0.1  # of a picture: with so much of it lost, it cannot be taken for what was photographed
_PRINTED = (50.0, 1300.0)  # dots an inch of what is a resolution; others are a program's dummy
_UNEQUAL = (1.1, 4.5)  # how many times finer one direction may be: below nobody sees it, above it is a dummy
_WHITE_IS_ZERO = 0  # photometric interpretation
_INCH, _CENTIMETRE = 2.54, 3  # centimetres; a TIFF's unit of resolution
_DEFLATE = (8, 32946)  # Adobe's number and the older one
_JPEG_IN_TIFF, _STRIPS, _TILES = 7, (273, 279), (324, 325)  # compression; tags: offsets, byte counts
_GROUP_4 = 4  # compression
_LZW, _MOST_LZW = 5, 16 * 2**20  # compression; bytes of a page that are looked through: a second or two
_TURNED = (5, 6, 7, 8)  # orientations (EXIF) of which columns become rows

Flag = tuple[FlagCode, str]

# Nothing but the picture itself, in this process's one thread.
pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
AvifImagePlugin.DEFAULT_MAX_THREADS = 1


class Picture:
    """An open picture file. Its size is read and judged before its pixels are decoded."""

    def __init__(self, file: int, kind: Kind, limits: PageLimits) -> None:
        self._kind, self._limits = kind, limits
        self._data = mapped(file)
        self._is_bare = False  # a PNG is read without its metadata
        self._places: tuple[int, ...] = (0,)  # of the pages among a TIFF's directories
        self._damage: str | None = None  # why a TIFF may have had more pages
        Image.MAX_IMAGE_PIXELS = limits.max_pixels
        warnings.simplefilter("ignore")  # about metadata; what is said of pixels comes from elsewhere
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        if kind == "tiff":
            listed = tiff.directories(self._data, limits.max_pages)
            self._places, self._damage = listed.pages, listed.damage
        elif kind in ("heic", "avif") and (missing := boxes.cut_short(self._data)):
            raise Permanent(Reason.image_damaged, missing)
        self.pages = within_pages(len(self._places) + (self._damage is not None), limits)
        self._image = self._opened()
        self._drawn = 0  # the page that was drawn last: its picture is turned and decoded by now

    def draw(self, number: int, canvas: mmap.mmap, _unit: float = 1.0) -> Drawn:
        if number > len(self._places):
            message = f"{self._damage}, after {len(self._places):,} pages: others may be missing"
            raise Permanent(Reason.image_damaged, message)
        if number == self._drawn:
            self._image = self._opened()
        self._drawn = number
        heard = _Complaints()
        page, flags = self._page(number)
        flags += tuple(heard.flags())
        flags += (*self._of_jpegs(), *self._of_checksums())
        quiet = (*self._of_faxes(), *self._of_lengths())  # of which decoders do not tell
        if FlagCode.picture_damaged not in (code for code, _ in flags):
            flags += quiet
        size = within_pixels(*page.size, self._limits)
        canvas[: size[0] * size[1] * 3] = page.tobytes()
        return Drawn(size, flags)

    def close(self) -> None:
        self._image.close()

    def _opened(self) -> ImageFile.ImageFile:
        try:
            with _damage_named(self._kind):
                image = Image.open(self._bytes(), formats=(_DECODERS[self._kind],))
                if self._kind == "avif":  # its own boxes say which way is up
                    image.info.pop("xmp", None)
                return image
        except Permanent:
            if not self._bared():
                raise
            return self._opened()

    def _bytes(self) -> IO[bytes]:
        if self._is_bare:
            return io.BytesIO(png.bare(self._data))
        if self._kind == "jpeg":  # a last marker that is not there is no loss; what is, `jpeg` finds
            return io.BytesIO(self._data[:] + jpeg.END)
        return cast(IO[bytes], self._data)

    def _bared(self) -> bool:
        """Whether the picture is now read without what may have been wrong beside it."""
        turned = self._kind == "png" and not self._is_bare
        self._is_bare |= turned
        return turned

    def _page(self, number: int) -> tuple[Image.Image, tuple[Flag, ...]]:
        """A page as a person sees it: upright, 8 bits a channel, RGB, its pixels square."""
        try:
            with _damage_named(self._kind):
                if self._kind == "tiff":
                    self._image.seek(self._places[number - 1])
                within_pixels(*self._image.size, self._limits)
                deep, resolution = ";16" in str(self._image.tile), _resolution(self._image)
                self._image.load()
                image, flags = _with_its_white(self._image, deep)
                if self._kind in _ANIMATED and getattr(self._image, "is_animated", False):
                    message = "there are further pictures in the file, and only the first one is read"
                    flags += ((FlagCode.pictures_not_read, message),)
                return self._square(_positive(self._image, upright(image)), resolution), flags
        except Permanent as error:
            if error.reason is not Reason.image_damaged or not self._bared():
                raise
        self._image = self._opened()
        return self._page(number)

    def _square(self, page: Image.Image, resolution: tuple[float, float]) -> Image.Image:
        """`page` with as many pixels an inch across as down: more in the coarser direction where they fit."""
        across, down = resolution
        fine, coarse = max(resolution), min(resolution)
        if not (_PRINTED[0] <= coarse <= fine <= _PRINTED[1] and _UNEQUAL[0] <= fine / coarse <= _UNEQUAL[1]):
            return page
        for dots in (fine, coarse):
            size = round(page.width * dots / across), round(page.height * dots / down)
            if size[0] * size[1] <= self._limits.max_pixels:
                break
        return page.resize(size, Image.Resampling.BICUBIC)

    def _of_jpegs(self) -> Iterator[Flag]:
        """What of the page's JPEG data is lost or damaged. Raises Permanent where that is much."""
        with _damage_named(self._kind):
            found = [jpeg.damage(stream) for stream in self._jpegs()]
        damages = [damage for damage in found if damage is not None]
        if not damages:
            return
        lost, said = sum(part for part, _ in damages) / len(found), damages[0][1]
        if lost >= _MUCH:
            message = f"the picture's data break off: {lost:.0%} of it is not there ({said})"
            raise Permanent(Reason.image_damaged, message, lost=round(100 * lost))
        yield FlagCode.picture_damaged, f"a part of the picture may be wrong or missing: {said}"

    def _of_faxes(self) -> Iterator[Flag]:
        """Where a fax page of a TIFF breaks off. Raises Permanent where that is much of it."""
        if not isinstance(self._image, TiffImagePlugin.TiffImageFile):
            return
        with _damage_named(self._kind):
            sizes = tiff.strips(self._image.tag_v2)
            lost = fax.lost(zip(self._parts((_GROUP_4,)), sizes, strict=False))
        if lost > _MUCH * sum(height for _, height in sizes):
            message = f"the picture's data break off: {lost} lines of it are not there"
            raise Permanent(Reason.image_damaged, message)
        if lost:
            message = "a part of the picture may be wrong or missing: its data break off"
            yield FlagCode.picture_damaged, message

    def _jpegs(self) -> Iterator[bytes]:
        """The JPEG that the page is, or those that a TIFF's strips or tiles are, each with an end marker."""
        if self._kind == "jpeg":
            yield self._data[:] + jpeg.END
        elif isinstance(self._image, TiffImagePlugin.TiffImageFile):
            tables = self._image.tag_v2.get(TiffImagePlugin.JPEGTABLES, b"\xff\xd8" + jpeg.END)
            yield from (tables[:-2] + part[2:] + jpeg.END for part in self._parts((_JPEG_IN_TIFF,)))

    def _of_checksums(self) -> Iterator[Flag]:
        """Where the page of a TIFF says itself that its pixels are others than were written."""
        with _damage_named(self._kind):
            if not all(map(tiff.is_deflated_whole, self._parts(_DEFLATE))):
                message = "a part of the picture may be wrong: its checksum does not agree"
                yield FlagCode.picture_damaged, message

    def _of_lengths(self) -> Iterator[Flag]:
        """Where what LZW packs is not as long as the picture, which decoders do not tell of."""
        said = gif.damage(self._data) if self._kind == "gif" else None
        if isinstance(self._image, TiffImagePlugin.TiffImageFile):
            with _damage_named(self._kind):
                parts = list(self._parts((_LZW,)))
                wanted = tiff.lengths(self._image.tag_v2) if sum(map(len, parts)) <= _MOST_LZW else ()
                held = (lzw.holds(part, lzw.Coding(), one) for part, one in zip(parts, wanted, strict=False))
                said = None if all(held) else "a part of it is not as long as it must be"
        if said is not None:
            yield FlagCode.picture_damaged, f"a part of the picture may be wrong or missing: {said}"

    def _parts(self, compressions: tuple[int, ...]) -> Iterator[bytes]:
        """The strips or tiles of a TIFF's page, where they are compressed in one of these ways."""
        if not isinstance(self._image, TiffImagePlugin.TiffImageFile):
            return
        tags = self._image.tag_v2
        if tags.get(TiffImagePlugin.COMPRESSION) in compressions:
            for places, sizes in (_STRIPS, _TILES):
                for at, size in zip(tags.get(places, ()), tags.get(sizes, ()), strict=False):
                    yield self._data[at : at + size]


class _Complaints:
    """What libraries print while a page is drawn. Standard error is a file of the parent's."""

    def __init__(self) -> None:
        self._before = os.fstat(2).st_size

    def flags(self) -> Iterator[Flag]:
        size = os.fstat(2).st_size
        if size > self._before:
            said = os.pread(2, 300, self._before).decode("utf-8", "replace").partition("\n")[0]
            yield FlagCode.picture_damaged, f"a part of the picture cannot be decoded: {said}"
        elif size >= FILE_BYTES:
            yield FlagCode.renderer_complained, "so much was complained of that no more can be heard"


def _resolution(image: Image.Image) -> tuple[float, float]:
    """(across, down) of the picture as it is seen, in dots an inch; equal if nothing is said."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = TiffImagePlugin.X_RESOLUTION, TiffImagePlugin.Y_RESOLUTION
        unit = _INCH if image.tag_v2.get(TiffImagePlugin.RESOLUTION_UNIT) == _CENTIMETRE else 1
        given = tuple(image.tag_v2.get(tag, 1) for tag in tags)
    else:
        unit, given = 1, image.info.get("dpi", (1, 1))
    try:
        across, down = (unit * float(dots) for dots in given)
    except (TypeError, ValueError, ZeroDivisionError):
        return 1.0, 1.0
    return (down, across) if image.getexif().get(0x0112) in _TURNED else (across, down)


def _positive(image: Image.Image, page: Image.Image) -> Image.Image:
    """`page` of `image`, in which Pillow overlooks that white is 0 where a TIFF has 16 bits."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or not image.mode.startswith("I;16"):
        return page
    kind = image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION)
    return ImageOps.invert(page) if kind == _WHITE_IS_ZERO else page


def _with_its_white(image: Image.Image, deep: bool) -> tuple[Image.Image, tuple[Flag, ...]]:
    """A picture whose 16-bit colours use fewer bits than they have, as bright as it was meant.

    Pillow keeps the upper 8 bits of such colours. (Grey keeps all of them: see `tiles.upright`.)
    """
    if not deep or image.mode not in ("RGB", "RGBA"):
        return image, ()
    extremes: tuple[tuple[int, int], ...] = image.getextrema()  # type: ignore[assignment]
    brightest = max(high for _, high in extremes)
    white, bits = next(
        ((top, bits) for top, bits in ((3, 10), (15, 12), (63, 14)) if brightest <= top), (0, 0)
    )
    if not white:
        return image, ()
    message = f"its colours use {bits} of 16 bits, of which {bits - 8} are left"
    brighter = [min(255, value * 255 // white) for value in range(256)] * len(image.getbands())
    return ImageOps.exif_transpose(image).point(brighter), ((FlagCode.colours_coarse, message),)


@contextmanager
def _damage_named(kind: Kind) -> Iterator[None]:
    """Whatever a decoder raises about a broken file, as one reason code."""
    try:
        yield
    except (Permanent, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        message = (
            f"the picture claims to have more than {Image.MAX_IMAGE_PIXELS:,} pixels (render.max_pixels)"
        )
        raise Permanent(Reason.too_many_pixels, message) from error
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, KeyError and more
        name = _NAMES.get(kind, _DECODERS[kind]) if kind != "heic" else "HEIC"
        said = re.sub(r"\s*<[^<>]*>", "", " ".join(str(error).split())) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            said = "what follows its first bytes is no such picture, or is cut short"
        raise Permanent(Reason.image_damaged, f"the {name} cannot be decoded: {said}") from error
