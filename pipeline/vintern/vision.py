"""InternViT, pixel shuffle and projector: a tile becomes 256 vectors that the language model can read.

Parameter names are those of the published checkpoint below `vision_model.` and `mlp1.`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.vintern.config import VisionConfig

MEAN = (0.485, 0.456, 0.406)  # ImageNet, as in training
STD = (0.229, 0.224, 0.225)


class Vision(nn.Module):
    """Tiles in, visual tokens out."""

    def __init__(self, config: VisionConfig, shuffle: int, hidden_llm: int) -> None:
        super().__init__()
        self.config = config
        self.shuffle = shuffle
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        wide = config.hidden * shuffle**2
        self.mlp1 = nn.Sequential(
            nn.LayerNorm(wide), nn.Linear(wide, hidden_llm), nn.GELU(), nn.Linear(hidden_llm, hidden_llm)
        )

    def forward(self, tiles: Tensor) -> Tensor:
        """uint8 [n, 448, 448, 3] RGB → [n, 256, hidden_llm] in the weights' dtype, row by row of the tile."""
        return self.read(normalise(tiles).to(self.embeddings.position_embedding.dtype))

    def read(self, pixels: Tensor, offsets: Tensor | None = None) -> Tensor:
        """Normalised float [n, 3, height, width] → [n, height / 28 · width / 28, hidden_llm].

        A part of a tile may be given (training on crops); `offsets` int64 [n, 2] then says where it lies in
        the tile: row and column in visual tokens of 28 pixels, 0 where None.
        """
        found: Tensor = self.mlp1(self.features(pixels, offsets))
        return found

    def features(self, pixels: Tensor, offsets: Tensor | None = None) -> Tensor:
        """The same before the projector: [n, height / 28 · width / 28, hidden · shuffle²]."""
        rows, columns = pixels.shape[2] // self.config.patch, pixels.shape[3] // self.config.patch
        hidden = self.embeddings(pixels, offsets, self.shuffle)
        added: Tensor | None = None
        scale: Tensor | None = None
        for layer in self.layers:
            hidden, added = layer(hidden, added, scale)
            scale = layer.ls2  # type: ignore[assignment]
        return pixel_shuffle(total(hidden, added, scale)[:, 1:], rows, columns, self.shuffle)


def normalise(tiles: Tensor) -> Tensor:
    """uint8 [n, height, width, 3] → float32 [n, 3, height, width], of mean 0 and variance 1 on ImageNet."""
    pixels = tiles.permute(0, 3, 1, 2).float() / 255
    # Filled on the device: a copy from the host could not be recorded as a CUDA graph.
    mean, std = (
        torch.cat([torch.full((1, 1, 1), value, device=tiles.device) for value in kind])
        for kind in (MEAN, STD)
    )
    return (pixels - mean) / std


def pixel_shuffle(hidden: Tensor, rows: int, columns: int, side: int) -> Tensor:
    """[n, rows·columns, c] → [n, rows·columns / side², c·side²]: side×side neighbours become one vector."""
    n, _, channels = hidden.shape
    squares = hidden.view(n, rows // side, side, columns // side, side, channels).transpose(2, 3)
    return squares.reshape(n, rows * columns // side**2, channels * side**2)


class Embeddings(nn.Module):
    """Patches, class token and learned positions."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.side = config.patches
        self.class_embedding = nn.Parameter(torch.zeros(1, 1, config.hidden))
        self.patch_embedding = nn.Conv2d(3, config.hidden, config.patch, stride=config.patch)
        self.position_embedding = nn.Parameter(torch.zeros(1, 1 + self.side**2, config.hidden))

    def forward(self, pixels: Tensor, offsets: Tensor | None, shuffle: int) -> Tensor:
        """[n, 3, height, width] → [n, 1 + patches, hidden], the class token first."""
        n, _, height, width = pixels.shape
        patch = self.patch_embedding.kernel_size[0]
        rows, columns = height // patch, width // patch
        # Windows that do not overlap make the convolution a matrix product, which is quicker.
        cut = (
            pixels.view(n, 3, rows, patch, columns, patch)
            .permute(0, 2, 4, 1, 3, 5)
            .reshape(n, rows * columns, -1)
        )
        embedded = F.linear(cut, self.patch_embedding.weight.flatten(1), self.patch_embedding.bias)
        positions = self.position_embedding[:, 1:]
        if offsets is not None or (rows, columns) != (self.side, self.side):
            start = (
                torch.zeros(n, 2, dtype=torch.int64, device=pixels.device)
                if offsets is None
                else offsets * shuffle
            )
            row = start[:, 0, None] + torch.arange(rows, device=pixels.device)
            column = start[:, 1, None] + torch.arange(columns, device=pixels.device)
            positions = positions[0, (row[:, :, None] * self.side + column[:, None, :]).flatten(1)]
        first = (self.class_embedding + self.position_embedding[:, :1]).expand(n, -1, -1)
        return torch.cat([first, embedded + positions], 1)


class Layer(nn.Module):
    """One block: attention and MLP, each normalised before and scaled after."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden, eps=config.eps)
        self.norm2 = nn.LayerNorm(config.hidden, eps=config.eps)
        self.attn = Attention(config)
        self.mlp = Mlp(config)
        self.ls1 = nn.Parameter(torch.ones(config.hidden))
        self.ls2 = nn.Parameter(torch.ones(config.hidden))

        self.add_norm: Callable[
            [Tensor, Tensor | None, Tensor | None, nn.LayerNorm], tuple[Tensor, Tensor]
        ] = add_norm

    def forward(self, hidden: Tensor, added: Tensor | None, scale: Tensor | None) -> tuple[Tensor, Tensor]:
        """The hidden states and what is still to be added to them, times its scale: before and after."""
        hidden, normed = self.add_norm(hidden, added, scale, self.norm1)
        hidden, normed = self.add_norm(hidden, self.attn(normed), self.ls1, self.norm2)
        return hidden, self.mlp(normed)


def add_norm(
    hidden: Tensor, added: Tensor | None, scale: Tensor | None, norm: nn.LayerNorm
) -> tuple[Tensor, Tensor]:
    """`total`, and the norm of it."""
    found = total(hidden, added, scale)
    return found, norm(found)


def total(hidden: Tensor, added: Tensor | None, scale: Tensor | None) -> Tensor:
    """hidden + added · scale, if anything is to be added."""
    return hidden if added is None or scale is None else torch.addcmul(hidden, added, scale)


class Attention(nn.Module):
    """Every patch of a tile looks at every other; tiles do not see one another."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.hidden, 3 * config.hidden, bias=config.qkv_bias)
        self.proj = nn.Linear(config.hidden, config.hidden)
        self.attend: Callable[[Tensor, Tensor, Tensor], Tensor] = F.scaled_dot_product_attention

    def forward(self, hidden: Tensor) -> Tensor:
        query, key, value = self.qkv(hidden).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed: Tensor = self.attend(query, key, value)
        found: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return found


class Mlp(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden, config.ffn)
        self.fc2 = nn.Linear(config.ffn, config.hidden)
        self.act: Callable[[Tensor], Tensor] = F.gelu

    def forward(self, hidden: Tensor) -> Tensor:
        found: Tensor = self.fc2(self.act(self.fc1(hidden)))
        return found
