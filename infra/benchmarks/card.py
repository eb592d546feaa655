"""What a GPU reads, measured: each pass by itself, whole pages, and where a decode step's time goes.

    python -m infra.benchmarks.card                     # a GPU, some five minutes
    python -m infra.benchmarks.card --pages 64 --batches 64 --no-transformers

Weights and pixels are random and of Vintern-1B's size (`engine.py` says how answers get the lengths of real
ones), so what is read means nothing, and what it costs is what it costs. The passes are those that
`infra.benchmarks.roofline` predicts from.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import io
import json
import pstats
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from infra.benchmarks import engine as side_by_side
from infra.benchmarks import random_checkpoint
from infra.benchmarks.contenders import Apart, Ours
from infra.meter.workload import PROMPT, SEEN, answer, printed
from pipeline.records import Request
from pipeline.settings import EngineSettings
from pipeline.vintern import Vintern, fused, load, loops, probe
from pipeline.vintern.engine import Engine
from pipeline.vintern.gpu import GpuBackend


def main() -> None:
    options = _options()
    loops.SHORTEST = 10**6  # random weights say the same thing again and again
    found: dict[str, Any] = {"card": torch.cuda.get_device_name(), "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(options.checkpoint or scratch)
        if not (directory / "model.safetensors").exists():
            random_checkpoint.write(directory, options.size)
        _told("checkpoint", directory)
        model = load(directory, dtype="bfloat16", device="cuda:0")
        parts: dict[str, Callable[[], Any]] = {
            "kernels": lambda: kernels(model),
            "passes": lambda: passes(model),
            "pages": lambda: pages(model, directory, options),
            "steps": lambda: steps(model, options),
            "thread": lambda: thread(model, options),
            "grammar": lambda: side_by_side.grammar_cost(model, _of_engine(options, max(options.batches))),
        }
        for name in options.parts:
            try:
                found[name] = parts[name]()
            except Exception as error:  # noqa: BLE001 the other parts are still wanted
                found[name] = f"{type(error).__name__}: {error}"
            _told(name, found[name])
            if options.json:
                Path(options.json).write_text(json.dumps(found, indent=1), encoding="utf-8")
            gc.collect()
            torch.cuda.empty_cache()


@contextmanager
def without_own_kernels() -> Iterator[None]:
    """The engine as it is where there is no Triton. (A model into which they were put keeps them.)"""
    with mock.patch.object(fused, "available", lambda _: False):
        yield


def kernels(model: Vintern) -> dict[str, Any]:
    """Milliseconds of attention at 256 and 16 rows by the number of parts, and of the sampler."""
    config, device = model.config.language, model.device
    found: dict[str, Any] = {"own kernels": probe.sound(model)}
    for rows in (16, 128, 256):
        keys, values = (
            torch.randn(rows * 4096, config.kv_heads, config.head_dim, device=device, dtype=model.dtype)
            for _ in range(2)
        )
        query = torch.randn(rows, config.heads, config.head_dim, device=device, dtype=model.dtype)
        starts, slots, filled = (
            torch.tensor(n, dtype=torch.int32, device=device)
            for n in (range(rows + 1), range(0, rows * 4096, 4096), [SEEN] * rows)
        )
        for splits in (1, 2, 4, 8):
            found[f"attend {rows} rows, {splits} parts"] = _milliseconds(
                lambda: fused.attend(query, keys, values, starts, slots, filled, 8, splits)  # noqa: B023
            )
        logits = torch.randn(rows, config.vocab, device=device, dtype=model.dtype)
        masks = torch.full((rows, -(-config.vocab // 32)), -1, dtype=torch.int32, device=device)
        found[f"choose {rows} rows"] = _milliseconds(lambda: fused.choose(logits, masks))  # noqa: B023
    return found


def passes(model: Vintern) -> dict[str, float]:
    """Milliseconds of the device for each pass, by graphs as the engine runs them."""
    back = GpuBackend(model, EngineSettings(max_batch=256, warmup="graphs", place=False))
    words = -(-model.config.language.vocab // 32)
    found = {}
    for tiles in (8, 32):
        blank = torch.randint(0, 256, (tiles, 448, 448, 3), dtype=torch.uint8, device=model.device)
        page = printed(blank)
        given = [(page, number) for number in range(tiles)]
        found[f"vision {tiles}"] = _milliseconds(lambda: back.encode_tiles(given))  # noqa: B023
    for count in (1, 7):
        prompts = [answer(slot, 0, PROMPT) for slot in range(count)]
        found[f"prefill {count}"] = _milliseconds(lambda: back.prefill(prompts))  # noqa: B023
    for rows in (16, 128, 256):
        forced = [8] * (rows // 32) if rows >= 32 else [5]
        fed = [(answer(n, SEEN, 8), forced[n] if n < len(forced) else 1) for n in range(rows)]
        found[f"decode {rows}"] = _milliseconds(lambda: back.decode(fed))  # noqa: B023
        hidden = torch.randn(rows, model.config.language.hidden, device=model.device, dtype=model.dtype)
        masks = torch.full((rows, words), -1, dtype=torch.int32).pin_memory()
        found[f"choose {rows}"] = _milliseconds(
            lambda: back.choose(back.logits(hidden), masks, None)  # noqa: B023
        )
    return found


def pages(model: Vintern, directory: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Whole pages: by PyTorch's kernels as delivered first, then by our own, then transformers."""
    found: dict[str, Any] = {}
    if options.plain:
        plain = load(directory, dtype="bfloat16", device="cuda:0")
        with without_own_kernels():
            found["16, PyTorch's kernels, no graphs"] = _read(plain, 16, 32, options, warmup="none")
            found["256, PyTorch's kernels"] = _read(plain, 256, options.pages, options)
        del plain
    for batch in options.batches:
        found[str(batch)] = _read(model, batch, options.pages, options)
    if options.transformers:
        with ExitStack() as processes:
            theirs = processes.enter_context(Apart(directory, "bfloat16", "cuda:0", torch.get_num_threads()))
            work = _work(options, 32)
            theirs.run(work[:8], 8)
            measured = theirs.run(work, 32)
            found["transformers, 32 at once"] = {"pages/s": len(work) / measured.seconds}
    return found


def _read(
    model: Vintern, batch: int, count: int, options: argparse.Namespace, warmup: str = "graphs"
) -> dict[str, Any]:
    engine = Engine(model, EngineSettings(max_batch=batch, max_waiting=count, warmup=warmup))
    ours = Ours(engine)
    began = time.perf_counter()
    ours.run(_work(options, min(count, batch), seed=99))  # shapes are compiled and recorded
    warm = time.perf_counter() - began
    before = engine.stats
    measured = ours.run(_work(options, count))
    after = engine.stats
    spent = {
        phase: getattr(after, f"{phase}_seconds") - getattr(before, f"{phase}_seconds")
        for phase in ("vision", "prefill", "decode")
    }
    return {
        "pages/s": count / measured.seconds,
        "seconds": measured.seconds,
        "CPU seconds": measured.cpu_seconds,
        "device seconds": spent,
        "device busy": sum(spent.values()) / measured.seconds,
        "steps": after.steps - before.steps,
        "tokens decoded, forced": (
            after.decoded_tokens - before.decoded_tokens,
            after.forced_tokens - before.forced_tokens,
        ),
        "warm-up": warm,
        "GiB": torch.cuda.max_memory_allocated() / 2**30,
        "about": engine.backend.about,
    }


def _full(model: Vintern, options: argparse.Namespace) -> Engine:
    """An engine that decodes the largest batch, its shapes recorded."""
    batch = max(options.batches)
    engine = Engine(model, EngineSettings(max_batch=batch, max_waiting=batch, warmup="graphs"))
    for request in _work(options, batch):
        engine.submit(Request(request.id, request.tiles[:1], request.question, request.grammar, 120))
    while len(engine._batch.running) < batch:
        engine.step()
    for _ in range(10):
        engine.step()
    torch.cuda.synchronize()
    return engine


def thread(model: Vintern, options: argparse.Namespace) -> list[str]:
    """How much of the time the device is busy while the largest batch is decoded, and what the Python thread
    does meanwhile.
    """
    engine = _full(model, options)
    before, began, spent = engine.stats, time.perf_counter(), time.thread_time()
    for _ in range(40):
        engine.step()
    torch.cuda.synchronize()
    seconds, thread = time.perf_counter() - began, time.thread_time() - spent
    busy = engine.stats.decode_seconds - before.decode_seconds
    lines = [
        f"{25 * seconds:.2f} ms a half step, device {25 * busy:.2f} ({busy / seconds:.0%} busy), "
        f"thread {25 * thread:.2f}"
    ]
    profile = cProfile.Profile()
    with profile:
        for _ in range(40):
            engine.step()
    text = io.StringIO()
    pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(28)
    return lines + [line[:110] for line in text.getvalue().splitlines()[6:] if line]


def steps(model: Vintern, options: argparse.Namespace) -> list[str]:
    """A profile of 20 steps of the largest batch, each of half of its rows."""
    engine = _full(model, options)
    began = time.perf_counter()
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CUDA, torch.profiler.ProfilerActivity.CPU]
    ) as profile:
        for _ in range(20):
            engine.step()
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    spent = sorted(
        (
            (event.self_device_time_total / 1e3, event.count, event.key[:90])
            for event in profile.key_averages()
            if event.self_device_time_total
        ),
        reverse=True,
    )
    lines = [
        f"{seconds * 50:.2f} ms a step under the profiler, of the device {sum(e[0] for e in spent) / 20:.2f}"
    ]
    return lines + [
        f"{ms / 20:8.3f} ms a half step  {count / 20:7.1f} ×  {name}" for ms, count, name in spent[:25]
    ]


def _work(options: argparse.Namespace, count: int, seed: int = 0) -> list[Request]:
    """Pages that share their pixels: what they cost is the same, and they are made in no time."""
    few = side_by_side.pages(_of_engine(options, count), seed=seed, count=4)
    return [
        Request(
            f"page {number}", few[number % 4].tiles, few[0].question, few[0].grammar, few[0].max_new_tokens
        )
        for number in range(count)
    ]


def _of_engine(options: argparse.Namespace, batch: int) -> argparse.Namespace:
    return argparse.Namespace(
        tiles=7, tokens=options.tokens, pages=batch, batch=batch, runs=1, warmup="graphs"
    )


def _milliseconds(run: Callable[[], object], times: int = 10) -> float:
    for _ in range(3):
        run()
    found = []
    for _ in range(times):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        run()
        end.record()
        end.synchronize()
        found.append(begin.elapsed_time(end))
    return statistics.median(found)


def _told(name: str, what: object) -> None:
    print(f"== {name} ({time.perf_counter() - BEGAN:.0f} s)", flush=True)
    if isinstance(what, dict):
        for key, value in what.items():
            print(f"   {key}: {value if not isinstance(value, float) else round(value, 3)}", flush=True)
    elif isinstance(what, Sequence) and not isinstance(what, str):
        print(*what, sep="\n", flush=True)
    else:
        print("  ", what, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = ["kernels", "passes", "pages", "steps", "thread", "grammar"]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--size", choices=random_checkpoint.SIZES, default="full")
    parser.add_argument("--batches", nargs="+", type=int, default=[64, 256])
    parser.add_argument("--pages", type=int, default=384, help="of each run")
    parser.add_argument("--tokens", type=int, default=250, help="of an answer, at most")
    parser.add_argument("--checkpoint", help="keep it in this directory, or take the one that is there")
    parser.add_argument("--no-plain", dest="plain", action="store_false", help="without PyTorch's kernels")
    parser.add_argument("--no-transformers", dest="transformers", action="store_false")
    parser.add_argument("--json", help="write all figures there")
    return parser.parse_args()


BEGAN = time.perf_counter()

if __name__ == "__main__":
    main()
