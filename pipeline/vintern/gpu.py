"""The back end for GPUs.

Tiles and prompts of several pages share a pass, and a decode step is one padded batch, slots by columns.
Shapes are rounded up to a few sizes, which may be recorded as CUDA graphs and compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.settings import EngineSettings
from pipeline.vintern import sampler
from pipeline.vintern.answer import Answer
from pipeline.vintern.attention import PromptAttention, page_weights
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

BATCH = 256  # requests decoded together, where memory allows: beyond it a step is no cheaper for each
SHAPES = 256  # compiled at most: slots × columns × tokens × length, of which a job meets some dozen
STRIDE = 1024  # so many tokens of every slot are attended over, or a multiple


class GpuBackend:
    """`backend.Backend` by PyTorch's operations, on the model's device."""

    def __init__(self, model: Vintern, settings: EngineSettings) -> None:
        """Compiles and records as `settings.warmup` says. Raises UsageError when no request has room."""
        self.model = model
        self.cache = KVCache.for_model(model, settings, torch.cuda.mem_get_info(model.device)[0], BATCH)
        slots = self.cache.slots
        self.shape = Shape(
            vision=(8, 16, 32),
            mixed=True,
            prefill=16384,
            decode=2 * slots,
            chunk=8,
            patience=8,
            many_rows=True,
        )
        self._page = page_positions(model, self.cache) if settings.place else None
        self._page_start = page_start(model)
        self.page_attention: Tensor | None = None
        self.fed_hidden: Tensor | None = None
        self.own_memory = True
        self.about = f"{dtype_name(model)} on {model.device}"
        self.numerics = self._numerics(settings)
        self._vision: Callable[[Tensor], Tensor] = model.vision
        self._language: Callable[[Tensor, Tensor, Attend], Tensor] = model.language
        if settings.warmup == "compile":
            torch._dynamo.config.recompile_limit = SHAPES
            self._vision = torch.compile(model.vision, dynamic=False, fullgraph=True)
            self._language = torch.compile(model.language, dynamic=False, fullgraph=True)
        self._graphs = Graphs(settings.warmup != "none")  # "auto" records
        if self._graphs.enabled:
            self._record_vision()

    @torch.inference_mode()
    def upload(self, tiles: Tensor) -> Tensor:
        return tiles.pin_memory().to(self.model.device, non_blocking=True)

    def mask_buffer(self, words: int) -> Tensor:
        return torch.zeros(self.cache.slots, words, dtype=torch.int32).pin_memory()

    @torch.inference_mode()
    def encode_tiles(self, tiles: Sequence[Tile]) -> None:
        pixels = stacked(tiles)
        bucket = self.shape.bucket(len(pixels))
        if len(pixels) < bucket:
            pixels = F.pad(pixels, (0, 0, 0, 0, 0, 0, 0, bucket - len(pixels)))
        keep_visual(tiles, self._graphs.run(("vision", bucket), self._vision, pixels))

    @torch.inference_mode()
    def prefill(self, answers: Sequence[Answer]) -> Tensor:
        lengths = [len(answer.pending) for answer in answers]
        longest = max(lengths)
        ids = self._upload([answer.pending + [0] * (longest - len(answer.pending)) for answer in answers])
        embeds = self.model.language.embed(ids)
        for row, answer in enumerate(answers):
            put_visual(answer, embeds[row], self._page_start)
        positions = torch.arange(longest, device=self.model.device).expand(len(answers), -1)
        slots = self._upload([[answer.slot] for answer in answers])
        ends = self._upload(lengths)
        places = torch.where(
            positions < ends[:, None], slots * self.cache.length + positions, self.cache.scratch
        )
        # The last token of each prompt and those that are forced after it, the last of them again as padding.
        counts = [length - len(answer.prompt) + 1 for answer, length in zip(answers, lengths, strict=True)]
        keep = self._upload(
            [
                [min(length - count + n, length - 1) for n in range(max(counts))]
                for count, length in zip(counts, lengths, strict=True)
            ]
        )
        attend = PromptAttention(self.cache, places.flatten(), keep, self._page)
        hidden = self.model.language(embeds, positions, attend, keep)
        if attend.page_attention:
            kept = zip(attend.page_attention, counts, strict=True)
            self.page_attention = torch.cat([rows[:count] for rows, count in kept])
        return hidden[:, -1]  # type: ignore[no-any-return]

    @torch.inference_mode()
    def decode(self, fed: Sequence[Fed]) -> Tensor:
        rows = min(_power(max(answer.slot for answer, _ in fed) + 1), self.cache.slots)
        columns = _power(max(count for _, count in fed))
        n = max(_power(sum(count for _, count in fed)), rows)
        furthest = max(answer.cached + count for answer, count in fed)
        length = min(-(-furthest // STRIDE) * STRIDE, self.cache.length)
        tokens, positions, seen, places, cells, lasts = [], [], [], [], [], []
        for answer, count in fed:
            tokens += answer.pending[:count]
            positions += [answer.position + at for at in range(count)]
            seen += [answer.cached + at for at in range(count)]
            places += [answer.slot * self.cache.length + answer.cached + at for at in range(count)]
            cells += [answer.slot * columns + at for at in range(count)]
            lasts.append(len(tokens) - 1)
        padding = n - len(tokens)
        grid = [0] * (rows * columns)
        for cell, last in zip(cells, seen, strict=True):
            grid[cell] = last
        given = self._upload(
            [
                *tokens, *[0] * padding,
                *positions, *[0] * padding,
                *places, *[self.cache.scratch] * padding,
                *cells, *[rows * columns] * padding,
                *grid,
            ]
        )  # fmt: skip

        def run(given: Tensor) -> tuple[Tensor, Tensor | None]:
            ids, positions, places, cells, grid = given.split([n, n, n, n, rows * columns])
            attend = PaddedAttention(self.cache, places, cells, grid.view(rows, columns), length, self._page)
            hidden = self._language(self.model.language.embed(ids)[None], positions[None], attend)
            return hidden[0], attend.page_attention

        hidden, page_attention = self._graphs.run((rows, columns, n, length), run, given)
        if page_attention is not None:
            self.page_attention = page_attention.flatten(0, 1)[self._upload(cells)]
        self.fed_hidden = hidden
        return hidden[self._upload(lasts)]

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        padding = _power(len(hidden)) - len(hidden)
        return self.model.language.head(F.pad(hidden, (0, 0, 0, padding)))[: len(hidden)]

    def choose(self, logits: Tensor, masks: Tensor | None, penalties: sampler.Penalties | None) -> Tensor:
        if masks is not None:
            masks = masks.to(self.model.device, non_blocking=True)
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
            f"attention {'+'.join(attention)}",
            "compiled" if settings.warmup == "compile" else "eager",
        ]
        return ", ".join(words)

    @torch.inference_mode()
    def _record_vision(self) -> None:
        """Compile and record the vision encoder. Decode shapes are recorded when they first occur."""
        for bucket in self.shape.vision:
            blank = torch.zeros(bucket, TILE, TILE, 3, dtype=torch.uint8, device=self.model.device)
            self._graphs.run(("vision", bucket), self._vision, blank)

    def _upload(self, numbers: Sequence[int] | Sequence[Sequence[int]]) -> Tensor:
        return torch.tensor(numbers).pin_memory().to(self.model.device, non_blocking=True)


class PaddedAttention:
    """Attend: packed tokens [1, n] laid out as [slots in use, columns] for one product over the cache.

    cells      int64 [n]             each token's cell, row · columns + column; one past the last: padding
    positions  int64 [rows, columns] in its slot of the token in each cell, 0 where there is none
    length     tokens of each slot that are looked at
    All tensors keep their place in memory from pass to pass, so that the pass can be a CUDA graph.
    """

    def __init__(
        self,
        cache: KVCache,
        places: Tensor,
        cells: Tensor,
        positions: Tensor,
        length: int,
        page: slice | None = None,
    ) -> None:
        self.cache = cache
        self.places = places
        self.cells = cells
        self.positions = positions
        self.length = length
        self.page = page
        self.page_attention: Tensor | None = None
        reach = torch.arange(length, device=positions.device)
        self.mask = reach <= positions[:, None, :, None]  # [rows, 1, columns, length]

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        self.cache.write(layer, self.places, key[0].transpose(0, 1), value[0].transpose(0, 1))
        rows, columns = self.positions.shape
        heads, kv_heads = query.shape[1], key.shape[1]
        laid = query.new_zeros(rows * columns + 1, heads, query.shape[3])
        laid.index_copy_(0, self.cells, query[0].transpose(0, 1))
        asked = laid[:-1].view(rows, columns, heads, -1).transpose(1, 2)  # [rows, heads, columns, d]
        seen_keys = self.cache.keys[layer, :rows, : self.length].transpose(1, 2)
        seen_values = self.cache.values[layer, :rows, : self.length].transpose(1, 2)
        # The heads that share a key head become rows of one product: no key is copied, any kernel serves.
        shared = heads // kv_heads
        mixed = F.scaled_dot_product_attention(
            asked.unflatten(1, (kv_heads, shared)).flatten(2, 3),
            seen_keys,
            seen_values,
            attn_mask=self.mask.expand(-1, shared, -1, -1).flatten(1, 2)[:, None],
        )
        mixed = (
            mixed.unflatten(2, (shared, columns)).permute(0, 3, 1, 2, 4).reshape(rows * columns, heads, -1)
        )
        if self.page is not None and layer == len(self.cache.keys) - 1:
            self.page_attention = page_weights(asked, seen_keys, self.positions, self.page)
        out = torch.cat([mixed, mixed.new_zeros(1, *mixed.shape[1:])])[self.cells]
        return out.transpose(0, 1)[None]


def _power(count: int) -> int:
    """The smallest power of two that is not below."""
    return 1 << (count - 1).bit_length()
