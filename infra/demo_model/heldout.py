"""Scores on pages that are never trained on: other seeds, and other fonts and layouts.

Quick enough to be taken during training: a field counts as right when every token of its value would have
been chosen after the right ones before it, which is when greedy decoding gives exactly that text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch

from infra.demo_model import samples
from infra.demo_model.sequences import Words
from pipeline.specimens import make
from pipeline.vintern.token_kinds import FORCED

if TYPE_CHECKING:
    from infra.demo_model.pool import Shelf
    from infra.demo_model.reader import Reader

SETS: dict[str, tuple[str, dict[str, Any]]] = {  # name: (schema, how it is made)
    "front clean": ("id_card", {"kind": "id_card_front", "preset": "clean"}),
    "front worn": ("id_card", {"kind": "id_card_front", "preset": "worn"}),
    "front absent": ("id_card", {"kind": "id_card_front", "preset": "clean", "blank": 0.25}),
    "front photo": ("id_card", {"kind": "id_card_front", "preset": "photo"}),
    "front other fonts": ("id_card", {"kind": "id_card_front", "preset": "clean", "fonts": "held-out"}),
    "back clean": ("id_card", {"kind": "id_card_back", "preset": "clean"}),
    "receipt clean": ("receipt", {"kind": "receipt", "preset": "clean"}),
    "receipt worn": ("receipt", {"kind": "receipt", "preset": "worn"}),
    "receipt photo": ("receipt", {"kind": "receipt", "preset": "photo"}),
    "invoice clean": ("invoice", {"kind": "invoice", "preset": "clean"}),
    "invoice worn": ("invoice", {"kind": "invoice", "preset": "worn"}),
    "invoice noisy": ("invoice", {"kind": "invoice", "preset": "noisy"}),
    "invoice photo": ("invoice", {"kind": "invoice", "preset": "photo"}),
    "invoice other fonts": ("invoice", {"kind": "invoice", "preset": "clean", "fonts": "held-out"}),
    "letter": ("id_card", {"kind": "other"}),
    "card for an invoice": ("invoice", {"kind": "id_card_front"}),
}
AT_ONCE = 8


def pages(count: int) -> Iterator[tuple[str, int]]:
    """Set and number of every held-out page, `count` of each set."""
    return ((name, number) for number in range(count) for name in SETS)


def page(name: str, number: int) -> samples.PageSample:
    schema, how = SETS[name]
    return samples.asked(make(seed=10**15 + number, most_lines=samples.MOST_LINES, **how), schema)


@torch.inference_mode()
def score(reader: Reader, sets: Mapping[str, Shelf]) -> dict[str, dict[str, float]]:
    """By set: share of present fields that are right, in all and by field; of absent ones left null."""
    return {name: _score(reader, sets[name]) for name in SETS if name in sets}


def _score(reader: Reader, shelf: Shelf) -> dict[str, float]:
    right: dict[str, list[bool]] = defaultdict(list)
    for start in range(0, shelf.count, AT_ONCE):
        batch = shelf.batch(list(range(start, min(start + AT_ONCE, shelf.count))))
        visual = reader.look(batch.pixels.flatten(0, 1), None)
        chosen = reader.answer_logits(visual, batch.ids).argmax(-1)
        rows = zip(batch.ids[:, 1:].tolist(), batch.kinds[:, 1:].tolist(), chosen.tolist(), strict=True)
        for ids, kinds, found in rows:
            _count(reader, ids, kinds, found, right)
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
        if kind == Words.ASKED:
            continue
        text = words.backend.decode([token])
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
