"""The passes of a job at Vintern-1B's size, run on fake CUDA tensors: what each launches and moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch

from infra.meter.counting import Meter
from infra.meter.fake_cuda import Device, cuda
from pipeline.settings import EngineSettings
from pipeline.vintern import Vintern, gpu, tokenizer
from pipeline.vintern import config as configs
from pipeline.vintern.checkpoint import DEMO
from pipeline.vintern.gpu import GpuBackend
from pipeline.vintern.model import Network

PROMPT = 2091  # tokens of a page of 7 tiles with its question
SEEN = 2216  # of a row half way through its answer


def vintern(layers: int = 24, device: str = "cuda:0") -> Vintern:
    """A model of Vintern-1B's size whose weights are fake, with the demo model's tokenizer."""
    small = configs.read(DEMO, None)
    config = replace(
        small,
        vision=replace(small.vision, hidden=1024, layers=layers, heads=16, ffn=4096),
        language=replace(
            small.language, vocab=151_655, hidden=896, layers=layers, heads=14, kv_heads=2, head_dim=64,
            ffn=4864, positions=32_768,
        ),
        max_tiles=12,
        context_length=4096,
    )  # fmt: skip
    with torch.device("meta"):
        network = Network(config)
    weights = {
        name: torch.empty(weight.shape, dtype=torch.bfloat16, device=device)
        for name, weight in network.named_parameters()
    }
    network.load_state_dict(weights, assign=True)
    network.requires_grad_(False).eval()
    return Vintern(network, config, tokenizer.load(DEMO), "fake")


@contextmanager
def backend(
    layers: int = 24, device: str = "cuda:0", *, slots: bool = True, **settings: Any
) -> Iterator[tuple[GpuBackend, Meter, Device]]:
    """The back end on a fake device. `slots`: with our own kernels."""
    with cuda() as (meter, on), mock.patch.object(gpu, "sound", lambda _: slots):
        model = vintern(layers, device)
        chosen = EngineSettings(**{"max_batch": 256, "warmup": "none", "place": False, **settings})
        meter.keep(*model.network.parameters())
        with meter.phase("start"):
            made = GpuBackend(model, chosen)
        meter.keep(*made.cache.keys, *made.cache.values)
        yield made, meter, on


def answer(slot: int, cached: int, pending: int, prompt: int = PROMPT - 6) -> Any:
    """As much of an Answer as a back end asks for."""
    return SimpleNamespace(
        slot=slot, cached=cached, position=cached, out_of_sight=0, prompt=[0] * prompt, pending=[0] * pending,
        visual=None, tiles=None, tile_count=7,
    )  # fmt: skip


def printed(tiles: torch.Tensor) -> Any:
    """As much of an Answer as the vision encoder asks for; none of its tiles is empty paper."""
    return SimpleNamespace(tiles=tiles, visual=None, tile_count=len(tiles), shades=[None] * len(tiles))


def step(back: GpuBackend, meter: Meter, rows: int, counts: Sequence[int] = ()) -> None:
    """A decode step of so many rows, of which the first feed so many tokens and the others one."""
    fed = [(answer(n, SEEN, 8), counts[n] if n < len(counts) else 1) for n in range(rows)]
    meter.attended = sum(SEEN + count for _, count in fed)
    meter.pairs = sum(SEEN * count for _, count in fed)
    back.decode(fed)


def passes(*, slots: bool = True, only: Sequence[str] | None = None, layers: int = 24) -> Meter:
    """One of each pass, or of those named; the phases are named for what they are."""
    with backend(layers, slots=slots) as (back, meter, _):
        for name, run in _passes(back, meter).items():
            if only is None or name in only:
                with meter.phase(name):
                    run()
        return meter


def _passes(back: GpuBackend, meter: Meter) -> dict[str, Callable[[], object]]:
    found: dict[str, Callable[[], object]] = {}
    for tiles in (8, 32):
        blank = torch.empty(tiles, 448, 448, 3, dtype=torch.uint8, device=back.model.device)
        page = printed(blank)
        found[f"vision {tiles}"] = partial(back.encode_tiles, [(page, n) for n in range(tiles)])
    for pages in (1, 7):
        found[f"prefill {pages}"] = partial(_prefill, back, meter, pages)
    for rows in (16, 128, 256):
        # A fourth of the rows' tokens more are forced ones, most of them of a few rows.
        forced = [8] * (rows // 32) if rows >= 32 else [5]
        found[f"decode {rows}"] = partial(step, back, meter, rows, forced)
        found[f"choose {rows}"] = partial(_choose, back, rows)
    return found


def _prefill(back: GpuBackend, meter: Meter, pages: int) -> None:
    meter.attended, meter.pairs = pages * PROMPT, pages * PROMPT**2 // 2
    back.prefill([answer(slot, 0, PROMPT) for slot in range(pages)])


def _choose(back: GpuBackend, rows: int) -> None:
    language = back.model.config.language
    hidden = torch.empty(rows, language.hidden, dtype=torch.bfloat16, device=back.model.device)
    masks = torch.zeros(rows, -(-language.vocab // 32), dtype=torch.int32).pin_memory()
    back.choose(back.logits(hidden), masks, None)
