"""Which of the documents found a person wants: --include and --exclude."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from pipeline.errors import Reason
from pipeline.records import DocumentRef
from pipeline.settings import SourceSettings
from pipeline.sources import refs


class Choice:
    """Globs over what is found in one source, of which `base` is the beginning of every URI.

    A glob without "/" is compared with each part of the path below `base`, one with "/" with the path as a
    whole; what is beneath a folder that it names goes with it. Members lie beneath their archive. Capitals
    are not told apart: scanners write PDF. What cannot be listed is kept whatever is to be included.
    """

    def __init__(self, settings: SourceSettings, base: str) -> None:
        self._base = base
        self._included = [(glob, _regex(glob)) for glob in settings.include]
        self._excluded = [(glob, _regex(glob)) for glob in settings.exclude]

    def among(self, found: Iterable[DocumentRef]) -> Iterator[DocumentRef]:
        """The same, each one that is not wanted as passed over."""
        if not self._included and not self._excluded:
            yield from found
            return
        for ref in found:
            why = self._refusal(ref)
            yield ref if why is None else refs.passed_over(ref.uri, why, ref.size)

    def exclusion(self, uri: str) -> str | None:
        """Why something and all that is in it is excluded, so that it need not be looked into, else None."""
        glob = self._match(uri, self._excluded)
        return None if glob is None else f"left out by --exclude {glob}"

    def _refusal(self, ref: DocumentRef) -> str | None:
        if ref.failure is not None and ref.failure.reason is Reason.passed_over:
            return None
        if (excluded := self.exclusion(ref.uri)) is not None:
            return excluded
        broken = ref.failure is not None and ref.failure.reason is not Reason.unsupported_type
        if self._included and not broken and self._match(ref.uri, self._included) is None:
            return "left out by --include"
        return None

    def _match(self, uri: str, globs: Sequence[tuple[str, re.Pattern[str]]]) -> str | None:
        path = uri.removeprefix(self._base).replace("!/", "/").lstrip("/")
        parts = path.split("/")
        wholes = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        for glob, pattern in globs:
            if any(map(pattern.fullmatch, wholes if "/" in glob else parts)):
                return glob
        return None


def _regex(glob: str) -> re.Pattern[str]:
    return re.compile(refs.glob_regex(glob.removeprefix("./").strip("/")).pattern, re.DOTALL | re.IGNORECASE)
