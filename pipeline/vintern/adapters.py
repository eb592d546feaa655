"""LoRA on our own modules with peft, and adapters in the files that other tools read.

Our language model multiplies with one `qkv_proj` and one `gate_up_proj` where transformers has three and two
modules. An adapter of the fused matrix is, in their names, one for each part, all with the same A; one made
elsewhere has an A for each part, and is added to its rows when it is merged. Files are named for
transformers' InternVL classes; adapters of the published remote code (`language_model.model.layers…`) and
of InternVL's own training (a peft model inside `language_model`) are read too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import Linear as LoraLinear
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipeline.errors import UsageError
from pipeline.vintern import weights
from pipeline.vintern.config import LanguageConfig

_OURS = r"language\.layers\.\d+\.(self_attn\.(qkv_proj|o_proj)|mlp\.(gate_up_proj|down_proj))"
# As a pattern, not as names: the vision tower has projections of the same names.
_THEIRS = r".*language_model\.layers\.\d+\.(self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj)"
_PREFIX = "base_model.model."
_LORA = re.compile(r".*\blayers\.(\d+)\.(self_attn|mlp)\.(\w+)\.lora_([AB])(?:\.default)?\.weight", re.ASCII)
_NAME = "default"  # of the adapter, in peft
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@dataclass(frozen=True, slots=True)
class Lora:
    """rank of the matrices that are learned; what they add is scaled by alpha / rank."""

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0


def add(network: nn.Module, lora: Lora) -> None:
    """Puts fresh adapters, float32, on the language model's linear layers, in place; all else is frozen.

    They add nothing yet: B begins with zeros.
    """
    inject_adapter_in_model(
        LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=_OURS,
            bias="none",
        ),
        network,
        _NAME,
    )


def merged(network: nn.Module, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """All weights under our names, those that adapters are on with what these add, summed in float32.

    dtype None: as each weight is held.
    """
    adapted = {name: module for name, module in network.named_modules() if isinstance(module, LoraLinear)}
    found: dict[str, Tensor] = {}
    for name, parameter in network.named_parameters():
        if ".lora_" in name:
            continue
        weight = parameter.detach()
        stem, _, rest = name.rpartition(".base_layer.")
        if stem and rest == "weight":
            module = adapted[stem]
            weight = (weight.float() + module.get_delta_weight(_NAME).detach().float()).to(weight.dtype)
        found[f"{stem}.{rest}" if stem else name] = weight if dtype is None else weight.to(dtype)
    return found


def save(directory: Path, network: nn.Module, config: LanguageConfig, lora: Lora, base: str) -> None:
    """Writes the adapter as peft does, for transformers' classes; `base` names the checkpoint it belongs to.

    Parts that are trained as a whole (the projector, the vision tower) are in it, as modules to save.
    """
    tensors = {
        f"{_PREFIX}{name}": tensor.float().contiguous().clone() for name, tensor in _theirs(network, config)
    }
    whole = sorted(
        {
            module
            for module in ("multi_modal_projector", "vision_tower")
            for name in tensors
            if f".{module}." in name
        }
    )
    directory.mkdir(parents=True, exist_ok=True)
    save_file(tensors, directory / WEIGHTS, metadata={"format": "pt"})
    settings: Any = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=_THEIRS,
        bias="none",
        base_model_name_or_path=base,
        modules_to_save=whole or None,
        inference_mode=True,
    )
    told: dict[str, Any] = settings.to_dict()
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in told.items()}
    (directory / CONFIG).write_text(json.dumps(plain, indent=2, default=str) + "\n", encoding="utf-8")


def _theirs(network: nn.Module, config: LanguageConfig) -> Iterator[tuple[str, Tensor]]:
    """What was trained under the names of transformers' modules in memory."""
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        tensor = parameter.detach()
        parts = _named(name)
        if ".lora_A." in name:  # of a fused matrix all parts have it
            yield from ((part, tensor) for part in parts)
        else:
            yield from zip(
                parts, tensor.split(weights.rows(name, len(tensor), len(parts), config)), strict=True
            )


def restore(network: nn.Module, directory: Path) -> None:
    """Fills the adapters that `add` has put on the network with those that `save` wrote, and whole parts too.

    Raises UsageError where the files are of another network.
    """
    _, given = _read(directory)
    own = {name: tensor for name, tensor in network.named_parameters() if tensor.requires_grad}
    with torch.no_grad():
        for name, tensor in own.items():
            parts = [given.get(f"{_PREFIX}{part}") for part in _named(name)]
            found = [part for part in parts if part is not None]
            if len(found) != len(parts):
                raise UsageError(f"{directory / WEIGHTS}: {name} is not in it")
            # Parts of a fused matrix have the same A, and each its rows of B.
            tensor.copy_(found[0] if ".lora_A." in name else torch.cat(found))


def _named(name: str) -> list[str]:
    """The names in a file that one of our parameters has, in order."""
    lora = re.fullmatch(r"(.+)\.lora_([AB])\.default\.weight", name)
    parts = [
        weights.in_memory(part) for part in weights.sources(f"{lora[1]}.weight" if lora else name, "native")
    ]
    return [f"{part.removesuffix('.weight')}.lora_{lora[2]}.weight" for part in parts] if lora else parts


def into(tensors: dict[str, Tensor], directory: Path, config: LanguageConfig) -> dict[str, Tensor]:
    """The weights of a base, under our names, with the adapter of `directory` merged into them in float32.

    What it does not touch stays as it is held.

    Raises UsageError, one line, for an adapter that is not LoRA on linear layers of the language model (with
    a projector or vision tower saved whole), or is of another model.
    """
    settings, given = _read(directory)
    found = dict(tensors)
    places = _places(tensors, config)
    pairs: dict[str, dict[str, Tensor]] = {}
    for name, tensor in given.items():
        lora = _LORA.fullmatch(name)
        if lora:
            pairs.setdefault(f"layers.{lora[1]}.{lora[2]}.{lora[3]}", {})[lora[4]] = tensor
            continue
        bare = (
            name.removeprefix(_PREFIX).replace(".modules_to_save.default", "").replace(".modules_to_save", "")
        )
        if bare not in places:
            raise UsageError(f"{directory / WEIGHTS}: {name} is no part of this model")
        _put(found, places[bare], tensor.float(), directory, name, add=False)
    for name, pair in pairs.items():
        target = f"model.language_model.{name}.weight"
        if set(pair) != {"A", "B"} or target not in places:
            raise UsageError(
                f"{directory / WEIGHTS}: {name} is no linear layer of this model with both A and B"
            )
        delta = _scale(settings, pair["A"].shape[0]) * (pair["B"].float() @ pair["A"].float())
        _put(found, places[target], delta, directory, name, add=True)
    return found


_Rows = tuple[str, slice]  # of one of our parameters


def _places(tensors: Mapping[str, Tensor], config: LanguageConfig) -> dict[str, _Rows]:
    """Where each tensor of transformers' modules in memory stands in ours."""
    places: dict[str, _Rows] = {}
    for name, tensor in tensors.items():
        parts = weights.sources(name, "native")
        first = 0
        for part, rows in zip(parts, weights.rows(name, len(tensor), len(parts), config), strict=True):
            places[weights.in_memory(part)] = name, slice(first, first + rows)
            first += rows
    return places


def _put(
    tensors: dict[str, Tensor], place: _Rows, value: Tensor, directory: Path, what: str, *, add: bool
) -> None:
    name, rows = place
    whole = tensors[name].float().clone()
    if whole[rows].shape != value.shape:
        raise UsageError(
            f"{directory / WEIGHTS}: {what} is {list(value.shape)}, the model's is "
            f"{list(whole[rows].shape)}: this adapter belongs to another model"
        )
    whole[rows] = whole[rows] + value if add else value
    tensors[name] = whole


def _scale(settings: Mapping[str, Any], rank: int) -> float:
    alpha = float(settings.get("lora_alpha", 8))
    return alpha / rank**0.5 if settings.get("use_rslora") else alpha / rank


def _read(directory: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    path = directory / CONFIG
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{directory} is no adapter: it has no {CONFIG}") from None
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}") from None
    if not isinstance(settings, dict) or settings.get("peft_type") != "LORA":
        raise UsageError(f"{path}: only adapters of the type LORA can be merged")
    for key, plain in (
        ("use_dora", False),
        ("bias", "none"),
        ("rank_pattern", {}),
        ("alpha_pattern", {}),
        ("fan_in_fan_out", False),
    ):
        if settings.get(key) not in (None, plain):
            raise UsageError(f"{path}: {key!r} is {settings[key]!r}; only {plain!r} is supported")
    try:
        return settings, load_file(directory / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{directory / WEIGHTS} cannot be read: {error}") from None
