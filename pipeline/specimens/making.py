"""One seed, one specimen."""

from __future__ import annotations

from random import Random
from typing import Literal

from pipeline.errors import UsageError
from pipeline.specimens import fonts as type_faces
from pipeline.specimens import id_card, invoice, invoice_layout, other, receipt, tiers, wear
from pipeline.specimens.specimen import VERSION, Page, Specimen, truth

KINDS = ("id_card", "id_card_front", "id_card_back", "receipt", "invoice", "blank", "other")
Preset = Literal["standard", "clean", "worn", "training", "scan", "noisy", "photo"]
_SIDES = {"id_card": "both", "id_card_front": "front", "id_card_back": "back"}


def make(
    kind: str,
    seed: int,
    *,
    preset: Preset = "standard",
    fonts: str | None = None,
    layouts: str | None = None,
    blank: float = 0.0,
    schema: str = "id_card",
    most_lines: int | None = None,
) -> Specimen:
    """The specimen of this kind and seed.

    preset    "clean": a good scan; "worn": a poor one; "standard": either; "training": either, at several
              sizes, some words random syllables, the QR code only for its looks; "scan", "noisy",
              "photo": how it came into the computer (`tiers`), as "clean" is one of these too
    fonts     "standard" (default) or "held-out"
    layouts   "standard", "held-out", or "varied": labels in other words; by default as `fonts`
    blank     chance that a value is left out (with its label in half of the cases)
    schema    for the kinds "blank" and "other": whose fields are absent
    most_lines  of an invoice; by default up to 60, on several pages
    """
    if kind not in KINDS:
        raise UsageError(f"unknown kind of specimen {kind!r}: choose from {', '.join(KINDS)}")
    font_set = fonts or "standard"
    layout_set = layouts or font_set
    type_faces.check_set(font_set)
    if layout_set not in receipt.LAYOUTS:
        raise UsageError(f"unknown layouts {layout_set!r}: choose one of {', '.join(receipt.LAYOUTS)}")
    rng = Random(f"{kind}:{seed}:{preset}:{font_set}:{layout_set}")
    training = preset == "training"
    is_worn = preset == "worn" or (preset in ("standard", "training") and rng.random() < 0.5)
    scale = rng.choice((0.62, 0.7, 0.7, 0.8, 1.0)) if training else 1.0
    invented = 0.15 if training else 0.0
    if kind in _SIDES:
        card = id_card.plan(rng, font_set, layout_set, blank, invented, training)
        pages = id_card.draw(rng, card, scale, _SIDES[kind])
        name, layout, family, plan = "id_card", f"{card.form}-{card.look.name}", card.family, card.plan
    elif kind == "receipt":
        slip = receipt.plan(rng, font_set, layout_set, blank, invented)
        pages = (receipt.draw(rng, slip, scale),)
        name, layout, family, plan = "receipt", slip.layout, slip.family, slip.plan
    elif kind == "blank":
        pages, name, layout, family, plan = (other.empty(rng, scale),), schema, "empty", "", {}
    elif kind == "other":
        page, family = other.letter(rng, font_set, scale, invented)
        pages, name, layout, plan = (page,), schema, "letter", {}
    else:
        bill = invoice.plan(rng, font_set, layout_set, blank, invented, most_lines)
        scale *= 0.85 if training else 1.0  # of 200 dpi, in six tiles; the others fill one
        pages = invoice_layout.draw(rng, bill, scale)
        name, layout, family, plan = "invoice", bill.layout, bill.family, bill.plan
    if preset in ("scan", "noisy", "photo"):
        pages = tuple(tiers.age(rng, page, preset) for page in pages)
        is_worn = preset != "scan"
    else:
        pages = tuple(_age(rng, page, is_worn, training) for page in pages)
    return Specimen(kind, VERSION[name], layout, family, is_worn, pages, truth(name, plan, pages))


def _age(rng: Random, page: Page, is_worn: bool, training: bool) -> Page:
    strength = rng.uniform(0.3, 1.0) if training else rng.uniform(0.5, 1.0)
    return wear.apply(page, wear.worn(rng, strength) if is_worn else wear.clean(rng))
