"""The second reader: who reads the letters of a page beside the model, where somebody asks for it.

Each of its recognisers runs in a child process as confined and bounded as those that draw. What it reads is
evidence beside the print, never put in its place. A page that it cannot read is still a page.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline import textlayer
from pipeline.errors import Permanent, UsageError
from pipeline.records import Pixels, TextLayer, Word
from pipeline.sandbox.parent import Child
from pipeline.sandbox.recognisers import RECOGNISERS, must_be_installed
from pipeline.settings import RenderSettings, SecondReaderSettings


def check(settings: SecondReaderSettings) -> None:
    """Raises UsageError where it is asked for and not installed on this machine."""
    for name in settings.readers if settings.on else ():
        must_be_installed(name)


class SecondReader:
    """Not for two threads at once. Its children start with the first page. Raises UsageError where one of its
    recognisers is not installed.
    """

    def __init__(self, settings: SecondReaderSettings, render: RenderSettings) -> None:
        self._names = settings.readers if settings.on else ()
        bounds = {"seconds": settings.seconds, "memory_bytes": settings.memory_bytes}
        self._settings = render.model_copy(update=bounds)
        self._children: dict[str, Child] = {}
        check(settings)

    def read(self, pixels: Pixels) -> TextLayer | None:
        """The words on a page, line by line; None where no second reader was asked for.

        Digits come from whom reads them best, words from the others. Raises Transient where a child cannot be
        started.
        """
        if not self._names:
            return None
        words: list[Word] = []
        whys: list[str] = []
        for name in sorted(self._names, key=lambda name: RECOGNISERS[name].good_at):  # digits first
            try:
                found = self._child(name).recognise(pixels)
            except Permanent as error:
                whys.append(f"{name}: {error.message}")
                continue
            words += _taken(name, found.words, words)
            whys += [f"{name}: {found.why}"] if found.why else []
        return TextLayer(
            tuple(word for line in textlayer.lines(words) for word in line),
            bool(words) or not whys,
            "; ".join(whys) or None,
        )

    def close(self) -> None:
        for child in self._children.values():
            child.close()
        self._children.clear()

    def _child(self, name: str) -> Child:
        child = self._children.get(name)
        if child is not None and child.spent:
            child.close()
            child = None
        if child is None:
            child = self._children[name] = Child(name, self._settings, "second_reader")
            if self._settings.require_sandbox and not child.confinement.complete:
                child.close()
                raise UsageError(child.confinement.words)
        return child


def _taken(name: str, found: Iterable[Word], before: list[Word]) -> list[Word]:
    """What is taken of a recogniser's words: its own kind, and of no place that another has read already."""
    if RECOGNISERS[name].good_at == "digits":
        return [word for word in found if _has_digit(word)]
    read = any(map(_has_digit, before))  # by somebody who is good at it
    return [word for word in found if not (read and _has_digit(word))]


def _has_digit(word: Word) -> bool:
    return any(sign.isdigit() for sign in word.text)
