"""Zip and tar archives, and PDF portfolios, as lists of documents.

Nothing is ever unpacked to a disk under a member's own name.

An archive may lie about everything: limits hold for what is really read, not for what its headers say.
Headers are parsed by Python's own code; zlib is the only code here that is not memory-safe, and it is fed by
pieces. A portfolio is opened in the renderer's child.
"""

from __future__ import annotations

import io
import weakref
from typing import IO

from pipeline.errors import Permanent, Reason, one_line
from pipeline.settings import SourceSettings
from pipeline.sources import gzips
from pipeline.sources.archive import Archive
from pipeline.sources.local import translated
from pipeline.sources.portfolios import Portfolio, is_portfolio
from pipeline.sources.tars import Tar
from pipeline.sources.zips import DAMAGE, Zip

__all__ = ["Archive", "open_archive"]

_SMALL = 2**20  # bytes; below this no ratio is judged


def open_archive(uri: str, file: IO[bytes], etag: str | None, settings: SourceSettings) -> Archive:
    """The archive in `file`, a file with a descriptor, which now belongs to it.

    Raises Permanent if it is neither a zip nor a tar of which anything can be read, nor a PDF that opens, and
    Transient where the child that opens it fails for want of something else.
    """
    try:
        if uri.lower().endswith(".zip"):
            archive: Archive = Zip(uri, file, etag, settings)
        elif is_portfolio(uri):
            archive = Portfolio(uri, file, etag, settings)
        else:
            file, damage = _gunzipped(file, settings)
            archive = Tar(uri, file, etag, settings, damage)
    except DAMAGE as error:
        file.close()
        what = f"{uri} cannot be opened: {one_line(error)}; no member of it was seen"
        raise Permanent(Reason.archive_damaged, what) from error
    except OSError as error:  # of this machine's disk
        file.close()
        raise translated(error, uri) from error
    weakref.finalize(archive, file.close)
    return archive


def _gunzipped(file: IO[bytes], settings: SourceSettings) -> tuple[IO[bytes], str | None]:
    """The same file, or its unpacked bytes if it is a .gz whatever its name says; and what is damaged."""
    packed = file.seek(0, io.SEEK_END)
    file.seek(0)
    mark = file.read(len(gzips.MARK))
    file.seek(0)
    if mark != gzips.MARK:
        return file, None
    limit = min(settings.max_archive_bytes, max(_SMALL, int(settings.archive_ratio * packed)))
    with file:
        return gzips.unpacked(file, limit)
