"""Pages that are pictures: PNG, JPEG, WebP, and TIFF with its many pages."""

from __future__ import annotations

import mmap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from pipeline.errors import Permanent, Reason
from pipeline.filetype import Kind
from pipeline.sandbox.drawer import Drawn, PageLimits, mapped, within_pages, within_pixels
from pipeline.tiles import upright

# An animation or a camera's second picture is not a page: only TIFF has pages.
_DECODERS: dict[Kind, tuple[str, ...]] = {
    "png": ("PNG",),
    "jpeg": ("JPEG",),
    "webp": ("WEBP",),
    "tiff": ("TIFF",),
}


class Picture:
    """An open picture file. Its size is read and judged before its pixels are decoded."""

    def __init__(self, file: int, kind: Kind, limits: PageLimits) -> None:
        self._limits = limits
        Image.MAX_IMAGE_PIXELS = limits.max_pixels
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with _damage_named():
            self._image = Image.open(mapped(file), formats=_DECODERS[kind])  # type: ignore[arg-type]
            self.pages = within_pages(getattr(self._image, "n_frames", 1) if kind == "tiff" else 1, limits)

    def draw(self, number: int, canvas: mmap.mmap, _unit: float = 1.0) -> Drawn:
        with _damage_named():
            self._image.seek(number - 1)
            within_pixels(*self._image.size, self._limits)
            page = upright(self._image)
            size = within_pixels(*page.size, self._limits)
            canvas[: size[0] * size[1] * 3] = page.tobytes()
        return Drawn(size)

    def close(self) -> None:
        self._image.close()


@contextmanager
def _damage_named() -> Iterator[None]:
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
        raise Permanent(Reason.image_damaged, f"{type(error).__name__}: {error}") from error
