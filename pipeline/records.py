"""The frozen records that cross the boundaries between folders.

A document's way through them:

    DocumentRef → Document → PageImage → PreparedPage → Request → Generation → PageRecord → Extraction

and `Failure` wherever it ends early. Arrays are numpy, so that Ray ships them without a copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pipeline.errors import Coded, Reason
from pipeline.filetype import Kind
from pipeline.flags import FlagCode
from pipeline.signatures import Signature as Signature
from pipeline.signatures import SignatureVerdict as SignatureVerdict
from schemas.checks import CheckResult

Check = CheckResult  # rules live with the schemas; their outcomes are stored here
Box = tuple[float, float, float, float]  # left, top, right, bottom, each 0..1 of the page's width or height
if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Pixels = npt.NDArray[np.uint8]


def __getattr__(name: str) -> Any:
    """`Pixels`, with numpy when it is asked for: who asks the store of rows needs no arrays."""
    if name == "Pixels":
        import numpy as np
        import numpy.typing as npt

        return npt.NDArray[np.uint8]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a document or page has no result. `page` is 1-based, None for the whole document."""

    reason: Reason
    message: str
    page: int | None = None
    retryable: bool = False
    traceback: str | None = None

    @classmethod
    def of(cls, error: Coded, page: int | None = None) -> Failure:
        from pipeline.errors import Transient

        return cls(error.reason, error.message, page, isinstance(error, Transient))


@dataclass(frozen=True, slots=True)
class DocumentRef:
    """One document as a listing names it. `failure` is set when the listing entry itself is broken.

    A document of several files has them as its `parts`, in order, each without parts of its own; its own uri
    and etag are then those of the first, its size is that of all. One of one file has none.
    """

    uri: str  # s3://bucket/key, an absolute path, or ARCHIVE!/member
    size: int | None = None  # bytes, as listed
    etag: str | None = None  # as listed
    failure: Failure | None = None
    parts: tuple[DocumentRef, ...] = ()
    group: str | None = None  # the name by which a list puts files together; of parts: why they are one

    @classmethod
    def of_parts(cls, parts: Sequence[DocumentRef], group: str | None = None) -> DocumentRef:
        """The document of these files, or the file itself where it is only one.

        It is broken where every one of them is.
        """
        first = parts[0]
        if len(parts) == 1:
            return replace(first, group=None)
        sizes = [part.size for part in parts]
        size = sum(size or 0 for size in sizes) if None not in sizes else None
        whole = all(part.failure is not None for part in parts)
        return cls(
            first.uri,
            size,
            first.etag,
            first.failure if whole else None,
            tuple(replace(part, group=None) for part in parts),
            group,
        )


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a document as an attempt found it: its bytes' name and pages, or why it has none."""

    uri: str
    sha256: str | None = None  # hex
    etag: str | None = None
    size: int | None = None  # bytes
    pages: int = 1  # one that failed stands as one page, which failed
    failure: Failure | None = None
    kind: Kind | None = None  # by its first bytes
    attached: tuple[
        Kind, ...
    ] = ()  # of its last pages: documents that are attached to it, counted in `pages`
    members: tuple[DocumentRef, ...] = ()  # of a portfolio: documents within it, to be read by themselves

    def kind_of(self, page: int) -> Kind | None:
        """That of the file in which its page `page` (from 1) stands."""
        behind = page - (self.pages - len(self.attached)) - 1
        return self.kind if behind < 0 else self.attached[behind]


@dataclass(frozen=True, slots=True)
class Document:
    """The bytes of one file of a document, pinned to one version."""

    uri: str
    data: bytes
    sha256: str  # hex
    etag: str | None


@dataclass(frozen=True, slots=True)
class Code:
    """A machine-readable code found on a page."""

    kind: Literal["qr", "barcode"]
    text: str
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class Word:
    """A piece of a page's text without blanks, NFC, and where it stands on the page as it is drawn."""

    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class TextLayer:
    """The text that a page brings along, beside its pixels, in the file's own order.

    `trusted`: it stands on paper as well, letter for letter; words that do not are left out. Where it is
    False, the words may say what nobody sees. `why` is a sentence on what was left out, or speaks against
    the layer.
    """

    words: tuple[Word, ...]
    trusted: bool
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Flag:
    """Something about a page as it was drawn that a person should look at; `message` is one sentence."""

    code: FlagCode
    message: str


Tier = Literal["clean", "scan", "noisy", "photo"]


@dataclass(frozen=True, slots=True)
class Quality:
    """What a page's picture is worth to a reader, measured from its pixels.

    tier       how the page came to be: drawn from a file, scanned, scanned badly, photographed
    letters    median height of a line of print, pixels; None where none was found
    blur, noise, glare    0 (none) to 1
    skew       degrees, clockwise
    verdicts   what is wrong with it, in words of `pipeline.quality`, like "blurred" or "cut"
    """

    tier: Tier
    letters: float | None
    blur: float
    noise: float
    glare: float
    skew: float
    verdicts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PageImage:
    """One page as pixels: uint8 [height, width, 3], RGB, upright. `page` is 1-based.

    `ended` says how another renderer ended that was asked about the page and gave no answer.
    """

    page: int
    pixels: Pixels
    renderer: str  # a name in `sandbox.drawers`
    codes: tuple[Code, ...] = ()  # from the top down
    flags: tuple[Flag, ...] = ()
    ended: Failure | None = None
    text: TextLayer | None = None  # None: a picture, or a PDF's page without any
    reader: TextLayer | None = None  # what a second reader saw; None: it was not asked


@dataclass(frozen=True, slots=True)
class Ink:
    """Which pixels of a page made smaller hold print: `pipeline.ink`.

    bits  uint8 [height, ⌈width / 8⌉], packed row by row, eight pixels to a byte
    """

    width: int
    bits: Pixels

    @property
    def height(self) -> int:
        return len(self.bits)


@dataclass(frozen=True, slots=True)
class PreparedPage:
    """A page ready for the model: tiles uint8 [n, 448, 448, 3], thumbnail last when n > 1.

    `grid` has the columns and rows of tiles that the page was really cut into. `ink` stays until the answer
    comes, when the pixels are gone; None where no boxes are wanted.
    """

    page: int
    tiles: Pixels
    width: int  # of the page image, pixels
    height: int
    renderer: str
    codes: tuple[Code, ...] = ()
    flags: tuple[Flag, ...] = ()
    ended: Failure | None = None  # as of the `PageImage`
    grid: tuple[int, int] = (1, 1)
    text: TextLayer | None = None
    reader: TextLayer | None = None
    quality: Quality | None = None
    ink: Ink | None = None

    def __post_init__(self) -> None:
        cells = self.grid[0] * self.grid[1]
        if len(self.tiles) != cells + (cells > 1):
            raise ValueError(f"page {self.page} has {len(self.tiles)} tiles, and its grid is {self.grid}")


@dataclass(frozen=True, slots=True)
class Request:
    """One page for the engine. `question` is the user turn without the image; no grammar: free text.

    `max_new_tokens` None: as many as all passes over the page come to. `second_look`: an answer with a value
    less sure than this is given once more, from a picture that is moved (`vintern.second_look`); None: never.
    `grid` has the columns and rows of the tiles, as of the `PreparedPage`.
    """

    id: str
    tiles: Pixels
    question: str
    grammar: str | None
    max_new_tokens: int | None = None
    second_look: float | None = None
    grid: tuple[int, int] = (1, 1)


@dataclass(frozen=True, slots=True)
class Generation:
    """What the engine answered to one request. Arrays have one entry for each generated token.

    spans        int32 [n, 2]  start and end of the token's text, in characters of `text`
    probability  float32 [n]   of the token under the grammar's mask; 1.0 where forced
    unmasked     float32 [n]   of the token before the mask, under a grammar with all tokens that are equal up
                               to a closing quote; NaN where forced and no part of a value
    forced       bool [n]      the grammar left no choice
    place        float32 [n, 4] or None: where the token looked. The strongest cell's part of the last layer's
                 attention, its tile, and row and column (0..15) of the centre of the 3×3 cells around it
    seams        of a long table: how many tokens there were when each further pass over the page began
    again        the answer of a second look, where there was one that came to its end
    looked_again there was a second look, whatever became of it: the page was computed twice
    held         the grammar held every token; False: a server was asked to keep to it
    """

    request_id: str
    text: str
    finish: Literal["stop", "length", "loop", "error"]
    spans: npt.NDArray[np.int32]
    probability: npt.NDArray[np.float32]
    unmasked: npt.NDArray[np.float32]
    forced: npt.NDArray[np.bool_]
    prompt_tokens: int
    place: npt.NDArray[np.float32] | None = None
    message: str | None = None  # set when finish is "error"
    reason: Reason | None = None  # set when finish is "error"
    attempts: int = 1  # 2: the first try ended in a loop, and this is the try with a repetition penalty
    seams: tuple[int, ...] = ()
    again: Generation | None = None
    looked_again: bool = False
    held: bool = True

    @classmethod
    def failed(
        cls, request: Request, reason: Reason, message: str, prompt_tokens: int = 0, *, held: bool = True
    ) -> Generation:
        """The answer to a request that has none."""
        import numpy as np

        nothing = np.zeros(0, dtype=np.float32)
        return cls(
            request_id=request.id,
            text="",
            finish="error",
            spans=np.zeros((0, 2), dtype=np.int32),
            probability=nothing,
            unmasked=nothing,
            forced=np.zeros(0, dtype=np.bool_),
            prompt_tokens=prompt_tokens,
            message=message,
            reason=reason,
            held=held,
        )

    @property
    def passes(self) -> int:
        """In how many passes over the page the answer was written."""
        return len(self.seams) + 1


Absence = Literal["not_on_page", "illegible", "not_read"]


class Field(NamedTuple):
    """One value with its evidence. `path` is like "lines[2].amount"; `value` is JSON-ready, None: absent.

    A tuple, since an invoice has hundreds.

    `confidence` is the model's own, `score` the calibrated probability that the value is right, None where
    nothing was calibrated. `absence` says why there is no value: the page does not have it, it has something
    that cannot be read, or it may have one that was not read.
    """

    path: str
    raw: str | None  # as printed
    value: Any  # normalised: str (also for Decimal and date), int, bool or None
    confidence: float | None
    source: str  # "read" (by the model), "xml", "text", "qr", "mrz" or "review"
    page: int | None
    box: Box | None = None
    problem: str | None = None  # why raw could not be normalised
    score: float | None = None
    absence: Absence | None = None


@dataclass(frozen=True, slots=True)
class PageRecord:
    """What one page said, complete enough to merge again without the model."""

    page: int
    fields: tuple[Field, ...]
    codes: tuple[Code, ...] = ()
    flags: tuple[Flag, ...] = ()
    seams: tuple[str, ...] = ()  # paths of the list items with which the model began in each further pass
    signature: Signature | None = None  # of a document that can be signed
    text: TextLayer | None = None
    reader: TextLayer | None = None
    quality: Quality | None = None
    again: tuple[Field, ...] = ()  # what a second look read; empty: there was none
    read_on: date | None = None  # in Viet Nam; dates of the page are held against it
    # The schema, by its `page_hash`, that has just given the texts their values; None: they may be older.
    normal_by: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class PageResult:
    """The row of a page: a record or a failure, and how it came about. `key` names all that can change it."""

    page: int
    key: str
    record: PageRecord | None
    failure: Failure | None
    renderer: str | None = None
    width: int | None = None
    height: int | None = None
    tiles: int | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    output: str | None = None  # the model's text
    attempts: int = 1
    passes: int = 1  # over the page; more than one where a table did not fit beside it
    numerics: str | None = (
        None  # of the model that read it (`ModelFacts`); None: none did, or it is not known
    )


Verdict = Literal["agrees", "differs", "silent", "offers"]


@dataclass(frozen=True, slots=True)
class Testimony:
    """What one witness says of one field.

    agrees   it bears the value out
    differs  it has another one
    silent   it has something there that cannot be used, like a zone with a wrong check digit
    offers   no value was read, and it has one
    """

    field: str  # path
    source: str  # as of a `Field`
    verdict: Verdict
    raw: str | None = None  # as the witness has it
    value: Any = None  # normalised, as of a `Field`; None where it is known only in part
    page: int | None = None
    box: Box | None = None


Ruling = Literal["accept", "correct", "not_on_page", "illegible", "reject"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided of one field, or of the whole document where `field` is None.

    accept         the value is right as it was read; of a document: all of its values are
    correct        it is `value`, printed as `raw`
    not_on_page    the paper has no such value; illegible: it has one that nobody can read
    reject         the document is none that belongs here
    """

    field: str | None  # path
    ruling: Ruling
    by: str
    raw: str | None = None
    value: Any = None  # normalised, as of a `Field`
    was: Any = None  # the value that the reading had then


@dataclass(frozen=True, slots=True)
class Extraction:
    """A document's result. `record` is the schema's shape with normalised JSON-ready values.

    `score` is the calibrated probability that every value is right, None where nothing was calibrated, by the
    calibration of that id in the store; `tier` that of the worst page. `read_on` is the day, in Viet Nam,
    that its dates were held against.
    """

    state: Literal["done", "review", "partial"]
    record: dict[str, Any]
    fields: tuple[Field, ...]
    checks: tuple[Check, ...]
    pages: int
    testimony: tuple[Testimony, ...] = ()
    score: float | None = None
    tier: Tier | None = None
    calibration: int | None = None
    read_on: date | None = None
