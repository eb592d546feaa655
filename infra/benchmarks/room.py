"""Does the answer fit? Invoice specimens with the published tokenizer, cut as trained and as planned.

    python -m infra.benchmarks.room [--documents 500] [--context 4096] [--json OUT]
    python -m infra.benchmarks.room --letters 7

No weights are needed, for nothing is read. Each page of each specimen is cut at 7 tiles (A4 as it is) and at
13 (laid into a picture of 3:4, like a phone's photo), and its true answer is counted in tokens:

before   cut as trained, an answer of at most 2,048 tokens: the page fits or is lost
planned  by `pipeline.room`, from the page's pixels: one pass, several, or no room at all; and the
         passes that the true answer takes, token by token, by the engine's rule for what leaves its sight

With --letters, values of so many specimens are cut out of pages at each grid, and Tesseract reads them one
by one: at what height of letters in a tile it begins to fail says how few tiles a page may have. Tesseract is
not the model, but what it cannot make out of these pixels is hardly in them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.benchmarks import published
from infra.benchmarks.tesseract import text_lines
from pipeline import grammar, tiles
from pipeline.records import Pixels
from pipeline.room import Room, tile_count, tiling
from pipeline.specimens.making import make
from pipeline.specimens.specimen import Page, Specimen
from pipeline.textlines import TextLines, look
from pipeline.vintern import config as configs
from pipeline.vintern import counting
from pipeline.vintern import tokenizer as tokenizers
from pipeline.vintern.passes import leaving
from pipeline.vintern.tokenizer import Tokenizer
from schemas.registry import resolve
from schemas.spec import SchemaSpec

BEFORE = 2048  # tokens of an answer at most, whatever the context left
CONFIG = {  # what prompts of the published layout depend on, and sizes that nothing here depends on
    "model_type": "internvl_chat",
    "template": "internvl2_5",
    "ps_version": "v2",
    "downsample_ratio": 0.5,
    "force_image_size": 448,
    "vision_config": {
        "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
        "patch_size": 14, "image_size": 448, "norm_type": "layer_norm", "qk_normalization": False,
    },
    "llm_config": {
        "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
        "intermediate_size": 4864, "vocab_size": 151674, "max_position_embeddings": 32768,
    },
}  # fmt: skip
MAX_TILES = {7: 6, 13: 12}  # by the tiles of a page as trained: A4, and 3:4
CONTEXTS = (4096, 12288)


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What is known of one page in one of its two shapes."""

    tiles: int  # as trained
    max_tiles: int
    width: int
    height: int
    seen: TextLines
    lines: int
    answer: tuple[bytes, ...]  # its true answer, token by token


@dataclass(frozen=True, slots=True)
class Outcome:
    before: bool  # it fits as trained
    grid: tuple[int, int]  # as planned
    planned: int | None  # passes, as they are told beforehand
    passes: int | None  # that its true answer takes so; None: it has no room
    letters: float  # height of a line of print in its tiles, pixels


def documents(count: int, seed: int) -> Iterator[Specimen]:
    """Of all three layouts, clean and worn."""
    for number in range(count):
        yield make("invoice", seed + number, fonts="held-out" if number % 4 == 3 else None)


def photo(pixels: Pixels) -> Pixels:
    """The page in the middle of a picture of 3:4."""
    height, width, _ = pixels.shape
    whole = np.full((height, round(height * 3 / 4), 3), 112, np.uint8)
    left = (whole.shape[1] - width) // 2
    whole[:, left : left + width] = pixels
    return whole


def pages(
    specimen: Specimen,
    spec: SchemaSpec,
    tokenizer: Tokenizer,
    form: grammar.Form,
    bytes_of: Mapping[int, bytes],
) -> Iterator[PageFacts]:
    for number, page in enumerate(specimen.pages, 1):
        raw = specimen.raw(number)
        ids = tokenizer.encode_plain(grammar.answer(spec.shape, raw, form))
        answer = tuple(bytes_of[token] for token in ids)
        for trained, most in MAX_TILES.items():
            pixels = page.pixels if trained == 7 else photo(page.pixels)
            height, width, _ = pixels.shape
            yield PageFacts(trained, most, width, height, look(pixels), len(raw["lines"]), answer)


def outcome(page: PageFacts, room: Room) -> Outcome:
    planned = tiling(page.width, page.height, page.max_tiles, room, lambda: page.seen)
    columns, rows = planned.grid
    return Outcome(
        before=len(page.answer) <= min(BEFORE, room.left(page.tiles)),
        grid=planned.grid,
        planned=planned.passes,
        passes=true_passes(page.answer, room.left(tile_count(planned.grid))),
        letters=page.seen.height * tiles.SIDE * min(columns / page.width, rows / page.height),
    )


def true_passes(answer: Sequence[bytes], left: int) -> int | None:
    """The passes of an answer for which so many tokens are left; None: no further one can begin."""
    passes, sight = 1, list[bytes]()
    for piece in answer:
        if len(sight) >= left:
            leave = leaving(sight, left, len(sight))
            if leave is None:
                return None
            del sight[slice(*leave)]
            passes += 1
        sight.append(piece)
    return passes


def show(found: Sequence[PageFacts], room: Room, console: Console) -> None:
    table = Table("tiles", "pages", "fit before", "fit in one pass", "in several (most)", "no room", "grids")
    table.title = f"a context of {room.context:,} tokens"
    for trained in MAX_TILES:
        ends = [outcome(page, room) for page in found if page.tiles == trained]
        several = [end.passes for end in ends if end.passes is not None and end.passes > 1]
        grids = Counter(f"{end.grid[0]}×{end.grid[1]}" for end in ends)
        table.add_row(
            str(trained),
            str(len(ends)),
            _share(sum(end.before for end in ends), len(ends)),
            _share(sum(end.passes == 1 for end in ends), len(ends)),
            f"{_share(len(several), len(ends))} ({max(several, default=1)})",
            _share(sum(end.passes is None for end in ends), len(ends)),
            ", ".join(f"{grid} {number}" for grid, number in grids.most_common()),
        )
    console.print(table)
    told = Counter(
        (end.planned or 0) - (end.passes or 0)
        for page in found
        for end in [outcome(page, room)]
        if (end.planned, end.passes) != (1, 1)
    )
    console.print(Text(f"passes planned less passes taken, of pages in several: {sorted(told.items())}"))
    smallest = min(end.letters for page in found if page.lines for end in [outcome(page, room)])
    console.print(Text(f"the lowest line of print in its tiles: {smallest:.1f} px"))


def show_lines(found: Sequence[PageFacts], console: Console) -> None:
    beyond = Counter(page.seen.rows - page.lines for page in found)
    close = sum(number for more, number in beyond.items() if 0 <= more <= 3)
    console.print(
        Text(
            f"lines counted less lines there: {min(beyond)} to {max(beyond)}, "
            f"0 to 3 on {_share(close, len(found))}"
        )
    )


def _share(part: int, whole: int) -> str:
    return f"{part} ({100 * part / whole:.1f}%)" if whole else "–"


# how small letters may become


def readable(count: int, seed: int, console: Console) -> None:
    """Names and amounts, cut out at each grid, that Tesseract reads without a mistake."""
    right: dict[tuple[int, int], list[bool]] = {}
    heights: dict[tuple[int, int], list[float]] = {}
    for specimen in documents(count, seed):
        page = specimen.pages[0]
        for grid, pixels, height in _grids(page):
            heights.setdefault(grid, []).append(height)
            right.setdefault(grid, []).extend(_read(specimen, page, pixels))
    table = Table("grid", "letters in a tile, px", "values", "read without a mistake")
    for grid, read in sorted(right.items(), key=lambda found: -statistics.mean(heights[found[0]])):
        name = "as drawn" if grid == (0, 0) else f"{grid[0]}×{grid[1]}"
        usual = statistics.mean(heights[grid])
        table.add_row(name, f"{usual:.1f}", str(len(read)), f"{100 * statistics.mean(read):.1f}%")
    console.print(table)


def _grids(page: Page) -> Iterator[tuple[tuple[int, int], Pixels, float]]:
    """The page as it is and as each grid has it, stretched back to its size; heights of print in tiles."""
    high, wide, _ = page.pixels.shape
    seen = look(page.pixels)
    yield (0, 0), page.pixels, seen.height
    for columns, rows in ((3, 4), (2, 3), (2, 2), (1, 2)):
        small = Image.fromarray(page.pixels).resize(
            (tiles.SIDE * columns, tiles.SIDE * rows), Image.Resampling.BICUBIC
        )
        back = np.asarray(small.resize((wide, high), Image.Resampling.BICUBIC))
        yield (columns, rows), back, seen.height * tiles.SIDE * min(columns / wide, rows / high)


def _read(specimen: Specimen, page: Page, pixels: Pixels) -> Iterator[bool]:
    high, wide, _ = pixels.shape
    for path, value in specimen.truth["fields"].items():
        wanted = path.startswith("lines[") and path.partition("]")[0] in ("lines[0", "lines[2", "lines[4")
        if value["page"] != 1 or not wanted or not path.endswith((".name", ".unit_price", ".amount")):
            continue
        left, top, right, bottom = page.boxes[path]
        crop = pixels[
            max(0, int(top * high) - 6) : int(bottom * high) + 6,
            max(0, int(left * wide) - 8) : int(right * wide) + 8,
        ]
        if bottom * high - top * high > 60:
            continue  # a name on two lines
        said = " ".join(text_lines(np.pad(crop, ((12, 12), (12, 12), (0, 0)), mode="edge"), "-l", "vie"))
        yield said.strip() == grammar.canonical(value["raw"])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m infra.benchmarks.room",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--documents", type=int, default=500)
    parser.add_argument("--context", type=int, action="append", help="tokens [default: 4096 and 12288]")
    parser.add_argument("--form", choices=get_args(grammar.Form), default="objects", help="of answers")
    parser.add_argument("--seed", type=int, default=13_000)
    parser.add_argument("--letters", type=int, metavar="N", help="measure legibility on so many instead")
    parser.add_argument("--json", type=Path, help="where to write each page's figures")
    given = parser.parse_args(arguments)
    console = Console(width=130)
    if given.letters:
        readable(given.letters, given.seed, console)
        return
    spec = resolve("invoice@1")
    with TemporaryDirectory() as name:
        published.write(Path(name), "v3_5")
        (Path(name) / "config.json").write_text(json.dumps(CONFIG))
        tokenizer, config = tokenizers.load(Path(name)), configs.read(Path(name))
    config = replace(config, answer_form=given.form)
    bytes_of = {rank: text for text, rank in published.ranks().items()}
    began = time.process_time()
    bills = documents(given.documents, given.seed)
    found = [page for bill in bills for page in pages(bill, spec, tokenizer, given.form, bytes_of)]
    console.print(Text(f"{len(found)} pages, {time.process_time() - began:.0f} s of CPU"))
    show_lines(found, console)
    for context in given.context or CONTEXTS:
        show(found, counting.room(config, tokenizer, spec, context), console)
    if given.json:
        rows = [asdict(page) | {"answer": len(page.answer)} for page in found]
        given.json.write_text(json.dumps(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
