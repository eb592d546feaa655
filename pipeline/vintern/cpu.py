"""The back end for CPUs.

An answer does not depend, to the last bit, on its neighbours: tiles and prompts go one page at a time, what a
token sees has the same shape whatever shares its pass, and matrix products of one shape compute each row in
the same way wherever it stands. So decode passes are padded to a fixed number of rows, except where a
product's number of rows changes no bit either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property

import psutil
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.errors import UsageError
from pipeline.numerics import EIGHT_BITS
from pipeline.settings import EngineSettings
from pipeline.vintern import int8, memory, onednn, sampler
from pipeline.vintern.answer import Answer
from pipeline.vintern.attention import Chunk, PromptAttention, page_weights
from pipeline.vintern.backend import (
    Fed,
    Tile,
    dtype_name,
    keep_visual,
    page_start,
    put_visual,
    stacked,
)
from pipeline.vintern.batching import Shape
from pipeline.vintern.compiling import KernelsMissing
from pipeline.vintern.config import TILE
from pipeline.vintern.kernels import Kernels, Row, Span
from pipeline.vintern.kernels import load as load_kernels
from pipeline.vintern.kv_cache import KVCache
from pipeline.vintern.language import Attend, rotary
from pipeline.vintern.model import Vintern
from pipeline.vintern.pointing import CELLS
from pipeline.vintern.vision import normalise, pixel_shuffle, total

BATCH = 16  # requests decoded together: beyond it a step takes longer by as much
ROWS = 16  # fewest rows of a padded product; below, float32 sums in another order
UNITS = ("amx_bf16", "avx512_bf16")  # of processors, for bfloat16


class CpuBackend:
    """`backend.Backend` by our own kernels where the processor suits them, else by PyTorch's operations."""

    def __init__(self, model: Vintern, settings: EngineSettings) -> None:
        """Lays the model's weights out anew, or rounds them to 8 bits, as the settings say.

        Raises UsageError when not even one request has room, or where 8 bits cannot be had.
        """
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        self.int8 = _pack(model, settings.weights)
        memory.keep()
        self.model = model
        self.kernels, used = _kernels(model, settings.kernels)
        self.cache = KVCache.for_model(model, settings, psutil.virtual_memory().available, BATCH)
        self._rows = _multiple(2 * self.cache.slots)
        # The tiles of one page, one prompt at a time: more gains little, and results depend on less.
        self.shape = Shape(
            vision=(1, 2, 3, 4), mixed=False, prefill=1, decode=self._rows, chunk=self._rows, patience=0
        )
        # Ours round each row alike wherever it stands; between them PyTorch may not.
        exact = self.int8 is not None and self.kernels is not None
        self._any_rows = exact or onednn.any_rows(model, self._rows)
        self._place = settings.place
        self._page_start = page_start(model)
        self.page_attention: Tensor | None = None
        self.fed_hidden: Tensor | None = None
        self.own_memory = False
        weights = "" if self.int8 is None else f" with {EIGHT_BITS}"
        self.about = f"{dtype_name(model)}{weights} on cpu, {torch.get_num_threads()} threads, {used}"

    def upload(self, tiles: Tensor) -> Tensor:
        return tiles

    @torch.inference_mode()
    def encode_tiles(self, tiles: Sequence[Tile]) -> None:
        keep_visual(tiles, self.model.vision(stacked(tiles)))

    @torch.inference_mode()
    def prefill(self, answers: Sequence[Answer]) -> Tensor:
        (answer,) = answers
        length = len(answer.pending)
        embeds = self.model.language.embed(torch.tensor(answer.pending))
        put_visual(answer, embeds, self._page_start)
        # The last token of the prompt and those that are forced after it.
        start = len(answer.prompt) - 1
        attend = self._prompt_attention(answer.slot, length, start, self._page([answer]))
        positions, keep = torch.arange(length)[None], torch.arange(start, length)[None]
        hidden = self.model.language(embeds[None], positions, attend, keep)
        self._note(attend)
        return hidden[:, -1]  # type: ignore[no-any-return]

    @torch.inference_mode()
    def decode(self, fed: Sequence[Fed]) -> Tensor:
        chunks: list[Chunk] = []
        for answer, count in fed:
            start = chunks[-1].start + chunks[-1].count if chunks else 0
            chunks.append(Chunk(answer.slot, answer.cached, start, count))
        tokens = [token for answer, count in fed for token in answer.pending[:count]]
        positions = [answer.position + n for answer, count in fed for n in range(count)]
        padding = [0] * (self._padded(len(tokens), self._rows) - len(tokens))
        embeds = self.model.language.embed(torch.tensor(tokens + padding))
        attend = self._decode_attention(chunks, len(padding), self._page([answer for answer, _ in fed]))
        hidden = self.model.language(embeds[None], torch.tensor([positions + padding]), attend)[0]
        self.fed_hidden = hidden
        self._note(attend)
        return hidden[[chunk.start + chunk.count - 1 for chunk in chunks]]  # type: ignore[no-any-return]

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        padding = self._padded(len(hidden), self.cache.slots) - len(hidden)
        return self.model.language.head(F.pad(hidden, (0, 0, 0, padding)))[: len(hidden)]

    def choose(self, logits: Tensor, masks: Tensor | None, penalties: sampler.Penalties | None) -> Tensor:
        if self.kernels is not None and penalties is None:
            return self.kernels.choose(logits, masks)
        return sampler.choose(logits, masks, penalties)

    def _padded(self, count: int, most: int) -> int:
        """Rows of a product for `count` tokens of at most `most`."""
        return count if self._any_rows else _multiple(most)

    def _page(self, answers: Sequence[Answer]) -> slice | None:
        """Where the visual tokens of the largest of their pages are, if places are kept."""
        if not self._place:
            return None
        most = max(1, *(answer.tile_count for answer in answers))
        return slice(self._page_start, self._page_start + CELLS * most)

    def _prompt_attention(
        self, slot: int, length: int, start: int, page: slice | None = None
    ) -> CpuAttention:
        """Of a prompt in `slot`, asked for its tokens from `start` on in the last layer."""
        places = slot * self.cache.length + torch.arange(length)
        if self.kernels is not None and self.kernels.long_queries:
            whole, end = Chunk(slot, 0, 0, length), Chunk(slot, start, 0, length - start)
            return KernelAttention(self.kernels, self.cache, places, [whole], [end], page)
        return PromptAttention(self.cache, places, torch.arange(start, length)[None], page)

    def _decode_attention(
        self, chunks: Sequence[Chunk], padding: int, page: slice | None = None
    ) -> CpuAttention:
        places = [
            chunk.slot * self.cache.length + chunk.position + n
            for chunk in chunks
            for n in range(chunk.count)
        ]
        given = torch.tensor(places + [self.cache.scratch] * padding)
        if self.kernels is None:
            return TokenAttention(self.cache, given, chunks, page)
        return KernelAttention(self.kernels, self.cache, given, chunks, page=page)

    def _note(self, attend: CpuAttention) -> None:
        if attend.page_attention:
            self.page_attention = torch.cat(attend.page_attention)

    @cached_property
    def numerics(self) -> str:
        """What is known to change bits, and a sample of the bits for what is not.

        Which instructions the libraries choose, and how they block a product for a cache, cannot be asked for
        in full; so the first layers compute something, and a hash of it is part of the words. The number of
        threads is named except in bfloat16: with some numbers (3, 8) the products of some prompt lengths got
        other last bits in float32, while in bfloat16 none did.
        """
        dtype, instructions = dtype_name(self.model), [torch.backends.cpu.get_cpu_capability()]
        if dtype == "bfloat16":
            found = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
            instructions += [unit for unit in UNITS if found.get(unit)]
        words = [
            "cpu",
            dtype,
            *([] if self.int8 is None else [EIGHT_BITS, self.int8.version]),
            "+".join(instructions),
            "torch" if self.kernels is None else self.kernels.version,
        ]
        if self.kernels is not None and not self.kernels.long_queries:
            words.append("for decoding")
        if dtype != "bfloat16":
            words.append(f"{torch.get_num_threads()} threads")
        words.append("rows as they are" if self._any_rows else "rows padded")
        return f"{' '.join(words)}, sample {self._sample()}"

    @torch.inference_mode()
    def _sample(self) -> str:
        """16 hex digits: a tile through the first layers, as a prompt, and then one decoded token."""
        vision, text, slot = self.model.vision, self.model.language, self.cache.slots  # nobody's slot
        draw = torch.Generator().manual_seed(0)
        tile = torch.randint(0, 256, (1, TILE, TILE, 3), dtype=torch.uint8, generator=draw)
        pixels = normalise(tile).to(self.model.dtype)
        first = vision.layers[0]
        patches, added = first(vision.embeddings(pixels, None, vision.shuffle), None, None)
        patches = total(patches, added, first.ls2)  # type: ignore[arg-type]
        side = TILE // vision.config.patch
        visual = vision.mlp1(pixel_shuffle(patches[:, 1:], side, side, vision.shuffle))

        def layer(hidden: Tensor, positions: Tensor, attend: Attend) -> Tensor:
            rotation = rotary(positions, text.config.head_dim, text.config.rope_theta, hidden.dtype)
            hidden, mixed = text.layers[0](0, hidden, None, rotation, attend)
            found: Tensor = hidden + mixed
            return found

        length = visual.shape[1] - 1  # with one more token it fits any cache
        hidden = layer(
            visual[:, :length], torch.arange(length)[None], self._prompt_attention(slot, length, 0)
        )
        padding = self._padded(1, self._rows) - 1
        fed = F.pad(visual[:, length:], (0, 0, 0, padding))
        attend = self._decode_attention([Chunk(slot, length, 0, 1)], padding)
        step = layer(fed, torch.tensor([[length] + [0] * padding]), attend)[0, :1]
        logits = self.logits(text.norm(step))
        bits = hashlib.sha256()
        for part in (visual, hidden, step, logits, self.choose(logits, None, None)):
            bits.update(part.contiguous().view(torch.uint8).numpy().tobytes())
        return bits.hexdigest()[:16]


def _pack(model: Vintern, wanted: str) -> int8.Products | None:
    """Its products in 8 bits, from now on in the model too; or None, and its weights are laid out anew."""
    if wanted != "int8":
        if onednn.pack(model.network):
            memory.let_go(model.network)
        return None
    try:
        products = int8.load(model.network, model.dtype)
    except KernelsMissing as error:
        raise UsageError(
            f"engine.weights is int8, and this machine cannot: {error}. Leave it at auto"
        ) from error
    int8.pack(model.network, model.dtype, products)
    memory.let_go(model.network)
    return products


def _kernels(model: Vintern, wanted: bool) -> tuple[Kernels | None, str]:
    """Our own kernels, from now on in the model too, or None; and which it is, in words."""
    if not wanted:
        return None, "without own kernels: engine.kernels is off"
    try:
        kernels = load_kernels(model.config, model.dtype)
    except KernelsMissing as error:
        return None, f"without own kernels: {error}"
    kernels.put_into(model.network)
    return kernels, "own kernels"


def _multiple(rows: int) -> int:
    return -(-rows // ROWS) * ROWS


class TokenAttention:
    """Attend: packed tokens [1, n], each over its own slot. The tokens after the last chunk are padding.

    The requests' first tokens are one call where their slots are neighbours, then their second ones, as far
    as they have any: each token is a row of its own. A call looks at whole blocks of keys, of which those
    beyond a row's token weigh nothing: that does not change a bit of it.
    """

    BLOCK = 512  # keys at once in PyTorch's kernel for CPUs (FlashAttentionKernel.cpp); others are as exact

    def __init__(
        self, cache: KVCache, places: Tensor, chunks: Sequence[Chunk], page: slice | None = None
    ) -> None:
        self.cache = cache
        self.places = places
        self.chunks = chunks
        self.page = page
        self.page_attention: list[Tensor] = []
        self._calls: list[tuple[slice, Tensor, Tensor]] = []
        self._back = torch.zeros(len(places), dtype=torch.int64)
        rows = 0
        for turn in range(max(chunk.count for chunk in chunks)):
            for run in _adjacent([chunk for chunk in chunks if chunk.count > turn]):
                tokens = torch.tensor([chunk.start + turn for chunk in run])
                lengths = torch.tensor([chunk.position + turn + 1 for chunk in run])
                reach = min(-(-int(lengths.max()) // self.BLOCK) * self.BLOCK, cache.length)
                beyond = torch.arange(reach) >= lengths[:, None, None, None]
                mask = torch.zeros(beyond.shape, dtype=cache.keys[0].dtype).masked_fill_(beyond, -torch.inf)
                self._calls.append((slice(run[0].slot, run[0].slot + len(run)), tokens, mask))
                self._back[tokens] = torch.arange(rows, rows := rows + len(run))

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        self.cache.write(layer, self.places, key[0].transpose(0, 1), value[0].transpose(0, 1))
        heads, kv_heads = query.shape[1], key.shape[1]
        asked = query[0].transpose(0, 1)  # [n, heads, d]
        mixed = []
        for slots, tokens, mask in self._calls:
            keys, values = (
                kept[layer][slots, : mask.shape[3]].transpose(1, 2)
                for kept in (self.cache.keys, self.cache.values)
            )
            # [slots, kv_heads, shared, d]: the queries of one key head are rows of a product
            grouped = asked[tokens].unflatten(1, (kv_heads, heads // kv_heads))
            mixed.append(F.scaled_dot_product_attention(grouped, keys, values, mask))
        if self.page is not None and layer == len(self.cache.keys) - 1:
            self.page_attention = _page_weights(self.cache.keys[layer], query, self.chunks, self.page)
        return torch.cat(mixed).flatten(1, 2)[self._back].transpose(0, 1)[None]


class KernelAttention:
    """Attend by our own kernels: tokens [1, n] of requests, each over its own slot, where its keys lie.

    It serves prompts and decode steps alike. Of a prompt the last layer is asked for its last tokens alone:
    those are then the `keep` chunks. A token's bits do not depend on what else is in the pass.
    """

    def __init__(
        self,
        kernels: Kernels,
        cache: KVCache,
        places: Tensor,
        chunks: Sequence[Chunk],
        keep: Sequence[Chunk] | None = None,
        page: slice | None = None,
    ) -> None:
        self.kernels = kernels
        self.cache = cache
        self.places = places
        self.page = page
        self.page_attention: list[Tensor] = []
        self._kept = chunks if keep is None else keep
        self._spans, self._last = (
            [Span(p.start, p.count, p.slot * cache.length, p.position + 1, 1) for p in those]
            for those in (chunks, self._kept)
        )

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        self.cache.write(layer, self.places, key[0].transpose(0, 1), value[0].transpose(0, 1))
        last = layer == len(self.cache.keys) - 1
        asked, keys = query[0].transpose(0, 1), self.cache.keys[layer].flatten(0, 1)
        if last and self.page is not None:
            rows = [
                Row(chunk.start + n, chunk.slot * self.cache.length, chunk.position + n + 1)
                for chunk in self._kept
                for n in range(chunk.count)
            ]
            self.page_attention = [self.kernels.page_weights(asked, keys, rows, self.page)]
        mixed = self.kernels.attend(
            asked,
            keys,
            self.cache.values[layer].flatten(0, 1),
            self._last if last else self._spans,
        )
        return mixed.transpose(0, 1)[None]


def _adjacent(chunks: Sequence[Chunk]) -> list[list[Chunk]]:
    """Chunks of adjacent slots together, in the order of slots."""
    runs: list[list[Chunk]] = []
    for chunk in sorted(chunks, key=lambda chunk: chunk.slot):
        if runs and runs[-1][-1].slot + 1 == chunk.slot:
            runs[-1].append(chunk)
        else:
            runs.append([chunk])
    return runs


def _page_weights(keys: Tensor, query: Tensor, chunks: Sequence[Chunk], page: slice) -> list[Tensor]:
    """What each chunk's tokens see of the page: query [1, heads, n, d], keys [slots, length, kv_heads, d]."""
    found = []
    for chunk in chunks:
        positions = chunk.position + torch.arange(chunk.count)[None]
        rows = query[:, :, chunk.start : chunk.start + chunk.count]
        seen = keys[chunk.slot, None, : chunk.position + chunk.count].transpose(1, 2)
        found.append(page_weights(rows, seen, positions, page)[0])
    return found


CpuAttention = PromptAttention | TokenAttention | KernelAttention
