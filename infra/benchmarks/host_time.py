"""The Python thread of a GPU's engine: its time for each row of a decode step, and for each page.

    python -m infra.benchmarks.host_time                      this checkout
    python -m infra.benchmarks.host_time --against DIR        and another one, run by turns; 196fdad is the
                                                              one before any of this was made quicker

The device computes nothing: passes end at the launch of their graph, and of the more usual tokens that
the grammar's masks allow one is drawn at random. Everything else is the engine's own. Printed are CPU
seconds of the engine's thread, and of all threads of the process (which masks and grammars may use), drawing
left out.

And how much of the time the device would be busy if its passes took as long as an H200's (`Device`): over all
pages, and in decode steps of the whole batch. The thread's time is CPU time there too, so that other work on
the machine does not count.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch

from infra.benchmarks import published
from infra.benchmarks.engine import grammar
from pipeline import prompt
from pipeline.records import Request
from pipeline.settings import EngineSettings
from pipeline.vintern import config as configs
from pipeline.vintern import gpu, loops, prompt_ids, tokenizer
from pipeline.vintern.checkpoint import DEMO
from pipeline.vintern.constrain import Grammars
from pipeline.vintern.engine import Engine
from pipeline.vintern.gpu import GpuBackend
from pipeline.vintern.graphs import Graphs
from schemas import registry

OLDER = (
    find_spec("pipeline.vintern.transfer") is None
)  # a checkout whose engine waits for each step's choices
if not OLDER:
    from pipeline.vintern import fused
    from pipeline.vintern.transfer import Download, up

COMMON = 256  # words of a mask: the tokens that are drawn, unless none of them is allowed
WIDTH = 8  # of the hidden states that nobody computes
# Milliseconds of passes on an H200, as `card.py` measured them (the table in README.md).
ROWS, DECODE, CHOOSE = (16, 128, 256), (1.9, 2.6, 3.6), (0.2, 0.2, 0.4)
TILE, PAGE = 51.3 / 32, 24.7 / 7  # of vision a tile, in buckets of 32; of prefill a page


class Device:
    """A card that takes a given time for each pass, on one clock with the thread that launches them: the
    thread's CPU time, what is no part of the engine left out, and the time that it waits for the card.
    """

    def __init__(self, faster: float) -> None:
        self.faster = faster
        self.waited = self.free_at = self.idle = 0.0
        self.left_out = 0.0
        self.now = 0.0  # when the thread was last asked
        self.full = [0.0, 0.0]  # seconds with the whole batch decoded, and of them idle ones

    def clock(self) -> float:
        """Seconds of the thread, but for what is left out: also to ask for them, which may take longer than
        the engine's work for some rows. So it is done twice.
        """
        first, second = time.thread_time(), time.thread_time()
        self.left_out += 2 * (second - first)
        self.now = second - self.left_out + self.waited
        return second - self.left_out

    def launch(self) -> None:
        """The thread is at a launch; `work` follows."""
        self.clock()

    def work(self, milliseconds: float) -> None:
        self.idle += max(0.0, self.now - self.free_at)
        self.free_at = max(self.now, self.free_at) + milliseconds / 1000 / self.faster

    def wait(self, until: float) -> None:
        self.clock()
        self.waited += max(0.0, until - self.now)
        self.now = max(self.now, until)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """What is done in place of the device."""
        began, now = self.clock(), self.now
        yield
        self.left_out += self.clock() - began
        self.now = now


def main() -> None:
    options = _options()
    if options.one:
        print(json.dumps(measure(options)))
        return
    here = Path.cwd()
    places = {"here": here} | ({"there": Path(options.against).resolve()} if options.against else {})
    found: dict[str, list[dict[str, float]]] = {name: [] for name in places}
    with tempfile.TemporaryDirectory() as scratch:
        published.write(Path(scratch), "v3_5")
        options.vocabulary = scratch
        for _ in range(options.runs):
            for name, place in places.items():
                found[name].append(_apart(place, options))
    for name, runs in found.items():
        print(name, {key: round(statistics.median(run[key] for run in runs), 2) for key in runs[0]})
    for key in ("us_a_row", "ms_a_page_beside", "us_a_row_all_threads") if options.against else ():
        ratios = [b[key] / a[key] for a, b in zip(found["here"], found["there"], strict=True)]
        print(
            f"there over here, {key}: {statistics.median(ratios):.2f}, by run {[round(r, 2) for r in ratios]}"
        )


def _apart(place: Path, options: argparse.Namespace) -> dict[str, float]:
    """This very file, beside another checkout's code."""
    program = (
        "import sys, runpy; sys.path.insert(0, ''); del sys.argv[0]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    given = [
        f"--{key.replace('_', '-')}={getattr(options, key)}"
        for key in ("batch", "pages", "faster", "vocabulary")
    ]
    out = subprocess.run(
        [sys.executable, "-c", program, __file__, "--one", *given],
        cwd=place, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    found: dict[str, float] = json.loads(out.splitlines()[-1])
    return found


def measure(options: argparse.Namespace) -> dict[str, float]:
    torch.set_num_threads(1)
    loops.SHORTEST = 10**6
    spent: dict[str, float] = defaultdict(float)
    rows: Counter[str] = Counter()
    device = Device(options.faster)
    model = _model(Path(options.vocabulary), device)
    with _stand_ins(device):
        settings = EngineSettings(
            max_batch=options.batch, max_waiting=max(64, options.batch // 2), retry_penalty=1, place=False,
            warmup="graphs",
        )  # fmt: skip
        engine = Engine(model, settings, GpuBackend(model, settings))
        _draw(engine, device, rows)
        _timed(Engine, "submit", spent, device)
        _watch(engine, device, options.batch)
        question, rules = prompt.build(registry.resolve("id_card@1")), grammar()
        tiles = np.zeros((7, 448, 448, 3), dtype=np.uint8)
        tiles[:, 0, 61] = 255  # no empty paper

        def work(name: str, count: int) -> Iterator[Request]:
            for number in range(count):
                yield Request(f"{name} {number}", tiles, question, rules, 250)

        list(engine.generate(work("warm", options.batch)))  # masks are remembered, as in a long job
        spent.clear()
        rows.clear()
        steps = engine.stats.steps
        thread, process = device.clock(), time.process_time()
        device.full, device.idle, left_out, began = [0.0, 0.0], 0.0, device.left_out, device.now
        with cProfile.Profile() if options.profile else nullcontext() as profile:
            done = list(engine.generate(work("page", options.pages)))
        thread, process = device.clock() - thread, time.process_time() - process
        device.work(0)
        seconds = device.now - began
    if profile is not None:
        pstats.Stats(profile).sort_stats("tottime").print_stats(30).sort_stats("cumtime").print_stats(45)
    pages = len(done)
    left_out = device.left_out - left_out
    found = {
        "steps": engine.stats.steps - steps,
        "rows_a_step": rows["decoded"] / (engine.stats.steps - steps),
        "us_a_row": 1e6 * (thread - spent["submit"]) / rows["decoded"],
        "us_a_row_all_threads": 1e6 * (process - left_out - spent["submit"]) / rows["decoded"],
        "ms_a_page_beside": 1e3 * spent["submit"] / pages,
    }
    if not OLDER:
        found["busy_percent"] = 100 * (1 - device.idle / seconds)
        busy = 1 - device.full[1] / device.full[0] if device.full[0] else 0.0
        found["busy_percent_decoding"] = 100 * busy
    return found


def _timed(owner: Any, name: str, spent: dict[str, float], device: Device) -> None:
    plain = getattr(owner, name)

    def timed(*given: Any, **more: Any) -> Any:
        began = device.clock()
        try:
            return plain(*given, **more)
        finally:
            spent[name] += device.clock() - began

    setattr(owner, name, timed)


def _watch(engine: Engine, device: Device, batch: int) -> None:
    """Add up the steps in which nothing but the whole batch is decoded."""
    plain = engine.step

    def step() -> Any:
        full = len(engine._batch.running) == batch
        now, idle, steps = device.now, device.idle, engine._stats.steps
        found = plain()
        if full and engine._stats.steps > steps and not found:
            device.full[0] += device.now - now
            device.full[1] += device.idle - idle
        return found

    engine.step = step  # type: ignore[method-assign]


def _draw(engine: Engine, device: Device, rows: Counter[str]) -> None:
    """Let the back end choose at random among what the masks allow."""
    rng = np.random.default_rng(0)

    def choose(logits: torch.Tensor, masks: Any, penalties: Any) -> torch.Tensor:  # noqa: ARG001
        rows["decoded"] += len(logits)
        with device.apart():
            if isinstance(masks, tuple):
                table, numbers, apart, own = masks
                masks = torch.from_numpy(table.read(numbers))
                masks[apart] = torch.from_numpy(own)
            words = (torch.full((len(logits), 1), -1, dtype=torch.int32) if masks is None else masks).numpy()
            chosen = []
            for row in words.view(np.uint32):
                some = np.flatnonzero(row[:COMMON])
                some = some if len(some) else np.flatnonzero(row)
                word = int(some[rng.integers(len(some))]) if len(some) else 0
                bits = [bit for bit in range(32) if row[word] >> bit & 1] or [0]
                chosen.append(32 * word + bits[int(rng.integers(len(bits)))])
            found = torch.tensor([chosen, [0.9] * len(chosen), [0.8] * len(chosen)], dtype=torch.float64)
        device.work(float(np.interp(len(logits), ROWS, CHOOSE)))
        return found

    engine.backend.choose = choose  # type: ignore[method-assign]
    engine._unmasked.beside = lambda logits, chosen, constrained: chosen  # type: ignore[method-assign]  # noqa: ARG005
    engine._unmasked.among_all = lambda logits, tokens: torch.ones(len(tokens))  # type: ignore[method-assign]  # noqa: ARG005


def _model(directory: Path, device: Device) -> Any:
    """As much of a model as the engine asks for when nothing is computed."""
    words = tokenizer.load(directory)
    small = configs.read(DEMO, None)
    config = replace(
        small,
        language=replace(
            small.language, vocab=words.size, layers=1, kv_heads=1, head_dim=WIDTH, positions=4096
        ),
        context_length=4096,
    )

    def language(embeds: torch.Tensor, positions: Any, attend: Any, keep: torch.Tensor) -> torch.Tensor:  # noqa: ARG001
        device.launch()
        device.work(PAGE * len(keep))
        return embeds.new_zeros(1, keep.numel(), WIDTH).expand(len(keep), -1, -1)

    language.embed = lambda ids: torch.empty(*ids.shape, WIDTH)  # type: ignore[attr-defined]
    language.head = lambda hidden: hidden  # type: ignore[attr-defined]
    language.lm_head = None  # type: ignore[attr-defined]
    language.embed_tokens = SimpleNamespace(weight=torch.empty(64, WIDTH))  # type: ignore[attr-defined]
    return SimpleNamespace(
        config=config, tokenizer=words, device=torch.device("cpu"), dtype=torch.float32, context_length=4096,
        vision=torch.nn.Identity(), language=language, network=None, checkpoint_hash="none", max_tiles=12,
        prompt_ids=lambda question, n: torch.tensor(prompt_ids.prompt_ids(words, config, question, n)),
    )  # fmt: skip


def _stand_ins(device: Device) -> ExitStack:
    """For what the back end takes from a card; a graph's replay takes the device's time and nothing else."""
    stream = SimpleNamespace(wait_stream=lambda _: None)

    stepped = [0]
    decode = GpuBackend.decode

    def decoded(self: GpuBackend, fed: Any) -> Any:
        stepped.append(len(fed))
        return decode(self, fed)

    def run(self: Graphs, key: Any, function: Any, given: torch.Tensor) -> Any:  # noqa: ARG001
        if isinstance(key, tuple) and key[0] == "vision":
            device.launch()
            device.work(TILE * len(given))
            return torch.zeros(len(given), 256, WIDTH)
        device.launch()
        device.work(float(np.interp(stepped[-1], ROWS, DECODE)))
        return torch.zeros(len(given), WIDTH), None

    patches: dict[str, Callable[..., Any]] = {
        "graph_pool_handle": lambda: None,
        "Stream": lambda *_: stream,
        "current_stream": lambda *_: stream,
        "stream": nullcontext,
        "device": lambda _: nullcontext(),
        "mem_get_info": lambda *_: (2**36, 2**36),
        "get_device_properties": lambda *_: SimpleNamespace(major=9, minor=0, multi_processor_count=132),
    }
    stack = ExitStack()
    for name, value in patches.items():
        stack.enter_context(mock.patch.object(torch.cuda, name, value))
    # The tiles of a pass are put together, and its results given out, by the device.
    of_the_device: list[tuple[Any, str, Any]] = [
        (Graphs, "run", run),
        (GpuBackend, "logits", lambda _, hidden: hidden),
        (GpuBackend, "decode", decoded),
        (gpu, "stacked", lambda tiles: torch.zeros(len(tiles), 1, 1, 1)),
        (gpu, "keep_visual", lambda *_: None),
        (torch.Tensor, "pin_memory", lambda tensor: tensor),
    ]
    for owner, name, value in of_the_device:
        stack.enter_context(mock.patch.object(owner, name, value))
    for owner, name, value in [] if OLDER else _of_downloads(device):
        stack.enter_context(mock.patch.object(owner, name, value))
    return stack


def _of_downloads(device: Device) -> list[tuple[Any, str, Any]]:
    sent, here = Download.__init__, Download.wait

    def send(self: Any, tensors: Any) -> None:
        sent(self, tensors)
        self.at = device.free_at

    def wait(self: Any) -> Any:
        device.wait(self.at)
        return here(self)

    found: list[tuple[Any, str, Any]] = [
        (Download, "__init__", send),
        (Download, "wait", wait),
        (Download, "here", property(lambda self: getattr(self, "at", 0.0) <= device.now)),
        (gpu, "sound", lambda _: True),
        (fused, "install", lambda _: None),
    ]
    if hasattr(Grammars, "masks"):  # rows are taken from the table by the device
        found.append((Grammars, "masks", _rows))
    return found


def _rows(grammars: Any, constraints: Any) -> Any:
    """`Grammars.masks` up to what the device does."""
    rows, apart, words = grammars._find(constraints)
    up(rows, torch.device("cpu"))
    return grammars._masks, rows, apart, words


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--pages", type=int, default=512)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--faster", type=float, default=1.0, help="than an H200's passes; 0.5: half as fast")
    parser.add_argument("--against", help="another checkout's directory")
    parser.add_argument("--vocabulary", help=argparse.SUPPRESS)
    parser.add_argument("--profile", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
