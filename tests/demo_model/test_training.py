"""The training learns, stops, goes on, and its export is a checkpoint that the product loads."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from infra.demo_model import alphabet, samples, train
from infra.demo_model.evaluate import score
from infra.demo_model.export import export
from infra.demo_model.reader import DECIDED, FORCED, VALUE, targets
from pipeline import grammar, vintern
from pipeline.specimens import make
from pipeline.vintern import tokenizer

PLAN = {
    "rates": {"adamw": 1e-3, "muon": 2e-3, "vision": 1.0, "warm_up": 1, "mean_keeps": 0.5},
    "weights": {"value": 1.0, "decided": 1.0, "forced": 0.05, "auxiliary": 0.3},
    "batch": {"crops": 3, "crop_side": 4, "pages": 1, "replayed": 0.5},
    "heldout": {"pages": 1, "seconds": 1000},
    "stage": [
        {"name": "one", "steps": 1, "crops": 1.0},
        {"name": "two", "crops": 0.0, "absent": [0.5, 0.5], "pages": {"id_card_front": 1.0}},
    ],
}


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> tokenizer.Tokenizer:
    directory = tmp_path_factory.mktemp("alphabet")
    alphabet.write(directory)
    return tokenizer.load(directory)


@pytest.mark.slow
def test_three_steps_then_two_more(tmp_path):
    run = train.Run(tmp_path / "run", PLAN, "cpu")
    before = [weight.clone() for weight in run.optimiser.masters]
    run.train(until=None, decay_seconds=1, steps=3, workers=1, seed=1)
    assert (run.step, run.seen) == (3, {"crops": 3, "id_card_front": 2})
    assert not any(torch.equal(old, new) for old, new in zip(before, run.optimiser.masters, strict=True))

    again = train.Run(tmp_path / "run", PLAN, "cpu")
    assert (again.step, again.seen) == (3, run.seen)
    for old, new in zip(run.optimiser.masters, again.optimiser.masters, strict=True):
        assert torch.equal(old, new)
    again.train(until=None, decay_seconds=1, steps=5, workers=1, learners=2, seed=1)
    assert again.step == 5

    entries = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    scored = [entry for entry in entries if "heldout" in entry]  # a slow machine logs losses too
    assert [entry["step"] for entry in scored] == [3, 5]
    assert set(scored[-1]["heldout"]["front clean"]) >= {"all", "Số", "Họ và tên"}
    assert (tmp_path / "run" / "curve.png").stat().st_size > 1000

    digest = export(tmp_path / "run", tmp_path / "checkpoint")
    model = vintern.load(tmp_path / "checkpoint", device="cpu")
    assert model.checkpoint_hash == digest
    page = samples.page("id_card_front", "id_card", 1, blank=0.0)
    logits = model.logits(model.prompt_ids(page.question, 1)[None], torch.from_numpy(page.crop.pixels)[None])
    assert bool(logits.isfinite().all())


def test_every_letter_key_and_line_of_a_prompt_is_one_token(words):
    for letter in alphabet.TEXT:
        assert len(words.encode(letter)) == 1, letter
    for token in alphabet.plain_tokens():
        assert words.decode(words.encode(token)) == token  # and not the bytes that its characters stand for
    for name in alphabet.SCHEMAS:
        question = samples.question(name)
        assert len(words.encode(question)) == 2 * question.count("\n") + 1
    empty = grammar.answer(samples.spec("id_card").shape, {})
    fields = len(samples.spec("id_card").shape.fields)
    assert len(words.encode(empty)) == 3 * fields + 1  # a bracket or comma, key, null; and the last bracket


def test_what_the_grammar_forces_is_told_from_what_is_read(words):
    answer = '{"Số":"09","Ngày cấp":null,"Ngày":"\\":","Hàng hóa":[{"SL":"2"},{"SL":null}]}'
    found = targets(words, [answer], multiple=1)
    kinds = dict.fromkeys((FORCED, DECIDED, VALUE), "")
    for token, kind in zip(found.ids[0].tolist(), found.kinds[0].tolist(), strict=True):
        kinds[kind] += words.backend.decode([token], skip_special_tokens=False)
    assert kinds[VALUE] == '09\\":2'
    assert kinds[DECIDED] == '""null""[{"",null]'
    assert kinds[FORCED] == '{"Số":,"Ngày cấp":,"Ngày":,"Hàng hóa":"SL":}{"SL":}}<|im_end|>'


def test_a_page_knows_what_stands_in_each_cell():
    page = samples.page("id_card_front", "id_card", 7, blank=0.0, preset="clean")
    assert page.crop.pixels.shape == (448, 448, 3)
    text = "".join(alphabet.TEXT[number] for number in page.crop.cells[page.crop.cells != samples.BLANK])
    printed = make("id_card_front", 7, preset="clean").pages[0].glyphs.characters
    assert sorted(text) == sorted(printed)


def test_another_paper_answers_nothing():
    page = samples.page("receipt", "id_card", 3, blank=0.0)
    assert set(json.loads(page.answer).values()) == {None}


def test_crops_keep_their_place_and_text():
    whole = samples.page("id_card_front", "id_card", 5, blank=0.0).crop
    for crop in samples.cut(whole, 4):
        row, column = crop.offset
        here = whole.pixels[row * 28 : row * 28 + 112, column * 28 : column * 28 + 112]
        assert np.array_equal(crop.pixels, here)
        assert np.array_equal(
            crop.cells.reshape(4, 4, -1), whole.cells.reshape(16, 16, -1)[row : row + 4, column : column + 4]
        )
    dense = samples.dense(random.Random(1), 4)
    assert dense.pixels.shape == (112, 112, 3)
    assert (dense.cells != samples.BLANK).sum() > 15


@pytest.mark.skipif(not (Path(train.HERE) / "checkpoint" / "config.json").is_file(), reason="not shipped yet")
def test_the_shipped_checkpoint_has_the_tokens_of_todays_prompts():
    """A changed prompt or label needs new training: the shipped model would no longer know the words."""
    model = vintern.load("demo", device="cpu")
    assert sum(parameter.numel() for parameter in model.network.parameters()) < 12_000_000
    assert model.max_tiles == 1
    tokens = model.tokenizer.backend.get_added_tokens_decoder().values()
    assert set(alphabet.plain_tokens()) <= {token.content for token in tokens}


def test_scores_count_values_rows_and_absent_ones_apart():
    truth = {
        "number": "1",
        "date": None,
        "total": "9",
        "lines": [],
        "lines[0].name": "a",
        "lines[1].name": "b",
    }
    found = {"number": "1", "date": "x", "total": "8", "lines": 1, "lines[0].name": "a"}
    assert score([(truth, found)]) == {
        "rows": 0.0,
        "all": 0.5,
        "header": 0.5,
        "number": 1.0,
        "absent": 0.0,
        "total": 0.0,
        "lines": 0.5,
        "name": 0.5,
    }
