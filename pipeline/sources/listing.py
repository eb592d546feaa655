"""Sources as a person types them become a stream of documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain

from pipeline.errors import Coded, Reason, UsageError
from pipeline.filetype import is_archive
from pipeline.records import Document, DocumentRef
from pipeline.settings import SourceSettings
from pipeline.sources import fetching, groups, local, looks, manifests, places, refs
from pipeline.sources.choice import Choice
from pipeline.sources.limits import SizeLimits


def list_documents(
    sources: Sequence[str],
    settings: SourceSettings,
    *,
    passed_over: bool = False,
    rules: groups.Rules | None = None,
) -> Iterator[DocumentRef]:
    """Every document of every source, in order, streamed: memory does not grow with their number.

    A source is s3://BUCKET/PREFIX (or a key, or a key with wildcards), a folder, a file, a glob, a manifest
    (.jsonl, .ndjson, .csv, .tsv), an archive (.zip, .tar, .tar.gz, .tgz) or one member of it. Archives found
    on the way are listed as their members. Two sources may name the same document: it then comes twice. With
    `passed_over` come too, each with that failure: what is hidden, what is no document by its name and was
    not named by itself, and what `settings` do not include or do exclude. Files that are one document
    (`groups`) come as its parts, by `rules`, which are those of `settings`; who gives them may ask them at
    the end.

    Raises UsageError for a source that does not exist, before the first document; Permanent (access_denied)
    or Transient (store_unreachable) for a store that does not let itself be listed.
    """
    if not sources:
        raise UsageError("no source given: a folder, a file, a manifest, an archive or s3://BUCKET/PREFIX")
    found: Iterator[DocumentRef]
    rules = rules or groups.Rules(settings)
    found = chain.from_iterable([_begun(_listed(source, settings, rules)) for source in sources])
    # By the order of one source it is known when a file waits no longer for others.
    order = (
        places.of(sources[0]).order if len(sources) == 1 and not manifests.is_manifest(sources[0]) else None
    )
    found = groups.grouped(found, rules, order)
    return (ref for ref in found if passed_over or not _is_passed_over(ref))


def members(
    of: Document,
    names: Iterable[str],
    settings: SourceSettings,
    listed: Sequence[str] = (),
    *,
    passed_over: bool = False,
) -> tuple[DocumentRef, ...]:
    """What is wanted of that which a portfolio holds, put together by the rules for names, at the version
    that was read.

    `listed` are the sources that the portfolio may have been found in: `settings` choose what is left out
    of its members as of an archive's, by paths below the source. With `passed_over` that comes too.
    """
    bases = [places.of(one).base(places.uri(one)) for one in listed]
    above = [base for base in bases if of.uri.startswith(f"{base.rstrip('/')}/")]
    choices = [Choice(settings, base) for base in above or [refs.folder_of(of.uri)]]
    found = (_member_of(of, name, choices) for name in names)
    wanted = (ref for ref in found if passed_over or not _is_passed_over(ref))
    return tuple(groups.grouped(wanted, groups.Rules(settings), None))


def _member_of(portfolio: Document, name: str, choices: Sequence[Choice]) -> DocumentRef:
    uri = f"{portfolio.uri}!/{name}"
    # Of several sources that it lies in, one that wants it is enough.
    why = [choice.exclusion(uri) for choice in choices]
    return refs.passed_over(uri, why[0] or "") if all(why) else DocumentRef(uri, etag=portfolio.etag)


def together(sources: Sequence[str]) -> list[list[str]]:
    """The sources in runs that are to be listed at once: single files, as a shell makes them of *.pdf *.xml,
    where those of one document may stand anywhere.
    """
    runs: list[list[str]] = []
    single = False
    for source in sources:
        before, single = (
            single,
            places.is_file(source) and not (manifests.is_manifest(source) or is_archive(source)),
        )
        if single and before:
            runs[-1].append(source)
        else:
            runs.append([source])
    return runs


def _is_passed_over(ref: DocumentRef) -> bool:
    return ref.failure is not None and ref.failure.reason is Reason.passed_over


def _listed(source: str, settings: SourceSettings, rules: groups.Rules) -> Iterator[DocumentRef]:
    """One source."""
    place = places.of(source)
    uri = place.uri(source)
    archive, member = refs.split_member(uri)
    if member:
        yield from _member(archive, uri, settings)
        return
    found = place.find(uri, settings)
    if found.exact and manifests.is_manifest(uri):
        manifest = next(found.refs)
        yield from _manifest(uri, manifest.etag, settings, rules)
    else:
        yield from _expanded(found.refs, settings, Choice(settings, found.base), rules)


def _expanded(
    found: Iterable[DocumentRef], settings: SourceSettings, choice: Choice, rules: groups.Rules
) -> Iterator[DocumentRef]:
    """What is wanted of `found`, each archive replaced by what is wanted of its members."""
    for ref in found:
        if ref.failure is None and is_archive(ref.uri) and choice.exclusion(ref.uri) is None:
            members = looks.passed_over(choice.among(_members(ref, settings)), partial(_style, ref, settings))
            if ref.group is None:
                yield from groups.one_archive(members, rules)
            else:  # the list says what they are parts of
                yield from (replace(member, group=ref.group) for member in members)
        else:
            yield from choice.among([ref])


def _members(ref: DocumentRef, settings: SourceSettings) -> Iterator[DocumentRef]:
    try:
        archive = fetching.opened_archive(ref.uri, ref.etag, settings)
        members = archive.refs()
        first = next(members, None)
        if first is None:
            yield refs.broken(ref.uri, Reason.archive_damaged, "the archive holds no files", ref.size)
        else:
            yield first
            yield from members
    except OSError as error:
        problem = local.translated(error, ref.uri)
        yield refs.broken(ref.uri, problem.reason, problem.message, ref.size)
    except Coded as error:
        yield refs.broken(ref.uri, error.reason, error.message, ref.size)


def _style(archive: DocumentRef, settings: SourceSettings, member: DocumentRef) -> bytes:
    """A stylesheet of an open archive. Raises Coded."""
    opened = fetching.opened_archive(archive.uri, archive.etag, settings)
    try:
        return opened.read(refs.split_member(member.uri)[1], SizeLimits(looks.LARGEST))
    except OSError as error:
        raise local.translated(error, archive.uri) from error


def _member(archive: str, uri: str, settings: SourceSettings) -> Iterator[DocumentRef]:
    """One member of an archive, by its URI."""
    try:
        ref = DocumentRef(archive, etag=places.of(archive).etag(refs.file_of(archive), settings))
    except Coded as error:
        if error.reason is Reason.object_missing:
            raise UsageError(error.message) from error
        raise
    for member in _members(ref, settings):
        if member.uri == uri:
            yield member
            return
    raise UsageError(f"{uri} is not in the archive")


def _manifest(
    uri: str, etag: str | None, settings: SourceSettings, rules: groups.Rules
) -> Iterator[DocumentRef]:
    with places.of(uri).open(uri, etag, settings) as file:
        choice = Choice(settings, refs.folder_of(uri))
        yield from _expanded(manifests.read(uri, file, settings), settings, choice, rules)


def _begun(documents: Iterator[DocumentRef]) -> Iterator[DocumentRef]:
    """The same documents, the first one already found: what is wrong with the source is raised here."""
    first = next(documents, None)
    return iter(()) if first is None else chain([first], documents)
