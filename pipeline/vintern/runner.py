"""What runs on the device: tiles seen, prompts prefilled, tokens decoded. `batching` says whose.

On a CPU an answer does not depend, to the last bit, on its neighbours: tiles and prompts go one by one, and
matrix products of one shape compute each row in the same way wherever it stands. So decode passes are padded
to a fixed number of rows, except where a product's number of rows changes no bit either. On a GPU shapes are
rounded up to a few sizes, which may be recorded as CUDA graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.vintern.answer import Answer
from pipeline.vintern.batching import ROWS
from pipeline.vintern.config import TILE
from pipeline.vintern.graphs import Graphs
from pipeline.vintern.kernels import Kernels
from pipeline.vintern.kv_cache import DecodeByRectangle, DecodeByToken, InPlace, KVCache, Part, Prefill
from pipeline.vintern.language import Attend
from pipeline.vintern.model import Vintern
from pipeline.vintern.pointing import CELLS

SHAPES = 256  # compiled at most: slots × columns × tokens × length, of which a job meets some dozen
STRIDE = 1024  # a GPU looks at so many tokens of every slot, or a multiple


class Runner:
    """`looked` holds, after a pass with `page`, what each fed token saw of the page, float32 [n, cells]."""

    def __init__(
        self,
        model: Vintern,
        cache: KVCache,
        *,
        rectangle: bool,
        rows: int,
        any_rows: bool = False,
        graphs: bool = False,
        compiled: bool = False,
        page_tiles: int = 0,
        kernels: Kernels | None = None,
    ) -> None:
        """rectangle: decode as a GPU does. page_tiles: 0, or watch so many.

        rows: of a CPU's decode step; any_rows: fewer give the same bits (`cpu.any_rows`). kernels: those that
        the model uses too.
        """
        self.model = model
        self.cache = cache
        self.device = model.device
        self.rectangle = rectangle
        self.rows = rows
        self.any_rows = any_rows
        self.kernels = kernels
        image = model.tokenizer.image
        self.page_start = model.prompt_ids("", 1).tolist().index(image)  # the same in every prompt
        self.page = slice(self.page_start, self.page_start + CELLS * page_tiles) if page_tiles else None
        self.looked: Tensor | None = None
        self._graphs = Graphs(graphs)
        self._vision: Callable[[Tensor], Tensor] = model.vision
        self._language: Callable[[Tensor, Tensor, Attend], Tensor] = model.language
        if compiled:
            torch._dynamo.config.recompile_limit = SHAPES
            self._vision = torch.compile(model.vision, dynamic=False, fullgraph=True)
            self._language = torch.compile(model.language, dynamic=False, fullgraph=True)

    @torch.inference_mode()
    def upload(self, tiles: Tensor) -> Tensor:
        """Start moving uint8 tiles to the device."""
        if self.device.type != "cuda":
            return tiles
        return tiles.pin_memory().to(self.device, non_blocking=True)

    @property
    def recorded(self) -> bool:
        """Passes are recorded as CUDA graphs."""
        return self._graphs.enabled

    @torch.inference_mode()
    def warm(self, buckets: Sequence[int]) -> None:
        """Compile and record the vision tower. Decode shapes are recorded when they first occur."""
        for bucket in buckets:
            blank = torch.zeros(bucket, TILE, TILE, 3, dtype=torch.uint8, device=self.device)
            self._graphs.run(("vision", bucket), self._vision, blank)

    @torch.inference_mode()
    def see(self, tiles: Sequence[tuple[Answer, int]], bucket: int) -> None:
        """Run the vision tower over tiles (answer, number), padded to `bucket`; fills `Answer.visual`."""
        pixels = torch.stack([answer.tiles[number] for answer, number in tiles if answer.tiles is not None])
        if len(pixels) < bucket:
            pixels = F.pad(pixels, (0, 0, 0, 0, 0, 0, 0, bucket - len(pixels)))
        visual = self._graphs.run(("vision", bucket), self._vision, pixels)
        for (answer, number), tokens in zip(tiles, visual, strict=False):
            if answer.visual is None:
                answer.visual = tokens.new_empty(answer.tile_count, *tokens.shape)
            answer.visual[number] = tokens

    @torch.inference_mode()
    def prefill(self, answers: Sequence[Answer]) -> Tensor:
        """Feed all pending tokens, from position 0; returns each answer's last hidden state, [b, hidden]."""
        lengths = [len(answer.pending) for answer in answers]
        longest = max(lengths)
        ids = self._upload([answer.pending + [0] * (longest - len(answer.pending)) for answer in answers])
        embeds = self.model.language.embed(ids)
        for row, answer in enumerate(answers):
            if answer.visual is not None:
                visual = answer.visual.flatten(0, 1)
                embeds[row, self.page_start : self.page_start + len(visual)] = visual
                answer.visual = answer.tiles = None
        positions = torch.arange(longest, device=self.device).expand(len(answers), -1)
        slots = self._upload([[answer.slot] for answer in answers])
        ends = self._upload(lengths)
        places = torch.where(
            positions < ends[:, None], slots * self.cache.length + positions, self.cache.scratch
        )
        # The last token of each prompt and those that are forced after it, the last of them again as padding.
        counts = [length - len(answer.prompt) + 1 for answer, length in zip(answers, lengths, strict=True)]
        asked = self._upload(
            [
                [min(length - count + n, length - 1) for n in range(max(counts))]
                for count, length in zip(counts, lengths, strict=True)
            ]
        )
        if self.kernels is not None and self.kernels.long_queries and len(answers) == 1:
            slot, length, count = answers[0].slot, longest, counts[0]
            whole, end = Part(slot, 0, 0, length), Part(slot, length - count, 0, count)
            attend: Prefill | InPlace = InPlace(
                self.kernels, self.cache, places.flatten(), [whole], [end], self.page
            )
        else:
            attend = Prefill(self.cache, places.flatten(), asked, self.page)
        hidden = self.model.language(embeds, positions, attend, asked)
        if attend.looked:
            self.looked = torch.cat([rows[:count] for rows, count in zip(attend.looked, counts, strict=True)])
        return hidden[:, -1]  # type: ignore[no-any-return]

    @torch.inference_mode()
    def decode(self, fed: Sequence[tuple[Answer, int]]) -> Tensor:
        """Feed so many of each answer's pending tokens; returns each one's last hidden state, [b, hidden]."""
        parts: list[Part] = []
        for answer, count in fed:
            start = parts[-1].start + parts[-1].count if parts else 0
            parts.append(Part(answer.slot, answer.cached, start, count))
        tokens = [token for answer, count in fed for token in answer.pending[:count]]
        hidden = (self._decode_rectangle if self.rectangle else self._decode_by_token)(parts, tokens)
        return hidden[self._upload([part.start + part.count - 1 for part in parts])]

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """[b, hidden] → [b, vocabulary]."""
        rows = _power(len(hidden)) if self.rectangle else self._padded(len(hidden), self.cache.slots)
        return self.model.language.head(F.pad(hidden, (0, 0, 0, rows - len(hidden))))[: len(hidden)]

    def _decode_by_token(self, parts: Sequence[Part], tokens: Sequence[int]) -> Tensor:
        padding = self._padded(len(tokens), self.rows) - len(tokens)
        positions = [part.position + n for part in parts for n in range(part.count)]
        slots = [part.slot for part in parts for _ in range(part.count)]
        places = [slot * self.cache.length + at for slot, at in zip(slots, positions, strict=True)]
        given = torch.tensor(places + [self.cache.scratch] * padding)
        attend = (
            DecodeByToken(self.cache, given, parts, self.page)
            if self.kernels is None
            else InPlace(self.kernels, self.cache, given, parts, page=self.page)
        )
        embeds = self.model.language.embed(torch.tensor([*tokens, *[0] * padding]))
        hidden = self.model.language(embeds[None], torch.tensor([positions + [0] * padding]), attend)
        if attend.looked:
            self.looked = torch.cat(attend.looked)
        return hidden[0]  # type: ignore[no-any-return]

    def _decode_rectangle(self, parts: Sequence[Part], tokens: Sequence[int]) -> Tensor:
        rows = min(_power(max(part.slot for part in parts) + 1), self.cache.slots)
        columns = _power(max(part.count for part in parts))
        n = max(_power(len(tokens)), rows)
        furthest = max(part.position + part.count for part in parts)
        length = min(-(-furthest // STRIDE) * STRIDE, self.cache.length)
        padding = n - len(tokens)
        positions = [part.position + at for part in parts for at in range(part.count)]
        places = [
            part.slot * self.cache.length + part.position + at for part in parts for at in range(part.count)
        ]
        cells = [part.slot * columns + at for part in parts for at in range(part.count)]
        grid = [0] * (rows * columns)
        for cell, position in zip(cells, positions, strict=True):
            grid[cell] = position
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
            attend = DecodeByRectangle(self.cache, places, cells, grid.view(rows, columns), length, self.page)
            hidden = self._language(self.model.language.embed(ids)[None], positions[None], attend)
            return hidden[0], attend.looked

        hidden, looked = self._graphs.run((rows, columns, n, length), run, given)
        if looked is not None:
            self.looked = looked.flatten(0, 1)[self._upload(cells)]
        return hidden

    def _padded(self, count: int, most: int) -> int:
        """Rows of a CPU's products for `count` tokens of at most `most`."""
        return count if self.any_rows else -(-most // ROWS) * ROWS

    def _upload(self, numbers: Sequence[int] | Sequence[Sequence[int]]) -> Tensor:
        found = torch.tensor(numbers)
        return found.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else found


def _power(count: int) -> int:
    """The smallest power of two that is not below."""
    return 1 << (count - 1).bit_length()
