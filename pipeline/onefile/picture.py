"""One page as a PNG: the boxes of its values on it, and beside it what was read and how sure."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw, ImageFont

from pipeline.errors import Permanent, Reason
from pipeline.onefile.document import Page, Region, Shown, Sureness, cells, sureness
from pipeline.printable import printable
from pipeline.review import words
from pipeline.review.sheet import Cell
from pipeline.sandbox import faces

_LONGEST = 1800  # pixels of the page's longer side
_SIDE, _MARGIN = 620, 20  # of a column of the list beside it, and around both
_STEP, _FEWEST = 27, 30  # of a line of the list, and lines of a column at least
_COLOURS: dict[Sureness, str] = {
    "high": "#14713c", "middle": "#8a6100", "low": "#b3261e", "unknown": "#57606a",
}  # fmt: skip
_INK, _DIM = "#1b1f24", "#57606a"
_MOST = 400  # values in the list

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def png(shown: Shown) -> bytes:
    """The first of the pages that are shown. Raises Permanent where there is no picture of it."""
    page = shown.pages[0] if shown.pages else None
    if page is None or page.pixels is None:
        raise Permanent(Reason.object_missing, page.why or "no picture" if page else "it has no pages")
    paper = Image.fromarray(page.pixels)
    paper.thumbnail((_LONGEST, _LONGEST))
    listed = [cell for cell in cells(shown.sheet.parts) if _belongs(cell, page)] if shown.sheet else []
    lines = [line for cell in listed[:_MOST] for line in _lines(cell, shown)]
    if len(listed) > _MOST:
        lines.append((f"… {len(listed) - _MOST:,}", "", "unknown"))
    font, small = _font(20), _font(14)
    rows = max(_FEWEST, paper.height // _STEP - 2)  # of one column, beside the page
    columns = max(1, -(-len(lines) // rows))
    height = max(paper.height, _STEP * (min(rows, len(lines)) + 2)) + 2 * _MARGIN
    width = paper.width + columns * (_SIDE + _MARGIN) + 2 * _MARGIN
    canvas = Image.new("RGB", (width, height), "white")
    canvas.paste(paper, (_MARGIN, _MARGIN))
    draw = ImageDraw.Draw(canvas)
    for region in page.regions:
        if region.witness is None:
            _box(draw, region, paper.size, small)
    left = paper.width + 2 * _MARGIN
    head = f"{shown.row.uri.rpartition('/')[2]} · trang {page.number}/{shown.row.pages or 0}"
    draw.text((left, _MARGIN), _fitting(head, font, _SIDE), _INK, font)
    draw.text((left, _MARGIN + _STEP), _state(shown), _DIM, small)
    for at, (text, sure, level) in enumerate(lines):
        x, y = left + at // rows * (_SIDE + _MARGIN), _MARGIN + (at % rows + 2) * _STEP
        ink = _COLOURS["low"] if level == "low" else _INK
        draw.text((x, y), _fitting(text, font, _SIDE - (90 if sure else 0)), ink, font)
        draw.text((x + _SIDE, y), sure, _COLOURS[level], font, anchor="ra")
    held = io.BytesIO()
    canvas.save(held, "PNG", compress_level=6)
    return held.getvalue()


def _belongs(cell: Cell, page: Page) -> bool:
    """Of what is absent only what the document itself lacks: a line's empty columns say little."""
    return (cell.page == page.number or cell.page is None) and bool(cell.shown or "[" not in cell.path)


def _lines(cell: Cell, shown: Shown) -> list[tuple[str, str, Sureness]]:
    """What stands in the list of one value: the text, how sure, and its colour."""
    number = f"{shown.numbers[cell.id]}. " if cell.id in shown.numbers else ""
    value = cell.shown or (f"— {words.ABSENCES[cell.absence].vi}" if cell.absence else "—")
    sure = "✓" if cell.decision else "" if cell.sure is None else f"{cell.sure:.1%}"
    mark = "? " if cell.doubt else ""
    found: list[tuple[str, str, Sureness]] = [
        (f"{mark}{number}{cell.label}: {value}", sure, sureness(cell.sure))
    ]
    for check in cell.checks:
        found.append((f"      ! {words.check(check.code) or check.code}", "", "low"))
    for said in cell.witnesses:
        if said.verdict != "agrees" and said.raw is not None:
            source = words.SOURCES[said.source].vi if said.source in words.SOURCES else said.source
            found.append((f"      {source} {words.VERDICTS[said.verdict].vi}: {said.raw}", "", "unknown"))
    return found


def _state(shown: Shown) -> str:
    score = None if shown.stored is None else shown.stored.extraction.score
    state = words.STATES[shown.row.state].vi if shown.row.state in words.STATES else shown.row.state
    return f"{state} · {'chưa hiệu chuẩn' if score is None else f'{score:.1%} mọi giá trị đúng'}"


def _box(draw: ImageDraw.ImageDraw, region: Region, size: tuple[int, int], font: Font) -> None:
    left, top, right, bottom = (
        _MARGIN + side * length for side, length in zip(region.box, size * 2, strict=True)
    )
    colour = _COLOURS[region.sureness]
    draw.rectangle((left - 2, top - 2, right + 2, bottom + 2), outline=colour, width=4 if region.doubt else 2)
    tag, at = f"{region.number}{'?' if region.doubt else ''}", (left - 4, (top + bottom) / 2)
    around = draw.textbbox(at, tag, font, anchor="rm")
    draw.rectangle((around[0] - 2, around[1] - 2, around[2] + 2, around[3] + 2), fill=colour)
    draw.text(at, tag, "white", font, anchor="rm")


def _fitting(text: str, font: Font, room: float) -> str:
    """The text, cut with a sign that it is, where it is wider than there is room."""
    text = printable(text)
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "…") > room:
        text = text[:-1]
    return text + "…"


def _font(size: int) -> Font:
    """A face of the system with Vietnamese letters, or the one that Pillow brings."""
    face = faces.choose("sans", bold=False, slanted=False)
    return ImageFont.load_default(size) if face is None else ImageFont.truetype(io.BytesIO(face.data), size)
