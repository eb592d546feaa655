"""Text ↔ token ids: Qwen2's byte-level BPE from vocab.json, merges.txt and the added tokens.

A checkpoint that has only tokenizer.json, or its added tokens nowhere else, is read from that. Special ids
are looked up by their names, never assumed: they differ between Vintern-1B-v2 and -v3_5.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers

from pipeline.errors import UsageError

# How Qwen2 cuts text before merging: contractions, words, single digits, punctuation, line ends, spaces.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class Tokenizer:
    """`backend` is the tokenizers library's object, which llguidance reads too."""

    def __init__(self, backend: tokenizers.Tokenizer, where: str) -> None:
        self.backend = backend
        self._where = where
        self.size = max(backend.get_vocab(with_added_tokens=True).values()) + 1  # ids lie below it
        self.end_of_turn = self.id("<|im_end|>")  # generation stops here
        self.image_start = self.id("<img>")
        self.image_end = self.id("</img>")
        self.image = self.id("<IMG_CONTEXT>")  # stands for one visual token

    def id(self, token: str) -> int:
        found = self.backend.token_to_id(token)
        if found is None:
            raise UsageError(f"{self._where}: the tokenizer has no token {token!r}")
        return found

    def encode(self, text: str) -> list[int]:
        """No token is added at either end; special tokens in `text` are recognised."""
        return self.backend.encode(text, add_special_tokens=False).ids

    def encode_plain(self, text: str) -> list[int]:
        """As `encode`, but text that looks like a special token stays text (what a user or a file wrote)."""
        self.backend.encode_special_tokens = True
        try:
            return self.encode(text)
        finally:
            self.backend.encode_special_tokens = False

    def decode(self, ids: Sequence[int]) -> str:
        """Special tokens are left out; bytes that form no character become U+FFFD."""
        return self.backend.decode(list(ids), skip_special_tokens=True)


def load(directory: Path) -> Tokenizer:
    """Raises UsageError naming the file and what is wrong with it."""
    vocab, merges, whole = (directory / name for name in ("vocab.json", "merges.txt", "tokenizer.json"))
    if vocab.is_file() and merges.is_file():
        added = _added(directory)
        if added or not whole.is_file():
            return Tokenizer(_from_parts(directory, added), str(directory))
    if whole.is_file():
        try:
            backend = tokenizers.Tokenizer.from_file(str(whole))
        except Exception as error:  # noqa: BLE001  the library raises plain Exception for a broken file
            raise UsageError(f"{whole} is no tokenizer: {error}") from None
        backend.no_truncation()  # which trainers leave in the file
        backend.no_padding()
        return Tokenizer(backend, str(whole))
    raise UsageError(f"{directory}: no tokenizer (vocab.json with merges.txt, or tokenizer.json)")


def _from_parts(directory: Path, added: dict[int, AddedToken]) -> tokenizers.Tokenizer:
    vocab: dict[str, int] = _json(directory / "vocab.json")
    lines = (directory / "merges.txt").read_text(encoding="utf-8").split("\n")
    pairs = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
    odd = [pair for pair in pairs if len(pair) != 2]
    if odd:
        raise UsageError(f"{directory / 'merges.txt'}: {' '.join(odd[0])!r} is no pair")
    try:
        model = models.BPE(vocab=vocab, merges=pairs)  # type: ignore[arg-type]
    except Exception as error:  # noqa: BLE001  the library raises plain Exception
        raise UsageError(f"{directory}: vocab.json and merges.txt do not fit: {error}") from None
    backend = tokenizers.Tokenizer(model)
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    for number, token in sorted(added.items()):
        if token.special:
            backend.add_special_tokens([token])
        else:
            backend.add_tokens([token])
        given = backend.token_to_id(token.content)
        if given != number:
            raise UsageError(
                f"{directory}: added token {token.content!r} has id {number}, but {given} comes next"
            )
    return backend


def _added(directory: Path) -> dict[int, AddedToken]:
    """Added tokens by id, of tokenizer_config.json (with their flags) or added_tokens.json (all special)."""
    added: dict[int, AddedToken] = {}
    plain, config = directory / "added_tokens.json", directory / "tokenizer_config.json"
    if plain.is_file():
        for content, number in _json(plain).items():
            added[int(number)] = AddedToken(content, special=True, normalized=False)
    if config.is_file():
        for number, entry in _json(config).get("added_tokens_decoder", {}).items():
            given = added.get(int(number))
            if given is not None and given.content != entry["content"]:
                raise UsageError(
                    f"{directory}: token {number} is {given.content!r} in added_tokens.json and "
                    f"{entry['content']!r} in tokenizer_config.json"
                )
            added[int(number)] = AddedToken(
                entry["content"],
                special=bool(entry.get("special", False)),
                normalized=bool(entry.get("normalized", not entry.get("special", False))),
                lstrip=bool(entry.get("lstrip", False)),
                rstrip=bool(entry.get("rstrip", False)),
                single_word=bool(entry.get("single_word", False)),
            )
    return added


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise UsageError(f"{path}: expected a JSON object")
    return found
