"""Documents that were answered in free text, as texts: for a terminal, and as a file for each document."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.records import Extraction, Failure

PAGE_BREAK = "\f"  # between two pages in a file, as pdftotext has it


@dataclass(frozen=True, slots=True)
class PageText:
    """What one page was answered with; None where the answer had no words."""

    page: int
    text: str | None
    confidence: float | None


@dataclass(frozen=True, slots=True)
class Answered:
    """A document's answers: `doubts` are sentences, one for each failed check and each failed page."""

    uri: str
    state: str
    pages: tuple[PageText, ...]
    doubts: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of its pages; the place of one that was not read is empty."""
        by_page = {page.page: page.text or "" for page in self.pages}
        return PAGE_BREAK.join(by_page.get(page, "") for page in range(1, max(by_page, default=0) + 1)) + "\n"


def answered(uri: str, extraction: Extraction, failures: Iterable[Failure] = ()) -> Answered:
    """`extraction` is of a task in free text, `failures` those of its pages."""
    pages = tuple(
        PageText(field.page or 0, field.value, field.confidence)
        for field in extraction.fields
        if field.path.endswith("].text")
    )
    doubts = [f"page {why.page}: {why.reason}: {why.message}" for why in failures]
    doubts += [check.message for check in extraction.checks if not check.passed and check.severity != "info"]
    return Answered(uri, extraction.state, pages, tuple(doubts))


def common_folder(sources: Sequence[str]) -> str:
    """The folder below which all these lie, with its closing "/"; empty where there is none."""
    folders = [source.split("/")[:-1] for source in sources]
    shared = []
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return "/".join(shared) + "/" if shared else ""


def file_for(folder: Path, uri: str, below: str) -> Path:
    """Where in `folder` the text of a document goes: its path below that, with .txt behind its whole name.

    What lies elsewhere, as a manifest may name it, goes below `elsewhere!` with its whole path. Two documents
    never share a file, as they share no URI; none leads out of the folder.
    """
    outside = [] if uri.startswith(below) else ["elsewhere!"]
    parts = [*outside, *map(_plain, uri.removeprefix(below).replace("!/", "/").split("/"))]
    return folder.joinpath(*parts[:-1], f"{parts[-1]}.txt")


def _plain(part: str) -> str:
    """A part of a path that means nothing else to a file system."""
    return part.replace(".", "%2E") if part in (".", "..") else part or "%"
