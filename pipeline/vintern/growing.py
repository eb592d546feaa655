"""A small tokenizer learns a new paper's words: its labels and the lines of its question, one token each.

A demo model's tokenizer spells letter by letter and has tokens only for the papers that it was made for. The
labels of any other would make its answers twice as long. A full-size tokenizer has words and needs none.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor

from pipeline import grammar, prompt
from pipeline.errors import UsageError
from pipeline.grammar import Form
from pipeline.vintern.tokenizer import Tokenizer
from schemas.shape import Group, Node, Repeated
from schemas.spec import SchemaSpec

SMALL = 4096  # tokens; with fewer a tokenizer spells letters
_FILES = ("vocab.json", "merges.txt", "added_tokens.json", "tokenizer_config.json", "special_tokens_map.json")


def words(spec: SchemaSpec, form: Form = "objects") -> list[str]:
    """What every question and answer of the schema repeats: keys as the answer has them, lines of the prompt.

    A text of which every character is also a name for a byte (such as "Ngày" without a space) is left out:
    byte-level decoders take it for those bytes.
    """
    found = [f'"{key}":' for key in _keys(spec.shape.of_pages, form)]
    found += prompt.build(spec, form).split("\n")
    names_of_bytes = set(ByteLevel.alphabet())
    return [word for word in dict.fromkeys(found) if word.isascii() or not names_of_bytes.issuperset(word)]


def _keys(group: Group, form: Form) -> list[str]:
    keys: list[str] = []
    for field in group.fields:
        keys.append(grammar.key(field, form))
        inner: Node = field.item if isinstance(field, Repeated) else field
        if isinstance(inner, Group) and not (isinstance(field, Repeated) and form == "rows"):
            keys += _keys(inner, form)
    return keys


def missing(tokenizer: Tokenizer, wanted: Iterable[str]) -> list[str]:
    """Those that are not yet one token."""
    return [word for word in dict.fromkeys(wanted) if len(tokenizer.encode_plain(word)) > 1]


def added(tokenizer: Tokenizer, grown: Tokenizer) -> list[str]:
    """The tokens that `grown` has behind those of `tokenizer`, in order."""
    words = [grown.backend.id_to_token(number) for number in range(tokenizer.size, grown.size)]
    return [word for word in words if word is not None]


def grow(base: Path, tokenizer: Tokenizer, new: Iterable[str], out: Path) -> None:
    """Writes the tokenizer's files with new tokens, ordinary text, behind all others.

    Raises UsageError where the checkpoint keeps its added tokens in no file of their own.
    """
    names = [base / name for name in _FILES]
    added_path, config_path = base / "added_tokens.json", base / "tokenizer_config.json"
    if not (added_path.is_file() and config_path.is_file() and names[0].is_file()):
        raise UsageError(
            f"{base}: no added_tokens.json and tokenizer_config.json beside vocab.json: no token can be added"
        )
    out.mkdir(parents=True, exist_ok=True)
    for path in names:
        if path.is_file():
            shutil.copyfile(path, out / path.name)
    added: dict[str, int] = json.loads(added_path.read_text(encoding="utf-8"))
    config = json.loads(config_path.read_text(encoding="utf-8"))
    decoder = config.setdefault("added_tokens_decoder", {})
    for number, word in enumerate(new, tokenizer.size):
        added[word] = number
        decoder[str(number)] = {
            "content": word,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": False,
        }
    for path, content in ((added_path, added), (config_path, config)):
        text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
        (out / path.name).write_text(text, encoding="utf-8")


def with_rows(tensors: Mapping[str, Tensor], tokenizer: Tokenizer, new: list[str]) -> dict[str, Tensor]:
    """The weights with a row for each new token, behind the rows that the tokenizer has now.

    In the embedding table it is the mean of the rows of its letters, as long as rows usually are: new tokens
    are told apart, and none is louder than the others. In the head it is that mean as it is: all that comes
    of these tokens is forced by the grammar.
    """
    found = dict(tensors)
    spelled = [torch.tensor(tokenizer.encode_plain(word)) for word in new]
    for name in ("language.embed_tokens.weight", "language.lm_head.weight"):
        if name not in found:
            continue  # the head is the table
        table = found[name].float()[: tokenizer.size]
        rows = torch.stack([table[ids].mean(0) for ids in spelled])
        if name.endswith("embed_tokens.weight"):
            usual = table.norm(dim=1).median()
            rows = rows * (usual / rows.norm(dim=1, keepdim=True).clamp_min(1e-6))
        found[name] = torch.cat([table, rows]).to(found[name].dtype)
    return found
