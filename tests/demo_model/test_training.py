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
from pipeline import grammar, vintern
from pipeline.specimens import make
from pipeline.vintern import tokenizer
from pipeline.vintern.token_kinds import DECIDED, FORCED, VALUE, kinds

PLAN = {
    "rates": {
        "adamw": 1e-3, "muon": 2e-3, "vision": 1.0, "warm_up": 1, "mean_keeps": 0.5, "auxiliary_apart": 1,
    },
    "weights": {"value": 1.0, "decided": 1.0, "forced": 0.05, "auxiliary": 0.3},
    "batch": {"crop": 3, "one": 1, "seven": 1},
    "heldout": {"pages": 1, "seconds": 1000},
    "stage": [
        {"name": "one", "steps": 1, "crops": 1.0},
        {
            "name": "two", "crops": 0.0, "absent": [0.5, 0.5], "varied": 0.5, "presets": {"photo": 1.0},
            "pages": {"id_card_front": 1.0},
        },
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> tokenizer.Tokenizer:
    directory = tmp_path_factory.mktemp("alphabet")
    alphabet.write(directory)
    return tokenizer.load(directory)


@pytest.mark.slow
def test_three_steps_then_two_more(tmp_path):
    run = train.Run(tmp_path / "run", PLAN, "cpu", pool=0.1)
    before = [weight.clone() for weight in run.optimiser.masters]
    run.train(None, 1.0, steps=3)
    assert run.step == 3
    assert run.shown == {"crop": 3, "one": 2}
    assert not any(torch.equal(old, new) for old, new in zip(before, run.optimiser.masters, strict=True))

    again = train.Run(tmp_path / "run", PLAN, "cpu", pool=0.1)
    assert (again.step, again.shown) == (3, run.shown)
    for old, new in zip(run.optimiser.masters, again.optimiser.masters, strict=True):
        assert torch.equal(old, new)
    again.train(None, 1.0, steps=5)
    assert again.step == 5

    entries = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    scored = [entry for entry in entries if "heldout" in entry]  # a slow machine logs losses too
    assert [entry["step"] for entry in scored] == [3, 5]
    assert set(scored[-1]["heldout"]["front clean"]) >= {"all", "Số", "Họ và tên"}
    assert "MST người bán" in scored[-1]["heldout"]["invoice clean"]
    assert (tmp_path / "run" / "curve.png").stat().st_size > 1000

    digest = export(tmp_path / "run", tmp_path / "checkpoint")
    model = vintern.load(tmp_path / "checkpoint", device="cpu")
    assert model.checkpoint_hash == digest
    page = samples.page("id_card_front", "id_card", 1, blank=0.0)
    logits = model.logits(model.prompt_ids(page.question, 1)[None], torch.from_numpy(page.tiles))
    assert bool(logits.isfinite().all())


@pytest.mark.slow
def test_a_run_for_which_no_sample_can_be_drawn_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "PATIENCE", 1.0)
    _, two = PLAN["stage"]
    broken = PLAN | {"stage": [two | {"pages": {"no_such_paper": 1.0}}]}
    with pytest.raises(SystemExit, match="no samples for 1 s"):
        train.Run(tmp_path / "run", broken, "cpu", pool=0.1).train(None, 1.0, steps=1)


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
    found = dict.fromkeys((FORCED, DECIDED, VALUE), "")
    for token, kind in zip(*kinds(words, answer), strict=True):
        found[kind] += words.backend.decode([token], skip_special_tokens=False)
    assert found[VALUE] == '09\\":2'
    assert found[DECIDED] == '""null""[{"",null]'
    assert found[FORCED] == '{"Số":,"Ngày cấp":,"Ngày":,"Hàng hóa":"SL":}{"SL":}}<|im_end|>'


@pytest.mark.medium
@pytest.mark.parametrize(("kind", "count"), [("id_card_front", 1), ("invoice", 7)])
def test_a_page_knows_what_stands_in_each_cell(kind, count):
    page = samples.page(kind, kind.removesuffix("_front"), 7, blank=0.0, preset="clean")
    assert page.tiles.shape == (count, 448, 448, 3)
    told = page.cells[(page.cells != samples.BLANK) & (page.cells != samples.UNTOLD)]
    text = "".join(alphabet.TEXT[number] for number in told)
    printed = make(kind, 7, preset="clean", most_lines=samples.MOST_LINES).pages[0].glyphs.characters
    assert len(text) > 0.97 * len(printed)  # a cell of small type may hold more than it has slots for
    if count == 1:
        assert sorted(text) == sorted(printed)
    else:
        assert (page.cells[-1] == samples.UNTOLD).all()  # the thumbnail
        cells = page.cells[1]
        right = "".join(alphabet.TEXT[number] for number in cells[cells < samples.BLANK])
        assert "toán:VND" in right.replace(" ", "")


def test_another_paper_answers_nothing():
    page = samples.page("receipt", "id_card", 3, blank=0.0)
    assert set(json.loads(page.answer).values()) == {None}


def test_crops_keep_their_place_and_text():
    whole = samples.page("id_card_front", "id_card", 5, blank=0.0)
    for crop in samples.cut(whole, 4):
        row, column = crop.offset
        here = whole.tiles[0, row * 28 : row * 28 + 112, column * 28 : column * 28 + 112]
        assert np.array_equal(crop.pixels, here)
        grid = whole.cells[0].reshape(16, 16, -1)
        assert np.array_equal(crop.cells.reshape(4, 4, -1), grid[row : row + 4, column : column + 4])
    dense = samples.dense(random.Random(1), 4)
    assert dense.pixels.shape == (112, 112, 3)
    assert (dense.cells != samples.BLANK).sum() > 15


@pytest.mark.skipif(not (Path(train.HERE) / "checkpoint" / "config.json").is_file(), reason="not shipped yet")
def test_the_shipped_checkpoint_has_the_tokens_of_todays_prompts():
    """A changed prompt or label needs new training: the shipped model would no longer know the words."""
    model = vintern.load("demo", device="cpu")
    assert sum(parameter.numel() for parameter in model.network.parameters()) < 12_000_000
    tiles = [model.config.most_tiles(f"{name}@1") for name in alphabet.SCHEMAS]
    assert tiles == [samples.MAX_TILES.get(name, 1) for name in alphabet.SCHEMAS]
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
