"""Every file of a folder through fetch, count, draw and prepare: what becomes of each page, in what time.

    python -m infra.benchmarks.corpus FOLDER [--pages 20] [--max-tiles 6] [--jsonl OUT]

No model is asked. Each page has an outcome (`drawn`, `flagged` or `failed`), with its reason or its flags,
the renderer, the pixels, the tiles and the seconds; a file that cannot be listed, fetched or counted is one
line of its own. The table ends with the counts, the share of the drawn pages that are flagged, and the
seconds. With --jsonl each line of the table is also a line of JSON, with the sentences in full.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from pipeline import settings, sources, tiles
from pipeline.errors import Coded
from pipeline.records import Document, DocumentRef, Failure
from pipeline.render import Renderer


def main() -> None:
    options = _options()
    rows = []
    print(f"{'file':44} {'page':>5} {'outcome':8} {'renderer':12} {'pixels':>12} {'seconds':>8}  why")
    with Path(options.jsonl or os.devnull).open("w", encoding="utf-8") as out:
        for row in _rows(options):
            rows.append(row)
            print(_line(row, options.folder), flush=True)
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    _report(rows)


def _rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    chosen = settings.load()
    with Renderer(chosen.render) as renderer:
        for ref in sources.list_documents([options.folder], chosen.source):
            yield from _file(ref, renderer, chosen, options)


def _file(
    ref: DocumentRef, renderer: Renderer, chosen: settings.Settings, options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    started = time.monotonic()
    if ref.failure is not None:
        yield _failed(ref.uri, ref.failure, started)
        return
    try:
        document = sources.fetch(ref.uri, chosen.source, ref.etag)
        count = renderer.page_count(document)
    except Coded as error:
        yield _failed(ref.uri, Failure.of(error), started)
        return
    for number in range(1, min(count, options.pages) + 1):
        yield _page(document, number, count, renderer, options.max_tiles)


def _page(document: Document, number: int, count: int, renderer: Renderer, max_tiles: int) -> dict[str, Any]:
    started = time.monotonic()
    page = renderer.page(document, number)
    if isinstance(page, Failure):
        return _failed(document.uri, page, started) | {"pages": count}
    cut = tiles.split(Image.fromarray(page.pixels), max_tiles)
    return {
        "file": document.uri,
        "page": number,
        "pages": count,
        "outcome": "flagged" if page.flags else "drawn",
        "flags": [[str(flag.code), flag.message] for flag in page.flags],
        "renderer": page.renderer,
        "width": page.pixels.shape[1],
        "height": page.pixels.shape[0],
        "tiles": len(cut),
        "codes": len(page.codes),
        "seconds": time.monotonic() - started,
    }


def _failed(uri: str, why: Failure, started: float) -> dict[str, Any]:
    return {
        "file": uri,
        "page": why.page,
        "outcome": "failed",
        "reason": str(why.reason),
        "message": why.message,
        "seconds": time.monotonic() - started,
    }


def _line(row: dict[str, Any], folder: str) -> str:
    name = row["file"].removeprefix(str(Path(folder).resolve())).lstrip("/")
    why = row.get("reason") or ", ".join(sorted({code for code, _ in row["flags"]}))
    pixels = f"{row['width']}×{row['height']}" if "width" in row else ""
    return (
        f"{name[-44:]:44} {row['page'] or '':>5} {row['outcome']:8} {row.get('renderer', ''):12} "
        f"{pixels:>12} {row['seconds']:8.2f}  {why}"
    )


def _report(rows: list[dict[str, Any]]) -> None:
    outcomes = Counter(row["outcome"] for row in rows)
    drawn = outcomes["drawn"] + outcomes["flagged"]
    print(f"\n{len({row['file'] for row in rows})} files, {len(rows)} pages or failures: {dict(outcomes)}")
    print(f"reasons    {dict(Counter(row['reason'] for row in rows if 'reason' in row).most_common())}")
    flags = Counter(code for row in rows for code in {code for code, _ in row.get("flags", ())})
    print(f"flags      {dict(flags.most_common())}")
    print(f"renderers  {dict(Counter(row['renderer'] for row in rows if 'renderer' in row).most_common())}")
    if drawn:
        share = outcomes["flagged"] / drawn
        print(f"flagged    {outcomes['flagged']} of {drawn} pages that were drawn, {share:.1%}")
    seconds = sorted(row["seconds"] for row in rows)
    if seconds:
        print(f"seconds    {sum(seconds):.1f} in all, the slowest {seconds[-1]:.2f}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", help="or any other source: a file, a manifest, an archive, s3://…")
    parser.add_argument("--pages", type=int, default=20, help="at most so many of each file")
    parser.add_argument("--max-tiles", type=int, default=6)
    parser.add_argument("--jsonl", help="write each line as JSON too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
