"""The back end for GPUs.

Tiles and prompts of several pages share a pass. How tokens lie in it, and how they attend, is a
`plan.Layout`: `slots`, by kernels of our own (`fused`), where these can be had, else `rectangle`. Shapes are
rounded up to a few sizes, which may be recorded as CUDA graphs and compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from pipeline.settings import EngineSettings
from pipeline.vintern import fused, sampler, vision
from pipeline.vintern.answer import Answer
from pipeline.vintern.backend import (
    Fed,
    Tile,
    dtype_name,
    keep_visual,
    page_positions,
    page_start,
    put_visual,
    stacked,
)
from pipeline.vintern.batching import Shape
from pipeline.vintern.config import TILE
from pipeline.vintern.graphs import Graphs
from pipeline.vintern.kv_cache import KVCache
from pipeline.vintern.language import Attend
from pipeline.vintern.model import Vintern
from pipeline.vintern.plan import Layout, power
from pipeline.vintern.probe import sound
from pipeline.vintern.rectangle import Rectangle
from pipeline.vintern.slots import CHUNK, Slots
from pipeline.vintern.transfer import up

BATCH = 256  # requests decoded together, where memory allows: beyond it a step is no cheaper for each
HALVES = 64  # requests; below, a step takes as long for half of them
SHADES = 64  # of empty paper whose visual tokens are kept, half a megabyte each
SHAPES = 256  # compiled at most: slots × columns × tokens × length, of which a job meets some dozen


class GpuBackend:
    """`backend.Backend` by PyTorch's operations and our own, on the model's device."""

    def __init__(self, model: Vintern, settings: EngineSettings) -> None:
        """Compiles and records as `settings.warmup` says. Raises UsageError when no request has room."""
        # cuDNN plans its attention anew for each shape, a tenth of a second each time.
        torch.backends.cuda.enable_cudnn_sdp(False)
        self.model = model
        self.cache = KVCache.for_model(model, settings, torch.cuda.mem_get_info(model.device)[0], BATCH)
        slots = self.cache.slots
        self._fused = sound(model)
        if self._fused:
            fused.install(model.network)
            self.cache.put = fused.write
        self.shape = Shape(
            vision=(8, 16, 32),
            mixed=True,
            prefill=16384,
            decode=2 * slots,
            chunk=CHUNK,
            patience=8,
            many_rows=True,
            halves=HALVES if self._fused else None,
        )
        # Its three shapes are recorded once: there cuDNN's plans pay, on Hopper and later.
        self._vision_by_cudnn = torch.cuda.get_device_properties(model.device).major >= 9
        if self._vision_by_cudnn:
            for module in model.vision.modules():
                if isinstance(module, vision.Attention):
                    module.attend = _attend_by_cudnn
        page = page_positions(model, self.cache) if settings.place else None
        self._layout: Layout = (Slots if self._fused else Rectangle)(self.cache, page)
        self._page_start = page_start(model)
        self._blank: dict[int, Tensor] = {}  # visual tokens of tiles of one colour, by the colour
        # Rows of logits that do not begin at 16 bytes are computed at a sixth of the speed.
        head = model.language.embed_tokens if model.language.lm_head is None else model.language.lm_head
        odd = -len(head.weight) % 64
        self._head = F.pad(head.weight, (0, 0, 0, odd)) if odd else head.weight
        self.page_attention: Tensor | None = None
        self.fed_hidden: Tensor | None = None
        self.own_memory = True
        self.about = f"{dtype_name(model)} on {model.device}, {self._layout.about}"
        self.numerics = self._numerics(settings)
        self._vision: Callable[[Tensor], Tensor] = model.vision
        self._language: Callable[[Tensor, Tensor, Attend], Tensor] = model.language
        if settings.warmup == "compile":
            torch._dynamo.config.recompile_limit = SHAPES
            self._vision = torch.compile(model.vision, dynamic=False, fullgraph=True)
            self._language = torch.compile(model.language, dynamic=False, fullgraph=True)
        self._graphs = Graphs(model.device, settings.warmup != "none")  # "auto" records
        if self._graphs.enabled:
            self._record_vision()

    @torch.inference_mode()
    def upload(self, tiles: Tensor) -> Tensor:
        return tiles.pin_memory().to(self.model.device, non_blocking=True)

    @torch.inference_mode()
    def encode_tiles(self, tiles: Sequence[Tile]) -> None:
        """Of tiles of one colour, one for all that have been and will be."""
        shades = [answer.shades[number] for answer, number in tiles]
        seen = [
            at
            for at, shade in enumerate(shades)
            if shade is None or (shade not in self._blank and shade not in shades[:at])
        ]
        if seen:
            self._encode([tiles[at] for at in seen])
        for at in seen:
            (answer, number), shade = tiles[at], shades[at]
            if shade is not None and answer.visual is not None:
                self._blank[shade] = answer.visual[number].clone()
        alike = [at for at in range(len(tiles)) if at not in seen]
        keep_visual([tiles[at] for at in alike], [self._blank[shades[at] or 0] for at in alike])
        while len(self._blank) > SHADES:
            del self._blank[next(iter(self._blank))]

    def _encode(self, tiles: Sequence[Tile]) -> None:
        pixels = stacked(tiles)
        bucket = self.shape.bucket(len(pixels))
        if len(pixels) < bucket:
            pixels = F.pad(pixels, (0, 0, 0, 0, 0, 0, 0, bucket - len(pixels)))
        keep_visual(tiles, self._graphs.run(("vision", bucket), self._vision, pixels))

    @torch.inference_mode()
    def prefill(self, answers: Sequence[Answer]) -> Tensor:
        prompts = self._layout.prefill(answers, self.model.device)
        embeds = self.model.language.embed(prompts.ids)
        for answer, (row, start) in zip(answers, prompts.starts, strict=True):
            put_visual(answer, embeds[row], start + self._page_start)
        hidden = self.model.language(embeds, prompts.positions, prompts.attend, prompts.keep)
        seen = prompts.attend.page_attention
        if seen is not None and len(seen):
            self.page_attention = torch.cat([seen[row][tokens] for row, tokens in prompts.kept])
        return torch.stack([hidden[row, last] for row, last in prompts.lasts])

    @torch.inference_mode()
    def decode(self, fed: Sequence[Fed]) -> Tensor:
        plan = self._layout.decode(fed)

        def run(given: Tensor) -> tuple[Tensor, Tensor | None]:
            ids, positions, attend = plan.read(given)
            hidden = self._language(self.model.language.embed(ids)[None], positions[None], attend)
            return hidden[0], attend.page_attention

        device = self.model.device
        hidden, page_attention = self._graphs.run(plan.key, run, up(plan.given, device))
        if page_attention is not None:
            self.page_attention = page_attention.flatten(0, -2)[up(plan.cells, device)]
        self.fed_hidden = hidden
        return hidden[up(plan.lasts, device)]

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        padding = power(len(hidden)) - len(hidden)
        found = F.linear(F.pad(hidden, (0, 0, 0, padding)), self._head)
        return found[: len(hidden), : self.model.config.language.vocab]

    def choose(self, logits: Tensor, masks: Tensor | None, penalties: sampler.Penalties | None) -> Tensor:
        if masks is not None:
            masks = masks.to(self.model.device, non_blocking=True)
        if self._fused and penalties is None:
            return fused.choose(logits, masks)
        return sampler.choose(logits, masks, penalties)

    def _numerics(self, settings: EngineSettings) -> str:
        """cuBLAS and attention choose by generation and number of multiprocessors; a compiled pass rounds
        elsewhere. A graph replays the very kernels that it recorded, and is not named.

        No sample of bits as on a CPU: here they depend on what shares a pass, and a compiler that tries out
        which of its kernels is the quickest may choose others in the next run.
        """
        gpu = torch.cuda.get_device_properties(self.model.device)
        attention = [
            name
            for name, on in (
                ("flash", torch.backends.cuda.flash_sdp_enabled()),
                ("efficient", torch.backends.cuda.mem_efficient_sdp_enabled()),
                ("cudnn", torch.backends.cuda.cudnn_sdp_enabled()),
                ("math", torch.backends.cuda.math_sdp_enabled()),
            )
            if on
        ]
        words = [
            f"cuda {dtype_name(self.model)} sm_{gpu.major}{gpu.minor}",
            f"{gpu.multi_processor_count} multiprocessors",
            f"cuda {torch.version.cuda}",
            f"float32 products {torch.get_float32_matmul_precision()}",
            f"attention {'+'.join(attention)}{', of vision cudnn' if self._vision_by_cudnn else ''}",
            self._layout.about,
            "compiled" if settings.warmup == "compile" else "eager",
        ]
        return ", ".join(words)

    @torch.inference_mode()
    def _record_vision(self) -> None:
        """Compile and record the vision encoder. Decode shapes are recorded when they first occur."""
        for bucket in self.shape.vision:
            blank = torch.zeros(bucket, TILE, TILE, 3, dtype=torch.uint8, device=self.model.device)
            self._graphs.run(("vision", bucket), self._vision, blank)


def _attend_by_cudnn(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """`F.scaled_dot_product_attention`; by others where cuDNN cannot."""
    kinds = [
        SDPBackend.CUDNN_ATTENTION,
        SDPBackend.FLASH_ATTENTION,
        SDPBackend.EFFICIENT_ATTENTION,
        SDPBackend.MATH,
    ]
    with sdpa_kernel(kinds, set_priority=True):
        return F.scaled_dot_product_attention(query, key, value)
