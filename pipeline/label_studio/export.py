"""The tasks of a job as a file, with the labeling config beside it, and the pages inside it or beside it."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from PIL import Image

from pipeline.errors import Coded, UsageError
from pipeline.label_studio.config import config
from pipeline.label_studio.tasks import tasks
from pipeline.printable import as_json
from pipeline.private import whole_file, write_text
from pipeline.settings import Settings
from pipeline.shown.page_image import PageImages
from pipeline.store import Job, Store, doubts

_LONGEST = 1600  # pixels of a picture's longer side; boxes are in percent, and letters can be read
_QUALITY = 80  # of JPEG


@dataclass(slots=True)
class Exported:
    """`files` that were written, how many tasks there are, and why pages have none, by document and page."""

    files: list[str] = field(default_factory=list)
    tasks: int = 0
    without: list[tuple[str, int, str]] = field(default_factory=list)


def export(
    store: Store,
    job: Job,
    out: Path,
    settings: Settings,
    *,
    image_url: str | None = None,
    every: bool = False,
) -> Exported:
    """Writes the pages of documents that a person should look at, or of `every` one, as tasks.

    Pictures are drawn again from the documents, and stand in the file as data; with `image_url`, in a folder
    beside it, and the tasks name them by that URL and their names. The config is OUT.config.xml.
    Raises UsageError for a folder that is not there.
    """
    if not out.parent.is_dir():
        raise UsageError(f"cannot write {out}: there is no folder {out.parent}")
    made = Exported([str(out), str(out.with_suffix(".config.xml"))])
    folder = None if image_url is None else out.with_name(f"{out.stem}_pages")
    if folder is not None:
        folder.mkdir(exist_ok=True)
        made.files.append(str(folder))
    with whole_file(out) as file, PageImages(store, settings) as images:
        file.write(b"[")
        for uri, page, task in _tasks(store, job, every=every):
            try:
                picture = _jpeg(images, job, uri, page)
            except Coded as error:
                made.without.append((uri, page, error.message))
                continue
            _write(task, picture, folder, image_url, file, first=not made.tasks)
            made.tasks += 1
        file.write(b"\n]\n")
    write_text(out.with_suffix(".config.xml"), config(doubts.names(job)))
    return made


def _tasks(store: Store, job: Job, *, every: bool) -> Iterator[tuple[str, int, dict[str, Any]]]:
    names = doubts.names(job)
    for found in store.results.extractions(job):
        if every or found.extraction.state != "done":
            for page, task in tasks(found, store.results.pages(job, found.uri), job, names):
                yield found.uri, page, task


def _write(
    task: dict[str, Any],
    picture: bytes,
    folder: Path | None,
    url: str | None,
    file: IO[bytes],
    *,
    first: bool,
) -> None:
    data = task["data"]
    if folder is None:
        data["image"] = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
    else:
        digest = hashlib.sha256(data["document_uri"].encode()).hexdigest()[:16]
        name = f"{digest}-{data['page']}.jpg"
        with whole_file(folder / name) as beside:
            beside.write(picture)
        data["image"] = f"{url}{quote(name)}"
    file.write((b"\n" if first else b",\n") + as_json(task).encode())


def _jpeg(images: PageImages, job: Job, uri: str, page: int) -> bytes:
    drawn = Image.fromarray(images.pixels(job, uri, page))
    drawn.thumbnail((_LONGEST, _LONGEST))
    drawn.save(held := io.BytesIO(), "JPEG", quality=_QUALITY)
    return held.getvalue()
