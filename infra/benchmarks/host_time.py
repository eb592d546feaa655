"""The Python thread of a GPU's engine: its time for each row of a decode step, and for each page.

    python -m infra.benchmarks.host_time                      this checkout
    python -m infra.benchmarks.host_time --against DIR        and another one, run by turns

The device computes nothing: passes end at the launch of their graph, and of the tokens that the grammar's
masks allow one is drawn at random. Everything else is the engine's own. Printed are CPU seconds of the
engine's thread, and of all threads of the process (which masks and grammars may use), drawing left out.
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
from contextlib import nullcontext
from dataclasses import replace
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
from pipeline.vintern.engine import Engine
from pipeline.vintern.gpu import GpuBackend
from pipeline.vintern.graphs import Graphs
from schemas import registry

WIDTH = 8  # of the hidden states that nobody computes


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
    given = [f"--{key.replace('_', '-')}={getattr(options, key)}" for key in ("batch", "pages", "vocabulary")]
    out = subprocess.run(
        [sys.executable, "-c", program, __file__, "--one", *given],
        cwd=place, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    found: dict[str, float] = json.loads(out.splitlines()[-1])
    return found


def measure(options: argparse.Namespace) -> dict[str, float]:
    torch.set_num_threads(1)
    loops.SHORTEST = 10**6
    model = _model(Path(options.vocabulary))
    spent: dict[str, float] = defaultdict(float)
    rows: Counter[str] = Counter()
    with _stand_ins():
        settings = EngineSettings(
            max_batch=options.batch, max_waiting=max(64, options.batch // 2), retry_penalty=1, place=False,
            warmup="graphs",
        )  # fmt: skip
        engine = Engine(model, settings, GpuBackend(model, settings))
        _draw(engine, spent, rows)
        _timed(Engine, "submit", spent)
        question, rules = prompt.build(registry.resolve("id_card@1")), grammar()
        tiles = np.zeros((7, 448, 448, 3), dtype=np.uint8)
        tiles[:, 0, 1] = 255  # no empty paper

        def work(name: str, count: int) -> Iterator[Request]:
            for number in range(count):
                yield Request(f"{name} {number}", tiles, question, rules, 250)

        list(engine.generate(work("warm", options.batch // 4)))  # masks are remembered, as in a long job
        spent.clear(), rows.clear()
        steps = engine.stats.steps
        thread, process = time.thread_time(), time.process_time()
        with cProfile.Profile() if options.profile else nullcontext() as profile:
            done = list(engine.generate(work("page", options.pages)))
        thread, process = time.thread_time() - thread, time.process_time() - process
    if profile is not None:
        pstats.Stats(profile).sort_stats("tottime").print_stats(40)
    pages = len(done)
    whole = thread - spent["drawing"]
    return {
        "steps": engine.stats.steps - steps,
        "rows_a_step": rows["decoded"] / (engine.stats.steps - steps),
        "us_a_row": 1e6 * (whole - spent["submit"]) / rows["decoded"],
        "us_a_row_all_threads": 1e6 * (process - spent["drawing"] - spent["submit"]) / rows["decoded"],
        "ms_a_page_beside": 1e3 * spent["submit"] / pages,
    }


def _timed(owner: Any, name: str, spent: dict[str, float]) -> None:
    plain = getattr(owner, name)

    def timed(*given: Any, **more: Any) -> Any:
        began = time.thread_time()
        try:
            return plain(*given, **more)
        finally:
            spent[name] += time.thread_time() - began

    setattr(owner, name, timed)


def _draw(engine: Engine, spent: dict[str, float], rows: Counter[str]) -> None:
    """Let the back end choose at random among what the masks allow."""
    rng = np.random.default_rng(0)

    def choose(logits: torch.Tensor, masks: torch.Tensor | None, penalties: Any) -> torch.Tensor:  # noqa: ARG001
        began = time.thread_time()
        rows["decoded"] += len(logits)
        words = (torch.full((len(logits), 1), -1, dtype=torch.int32) if masks is None else masks).numpy()
        chosen = []
        for row in words.view(np.uint32):
            some = np.flatnonzero(row)
            word = int(some[rng.integers(len(some))]) if len(some) else 0
            bits = [bit for bit in range(32) if row[word] >> bit & 1] or [0]
            chosen.append(32 * word + bits[int(rng.integers(len(bits)))])
        found = torch.tensor([chosen, [0.9] * len(chosen), [0.8] * len(chosen)], dtype=torch.float64)
        spent["drawing"] += time.thread_time() - began
        return found

    engine.backend.choose = choose  # type: ignore[method-assign]
    engine._unmasked.beside = lambda logits, chosen, held: chosen  # type: ignore[method-assign]  # noqa: ARG005
    engine._unmasked.among_all = lambda logits, tokens: torch.ones(len(tokens))  # type: ignore[method-assign]  # noqa: ARG005


def _model(directory: Path) -> Any:
    """As much of a model as the engine asks for when nothing is computed."""
    words = tokenizer.load(directory)
    small = configs.read(DEMO, None)
    config = replace(
        small,
        language=replace(small.language, vocab=words.size, layers=1, kv_heads=1, head_dim=WIDTH),
        context_length=4096,
    )

    def language(embeds: torch.Tensor, positions: Any, attend: Any, keep: torch.Tensor) -> torch.Tensor:  # noqa: ARG001
        return embeds.new_zeros(1, keep.numel(), WIDTH).expand(len(keep), -1, -1)

    language.embed = lambda ids: torch.empty(*ids.shape, WIDTH)  # type: ignore[attr-defined]
    language.lm_head = None  # type: ignore[attr-defined]
    language.embed_tokens = SimpleNamespace(weight=torch.empty(64, WIDTH))  # type: ignore[attr-defined]
    return SimpleNamespace(
        config=config, tokenizer=words, device=torch.device("cpu"), dtype=torch.float32, context_length=4096,
        vision=torch.nn.Identity(), language=language, checkpoint_hash="none", max_tiles=12,
        prompt_ids=lambda question, n: torch.tensor(prompt_ids.prompt_ids(words, config, question, n)),
    )  # fmt: skip


def _stand_ins() -> Any:
    """For what the back end takes from a card; a graph's replay takes the device's time and nothing else."""
    stream = SimpleNamespace(wait_stream=lambda _: None)

    def run(self: Graphs, key: Any, function: Any, given: torch.Tensor) -> Any:  # noqa: ARG001
        if isinstance(key, tuple) and key[0] == "vision":
            return torch.zeros(len(given), 256, WIDTH)
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
    stack = [mock.patch.object(torch.cuda, name, value) for name, value in patches.items()]
    stack.append(mock.patch.object(Graphs, "run", run))
    stack.append(mock.patch.object(GpuBackend, "logits", lambda _, hidden: hidden))
    # The tiles of a pass are put together, and its results given out, by the device.
    stack.append(mock.patch.object(gpu, "stacked", lambda tiles: torch.zeros(len(tiles), 1, 1, 1)))
    stack.append(mock.patch.object(gpu, "keep_visual", lambda *_: None))
    stack.append(mock.patch.object(torch.Tensor, "pin_memory", lambda tensor: tensor))
    return _together(stack)


def _together(patches: list[Any]) -> Any:
    from contextlib import ExitStack

    stack = ExitStack()
    for patch in patches:
        stack.enter_context(patch)
    return stack


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--pages", type=int, default=512)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--against", help="another checkout's directory")
    parser.add_argument("--vocabulary", help=argparse.SUPPRESS)
    parser.add_argument("--profile", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
