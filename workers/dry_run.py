"""What a job would find: documents and pages counted, and what would be skipped and why. No weights are read.

Where the model's files are known too, each page is drawn, to see whether its answer will have room.
"""

from __future__ import annotations

import re
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Console  # noqa: TID251  (the type alone)
from rich.status import Status

from pipeline import sources
from pipeline.errors import Coded, Reason
from pipeline.records import Document, DocumentRef, Failure, PageImage
from pipeline.render import Renderer
from pipeline.settings import Settings
from pipeline.sources import refs

if TYPE_CHECKING:
    from pipeline.room import Tiling
    from workers.tightness import Cutter, Tightness

_THREADS = 4  # each with a document of its own and a child process that opens it
_NAMED = 20  # documents that are named for what is wrong with them, or for being of several files


_UNSEEN = {Reason.access_denied, Reason.bucket_missing, Reason.store_unreachable}


@dataclass(frozen=True, slots=True)
class Opened:
    """A document that can be opened; how its pages are cut, those that can be drawn, if that was asked."""

    pages: int
    cut: tuple[Tiling, ...] = ()
    failed: tuple[tuple[str, Failure], ...] = ()  # files of it that cannot be opened, by name
    members: tuple[tuple[DocumentRef, Opened | Failure], ...] = ()  # documents within it


@dataclass
class DryRun:
    """What was found so far."""

    tightness: Tightness | None = None  # None: the model is not known
    documents: int = 0
    pages: int = 0
    listed_bytes: int = 0
    skipped: Counter[str] = field(default_factory=Counter)  # by reason
    named: list[tuple[str, Failure]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)  # by why; they are no documents, or not wanted
    left_out_named: list[tuple[str, str]] = field(default_factory=list)
    grouped: Counter[str] = field(default_factory=Counter)  # documents of several files, by why
    grouped_files: int = 0
    grouped_named: list[tuple[str, ...]] = field(default_factory=list)
    idle: list[str] = field(default_factory=list)  # patterns of --group that no name has followed
    within: int = 0  # documents that lie within others
    unseen: int = 0  # sources and documents that could not be looked at: refused, or out of reach

    def add(self, ref: DocumentRef, found: Opened | Failure) -> None:
        if isinstance(found, Failure) and found.reason is Reason.passed_over:
            self.left_out[found.message] += 1
            if len(self.left_out_named) < _NAMED:
                self.left_out_named.append((ref.uri, found.message))
            return
        self.documents += 1
        self.listed_bytes += ref.size or 0
        if ref.parts:
            self._group(ref)
        if isinstance(found, Opened):
            self.pages += found.pages
            for part, why in found.failed:
                self._skip(part, why)
            for cut in found.cut:
                if self.tightness is not None:
                    self.tightness.add(cut)
            before = self.documents
            for member in found.members:
                self.add(*member)
            self.within += self.documents - before
            return
        self._skip(ref.uri, found)

    def _skip(self, uri: str, why: Failure) -> None:
        self.skipped[str(why.reason)] += 1
        self.unseen += why.reason in _UNSEEN
        if len(self.named) < _NAMED:
            self.named.append((uri, why))

    def _group(self, ref: DocumentRef) -> None:
        self.grouped[re.sub(r"^group .* of the list$", "groups of the list", ref.group or "")] += 1
        self.grouped_files += len(ref.parts)
        if len(self.grouped_named) < _NAMED:
            self.grouped_named.append(tuple(part.uri for part in ref.parts))

    def record(self) -> dict[str, Any]:
        """For machines: all that `lines` says."""
        return {
            "documents": self.documents,
            "bytes": self.listed_bytes,
            "pages": self.pages,
            "within_others": self.within,
            "tight": None if self.tightness is None else asdict(self.tightness),
            "skipped": dict(self.skipped),
            "skipped_named": [
                {"uri": uri, "reason": str(why.reason), "message": why.message} for uri, why in self.named
            ],
            "unseen": self.unseen,
            "left_out": dict(self.left_out),
            "left_out_named": [{"uri": uri, "why": why} for uri, why in self.left_out_named],
            "grouped": dict(self.grouped),
            "grouped_files": self.grouped_files,
            "grouped_named": [list(files) for files in self.grouped_named],
            "groups_without_files": self.idle,
        }

    def lines(self) -> Iterator[str]:
        within = f", {self.within} of them within portfolios" if self.within else ""
        yield f"documents  {self.documents}, {self.listed_bytes / 1e6:,.1f} MB{within}"
        yield f"pages      {self.pages}"
        if self.tightness is not None:
            yield self.tightness.line()
        yield from self._failed()
        yield from self._groups()
        if self.left_out:
            reasons = "; ".join(f"{why} {number}" for why, number in self.left_out.most_common())
            yield f"left out   {self.left_out.total()}: {reasons}"
            yield from (f"  {uri}: {why}" for uri, why in self.left_out_named)
            if self.left_out.total() > _NAMED:
                yield f"  … and {self.left_out.total() - _NAMED} more"

    def _groups(self) -> Iterator[str]:
        yield from (f"grouped    {sources.nothing_grouped(pattern)}" for pattern in self.idle)
        if not self.grouped:
            return
        reasons = "; ".join(f"{why} {number}" for why, number in self.grouped.most_common())
        yield f"grouped    {self.grouped_files} files as {self.grouped.total()} documents: {reasons}"
        for first, *others in self.grouped_named:
            folder = refs.folder_of(first)
            yield f"  {' + '.join([first, *(other.removeprefix(folder) for other in others)])}"
        if self.grouped.total() > _NAMED:
            yield f"  … and {self.grouped.total() - _NAMED} more"

    def _failed(self) -> Iterator[str]:
        if not self.skipped:
            yield "skipped    none"
            return
        reasons = ", ".join(f"{reason} {number}" for reason, number in self.skipped.most_common())
        yield f"skipped    {self.skipped.total()}: {reasons}"
        for uri, why in self.named:
            yield f"  {uri}: {why.reason}: {why.message}"
        if self.skipped.total() > len(self.named):
            yield f"  … and {self.skipped.total() - len(self.named)} more"


def dry_run(
    places: Sequence[str], settings: Settings, console: Console, cutter: Cutter | None = None
) -> DryRun:
    """Open every document of these sources, and draw every page if there is a `cutter`.

    Raises UsageError for a source that does not exist.
    """
    found = DryRun(None if cutter is None else cutter.tightness())
    counter = _PageCounter(places, settings, cutter)
    with ThreadPoolExecutor(_THREADS) as pool, Status("", console=console) as status:
        coming: deque[tuple[DocumentRef, Future[Opened | Failure]]] = deque()
        try:
            rules = sources.Rules(settings.source)
            for ref in _listed(places, settings, rules):
                coming.append((ref, pool.submit(counter.pages, ref)))
                if len(coming) > 2 * _THREADS:
                    _take(coming, found, status)
            while coming:
                _take(coming, found, status)
            found.idle = sorted(rules.idle)
        finally:
            counter.close()
    return found


def _take(coming: deque[tuple[DocumentRef, Future[Opened | Failure]]], found: DryRun, status: Status) -> None:
    ref, pages = coming.popleft()
    found.add(ref, pages.result())
    status.update(f"{found.documents} documents, {found.pages} pages, {found.skipped.total()} skipped")


def _listed(places: Sequence[str], settings: Settings, rules: sources.Rules) -> Iterator[DocumentRef]:
    """As a job lists them: a source that does not let itself be listed is an entry with a failure."""
    for some in sources.together(places):
        try:
            yield from sources.list_documents(some, settings.source, passed_over=True, rules=rules)
        except Coded as error:
            yield DocumentRef(some[0], failure=Failure.of(error))


class _PageCounter:
    """Counts pages, with one renderer a thread."""

    def __init__(self, places: Sequence[str], settings: Settings, cutter: Cutter | None) -> None:
        self._places, self._settings = places, settings
        self._cutter = cutter
        self._own = threading.local()
        self._renderers: list[Renderer] = []

    def pages(self, ref: DocumentRef) -> Opened | Failure:
        if ref.parts:
            return self._of_parts(ref)
        if ref.failure is not None:
            return ref.failure
        try:
            document = sources.fetch(ref.uri, self._settings.source, ref.etag)
            count = self._renderer().page_count(document)
            names = self._renderer().members(document)
            cut = tuple(self._cut(document, self._cutter)) if self._cutter else ()
        except Coded as error:
            return Failure.of(error)
        members = sources.members(document, names, self._settings.source, self._places, passed_over=True)
        return Opened(count, cut, members=tuple((member, self.pages(member)) for member in members))

    def _of_parts(self, ref: DocumentRef) -> Opened:
        found = [(part.uri, self.pages(part)) for part in ref.parts]
        opened = [part for _, part in found if isinstance(part, Opened)]
        return Opened(
            sum(part.pages for part in opened),
            tuple(cut for part in opened for cut in part.cut),
            tuple((uri, part) for uri, part in found if isinstance(part, Failure)),
            tuple(member for part in opened for member in part.members),
        )

    def _cut(self, document: Document, cutter: Cutter) -> Iterator[Tiling]:
        for page in self._renderer().pages(document, codes=False):
            if isinstance(page, PageImage):
                yield cutter.tiling(page.pixels)

    def close(self) -> None:
        for renderer in self._renderers:
            renderer.close()

    def _renderer(self) -> Renderer:
        if not hasattr(self._own, "renderer"):
            members = "archive" not in self._settings.source.group
            self._own.renderer = Renderer(self._settings.render, members=members)
            self._renderers.append(self._own.renderer)
        renderer: Renderer = self._own.renderer
        return renderer
