"""A page's quality from its pixels: how it came in, what is wrong with it, what follows for its document."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from pipeline import grammar, merge, run
from pipeline.keys import ModelFacts
from pipeline.quality.measuring import measure
from pipeline.quality.verdicts import VERDICTS
from pipeline.recipe import Recipe
from pipeline.records import Extraction, PageRecord, Pixels, Quality, Tier
from pipeline.settings import Settings
from pipeline.specimens import make
from pipeline.specimens.defects import plant
from pipeline.specimens.tiers import TIERS
from schemas.registry import resolve
from schemas.shape import SchemaError
from tests.pipeline.walker import reciter

SEED = 31_000


def page(kind: str, tier: Tier, seed: int = SEED) -> Pixels:
    return make(kind, seed, preset=tier).pages[0].pixels


def quality(pixels: Pixels, *, card: bool = True) -> Quality:
    found = measure(pixels, "card" if card else None)
    assert found is not None
    return found


@pytest.mark.slow
@pytest.mark.parametrize("tier", TIERS)
def test_specimens_come_in_by_the_tier_that_they_were_made_for(tier: Tier) -> None:
    told = [
        quality(page(kind, tier, SEED + number)).tier
        for kind in ("id_card_front", "receipt")
        for number in range(5)
    ]
    assert told.count(tier) >= 9, told


@pytest.mark.slow
@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_planted_defect_is_told_and_an_intact_card_is_not_accused(verdict: str) -> None:
    told = 0
    for tier in TIERS:
        for number, kind in enumerate(("id_card_front", "id_card_back", "id_card_back")):
            intact = page(kind, tier, SEED + number)
            assert quality(intact).verdicts == (), (tier, kind, number)
            planted = plant(intact, verdict, Random(f"{tier}:{kind}:{number}"))
            told += verdict in quality(planted).verdicts
    assert told >= 11, f"{told} of 12"


@pytest.mark.slow
@pytest.mark.parametrize("tier", TIERS)
def test_other_papers_and_empty_sheets_get_no_verdict(tier: Tier) -> None:
    for kind in ("receipt", "other", "blank", "invoice"):
        assert quality(page(kind, tier), card=kind != "receipt").verdicts == (), kind


def test_figures_follow_the_picture() -> None:
    clean = page("receipt", "clean")
    image = Image.fromarray(clean)
    small = np.asarray(image.reduce(2))
    turned = np.asarray(image.rotate(-3, fillcolor="white"))  # clockwise
    seen = quality(clean)
    assert seen.letters is not None and seen.noise == 0 and abs(seen.skew) <= 0.2
    half = quality(small).letters
    assert half is not None and 0.4 < half / seen.letters < 0.65
    assert 2.6 <= quality(turned).skew <= 3.4
    grainy = np.clip(clean + np.random.default_rng(1).normal(0, 8, clean.shape), 0, 255).astype(np.uint8)
    assert 0.25 < quality(grainy).noise < 0.5  # of 20 grey levels


@pytest.mark.parametrize("shape", [(64, 64), (64, 2000), (3000, 70), (128, 129)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_page_of_any_shape_is_measured(shape: tuple[int, int], level: int) -> None:
    found = quality(np.full((*shape, 3), level, np.uint8))
    assert (found.letters, found.verdicts) == (None, ())


def test_what_is_too_small_to_be_a_page_is_not_measured() -> None:
    assert measure(np.zeros((63, 900, 3), np.uint8)) is None


def test_the_worst_page_is_the_documents_tier_and_a_verdict_sends_it_to_a_person() -> None:
    receipt = resolve("receipt@1")
    good = Quality("scan", 20.0, 0.04, 0.1, 0.0, 0.0)
    bad = replace(good, tier="photo", verdicts=("blurred", "too_small"))
    fields = PageRecord(1, (), quality=good)
    made = merge.document([fields, PageRecord(2, (), quality=bad)], receipt)
    assert made.tier == "photo"
    told = {check.code: check for check in made.checks if check.code.startswith("page_")}
    assert set(told) == {"page_blurred", "page_too_small"}
    assert all(not check.passed and "page 2" in check.message for check in told.values())
    assert merge.document([PageRecord(1, ())], receipt).tier is None


@pytest.mark.medium
def test_a_file_is_measured_as_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "card.png"
    Image.fromarray(plant(page("id_card_front", "clean"), "blurred", Random(1))).save(path)
    recipe = Recipe.of(resolve("id_card"), Settings(), ModelFacts("c" * 64, max_tiles=2, numerics="cpu"))
    key = recipe.page_key(sha256(path.read_bytes()).hexdigest(), 1)
    told = run.document(str(path), recipe, reciter({key: grammar.answer(recipe.spec.shape, {})}))
    record = told.pages[0].record
    assert record is not None and record.quality is not None
    assert "blurred" in record.quality.verdicts
    assert isinstance(told.outcome, Extraction)
    assert told.outcome.state == "review"
    assert "page_blurred" in {check.code for check in told.outcome.checks}


def test_a_schema_names_a_paper_that_is_known(tmp_path: Path) -> None:
    text = (
        "from typing import ClassVar\nfrom pydantic import BaseModel\n"
        "class Pass(BaseModel):\n    {}\n    n: str | None = None\n"
    )
    (tmp_path / "a.py").write_text(text.format('paper: ClassVar = "card"'))
    (tmp_path / "b.py").write_text(text.format('paper: ClassVar = "bottle"'))
    assert resolve(f"{tmp_path / 'a.py'}:Pass").paper == "card"
    with pytest.raises(SchemaError, match="its paper is 'bottle'; it can be card"):
        resolve(f"{tmp_path / 'b.py'}:Pass")
