"""Configs of the family as people hold them (`printed/`, each with its source), and tiny models like them.

`write(directory, name)` writes a checkpoint whose config.json says what the printed one says, in small sizes,
and returns transformers' model with the same weights in float32.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch
from transformers import (
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLVisionConfig,
    Qwen2Config,
    Qwen3Config,
)

from tests.vintern import checkpoints

PRINTED = Path(__file__).parent / "printed"
NAMES = sorted(path.stem for path in PRINTED.glob("*.json"))
SMALL_VISION = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
VOCABULARY = 16  # rows beyond the tokens, as Qwen3 has them


def printed(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((PRINTED / f"{name}.json").read_text(encoding="utf-8"))
    return found


def write(
    directory: Path,
    name: str,
    *,
    stored: torch.dtype = torch.bfloat16,
    shards: int = 1,
    tokenizer_json: bool = False,
    tied: bool = False,
    head_dim: int = 8,
    seed: int = 0,
) -> InternVLForConditionalGeneration:
    """tokenizer_json: the tokenizer is one file, as transformers 5 saves it. tied: the files hold no head."""
    directory.mkdir(parents=True, exist_ok=True)
    specials = checkpoints.SPECIALS["v2" if name == "InternVL2-1B" else "v3_5"]
    ids = checkpoints._tokenizer(directory, specials)
    config = _small(printed(name)["config"], len(ids) + VOCABULARY, head_dim)
    native = config["model_type"] == "internvl"
    if native:
        config["image_token_id"] = ids["<IMG_CONTEXT>"]
    if tied:
        (config if native else config["llm_config"])["tie_word_embeddings"] = True
    model = _model(config, ids, tied, seed)
    with torch.no_grad():
        for parameter in model.parameters():  # not `model.to`, which would round its frequencies too
            parameter.copy_(parameter.to(stored))
    tensors = {key: tensor.to(stored) for key, tensor in model.state_dict().items()}
    if tied:
        tensors.pop("lm_head.weight")
    published = checkpoints.as_published(tensors, tied)
    checkpoints._save(directory, tensors if native else published, shards)
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    if tokenizer_json:
        checkpoints.one_file(directory)
    return model


def _small(config: dict[str, Any], vocabulary: int, head_dim: int) -> dict[str, Any]:
    """Everything that the config says, with small sizes; queries share keys as in the large one."""
    small = copy.deepcopy(config)
    small["vision_config"].update(SMALL_VISION)
    text = small.get("llm_config") or small["text_config"]
    heads = 2 * text["num_attention_heads"] // text["num_key_value_heads"]
    wide = 7 * head_dim if "head_dim" in text else heads * head_dim  # Qwen3's heads do not divide the width
    text.update(
        num_attention_heads=heads,
        num_key_value_heads=2,
        hidden_size=wide,
        intermediate_size=96,
        num_hidden_layers=2,
        vocab_size=vocabulary,
    )
    text.update({"head_dim": head_dim} if "head_dim" in text else {})
    text.update({"layer_types": text["layer_types"][:2]} if "layer_types" in text else {})
    return small


def _model(
    config: dict[str, Any], ids: dict[str, int], tied: bool, seed: int
) -> InternVLForConditionalGeneration:
    text = config.get("llm_config") or config["text_config"]
    qwen = Qwen3Config if text["model_type"] == "qwen3" else Qwen2Config
    scaling = text.get("rope_scaling") or {"rope_type": "default"}
    kept = (
        "vocab_size hidden_size num_hidden_layers num_attention_heads num_key_value_heads head_dim "
        "intermediate_size max_position_embeddings rms_norm_eps"
    )
    torch.manual_seed(seed)
    built = InternVLConfig(
        vision_config=InternVLVisionConfig(attention_bias=True, layer_norm_eps=1e-6, **SMALL_VISION),
        text_config=qwen(
            rope_parameters={"rope_theta": text["rope_theta"], **scaling},
            eos_token_id=ids["<|im_end|>"],
            pad_token_id=ids["<|endoftext|>"],
            **{key: text[key] for key in kept.split() if key in text},
        ),
        image_token_id=ids["<IMG_CONTEXT>"],
        tie_word_embeddings=tied,
    )
    model = InternVLForConditionalGeneration._from_config(built, attn_implementation="sdpa").eval()
    checkpoints.fill(model, 0.15)  # for they are wider
    return model
