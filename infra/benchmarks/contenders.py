"""Who is measured beside the engine: transformers and vLLM, each in a process of its own as people run it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import InternVLForConditionalGeneration, LogitsProcessor, LogitsProcessorList

from pipeline.records import Request
from pipeline.vintern import Vintern, load
from pipeline.vintern.constrain import Grammars, unpack
from pipeline.vintern.engine import Engine
from pipeline.vintern.vision import normalise


@dataclass(frozen=True)
class Measured:
    """One run. `texts` by request; None where a contender does not tell."""

    pages: int
    seconds: float
    cpu_seconds: float
    tokens: int
    prompt_tokens: int
    texts: dict[str, str] | None = None


class Ours:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def run(self, work: Sequence[Request]) -> Measured:
        began, spent = time.perf_counter(), time.process_time()
        answers = list(self.engine.generate(work))
        return Measured(
            len(work),
            time.perf_counter() - began,
            time.process_time() - spent,
            sum(len(answer.forced) for answer in answers),
            sum(answer.prompt_tokens for answer in answers),
            {answer.request_id: answer.text for answer in answers},
        )


class Transformers:
    """transformers' own model and `generate`, with our masks as a logits processor."""

    def __init__(self, directory: Path, ours: Vintern) -> None:
        self.ours = ours
        self.model = InternVLForConditionalGeneration.from_pretrained(
            directory, dtype=ours.dtype, attn_implementation="sdpa"
        ).to(ours.device)
        self.model.eval()
        self.grammars = Grammars(ours.tokenizer, ours.config.language.vocab)

    def run(self, work: Sequence[Request], batch: int) -> Measured:
        began, spent = time.perf_counter(), time.process_time()
        said: dict[str, list[int]] = {}
        for start in range(0, len(work), batch):
            group = work[start : start + batch]
            said |= dict(zip([request.id for request in group], self._generate(group), strict=True))
        return Measured(
            len(work),
            time.perf_counter() - began,
            time.process_time() - spent,
            sum(len(ids) for ids in said.values()),
            sum(len(self.ours.prompt_ids(request.question, len(request.tiles))) for request in work),
            {key: self.ours.tokenizer.decode(ids) for key, ids in said.items()},
        )

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


class Apart:
    """`Transformers` in a process of its own, without what the engine sets for its process."""

    def __init__(self, directory: Path, dtype: str, device: str, threads: int) -> None:
        self._process = ProcessPoolExecutor(
            1, get_context("spawn"), initializer=_load, initargs=(directory, dtype, device, threads)
        )

    def run(self, work: Sequence[Request], batch: int) -> Measured:
        return self._process.submit(_run, work, batch).result()

    def __enter__(self) -> Apart:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.shutdown()


_loaded: list[Transformers] = []  # in that process


def _load(directory: Path, dtype: str, device: str, threads: int) -> None:
    torch.set_num_threads(threads)
    _loaded.append(Transformers(directory, load(directory, dtype=dtype, device=device)))


def _run(work: Sequence[Request], batch: int) -> Measured:
    return _loaded[0].run(work, batch)


class Vllm:
    """A process of vLLM's own environment, whose Python is `python`; use it as a context manager."""

    def __init__(
        self, python: str, checkpoint: Path, ours: Vintern, schema: dict[str, Any], batch: int
    ) -> None:
        folder = Path(__file__).parent / "vllm"
        self._ours, self._schema = ours, schema
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [python, folder / "contender.py", checkpoint, str(batch)],
            env=os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": str(torch.get_num_threads())},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._heard()

    def __enter__(self) -> Vllm:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
        self._log.close()

    def run(self, work: Sequence[Request]) -> Measured:
        """All pages have the same number of tiles."""
        prompt = self._ours.prompt_ids(work[0].question, 1).tolist()
        start, end = (
            prompt.index(i) for i in (self._ours.tokenizer.image_start, self._ours.tokenizer.image_end)
        )
        prompt[start : end + 1] = [self._ours.tokenizer.image]  # vLLM puts as many as the page has tiles
        with tempfile.NamedTemporaryFile(suffix=".npy") as pages:
            np.save(pages, np.stack([request.tiles for request in work]))
            pages.flush()
            order = {
                "pages": pages.name,
                "prompt": prompt,
                "tokens": work[0].max_new_tokens,
                "schema": self._schema,
            }
            print(json.dumps(order), file=self._process.stdin, flush=True)
            return Measured(len(work), **self._heard())

    def _heard(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise RuntimeError(f"vLLM stopped:\n{self._log.read()[-3000:]}")
        return json.loads(line)
