"""The network that is trained: the product's own vision and language, and a head that is thrown away.

The auxiliary head must name the characters in each cell from the visual token alone. Without it the language
model's loss stays on a plateau for a very long time: it cannot tell what it is to look at.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infra.demo_model.alphabet import SYSTEM, TEXT
from infra.demo_model.samples import BLANK, SLOTS
from pipeline.vintern import config as configs
from pipeline.vintern import tokenizer as tokenizers
from pipeline.vintern.model import Network, Vintern
from pipeline.vintern.token_kinds import DECIDED, FORCED, VALUE, kinds
from pipeline.vintern.vision import normalise

PAD = -1


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
        self.config = configs.read(directory)
        self.tokenizer = tokenizers.load(directory)
        self.network = Network(self.config)
        self.aux = Aux(self.config.language.hidden)
        initialise(self.network)

    def vintern(self, checkpoint_hash: str = "in training") -> Vintern:
        return Vintern(self.network, self.config, self.tokenizer, checkpoint_hash)

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
        empty = cells == BLANK
        weight = torch.where(empty, 0.1, 1.0)
        loss = F.cross_entropy(logits.flatten(0, 2), cells.flatten(), reduction="none")
        right = (logits.argmax(-1) == cells)[~empty]
        return (loss * weight.flatten()).sum() / weight.sum(), right.float().mean()

    def answer_logits(self, visual: Tensor, question: str, wanted: Targets) -> Tensor:
        """float32 [n, t, vocab]: each token predicted from image, question and the tokens before it."""
        before, after = self.around(question)
        n = len(visual)
        language = self.network.language
        embeds = torch.cat(
            [
                language.embed(before).expand(n, -1, -1),
                visual,
                language.embed(after).expand(n, -1, -1),
                language.embed(wanted.ids[:, :-1].clamp_min(0)),
            ],
            1,
        )
        positions = torch.arange(embeds.shape[1], device=embeds.device)[None]
        hidden = language(embeds, positions, _causal)[:, -wanted.ids.shape[1] :]
        return language.head(hidden).float()

    def answer_loss(
        self, visual: Tensor, question: str, wanted: Targets, weights: Tensor
    ) -> dict[str, Tensor]:
        """The language model's loss on answers to one question, and its parts by kind of token."""
        logits = self.answer_logits(visual, question, wanted)
        loss = F.cross_entropy(
            logits.flatten(0, 1), wanted.ids.flatten(), reduction="none", ignore_index=PAD
        ).view_as(wanted.ids)
        weight = torch.where(wanted.ids == PAD, 0.0, weights[wanted.kinds])
        value, decided = wanted.kinds == VALUE, wanted.kinds == DECIDED
        forced = (wanted.kinds == FORCED) & (wanted.ids != PAD)
        return {
            "loss": (loss * weight).sum() / weight.sum(),
            "value_loss": loss.detach()[value].mean(),
            "value_right": (logits.argmax(-1) == wanted.ids)[value].float().mean(),
            "decided_loss": loss.detach()[decided].mean(),
            "skeleton_loss": loss.detach()[forced].mean(),
        }

    def around(self, question: str) -> tuple[Tensor, Tensor]:
        """Token ids [1, t] of a prompt before and after the visual tokens."""
        ids = self.vintern().prompt_ids(question, 1)
        places = (ids == self.tokenizer.image).nonzero().flatten()
        device = self.network.language.embed_tokens.weight.device
        return ids[None, : places[0]].to(device), ids[None, places[-1] + 1 :].to(device)


@dataclass(frozen=True, slots=True)
class Targets:
    """Answers in tokens: ids [n, t], PAD at the end; kinds [n, t]: FORCED, DECIDED or VALUE."""

    ids: Tensor
    kinds: Tensor

    def to(self, device: str | torch.device) -> Targets:
        return Targets(self.ids.to(device), self.kinds.to(device))


def targets(tokenizer: tokenizers.Tokenizer, answers: Iterable[str], multiple: int = 32) -> Targets:
    """Tokens of answers and what each is: forced by the grammar, a decision, or a letter of a value."""
    rows = [kinds(tokenizer, answer) for answer in answers]
    length = -(-max(len(ids) for ids, _ in rows) // multiple) * multiple
    return Targets(
        torch.tensor([ids + [PAD] * (length - len(ids)) for ids, _ in rows]),
        torch.tensor([of_row + [FORCED] * (length - len(of_row)) for _, of_row in rows]),
    )


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
            "max_position_embeddings": 2048,
            "rms_norm_eps": 1e-06,
            "rope_theta": 10000.0,
            "tie_word_embeddings": False,
            "use_sliding_window": False,
        },
    }
    profile = {"system": SYSTEM, "context_length": 2048}
    reads = ["id_card@1", "receipt@1"]
    for name, content in (("config.json", config), ("profile.json", profile), ("schemas.json", reads)):
        (directory / name).write_text(
            json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
        )
