"""Scores on pages that are never trained on: other seeds, and other fonts and layouts.

Quick enough to be taken during training: a field counts as right when every token of its value would have
been chosen after the right ones before it, which is when greedy decoding gives exactly that text.
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from typing import Any

import torch

from infra.demo_model import samples
from infra.demo_model.reader import FORCED, Reader, targets
from pipeline.specimens import make

SETS: dict[str, tuple[str, dict[str, Any]]] = {  # name: (schema, how it is made)
    "front clean": ("id_card", {"kind": "id_card_front", "preset": "clean"}),
    "front worn": ("id_card", {"kind": "id_card_front", "preset": "worn"}),
    "front absent": ("id_card", {"kind": "id_card_front", "preset": "clean", "blank": 0.25}),
    "front other fonts": ("id_card", {"kind": "id_card_front", "preset": "clean", "fonts": "held-out"}),
    "back clean": ("id_card", {"kind": "id_card_back", "preset": "clean"}),
    "receipt clean": ("receipt", {"kind": "receipt", "preset": "clean"}),
    "receipt worn": ("receipt", {"kind": "receipt", "preset": "worn"}),
    "letter": ("id_card", {"kind": "other"}),
}


@lru_cache(maxsize=256)
def _page(name: str, number: int) -> samples.PageSample:
    schema, how = SETS[name]
    return samples.asked(make(seed=10**15 + number, **how), schema)


@torch.inference_mode()
def score(reader: Reader, pages: int) -> dict[str, dict[str, float]]:
    """By set: share of present fields that are right, in all and by field; of absent ones left null."""
    return {name: _score(reader, [_page(name, number) for number in range(pages)]) for name in SETS}


def _score(reader: Reader, pages: list[samples.PageSample]) -> dict[str, float]:
    right: dict[str, list[bool]] = defaultdict(list)
    for start in range(0, len(pages), 8):
        some = pages[start : start + 8]
        pixels = torch.from_numpy(samples.stack([page.crop for page in some])[0])
        device = reader.network.language.embed_tokens.weight.device
        visual = reader.look(pixels.to(device), None)
        wanted = targets(reader.tokenizer, [page.answer for page in some]).to(device)
        chosen = reader.answer_logits(visual, some[0].question, wanted).argmax(-1)
        for row in range(len(some)):
            _count(reader, wanted.ids[row].tolist(), wanted.kinds[row].tolist(), chosen[row].tolist(), right)
    present = [hit for field, hits in right.items() if field != "absent" for hit in hits]
    means = {field: sum(hits) / len(hits) for field, hits in sorted(right.items())}
    return {
        "all": sum(present) / max(1, len(present)),
        **{name: round(value, 3) for name, value in means.items()},
    }


def _count(
    reader: Reader, ids: list[int], kinds: list[int], chosen: list[int], right: dict[str, list[bool]]
) -> None:
    """Walks over one answer: from one key to the next, were all tokens of the value chosen?"""
    words = reader.tokenizer
    field, skeleton = "", ""
    hits: list[bool] = []
    present = False
    for token, kind, choice in zip(ids, kinds, chosen, strict=True):
        text = words.backend.decode([token]) if token >= 0 else ""
        if kind != FORCED:
            skeleton = ""
            if text not in ("[", "]", "{", ","):
                hits.append(token == choice)
                present = present or text != "null"
            continue
        skeleton += text
        if skeleton.endswith('":') or token == words.end_of_turn:
            if hits:
                right[field if present else "absent"].append(all(hits))
            field, hits, present = skeleton.split('"')[-2] if '"' in skeleton else "", [], False
