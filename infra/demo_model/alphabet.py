"""The demo model's tokenizer, in the published file format.

Byte-level BPE that merges bytes into letters and letters into nothing: each Vietnamese letter is one token,
so that the model spells what it sees and cannot lean on whole words. What the grammar forces and what the
prompts repeat are added tokens: a key such as `"Ngày sinh":` and a line of a prompt cost one token each.
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers.pre_tokenizers import ByteLevel

from pipeline.specimens.fonts import NEEDED
from pipeline.vintern import growing
from schemas import registry

SCHEMAS = ("id_card", "receipt", "invoice")
SYSTEM = "Bạn đọc giấy tờ mẫu."  # the demo model's system message
TEXT = "".join(dict.fromkeys(" " + NEEDED))  # the characters that the auxiliary head tells apart
SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<img>",
    "</img>",
    "<IMG_CONTEXT>",
    "<quad>",
    "</quad>",
    "<ref>",
    "</ref>",
    "<box>",
    "</box>",
)


def write(directory: Path) -> int:
    """Writes the four files of the tokenizer; returns the number of tokens."""
    vocab = {character: number for number, character in enumerate(sorted(ByteLevel.alphabet()))}
    merges = []
    spell = ByteLevel(add_prefix_space=False, use_regex=False)
    for letter in TEXT + "€…“”‘’":
        whole = ""
        for character in spell.pre_tokenize_str(letter)[0][0]:
            if whole and whole + character not in vocab:
                vocab[whole + character] = len(vocab)
                merges.append(f"{whole} {character}")
            whole += character
    plain = plain_tokens()
    added = {token: len(vocab) + number for number, token in enumerate([*SPECIAL, *plain])}
    decoder = {
        number: {
            "content": token,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": token in SPECIAL,
        }
        for token, number in added.items()
    }
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "added_tokens_decoder": decoder,
        "additional_special_tokens": list(SPECIAL[1:]),
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": None,
        "errors": "replace",
        "model_max_length": 8192,
    }
    files = {"vocab.json": vocab, "added_tokens.json": added, "tokenizer_config.json": config}
    for name, content in files.items():
        text = json.dumps(content, ensure_ascii=False, indent=None if name == "vocab.json" else 1)
        (directory / name).write_text(text + "\n", encoding="utf-8")
    (directory / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    return len(vocab) + len(added)


def plain_tokens() -> list[str]:
    """Added tokens that are ordinary text: parts of the chat template, lines of prompts, keys, `null`.

    What stands for bytes is left out (`pipeline.vintern.growing.words`); it is spelled in letters instead.
    """
    tokens = ["system\n", "user\n", "assistant\n", "null", SYSTEM]
    for name in SCHEMAS:
        tokens += growing.words(registry.resolve(f"{name}@1"))
    return list(dict.fromkeys(tokens))
