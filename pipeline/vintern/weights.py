"""Published and native tensors ↔ our modules: each tensor is used exactly once, or the checkpoint refused.

Our names are the published ones with shorter prefixes; what the language model multiplies with the same
states is one tensor here, several there. The native layout (transformers' own InternVL classes) names them
differently and splits the vision tower's `qkv` too. It has two spellings: that of the files
which `save_pretrained` writes, and that of the modules in memory (files written by other means).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pipeline.errors import UsageError
from pipeline.vintern.config import Config, LanguageConfig, Layout

# (ours, theirs): prefixes, the first that fits wins
PUBLISHED = (
    ("vision.mlp1.", "mlp1."),
    ("vision.embeddings.", "vision_model.embeddings."),
    ("vision.layers.", "vision_model.encoder.layers."),
    ("language.lm_head.", "language_model.lm_head."),
    ("language.", "language_model.model."),
)
NATIVE = (
    ("vision.mlp1.0.", "multi_modal_projector.layer_norm."),
    ("vision.mlp1.1.", "multi_modal_projector.linear_1."),
    ("vision.mlp1.3.", "multi_modal_projector.linear_2."),
    ("vision.embeddings.class_embedding", "vision_tower.embeddings.cls_token"),
    ("vision.embeddings.position_embedding", "vision_tower.embeddings.position_embeddings"),
    ("vision.embeddings.patch_embedding.", "vision_tower.embeddings.patch_embeddings.projection."),
    ("vision.layers.", "vision_tower.encoder.layer."),
    ("language.lm_head.", "language_model.lm_head."),
    ("language.", "language_model.model."),
)
IN_MEMORY = (  # (file, module) spelling of the native layout
    ("language_model.lm_head.", "lm_head."),
    ("language_model.model.", "model.language_model."),
    ("", "model."),
)
NATIVE_LAYER = (  # inside vision.layers.N.
    ("norm1.", "layernorm_before."),
    ("norm2.", "layernorm_after."),
    ("ls1", "lambda_1"),
    ("ls2", "lambda_2"),
    ("attn.proj.", "attention.projection_layer."),
    ("attn.qkv.", "attention.qkv_proj."),
)
STACKED = {  # ours along dimension 0
    ".qkv_proj.": (".q_proj.", ".k_proj.", ".v_proj."),
    ".gate_up_proj.": (".gate_proj.", ".up_proj."),
}


def sources(name: str, layout: Layout) -> list[str]:
    """The checkpoint's tensors that make our parameter `name`; several are stacked along dimension 0."""
    theirs = _swap(name, PUBLISHED if layout == "published" else NATIVE)
    if layout == "native" and name.startswith("vision.layers."):
        stem, number, rest = theirs.split(".layer.")[0], *theirs.split(".layer.")[1].split(".", 1)
        theirs = f"{stem}.layer.{number}.{_swap(rest, (*NATIVE_LAYER, ('', '')))}"
    for whole, parts in STACKED.items():
        if whole in theirs:
            return [theirs.replace(whole, part) for part in parts]
    return [theirs]


def in_memory(name: str) -> str:
    """The name that transformers' module in memory gives to a tensor of the native layout's files."""
    return _swap(name, IN_MEMORY)


def rows(name: str, total: int, parts: int, config: LanguageConfig) -> list[int]:
    """How many of the rows of our parameter `name` each of its parts has."""
    if name.startswith("language.") and ".qkv_proj." in name:
        return [heads * config.head_dim for heads in (config.heads, config.kv_heads, config.kv_heads)]
    return [total // parts] * parts


def settled(config: Config, files: Iterable[Path]) -> Config:
    """Where the config leaves it open, the head is the embedding table unless the files hold another."""
    if config.language.tied is not None:
        return config
    with _Shards(files) as shards:
        tied = not any(name.endswith("lm_head.weight") for name in shards.place)
    return replace(config, language=replace(config.language, tied=tied))


def load_into(
    module: nn.Module, files: Iterable[Path], config: Config, dtype: torch.dtype, device: str
) -> None:
    """Fill `module` (built on the meta device) from safetensors files.

    Raises UsageError naming each (at most five) missing, extra, doubled or misshapen tensor.
    """
    with _Shards(files) as shards:
        problems: list[str] = []
        found: dict[str, Tensor] = {}
        used: set[str] = set()
        as_modules = any(name.startswith("model.vision_tower.") for name in shards.place)
        for name, parameter in module.named_parameters():
            parts = sources(name, config.layout)
            if as_modules:
                parts = [in_memory(part) for part in parts]
            used.update(parts)
            missing = [part for part in parts if part not in shards.place]
            if missing:
                problems.append(f"{missing[0]} is missing" + _about_head(missing[0], config))
                continue
            wrong = [
                f"{part} is {shards.shape(part)}, config.json says {[height, *parameter.shape[1:]]}"
                for part, height in zip(
                    parts, rows(name, parameter.shape[0], len(parts), config.language), strict=True
                )
                if shards.shape(part) != [height, *parameter.shape[1:]]
            ]
            if wrong:
                problems.append(wrong[0])
                continue
            tensors = [shards.read(part) for part in parts]
            odd = [
                part for part, tensor in zip(parts, tensors, strict=True) if not tensor.is_floating_point()
            ]
            if odd:
                problems.append(f"{odd[0]} holds no floating-point numbers")
                continue
            whole = tensors[0] if len(tensors) == 1 else torch.cat(tensors)
            found[name] = whole.to(device=device, dtype=dtype)
        for extra in sorted(set(shards.place) - used):
            if config.language.tied and _is_a_copy(extra, shards):
                continue
            problems.append(f"{extra} is not part of this model" + _about_head(extra, config))
    if problems:
        more = f" (and {len(problems) - 5} more)" if len(problems) > 5 else ""
        raise UsageError(f"{shards.where}: {'; '.join(problems[:5])}{more}")
    module.load_state_dict(found, assign=True)


def published(module: nn.Module, config: LanguageConfig) -> Iterator[tuple[str, Tensor]]:
    """Our parameters under their published names, to be saved."""
    return named(dict(module.named_parameters()), config, "published")


def named(
    tensors: Mapping[str, Tensor], config: LanguageConfig, layout: Layout
) -> Iterator[tuple[str, Tensor]]:
    """Weights under our names as the files of a layout have them."""
    for name, tensor in tensors.items():
        parts = sources(name, layout)
        yield from zip(parts, tensor.detach().split(rows(name, len(tensor), len(parts), config)), strict=True)


class _Shards:
    """Several safetensors files as one."""

    def __init__(self, files: Iterable[Path]) -> None:
        self.files = list(files)
        self.where = str(self.files[0].parent)
        self.place: dict[str, Any] = {}  # tensor → its open file (safetensors has no types)
        self._open: list[Any] = []

    def __enter__(self) -> _Shards:
        for path in self.files:
            try:
                shard = safe_open(path, framework="pt").__enter__()
            except (SafetensorError, OSError) as error:
                raise UsageError(
                    f"{path} is no complete safetensors file ({error}); fetch it again"
                ) from None
            self._open.append(shard)
            for name in shard.keys():  # noqa: SIM118  (not a dict)
                if name in self.place:
                    raise UsageError(f"{path}: {name} is also in another shard")
                self.place[name] = shard
        return self

    def __exit__(self, *error: object) -> None:
        for shard in self._open:
            shard.__exit__(None, None, None)

    def shape(self, name: str) -> list[int]:
        return list(self.place[name].get_slice(name).get_shape())

    def read(self, name: str) -> Tensor:
        tensor: Tensor = self.place[name].get_tensor(name)
        return tensor


def _is_a_copy(name: str, shards: _Shards) -> bool:
    """`name` is a head that says again what the embedding table says, as some save tied ones."""
    tables = [other for other in shards.place if other.endswith("embed_tokens.weight")]
    return (
        name.endswith("lm_head.weight")
        and len(tables) == 1
        and shards.shape(name) == shards.shape(tables[0])
        and torch.equal(shards.read(name), shards.read(tables[0]))
    )


def _swap(name: str, table: Iterable[tuple[str, str]]) -> str:
    for ours, theirs in table:
        if name.startswith(ours):
            return theirs + name[len(ours) :]
    raise KeyError(name)


def _about_head(name: str, config: Config) -> str:
    """What to do when the head disagrees with the config, the commonest mistake of converted checkpoints."""
    if not name.endswith("lm_head.weight"):
        return ""
    relation = "tied to" if config.language.tied else "separate from"
    return f" (config.json says that the head is {relation} the embeddings: check tie_word_embeddings)"
