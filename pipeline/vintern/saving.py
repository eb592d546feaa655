"""A checkpoint is written: in the layout of its base, or in the other one of the two that are known.

In the base's own layout its config.json is kept as it is. In the other one the config is written from what is
known of the model, and profile.json says what that layout has no place for: system message, separator, tiles.
Beside a native one stand the files with which transformers' processor, and vLLM, read pages.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipeline.vintern import checkpoint, processor_files, weights
from pipeline.vintern.config import SEPARATORS, TILE, Config, Layout, Profile
from pipeline.vintern.tokenizer import Tokenizer

_TOKENIZER = (
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
    "tokenizer.json",
)


def save(
    directory: Path,
    tensors: Mapping[str, Tensor],
    config: Config,
    base: Path,
    tokenizer: Tokenizer,
    *,
    layout: Layout | None = None,
    reads: list[str] | None = None,
    tokenizer_files: Path | None = None,
) -> str:
    """Writes weights under our names as a checkpoint; returns its hash.

    `config` is the model's as it is to be read (its `max_tiles` and `language.vocab` may differ from those of
    the checkpoint in `base`); layout None: that of the base. `reads`: names of schemas for schemas.json.
    `tokenizer_files`: a folder with other files of the tokenizer than the base's.
    The base's calibration is not taken over: it was measured on other weights.
    """
    layout = layout or config.layout
    directory.mkdir(parents=True, exist_ok=True)
    for name in (
        *checkpoint.TEXT_FILES,
        checkpoint.SCHEMAS,
        checkpoint.CALIBRATION,
        *processor_files.FILES,
    ):
        (directory / name).unlink(missing_ok=True)
    for old in directory.glob("*.safetensors"):
        old.unlink()
    copy_tokenizer(tokenizer_files or base, directory)
    _write(directory / "config.json", _config(config, base, tokenizer, layout))
    _write(directory / "profile.json", _profile(config))
    if layout == "native":
        processor_files.write(directory, config, tokenizer)
    if reads:
        _write(directory / checkpoint.SCHEMAS, reads)
    dtype = stored(base)
    files = {
        name: tensor.to(device="cpu", dtype=dtype).contiguous().clone()
        for name, tensor in weights.named(tensors, config.language, layout)
    }
    save_file(files, directory / checkpoint.SINGLE, metadata={"format": "pt"})
    return checkpoint.digest(directory)


def copy_tokenizer(origin: Path, directory: Path) -> None:
    """The tokenizer's files, those that are there."""
    for name in _TOKENIZER:
        if (origin / name).is_file():
            shutil.copyfile(origin / name, directory / name)


def stored(base: Path) -> torch.dtype:
    """The data type in which a checkpoint's weights are kept."""
    with safe_open(checkpoint.weight_files(base)[0], framework="pt") as file:
        found: torch.dtype = file.get_tensor(next(iter(file.keys()))).dtype
    return found


def _profile(config: Config) -> dict[str, Any]:
    profile = Profile(
        system=config.system,
        separator=config.separator,
        max_tiles=config.max_tiles,
        context_length=config.context_length,
        answer_form=config.answer_form,
        tiles_of=config.tiles_of,
    )
    return asdict(profile)


def _config(config: Config, base: Path, tokenizer: Tokenizer, layout: Layout) -> dict[str, Any]:
    if layout == config.layout:
        raw: dict[str, Any] = json.loads((base / "config.json").read_text(encoding="utf-8"))
        section = "llm_config" if layout == "published" else "text_config"
        raw[section] = {**raw[section], "vocab_size": config.language.vocab}
        return raw
    dtype = str(stored(base)).removeprefix("torch.")
    return _native(config, tokenizer, dtype) if layout == "native" else _published(config, dtype)


def _language(config: Config) -> dict[str, Any]:
    language = config.language
    family = "Qwen3" if language.qk_norm else "Qwen2"
    return {
        "architectures": [f"{family}ForCausalLM"],
        "model_type": family.lower(),
        "vocab_size": language.vocab,
        "hidden_size": language.hidden,
        "num_hidden_layers": language.layers,
        "num_attention_heads": language.heads,
        "num_key_value_heads": language.kv_heads,
        "head_dim": language.head_dim,
        "intermediate_size": language.ffn,
        "hidden_act": "silu",
        "max_position_embeddings": language.positions,
        "rms_norm_eps": language.eps,
        "rope_theta": language.rope_theta,
        "tie_word_embeddings": bool(language.tied),
        "use_sliding_window": False,
    }


def _vision(config: Config) -> dict[str, Any]:
    vision = config.vision
    return {
        "hidden_size": vision.hidden,
        "num_hidden_layers": vision.layers,
        "num_attention_heads": vision.heads,
        "intermediate_size": vision.ffn,
        "num_channels": 3,
        "hidden_act": "gelu",
        "layer_norm_eps": vision.eps,
        "norm_type": "layer_norm",
    }


def _native(config: Config, tokenizer: Tokenizer, dtype: str) -> dict[str, Any]:
    """As transformers' InternVLConfig; every value in which its defaults differ from the model is written."""
    language = _language(config)
    rope = {"rope_type": "default", "rope_theta": language.pop("rope_theta")}
    return {
        "model_type": "internvl",
        "architectures": ["InternVLForConditionalGeneration"],
        "dtype": dtype,
        "image_token_id": tokenizer.image,
        "image_seq_length": config.tokens_per_tile,
        "downsample_ratio": 0.5,
        "projector_hidden_act": "gelu",
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "default",
        "tie_word_embeddings": bool(config.language.tied),
        "vision_config": {
            "model_type": "internvl_vision",
            **_vision(config),
            "image_size": [TILE, TILE],
            "patch_size": [config.vision.patch, config.vision.patch],
            "attention_bias": config.vision.qkv_bias,
            "use_qk_norm": False,
            "use_mask_token": False,
            "use_mean_pooling": True,
            "use_absolute_position_embeddings": True,
        },
        "text_config": {
            **language,
            "rope_parameters": rope,
            "eos_token_id": tokenizer.end_of_turn,
        },
    }


def _published(config: Config, dtype: str) -> dict[str, Any]:
    template = next((name for name, end in SEPARATORS.items() if end == config.separator), "internvl2_5")
    return {
        "model_type": "internvl_chat",
        "architectures": ["InternVLChatModel"],
        "template": template,
        "downsample_ratio": 0.5,
        "ps_version": "v2",
        "select_layer": -1,
        "force_image_size": TILE,
        "dynamic_image_size": True,
        "use_thumbnail": True,
        "min_dynamic_patch": 1,
        "max_dynamic_patch": config.max_tiles,
        "tie_word_embeddings": bool(config.language.tied),
        "torch_dtype": dtype,
        "vision_config": {
            "model_type": "intern_vit_6b",
            "architectures": ["InternVisionModel"],
            **_vision(config),
            "image_size": TILE,
            "patch_size": config.vision.patch,
            "qkv_bias": config.vision.qkv_bias,
            "qk_normalization": False,
        },
        "llm_config": _language(config),
    }


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
