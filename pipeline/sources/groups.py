"""Files that are one document: by a list's column, a pattern of names, equal names, their archive."""

from __future__ import annotations

import re
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from pipeline.errors import Reason, UsageError
from pipeline.records import DocumentRef
from pipeline.settings import SourceSettings
from pipeline.sources import refs

HELD = 20_000  # files that wait for others of their document: about 12 MB
MOST_PARTS = 200  # files of one document

Order = Callable[[str], Any]  # by which a source sorts the URIs that it names

_ID = "{id}"
# In the order of a document's parts: pages keep the numbers that the PDF gives them.
_STEMS = (".pdf", ".xml")


@dataclass(frozen=True, slots=True)
class _Membership:
    """Which document a file belongs to by a rule.

    names   all files that the rule wants of it, in the order of the parts; () where it cannot say
    place   which of them this file is; it may write it with other capitals, or with letters taken apart
    latest  of each of `names`, else of any file that may belong to it, the name that comes last; () where it
            cannot say
    """

    key: tuple[str, ...]
    why: str
    names: tuple[str, ...] = ()
    place: int = 0
    latest: tuple[str, ...] = ()

    def name(self, uri: str) -> str:
        """What the file is called here."""
        return self.names[self.place] if self.names else uri


@dataclass(slots=True)
class _Slot:
    """A document whose files are still coming, or one that is decided: then without a membership.

    `files` are by the names that its rule has for them.
    """

    membership: _Membership | None
    files: dict[str, DocumentRef] = field(default_factory=dict)

    def decided(self, now: Any, order: Order | None) -> bool:
        """Whether no further file can come, where the source has come to `now`."""
        rule = self.membership
        if rule is None:
            return True
        latest = rule.latest
        if rule.names:
            both = zip(rule.names, rule.latest, strict=True)
            latest = tuple(last for name, last in both if name not in self.files)
            if not latest:
                return True
        if order is None or not latest:
            return False
        return bool(now > max(order(spelling) for last in latest for spelling in _spellings(last)))


class Rules:
    """How files are put together that no list puts together; made of `SourceSettings.group`."""

    def __init__(self, settings: SourceSettings) -> None:
        """Raises UsageError for a pattern that cannot be followed."""
        self.whole_archives = "archive" in settings.group
        self.stems = "none" not in settings.group
        self._patterns = [_Pattern(text) for text in settings.group if text not in ("archive", "none")]

    def membership(self, uri: str) -> _Membership | None:
        """Which document the file belongs to by its name."""
        folder, name = refs.folder_of(uri), uri[len(refs.folder_of(uri)) :]
        for pattern in self._patterns:
            if (found := pattern.membership(folder, name)) is not None:
                return found
        stem, suffix = composed(name[:-4]), name[-4:]
        if self.stems and stem and suffix.lower() in _STEMS:
            key, last = ("stem", folder + stem), f"{folder}{stem}{max(_STEMS)}"
            return _Membership(key, "a PDF and an XML of one name", latest=(last,))
        return None

    @property
    def idle(self) -> frozenset[str]:
        """The patterns that no file's name has followed so far."""
        return frozenset(pattern.text for pattern in self._patterns if not pattern.followed)


class _Pattern:
    """`{id}-front.jpg,{id}-back.jpg`: names within one folder that differ in all but {id} from each other.

    But for {id}, capitals do not count: a camera writes .JPG. Nor does it anywhere whether a letter and its
    marks are one character or several, as a Mac writes them.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.followed = False
        self._names = [composed(name.strip()) for name in text.split(",")]
        problem = None
        if len(self._names) < 2 or len({name.lower() for name in self._names}) < len(self._names):
            problem = "it has two or more names, all of them different, with commas between them"
        elif any(name.count(_ID) != 1 for name in self._names):
            problem = f"each of its names has {_ID} once"
        elif any("/" in name for name in self._names):
            problem = "its names lie in one folder; use a list with a column “group” for others"
        if problem is not None:
            raise UsageError(f"--group {text}: a pattern is like {_ID}-front.jpg,{_ID}-back.jpg: {problem}")
        self._regexes = [
            re.compile("(.+)".join(map(re.escape, name.split(_ID))), re.IGNORECASE) for name in self._names
        ]

    def membership(self, folder: str, name: str) -> _Membership | None:
        plain = composed(name)
        matches = [(regex.fullmatch(plain), place) for place, regex in enumerate(self._regexes)]
        found = [(match[1], place) for match, place in matches if match]
        if not found:
            return None
        self.followed = True
        # 1-back.jpg is the back of 1 where {id}.jpg is a name too.
        id, place = min(found, key=lambda one: len(one[0]))
        names = tuple(folder + name.replace(_ID, id) for name in self._names)
        latest = tuple(folder + name.lower().replace(_ID, id) for name in self._names)
        return _Membership(("pattern", self.text, folder, id), f"--group {self.text}", names, place, latest)


def nothing_grouped(pattern: str) -> str:
    """The sentence about an idle pattern: it has a slip, rather than that a source has no such files."""
    return f"no file has a name of --group {pattern}: nothing is put together by it"


def composed(name: str) -> str:
    """The name with each letter and its marks in one character."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _spellings(uri: str) -> Iterator[str]:
    """The file's name with letters whole and taken apart; its folder as it is."""
    folder, name = refs.folder_of(uri), uri[len(refs.folder_of(uri)) :]
    yield uri
    if not name.isascii():
        yield folder + unicodedata.normalize("NFD", name)


def grouped(found: Iterable[DocumentRef], rules: Rules, order: Order | None) -> Iterator[DocumentRef]:
    """The same files, those of one document as its parts, in the order of the first file of each.

    A file waits until no other one of its document can come: where `order` is known, until the source is past
    the last name that may belong to it; else until HELD files wait. So memory does not grow with a source. A
    list whose groups lie further apart than that is told so; a document of a pattern then comes twice, each
    time with what is there of it, which the ledger puts together.
    """
    waiting: OrderedDict[tuple[Any, ...], _Slot] = OrderedDict()
    closed: set[int] = set()  # groups of a list, about 80 bytes each
    number, held = count(), 0
    now: Any = None
    for ref in found:
        archive, member = refs.split_member(ref.uri)
        if order is not None:
            before, now = now, order(archive)
            if before is not None and now < before:
                order = None  # it is not sorted after all
        rule = _membership(ref, rules)
        if member and order is not None:
            rule = None  # it has been put together with others of its archive
        if rule is not None and ref.group is not None and hash(ref.group) in closed:
            ref, rule = _late(ref), None
        key: tuple[Any, ...] = (next(number),) if rule is None else rule.key
        name = ref.uri if rule is None else rule.name(ref.uri)
        if key in waiting and name in waiting[key].files:
            key, rule = (next(number),), None  # named twice
        slot = waiting.get(key) or _Slot(rule)
        slot.files[name] = ref
        if key not in waiting and rule is not None and slot.decided(now, order):
            yield from _documents(slot)  # the others were given out before
            continue
        waiting[key] = slot
        held += 1
        while waiting and (held > HELD or next(iter(waiting.values())).decided(now, order)):
            slot = waiting.popitem(last=False)[1]
            held -= len(slot.files)
            if slot.membership is not None and slot.membership.key[0] == "list":
                closed.add(hash(slot.membership.key[1]))
            yield from _documents(slot)
    for slot in waiting.values():
        yield from _documents(slot)


def one_archive(members: Iterable[DocumentRef], rules: Rules) -> Iterator[DocumentRef]:
    """What is wanted of an archive's members, those of one document as its parts.

    All of its documents are one where that was asked for. Else its members are put together as files of a
    folder are; and where there is one PDF and one XML among them, as issuers mail an invoice, those are one
    whatever they are called.
    """
    given = list(members)  # an open archive holds them all anyway
    wanted = [ref for ref in given if not _passed_over(ref)]
    if rules.whole_archives and wanted:
        yield from (ref for ref in given if _passed_over(ref))
        yield from _made(wanted, "one archive")
        return
    made = list(grouped(given, rules, None))
    pair = [[ref for ref in wanted if ref.uri.lower().endswith(suffix)] for suffix in _STEMS]
    if rules.stems and [len(some) for some in pair] == [1, 1] and not any(ref.parts for ref in made):
        both = [some[0] for some in pair]
        made = [ref for ref in made if ref not in both]
        made.append(DocumentRef.of_parts(both, "the PDF and the XML of one archive"))
    yield from made


def _membership(ref: DocumentRef, rules: Rules) -> _Membership | None:
    if _passed_over(ref) or ref.parts:
        return None
    if ref.group is not None:
        return _Membership(("list", ref.group), f"group {ref.group} of the list")
    return rules.membership(ref.uri)


def _passed_over(ref: DocumentRef) -> bool:
    return ref.failure is not None and ref.failure.reason is Reason.passed_over


def _documents(slot: _Slot) -> Iterator[DocumentRef]:
    rule, there = slot.membership, list(slot.files.values())
    if rule is None:
        yield there[0] if there[0].parts else replace(there[0], group=None)
    elif rule.names:
        files = [slot.files.get(name) or _missing(name, there[0].uri, rule) for name in rule.names]
        yield DocumentRef.of_parts(files, rule.why)
    elif rule.key[0] == "stem":
        kinds = {ref.uri[-4:].lower() for ref in there}
        if len(kinds) < len(_STEMS):
            yield from there
        else:
            there.sort(key=lambda ref: (_STEMS.index(ref.uri[-4:].lower()), ref.uri))
            yield from _made(there, rule.why)
    else:
        yield from _made(there, rule.why)


def _made(files: Sequence[DocumentRef], why: str) -> Iterator[DocumentRef]:
    if len(files) <= MOST_PARTS:
        yield DocumentRef.of_parts(files, why)
        return
    message = f"{why} has {len(files):,} files; a document has at most {MOST_PARTS}"
    for ref in files:
        yield refs.broken(ref.uri, Reason.manifest_line, message, ref.size)


def _missing(name: str, beside: str, rule: _Membership) -> DocumentRef:
    """Never fetched: what is not listed may be something that nobody wants to have read."""
    return refs.broken(name, Reason.object_missing, f"{name} is not there; {rule.why} wants it with {beside}")


def _late(ref: DocumentRef) -> DocumentRef:
    message = (
        f"the group {ref.group} ended over {HELD:,} entries before; put the entries of one group side by side"
    )
    return refs.broken(ref.uri, Reason.manifest_line, message, ref.size)
