"""The registry of second readers, which read letters from pixels beside the model. A new one is a class after
`Recogniser` and a line here.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.errors import UsageError
from pipeline.sandbox.seccomp import Role

TESSERACT = ("tesseract",)


@dataclass(frozen=True, slots=True)
class RecogniserEntry:
    """`recogniser` is a class in `module` of this package; it is made without arguments, once confined.

    good_at   "digits": only its words with a digit are taken, before those of others; "words": all the others
    packages  distributions that it imports, of the extra `second-reader`
    role      what its child may do once it is confined
    programs  that must be installed; the child may start them
    install   what to type where one of them is missing
    """

    module: str
    recogniser: str
    good_at: Literal["digits", "words"]
    install: str
    packages: tuple[str, ...] = ()
    role: Role = "decoder"
    programs: tuple[str, ...] = ()


# RapidOCR's alphabet has no Vietnamese letters, and it leaves them out: 46 of 49 codes and numbers of real
# pages were right, and 1 of 16 names; of Tesseract's 38 and 8.
RECOGNISERS: Mapping[str, RecogniserEntry] = {
    "rapidocr": RecogniserEntry(
        "rapid",
        "RapidOcr",
        "digits",
        "pip install 'vinbatch[second-reader]'",
        packages=("rapidocr", "onnxruntime", "opencv-python-headless"),
    ),
    "tesseract": RecogniserEntry(
        "tesseract",
        "Tesseract",
        "words",
        "apt install tesseract-ocr tesseract-ocr-vie",
        role="supervisor",
        programs=TESSERACT,
    ),
}


def must_be_installed(name: str) -> None:
    """Raises UsageError where a package or program of that second reader is absent."""
    absent = ", ".join(_absent(RECOGNISERS[name]))
    if absent:
        raise UsageError(f"the second reader {name} wants {absent}: {RECOGNISERS[name].install}")


def _absent(entry: RecogniserEntry) -> Iterator[str]:
    # Not above: every child that starts would wait for it, and none asks.
    from importlib.metadata import PackageNotFoundError, version

    for package in entry.packages:
        try:
            version(package)
        except PackageNotFoundError:
            yield package
    yield from (program for program in entry.programs if shutil.which(program) is None)
