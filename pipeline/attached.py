"""Documents that are attached to a PDF, or make up a portfolio: read as further pages behind its own.

Those of a portfolio of several are documents of their own instead (its `members`), where whoever asks has a
ledger to put them in.

Each is a file of its own, sniffed and opened in the renderer's children like any other. One level deep: what
is attached to an attached PDF is named and not read. An XML is read where it is such a document as the job's
schema reads; it comes last, so that the numbers of pages that are drawn do not depend on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.einvoice.tree import Element
from pipeline.errors import Permanent
from pipeline.filetype import Kind, sniff
from pipeline.flags import FlagCode
from pipeline.records import Document, Flag
from pipeline.sandbox.drawer import MOST_ATTACHED
from pipeline.sandbox.parent import Child
from pipeline.sources.portfolios import Listed, is_portfolio, member_names

MOST = 20  # documents of one PDF
MOST_BYTES = 64 * 2**20  # of all of them, which are in memory together
_NAMED = 10  # files that are named in a flag


@dataclass(frozen=True, slots=True)
class Attached:
    """One document within another; its uri is FILE!/NAME, and nothing is fetched by it."""

    document: Document
    kind: Kind
    pages: int


@dataclass(frozen=True, slots=True)
class Attachments:
    """Those of one PDF that are read, in the order of their pages; `flags` say what is not.

    `members` are the names of those that are to be documents of their own; then none is read here.
    """

    read: tuple[Attached, ...] = ()
    flags: tuple[Flag, ...] = ()
    members: tuple[str, ...] = ()

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """That of the file of each page."""
        return tuple(one.kind for one in self.read for _ in range(one.pages))

    def place(self, page: int) -> tuple[Document, int] | None:
        """The document of page `page` (from 1 behind the PDF's own), and the page's number there."""
        for one in self.read:
            if page <= one.pages:
                return one.document, page
            page -= one.pages
        return None


NONE = Attachments()


def find(
    pdf: Document,
    child: Child,
    pages_left: int,
    page_count: Callable[[Document], int],
    tree: Callable[[Document], Element],
    xml_root: str | None,
    *,
    members: bool = False,
) -> Attachments:
    """What is attached to `pdf`, which is open in `child`.

    At most `pages_left` pages of it are read; 0: none is, but named. `xml_root` is the element that is a
    document of the schema. With `members` a portfolio's documents may be documents of their own. Raises
    Transient.
    """
    listed, portfolio = child.attachments()
    cut = _cut(listed)
    names = tuple(member_names(listed).values())
    if members and portfolio and is_portfolio(pdf.uri) and _several(names):
        message = (
            f"a portfolio: this is the page before the {len(names)} documents within it, each a document of "
            f"its own unless --exclude leaves it out: {_listed(names)}"
        )
        return Attachments(flags=(Flag(FlagCode.placeholder, message), *cut), members=names)
    documents = [(number, name) for number, (name, is_document) in enumerate(listed) if is_document]
    wanted = documents[:MOST] if pages_left else []
    read: list[Attached] = []
    unread = [name for _, name in documents[len(wanted) :]]
    # All of them before the first is opened, which may be by the same child.
    for name, data in [*_bytes(child, wanted)]:
        one = _opened(pdf, name, data, page_count, tree, xml_root)
        if one is None or one.pages > pages_left:
            unread.append(name)
        else:
            read.append(one)
            pages_left -= one.pages
    read.sort(key=lambda one: one.kind == "xml")
    flags = [*cut]
    if portfolio and not read:
        what = _listed([name for name, _ in listed]) or "nothing"
        message = f"a portfolio: its page stands before what is attached to it: {what}"
        flags.append(Flag(FlagCode.placeholder, message))
    papers = [one.document.uri.partition("!/")[2] for one in read if one.kind != "xml"]
    if portfolio and len(papers) > 1:
        # Its listing would have to fetch and open every PDF to tell that one is many documents.
        message = (
            f"a portfolio of {len(papers)} documents: {_listed(papers)}. The record is that of the first, as "
            "far as they are told apart; give each a file of its own, and the others are read too"
        )
        flags.append(Flag(FlagCode.several_documents, message))
    if unread:
        message = f"documents are attached to the PDF and are not read: {_listed(unread)}"
        flags.append(Flag(FlagCode.attachment_not_read, message))
    return Attachments(tuple(read), tuple(flags))


def _several(names: Sequence[str]) -> bool:
    """Whether these are more than one paper and its XML."""
    papers = sum(not name.lower().endswith(".xml") for name in names)
    return papers > 1 or (not papers and len(names) > 1)


def _cut(listed: Listed) -> list[Flag]:
    if len(listed) < MOST_ATTACHED:
        return []
    message = f"the first {MOST_ATTACHED} files within the PDF were looked at; others may be missing"
    return [Flag(FlagCode.attachment_not_read, message)]


def _bytes(child: Child, wanted: Sequence[tuple[int, str]]) -> Iterator[tuple[str, bytes | None]]:
    held = 0
    for number, name in wanted:
        data = child.attachment(number) if held < MOST_BYTES else None
        held += len(data or b"")
        yield name, data if held <= MOST_BYTES else None


def _opened(
    pdf: Document,
    name: str,
    data: bytes | None,
    page_count: Callable[[Document], int],
    tree: Callable[[Document], Element],
    xml_root: str | None,
) -> Attached | None:
    """None for what cannot be opened, and for other XML."""
    kind = sniff(data) if data else None
    if not data or kind is None or (kind == "xml" and xml_root is None):
        return None
    document = Document(f"{pdf.uri}!/{name}", data, hashlib.sha256(data).hexdigest(), pdf.etag)
    try:
        if kind == "xml" and not any(tree(document).outermost(xml_root or "")):
            return None
        return Attached(document, kind, page_count(document))
    except Permanent:
        return None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
