"""The same documents by the embedded engine and by a server: values that are equal, and seconds.

    python -m infra.benchmarks.served --count 8                     # our own engine behind the server too
    python -m infra.benchmarks.served --count 8 --model DIR --url http://HOST:8000/v1 --served NAME

The second is for any server of OpenAI's protocol, such as vLLM with the same checkpoint; its key, if it wants
one, is in VINBATCH_SERVER_KEY. Documents are specimens, or those of `--folder`. One is read after the other,
by both sides in turn, so that what else the machine does falls on both; only pages of one document go side by
side. So the seconds are of latency and say nothing of a server's throughput. Drawing and cutting is part of
both. A server makes a thumbnail of its own, so values may differ by that; with `--max-tiles 1` there is none.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from infra.benchmarks.own_server import Chat, serving
from pipeline import specimens
from pipeline.api import Reader
from pipeline.errors import Coded
from pipeline.records import Extraction
from pipeline.settings import load
from pipeline.vintern import checkpoint, config


@dataclass
class Side:
    """What one of both read."""

    reader: Reader
    seconds: float = 0.0
    failed: list[str] = field(default_factory=list)

    def read(self, path: Path) -> Extraction | None:
        began = time.perf_counter()
        try:
            return self.reader.read(path)
        except Coded as error:
            self.failed.append(f"{path.name}: {error.message}")
            return None
        finally:
            self.seconds += time.perf_counter() - began


@dataclass
class Compared:
    """Counts of values that both read."""

    values: int = 0
    equal: int = 0  # printed texts
    same_value: int = 0  # also those whose number another field of the document made another
    sure: list[float] = field(default_factory=list)  # how far confidences of equal texts lie apart
    unknown: int = 0  # values without a confidence
    differing: list[str] = field(default_factory=list)

    def add(self, name: str, one: Extraction, other: Extraction) -> None:
        ours, theirs = ({f.path: f for f in read.fields} for read in (one, other))
        for path in sorted(ours.keys() | theirs.keys()):
            a, b = ours.get(path), theirs.get(path)
            self.values += 1
            self.same_value += a is not None and b is not None and a.value == b.value
            if a is None or b is None or a.raw != b.raw:
                self.differing.append(f"{name}: {path}")
                continue
            self.equal += 1
            if a.confidence is None or b.confidence is None:
                self.unknown += 1
            else:
                self.sure.append(abs(a.confidence - b.confidence))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=8, help="specimens")
    parser.add_argument("--kind", default="id_card", help="of the specimens")
    parser.add_argument("--folder", type=Path, help="documents instead of specimens")
    parser.add_argument("--schema", default="id_card@1")
    parser.add_argument("--model", default="demo", help="of the embedded engine")
    parser.add_argument("--url", help="of the server; without it one is started here, with the same model")
    parser.add_argument("--served", help="the server's name for the model [default: as --model]")
    parser.add_argument("--max-tiles", type=int, help="of a page [default: as the checkpoint says]")
    given = parser.parse_args()
    with _documents(given.folder, given.kind, given.count) as paths, _server(given.url, given.model) as url:
        # A server does not tell how its model was trained: both sides cut as the checkpoint here says.
        tiles = {"max_tiles": given.max_tiles or _trained(given.model, given.schema)}
        remote = load(server={"url": url}, tiles=tiles)
        ours = load(second_look=0, engine={"place": False}, tiles=tiles)  # a server has neither
        name = given.served or given.model
        with (
            Reader(given.schema, given.model, settings=ours) as embedded,
            Reader(given.schema, name, settings=remote) as served,
        ):
            _tell(paths, Side(embedded), Side(served))


def _trained(model: str, schema: str) -> int:
    return config.read(checkpoint.locate(model, weights=False)).most_tiles(schema)


def _tell(paths: list[Path], embedded: Side, served: Side) -> None:
    found = Compared()
    for path in paths:
        one, other = embedded.read(path), served.read(path)
        if one is not None and other is not None:
            found.add(path.name, one, other)
    print(f"documents          {len(paths)}")
    print(f"texts equal        {found.equal} of {found.values}")
    print(f"values equal       {found.same_value} of {found.values}")
    apart = sorted(found.sure)
    if apart:
        print(f"confidences apart  median {apart[len(apart) // 2]:.4f}, at most {apart[-1]:.4f}")
    print(f"without confidence {found.unknown}")
    for name, side in (("embedded", embedded), ("server", served)):
        print(f"{name:<18} {side.seconds:.1f} s, {len(side.failed)} documents failed")
        print("".join(f"  {line}\n" for line in side.failed), end="")
    print("".join(f"  differs: {line}\n" for line in found.differing), end="")


@contextmanager
def _documents(folder: Path | None, kind: str, count: int) -> Iterator[list[Path]]:
    with tempfile.TemporaryDirectory() as made:
        if folder is None:
            folder = Path(made)
            specimens.write(folder, count, [kind], 1)
        yield sorted(path for path in folder.iterdir() if path.suffix != ".jsonl")


@contextmanager
def _server(url: str | None, model: str) -> Iterator[str]:
    if url is not None:
        yield url
        return
    with serving(Chat(model).answer, name=model) as served:
        yield served.url


if __name__ == "__main__":
    main()
