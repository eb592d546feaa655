"""Each measure beside its reference implementation: reference.json says which, reference.py how."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.evaluation.bench import measures, words

REFERENCE: dict[str, Any] = json.loads(Path(__file__).with_name("reference.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("made", REFERENCE["sets"], ids=["sentences", "short answers"])
def test_every_measure_is_that_of_its_reference_implementation(made: dict[str, Any]) -> None:
    said, true = [one for one, _ in made["cases"]], [several for _, several in made["cases"]]
    for name, measure in (
        ("exact", measures.exact),
        ("f1", measures.f1),
        ("anls", measures.anls),
        ("rouge_l", measures.rouge_l),
    ):
        assert [measure(*case) for case in made["cases"]] == pytest.approx(made[name], abs=1e-6), name
    assert measures.cider(said, true) == pytest.approx(made["cider"], abs=1e-6)
    sums = measures.bleu_counts(said, true).sum(axis=0)
    assert measures.bleu(sums) == pytest.approx(made["bleu"], abs=1e-6)


def test_bleu_of_several_drawn_sets_at_once_is_that_of_each() -> None:
    made = REFERENCE["sets"][0]
    counts = measures.bleu_counts(*zip(*made["cases"], strict=True))
    both = np.stack([counts.sum(axis=0), counts[:4].sum(axis=0)])
    assert measures.bleu(both)[0] == pytest.approx(made["bleu"], abs=1e-6)
    assert measures.bleu(both)[1] == pytest.approx(measures.bleu(both[1]))


def test_mtvqa_counts_an_answer_that_holds_the_true_one() -> None:
    # By hand, as scripts/acc.py of bytedance/MTVQA does it: stops are dropped from what is said alone.
    assert measures.contained("giá là 20.000 đồng.", ["20000 đồng"]) == 1.0
    assert measures.contained("giá là 20.000 đồng.", ["20.000 đồng"]) == 0.0
    assert measures.contained("không rõ", ["rõ ràng", "không"]) == 1.0


def test_words_are_folded_without_losing_a_letter() -> None:
    decomposed = "Bánh mì"  # as some keyboards write it
    assert words.plain(f"  {decomposed},  AN TOÀN!  (20.000đ)") == "bánh mì an toàn 20 000đ"
    assert words.folded(" Giá:  20.000 Đ ") == "giá: 20.000 đ"
    assert words.plain("ma") != words.plain("mà")
