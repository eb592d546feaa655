"""Pages as PNG, and the next document's drawn while a person looks at this one."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

from pipeline.errors import VinbatchError
from pipeline.settings import Settings
from pipeline.shown import PageImages
from pipeline.store import Job, Store

LONGEST = 2200  # pixels of a page's longer side: A4 at 190 dpi
_KEPT = 24  # pages in memory, a few megabytes each
_AHEAD = 3  # pages of the next document

_Key = tuple[int, str, int]  # job, URI, page


class Pictures:
    """Any number of threads may ask; a page is drawn once. A context manager by `close`."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._images = PageImages(store, settings)
        self._kept: OrderedDict[_Key, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._drawing = threading.Lock()
        self._pool = ThreadPoolExecutor(1, "vinbatch-pages")

    def png(self, job: Job, uri: str, page: int) -> bytes:
        """Raises what `PageImages.png` does."""
        key = job.id, uri, page
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with self._drawing:
            with self._lock:
                if key in self._kept:  # somebody drew it meanwhile
                    return self._kept[key]
            drawn = self._images.png(job, uri, page, LONGEST)
        with self._lock:
            self._kept[key] = drawn
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return drawn

    def ahead(self, job: Job, uri: str, pages: int) -> None:
        """Draw the first pages of a document, some time soon."""
        self._pool.submit(self._quietly, job, uri, min(pages, _AHEAD))

    def _quietly(self, job: Job, uri: str, pages: int) -> None:
        for page in range(1, pages + 1):
            try:
                self.png(job, uri, page)
            except VinbatchError:  # whoever comes to the page is told
                return

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._images.close()
