"""The network that is trained: the product's own vision and language, and a head that is thrown away.

The auxiliary head must name the characters in each cell from the visual token alone. Without it the language
model's loss stays on a plateau for a very long time: it cannot tell what it is to look at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infra.demo_model.alphabet import SYSTEM, TEXT
from infra.demo_model.samples import BLANK, MAX_TILES, SLOTS, UNTOLD
from infra.demo_model.sequences import Words
from pipeline.vintern.model import Network
from pipeline.vintern.token_kinds import DECIDED, FORCED, VALUE
from pipeline.vintern.vision import normalise

KINDS = {"forced": FORCED, "decided": DECIDED, "value": VALUE}
CONTEXT = 8192  # tokens: six tiles, their thumbnail, and a table that fills the page


class Aux(nn.Module):
    """Visual tokens → characters of the cell."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.line = nn.Linear(hidden, SLOTS * (len(TEXT) + 1))

    def forward(self, visual: Tensor) -> Tensor:
        """[n, cells, hidden] → logits [n, cells, SLOTS, characters + 1]."""
        return self.line(self.norm(visual)).unflatten(-1, (SLOTS, len(TEXT) + 1))


class Reader(nn.Module):
    def __init__(self, directory: Path) -> None:
        """Fresh weights for the sizes in `directory`/config.json, with its tokenizer."""
        super().__init__()
        self.words = Words(directory)
        self.config, self.tokenizer = self.words.config, self.words.tokenizer
        self.network = Network(self.config)
        self.aux = Aux(self.config.language.hidden)
        initialise(self.network)

    def look(self, pixels: Tensor, offsets: Tensor | None) -> Tensor:
        """uint8 [n, h, w, 3] → visual tokens [n, cells, hidden]; whole tiles need no offsets."""
        dtype = self.network.vision.embeddings.position_embedding.dtype
        # The backward pass of torch's fused attention is slow on a CPU for short sequences.
        attend = (
            _plain_attention
            if pixels.shape[1] < 300 and not pixels.is_cuda
            else F.scaled_dot_product_attention
        )
        for layer in self.network.vision.layers:
            layer.attn.attend = attend
        return self.network.vision.read(normalise(pixels).to(dtype), offsets)

    def aux_loss(self, visual: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Loss, and the share of characters that are right."""
        logits = self.aux(visual).float()
        untold, empty = cells == UNTOLD, cells == BLANK
        weight = torch.where(empty, 0.1, 1.0).masked_fill(untold, 0.0)
        loss = F.cross_entropy(logits.flatten(0, 2), cells.flatten(), reduction="none", ignore_index=UNTOLD)
        printed = ~(untold | empty)
        right = (logits.detach().argmax(-1) == cells) & printed
        mean = (loss * weight.flatten()).sum() / weight.sum().clamp_min(1)
        return mean, right.sum() / printed.sum().clamp_min(1)

    def answer_logits(self, visual: Tensor, ids: Tensor) -> Tensor:
        """Visual tokens [n · tiles, cells, hidden], ids [n, t] of question and answer behind the picture →
        float32 [n, t - 1, vocab]: all tokens but the first, each predicted from what is before it.
        """
        n, length = ids.shape
        language = self.network.language
        before = torch.tensor([self.words.before()], device=ids.device)
        embeds = torch.cat(
            [
                language.embed(before).expand(n, -1, -1),
                visual.reshape(n, -1, visual.shape[2]),
                language.embed(ids[:, :-1]),
            ],
            1,
        )
        positions = torch.arange(embeds.shape[1], device=embeds.device)[None]
        attend = _fused if embeds.is_cuda else _causal
        hidden = language(embeds, positions, attend)[:, 1 - length :]
        return language.head(hidden).float()

    def answer_loss(
        self, visual: Tensor, ids: Tensor, kinds: Tensor, weights: Mapping[str, float]
    ) -> dict[str, Tensor]:
        """The language model's loss on answers, and its parts by kind of token."""
        wanted, kinds = ids[:, 1:], kinds[:, 1:]
        logits = self.answer_logits(visual, ids)
        loss = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none").view_as(wanted)
        parts = {name: kinds == kind for name, kind in KINDS.items()}
        weight = sum((weights[name] * part for name, part in parts.items()), torch.zeros_like(loss))
        right = (logits.detach().argmax(-1) == wanted) & parts["value"]
        found = {"loss": (loss * weight).sum() / weight.sum()}
        found |= {f"{name}_loss": _mean(loss.detach(), part) for name, part in parts.items()}
        return found | {"value_right": right.sum() / parts["value"].sum().clamp_min(1)}


def _mean(loss: Tensor, where: Tensor) -> Tensor:
    """Without a copy to the host, which would wait for the GPU."""
    return (loss * where).sum() / where.sum().clamp_min(1)


def initialise(network: Network) -> None:
    """Small normal weights; layer scale 1; positions of the tile as 2-D sines, which learning may change."""
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1 and "position" not in name:
            nn.init.normal_(parameter, std=0.02)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
    table = network.vision.embeddings.position_embedding
    side, quarter = network.vision.config.patches, table.shape[2] // 4
    angles = torch.arange(side)[:, None] / 100.0 ** (torch.arange(quarter) / quarter)
    waves = torch.cat([angles.sin(), angles.cos()], 1)
    rows = waves[:, None].expand(side, side, -1)
    columns = waves[None].expand(side, side, -1)
    with torch.no_grad():
        table[0, 1:] = 0.3 * torch.cat([rows, columns], 2).flatten(0, 1)


def _plain_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return torch.softmax(query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5, -1) @ value


def _causal(layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:  # noqa: ARG001
    """Plain causal attention; on a CPU quicker to train than the fused one."""
    mask = torch.full((query.shape[2],) * 2, float("-inf"), dtype=query.dtype, device=query.device).triu(1)
    return torch.softmax(query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5 + mask, -1) @ value


def _fused(layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:  # noqa: ARG001
    """The same on a GPU, in memory that grows with the length alone: a head of keys for each of queries."""
    several = query.shape[1] // key.shape[1]
    key, value = (part.repeat_interleave(several, 1) for part in (key, value))
    return F.scaled_dot_product_attention(query, key, value, is_causal=True)


def write_config(directory: Path, vocab: int) -> None:
    """config.json and profile.json of the demo model, in the published layout."""
    config = {
        "model_type": "internvl_chat",
        "architectures": ["InternVLChatModel"],
        "template": "internvl2_5",
        "downsample_ratio": 0.5,
        "ps_version": "v2",
        "select_layer": -1,
        "force_image_size": 448,
        "dynamic_image_size": True,
        "use_thumbnail": True,
        "min_dynamic_patch": 1,
        "max_dynamic_patch": 1,
        "torch_dtype": "bfloat16",
        "vision_config": {
            "model_type": "intern_vit_6b",
            "hidden_size": 192,
            "num_hidden_layers": 4,
            "num_attention_heads": 3,
            "intermediate_size": 768,
            "image_size": 448,
            "patch_size": 14,
            "num_channels": 3,
            "qkv_bias": True,
            "qk_normalization": False,
            "norm_type": "layer_norm",
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-06,
        },
        "llm_config": {
            "model_type": "qwen2",
            "architectures": ["Qwen2ForCausalLM"],
            "vocab_size": vocab,
            "hidden_size": 192,
            "num_hidden_layers": 4,
            "num_attention_heads": 3,
            "num_key_value_heads": 1,
            "intermediate_size": 512,
            "hidden_act": "silu",
            "max_position_embeddings": CONTEXT,
            "rms_norm_eps": 1e-06,
            "rope_theta": 10000.0,
            "tie_word_embeddings": False,
            "use_sliding_window": False,
        },
    }
    profile = {"system": SYSTEM, "context_length": CONTEXT}
    profile |= {"tiles_of": {f"{name}@1": most for name, most in MAX_TILES.items()}}
    reads = ["id_card@1", "receipt@1", "invoice@1"]
    for name, content in (("config.json", config), ("profile.json", profile), ("schemas.json", reads)):
        (directory / name).write_text(
            json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
        )
