"""Random checkpoints of several sizes, for measuring speed: what they say means nothing.

They are in transformers' native layout, so that transformers and vLLM load the same weights. The tokenizer is
a byte-level BPE trained on made-up Vietnamese syllables.
"""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import InternVLConfig, InternVLForConditionalGeneration, InternVLVisionConfig, Qwen2Config

from pipeline.vintern import config as configs
from pipeline.vintern import processor_files
from pipeline.vintern import tokenizer as tokenizers
from pipeline.vintern.tokenizer import WORDS
from schemas.registry import resolve

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "<video>"]
SIZES: dict[str, dict[str, dict[str, Any]]] = {
    "small": {  # about the demo model's
        "vision": {
            "hidden_size": 192, "num_hidden_layers": 4,
            "num_attention_heads": 3, "intermediate_size": 768,
        },
        "text": {
            "hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 3, "num_key_value_heads": 1,
            "intermediate_size": 512, "head_dim": 64, "vocab_size": 4096,
        },
    },
    "mid": {  # about a fifteenth of Vintern-1B, in its proportions
        "vision": {
            "hidden_size": 512, "num_hidden_layers": 8,
            "num_attention_heads": 8, "intermediate_size": 2048,
        },
        "text": {
            "hidden_size": 448, "num_hidden_layers": 12, "num_attention_heads": 7, "num_key_value_heads": 1,
            "intermediate_size": 2432, "head_dim": 64, "vocab_size": 16384,
        },
    },
    "full": {  # Vintern-1B-v2: 938,158,976 parameters
        "vision": {
            "hidden_size": 1024, "num_hidden_layers": 24,
            "num_attention_heads": 16, "intermediate_size": 4096,
        },
        "text": {
            "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
            "intermediate_size": 4864, "head_dim": 64, "vocab_size": 151655,
        },
    },
}  # fmt: skip


def write(directory: Path, size: str, seed: int = 0) -> int:
    """Write a checkpoint in bfloat16; returns the number of its parameters."""
    vision, text = SIZES[size]["vision"], SIZES[size]["text"]
    ids = _tokenizer(directory, text["vocab_size"])
    torch.manual_seed(seed)
    config = InternVLConfig(
        vision_config=InternVLVisionConfig(attention_bias=True, layer_norm_eps=1e-6, **vision),
        text_config=Qwen2Config(
            rope_parameters={"rope_type": "default", "rope_theta": 1e6},
            max_position_embeddings=32768,
            eos_token_id=ids["<|im_end|>"],
            pad_token_id=ids["<|endoftext|>"],
            **text,
        ),
        image_token_id=ids["<IMG_CONTEXT>"],
        tie_word_embeddings=False,
    )
    model = InternVLForConditionalGeneration._from_config(config, dtype=torch.bfloat16)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.05)
            elif "lambda" in name:
                parameter.fill_(0.1)
    model.save_pretrained(directory)
    processor_files.write(directory, configs.read(directory), tokenizers.load(directory))
    return sum(parameter.numel() for parameter in model.parameters())


def _tokenizer(directory: Path, vocabulary: int) -> dict[str, int]:
    directory.mkdir(parents=True, exist_ok=True)
    backend = Tokenizer(models.BPE())
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        _text(),
        trainers.BpeTrainer(
            vocab_size=min(vocabulary, 16384) - len(SPECIAL),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    backend.add_special_tokens(SPECIAL)
    backend.save(str(directory / "tokenizer.json"))
    words = {
        "tokenizer_class": "Qwen2TokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": SPECIAL[0],
        "model_max_length": 4096,  # that of Vintern-1B-v2, and what the others are given
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(words))
    return {token: backend.token_to_id(token) for token in SPECIAL}


def _text() -> list[str]:
    onsets = [*"bcdđghklmnrstvx", "ch", "gh", "gi", "kh", "ng", "nh", "ph", "qu", "th", "tr"]
    vowels = [*"aăâeêioôơuưyáàảãạắằấầậéếềệíìóốồộớờợúứừự", "iê", "ươ", "uô"]
    codas = ["", "c", "ch", "m", "n", "ng", "nh", "p", "t", "i", "u"]
    syllables = ["".join(parts) for parts in itertools.product(onsets, vowels, codas)]
    rng = random.Random(0)
    lines = [" ".join(rng.choices(syllables, k=12)) for _ in range(20_000)]
    labels = [f'","{leaf.label}":"' for _, leaf in resolve("id_card@1").shape.leaves()]
    return [*lines, *labels * 500]  # as in a trained tokenizer, a printed label is a few tokens
