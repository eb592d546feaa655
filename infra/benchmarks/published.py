"""The tokenizer of the published checkpoints, rebuilt: Qwen's vocabulary and the tokens that Vintern added.

The vocabulary comes from the wheel `dashscope`, which the tests' set-up installs (without what it depends on:
only its file of tokens is read). It has each token's bytes and rank; vocab.json and merges.txt follow from
them, because a byte-level BPE merges by rank. The added tokens are those of the model pages and of a public
printout of a sibling's tokenizer.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Literal

from tokenizers.pre_tokenizers import ByteLevel

Version = Literal["v2", "v3_5"]

_CHAT = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
_IMAGE = ["<img>", "</img>", "<IMG_CONTEXT>", "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>"]
_OF_QWEN = [
    "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>", "<|quad_start|>",
    "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
]  # fmt: skip
_PLAIN = [  # added, but not special: decoding keeps them
    "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
    "<|repo_name|>", "<|file_sep|>",
]  # fmt: skip
ADDED: dict[Version, list[str]] = {
    "v2": [*_CHAT, *_IMAGE],
    "v3_5": [*_CHAT, *_OF_QWEN, *_PLAIN, *_IMAGE],
}


@cache
def ranks() -> dict[bytes, int]:
    """Each token's bytes and its id, which is its rank in merging.

    Raises PackageNotFoundError where the wheel is not installed: `infra/setup.sh test` installs it.
    """
    file = Path(str(metadata.distribution("dashscope").locate_file("dashscope/resources/qwen.tiktoken")))
    lines = (line.split() for line in file.read_bytes().splitlines())
    return {base64.b64decode(token): int(rank) for token, rank in lines}


def write(directory: Path, version: Version) -> int:
    """The tokenizer's files as they are published; returns the number of its tokens."""
    directory.mkdir(parents=True, exist_ok=True)
    found = ranks()
    spelled = {_spell(token): rank for token, rank in found.items()}
    added = {token: len(found) + number for number, token in enumerate(ADDED[version])}
    decoder = {
        number: {
            "content": token,
            "special": token not in _PLAIN,
            "normalized": False,
            "lstrip": False,
            "rstrip": False,
            "single_word": False,
        }
        for token, number in added.items()
    }
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "added_tokens_decoder": decoder,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": 4096 if version == "v2" else 12288,
    }
    (directory / "vocab.json").write_text(json.dumps(spelled, ensure_ascii=False), encoding="utf-8")
    (directory / "merges.txt").write_text("\n".join(["#version: 0.2", *_merges(), ""]), encoding="utf-8")
    (directory / "added_tokens.json").write_text(json.dumps(added), encoding="utf-8")
    (directory / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return len(found) + len(added)


@cache
def _merges() -> list[str]:
    """The two parts of each token, in the order of ranks: what earlier merges make of its bytes."""
    return [" ".join(map(_spell, _parts(token))) for token in _by_rank() if len(token) > 1]


def _by_rank() -> Iterator[bytes]:
    return iter(sorted(ranks(), key=ranks().__getitem__))


def _parts(token: bytes) -> tuple[bytes, bytes]:
    found = ranks()
    splits = [
        (token[:cut], token[cut:])
        for cut in range(1, len(token))
        if token[:cut] in found and token[cut:] in found
    ]
    if len(splits) == 1:
        return splits[0]
    parts = [token[at : at + 1] for at in range(len(token))]
    while len(parts) > 2:
        _, at = min(
            (found[parts[at] + parts[at + 1]], at)
            for at in range(len(parts) - 1)
            if parts[at] + parts[at + 1] in found
        )
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts[0], parts[1]


@cache
def _letters() -> dict[int, str]:
    """How a byte is written in vocab.json and merges.txt (`_spell`): GPT-2's table.

    Printable bytes stand for themselves, the others for the letters from U+0100 on, in their order.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = (byte for byte in range(256) if byte not in printable)
    table = {byte: chr(byte) for byte in printable} | {byte: chr(256 + at) for at, byte in enumerate(rest)}
    assert set(table.values()) == set(ByteLevel.alphabet())
    return table


def _spell(token: bytes) -> str:
    letters = _letters()
    return "".join(letters[byte] for byte in token)
