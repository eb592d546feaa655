"""Tiny checkpoints with fresh random weights, in each layout that is read, made by transformers' own classes.

`write(directory, layout, ...)` returns transformers' model, so that a test can compare with it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from tokenizers.pre_tokenizers import ByteLevel
from transformers import InternVLConfig, InternVLForConditionalGeneration, InternVLVisionConfig, Qwen2Config

from infra.benchmarks import published
from pipeline.vintern import tokenizer as tokenizers

Kind = Literal["v2", "v3_5", "native"]

# The order in which each published tokenizer adds its special tokens.
SPECIALS = {
    "v2": [
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "<img>",
        "</img>",
        "<IMG_CONTEXT>",
        "<quad>",
        "</quad>",
    ],
    "v3_5": [
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "<quad>",
        "</quad>",
        "<img>",
        "</img>",
        "<IMG_CONTEXT>",
    ],
}
LETTERS = "ạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹđĐâêôơưă"


def write(
    directory: Path,
    kind: Kind = "v2",
    *,
    seed: int = 0,
    tied: bool = False,
    shards: int = 1,
    hidden: int = 64,
    vocabulary: Literal["short", "published"] = "short",
) -> InternVLForConditionalGeneration:
    """A checkpoint of some 300,000 parameters; weights are large enough that every part moves the logits.

    With the published vocabulary it has some 20 million, nearly all of them in embeddings and head.
    """
    directory.mkdir(parents=True, exist_ok=True)
    version: Literal["v2", "v3_5"] = "v2" if kind == "v2" else "v3_5"
    if vocabulary == "published":
        published.write(directory, version)
        ids = {token: len(published.ranks()) + at for at, token in enumerate(published.ADDED[version])}
        size = len(published.ranks()) + len(ids)
    else:
        ids = _tokenizer(directory, SPECIALS[version])
        size = len(ids)
    vision = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "layer_norm_eps": 1e-6,
    }
    text = {
        "vocab_size": size,
        "hidden_size": hidden,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 96,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-6,
    }
    torch.manual_seed(seed)
    config = InternVLConfig(
        vision_config=InternVLVisionConfig(attention_bias=True, **vision),
        text_config=Qwen2Config(
            rope_parameters={"rope_type": "default", "rope_theta": 1e6},
            eos_token_id=ids["<|im_end|>"],
            pad_token_id=ids["<|endoftext|>"],
            **text,
        ),
        image_token_id=ids["<IMG_CONTEXT>"],
        tie_word_embeddings=tied,
    )
    model = InternVLForConditionalGeneration._from_config(config, attn_implementation="sdpa").eval()
    fill(model)
    if kind == "native":
        model.save_pretrained(directory)
        return model
    config_file = {
        "model_type": "internvl_chat",
        "architectures": ["InternVLChatModel"],
        "template": "Hermes-2" if kind == "v2" else "internvl2_5",
        "downsample_ratio": 0.5,
        "ps_version": "v2",
        "select_layer": -1,
        "use_thumbnail": True,
        "dynamic_image_size": True,
        "force_image_size": 448,
        "max_dynamic_patch": 6,
        "min_dynamic_patch": 1,
        "vision_config": {
            "model_type": "intern_vit_6b",
            "image_size": 448,
            "patch_size": 14,
            "qkv_bias": True,
            "qk_normalization": False,
            "norm_type": "layer_norm",
            "hidden_act": "gelu",
            **vision,
        },
        "llm_config": {
            "model_type": "qwen2",
            "architectures": ["Qwen2ForCausalLM"],
            "hidden_act": "silu",
            "rope_theta": 1000000.0,
            "tie_word_embeddings": tied,
            "use_sliding_window": False,
            **text,
        },
    }
    (directory / "config.json").write_text(json.dumps(config_file, indent=1), encoding="utf-8")
    _save(directory, as_published(model.state_dict(), tied), shards)
    return model


def fill(model: InternVLForConditionalGeneration, std: float = 0.2) -> None:
    """Fresh weights, large enough that every part moves the logits."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=std)
            else:
                parameter.add_(0.1 * torch.randn_like(parameter))
                if "lambda" in name:
                    parameter.mul_(5)


def one_file(directory: Path) -> None:
    """The tokenizer as tokenizer.json alone, beside a tokenizer_config.json that names no added tokens."""
    tokenizers.load(directory).backend.save(str(directory / "tokenizer.json"))
    for name in ("vocab.json", "merges.txt", "added_tokens.json"):
        (directory / name).unlink()
    config = {"tokenizer_class": "Qwen2Tokenizer", "backend": "tokenizers", "eos_token": "<|im_end|>"}
    (directory / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")


def as_published(native: dict[str, torch.Tensor], tied: bool) -> dict[str, torch.Tensor]:
    """transformers' names to the published ones, written out apart from the product's own table."""
    out: dict[str, torch.Tensor] = {}
    for name, tensor in native.items():
        new = name
        for pattern, replacement in (
            (r"^model\.language_model\.", "language_model.model."),
            (r"^lm_head\.", "language_model.lm_head."),
            (r"^model\.multi_modal_projector\.layer_norm\.", "mlp1.0."),
            (r"^model\.multi_modal_projector\.linear_1\.", "mlp1.1."),
            (r"^model\.multi_modal_projector\.linear_2\.", "mlp1.3."),
            (r"^model\.vision_tower\.encoder\.layer\.", "vision_model.encoder.layers."),
            (r"^model\.vision_tower\.embeddings\.cls_token", "vision_model.embeddings.class_embedding"),
            (
                r"^model\.vision_tower\.embeddings\.position_embeddings",
                "vision_model.embeddings.position_embedding",
            ),
            (
                r"^model\.vision_tower\.embeddings\.patch_embeddings\.projection\.",
                "vision_model.embeddings.patch_embedding.",
            ),
            (r"\.layernorm_before\.", ".norm1."),
            (r"\.layernorm_after\.", ".norm2."),
            (r"\.lambda_([12])$", r".ls\1"),
            (r"\.attention\.projection_layer\.", ".attn.proj."),
        ):
            new = re.sub(pattern, replacement, new)
        if ".attention.q_proj." in new:
            parts = [native[name.replace("q_proj", part)] for part in ("q_proj", "k_proj", "v_proj")]
            out[new.replace(".attention.q_proj.", ".attn.qkv.")] = torch.cat(parts)
        elif ".attention." not in new and not (tied and new.endswith("lm_head.weight")):
            out[new] = tensor
    return out


def edit(directory: Path, **changes: Any) -> None:
    """Change keys of config.json: `edit(path, llm_config={"vocab_size": 5})` changes one inside a section."""
    path = directory / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        if isinstance(value, dict):
            config.setdefault(key, {}).update(value)
        else:
            config[key] = value
    path.write_text(json.dumps(config), encoding="utf-8")


def _save(directory: Path, tensors: dict[str, torch.Tensor], shards: int) -> None:
    tensors = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    if shards == 1:
        save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
        return
    names = sorted(tensors)
    weight_map = {}
    for number in range(shards):
        file = f"model-{number + 1:05d}-of-{shards:05d}.safetensors"
        part = names[number::shards]
        save_file({name: tensors[name] for name in part}, directory / file, metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(part, file))
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def _tokenizer(directory: Path, specials: list[str]) -> dict[str, int]:
    """A byte-level BPE with one token for each common Vietnamese letter, in the published file format."""
    bytes_to_text = sorted(ByteLevel.alphabet())
    vocab = {character: number for number, character in enumerate(bytes_to_text)}
    merges = []
    spell = ByteLevel(add_prefix_space=False, use_regex=False)
    for letter in LETTERS:
        whole = ""
        for character in spell.pre_tokenize_str(letter)[0][0]:
            if whole and whole + character not in vocab:
                merges.append(f"{whole} {character}")
                vocab[whole + character] = len(vocab)
            whole += character
    added = {token: len(vocab) + number for number, token in enumerate(specials)}
    (directory / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    (directory / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    (directory / "added_tokens.json").write_text(json.dumps(added), encoding="utf-8")
    decoder = {
        number: {"content": token, "special": True, "normalized": False} for token, number in added.items()
    }
    config = {"tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": decoder, "eos_token": "<|im_end|>"}
    (directory / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return vocab | added
