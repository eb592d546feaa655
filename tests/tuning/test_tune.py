"""A run goes on where it was stopped, to the same weights; what it leaves is one model; and it learns."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from infra.benchmarks import delivery
from pipeline import evaluation, vintern
from pipeline.errors import UsageError
from pipeline.settings import Settings
from pipeline.tuning import labelled, plan, run
from pipeline.tuning.export import export
from pipeline.tuning.labels import Labels
from pipeline.tuning.wish import Wish
from pipeline.vintern import checkpoint, growing, tokenizer
from pipeline.vintern.merging import merge
from pipeline.vintern.tune_settings import TuneSettings, usual
from schemas import registry
from tests.vintern import checkpoints

NOTE = registry.resolve(delivery.SCHEMA)
pytestmark = pytest.mark.filterwarnings("ignore")  # of peft and transformers among themselves
CHANGES = {"epochs": 2, "batch": 3, "at_once": 2, "rate": 1e-2, "max_tiles": 1, "looks": 2}


@pytest.fixture(scope="module")
def notes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tune")
    delivery.write(folder / "papers", 6, seed=5)
    pages = labelled.of_folder(folder / "papers", evaluation.load(folder / "papers", NOTE), Settings())
    export(folder / "set", pages, NOTE, "objects", heldout=0)
    return folder / "set"


def tuned(notes: Path, model: str, out: Path, stop_after: int = 10**6, **changes) -> run.Outcome:
    steps = count()
    wish = Wish(notes, model, out, changes={**CHANGES, **changes}, dtype="float32", device="cpu")
    return run.tune(
        wish, Settings(), registry.resolve, lambda line: None, lambda: next(steps) >= stop_after + 6
    )


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_checkpoint(notes, tmp_path):
    checkpoints.write(tmp_path / "base", "v3_5", seed=1)
    base = str(tmp_path / "base")
    through = tuned(notes, base, tmp_path / "through")
    stopped = tuned(notes, base, tmp_path / "stopped", stop_after=2)
    assert (stopped.steps, stopped.of, stopped.checkpoint_hash) == (2, 4, None)
    assert not (tmp_path / "stopped" / "model").exists()
    with pytest.raises(UsageError, match="another model, data or settings"):
        tuned(notes, base, tmp_path / "stopped", epochs=3)
    again = tuned(notes, base, tmp_path / "stopped")
    assert again.checkpoint_hash == through.checkpoint_hash
    served = vintern.load(tmp_path / "through" / "model", dtype="float32", device="cpu")
    assert served.checkpoint_hash == through.checkpoint_hash != checkpoint.digest(tmp_path / "base")
    assert served.max_tiles == 1 and served.config.answer_form == "objects"
    card = (tmp_path / "through" / "model" / "README.md").read_text(encoding="utf-8")
    told = json.loads((tmp_path / "through" / "run.json").read_text(encoding="utf-8"))
    assert through.checkpoint_hash in card and told["base_hash"] in card and told["data_hash"] in card
    assert (tmp_path / "through" / "curve.svg").read_text(encoding="utf-8").startswith("<svg")
    for layout in ("published", "native"):  # the adapter brings the new tokens with it
        merge(tmp_path / "through" / "adapter", base, tmp_path / layout, layout, 1)
        other = vintern.load(tmp_path / layout, dtype="float32", device="cpu")
        assert other.tokenizer.size == served.tokenizer.size > tokenizer.load(tmp_path / "base").size
        for (name, one), two in zip(
            served.network.named_parameters(), other.network.parameters(), strict=True
        ):
            torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-6, msg=name)


@pytest.mark.medium
def test_a_new_papers_labels_are_spelled_in_a_token_each(tmp_path):
    demo = checkpoint.locate("demo")
    old = tokenizer.load(demo)
    new = growing.missing(old, growing.words(NOTE))
    assert '"Người nhận":' in new and "Loại giấy: Phiếu giao hàng." in new
    growing.grow(demo, old, new, tmp_path)
    grown = tokenizer.load(tmp_path)
    answers = [Labels(NOTE, "objects").answer(delivery.make(seed).values) for seed in range(20)]
    letters, spelled = (sum(len(words.encode_plain(answer)) for answer in answers) for words in (old, grown))
    values = sum(len(answer) for answer in answers) - sum(len(word) for word in new if word.endswith(":"))
    assert spelled < 0.66 * letters and spelled < values
    assert all(grown.decode(grown.encode_plain(answer)) == answer for answer in answers)
    tensors = load_file(demo / "model.safetensors")
    tables = {"language.embed_tokens.weight": tensors["language_model.model.embed_tokens.weight"]}
    [rows] = growing.with_rows(tables, old, new).values()
    assert len(rows) == grown.size and torch.equal(rows[: old.size], next(iter(tables.values())))
    assert len(torch.unique(rows[old.size :], dim=0)) == len(new)  # told apart


def test_the_plan_mixes_a_fifth_of_old_pages_in_and_is_the_same_for_one_seed():
    how = TuneSettings(epochs=2, batch=10)
    steps = plan.batches([100] * 80, [300] * 7, how)
    assert steps == plan.batches([100] * 80, [300] * 7, how)
    flat = [place for batch in steps for place in batch]
    assert sum(old for old, *_ in flat) == 40 and len(flat) == 200
    assert sorted(at for old, at, _ in flat[:100] if not old) == list(range(80))
    assert {at for old, at, _ in flat[:100] if old} == set(range(7))
    assert all(not old for batch in plan.batches([1] * 5, [], how) for old, *_ in batch)
    thrice = TuneSettings(epochs=2, batch=10, looks=3)
    for pool in (7, 30, 50):  # an old page is looked at as often as the plan comes to it
        steps = plan.batches([1] * 80, [1] * pool, thrice)
        looks = {look for batch in steps for old, _, look in batch if old}
        assert looks == set(range(min(3, plan.rounds(80, pool, thrice))))
    assert plan.rate(0, 100, 0.03) < plan.rate(2, 100, 0.03) == 1 > plan.rate(60, 100, 0.03)
    full = usual(938_158_976)
    assert (full.rank, full.rate, full.warm_up, full.epochs) == (16, 4e-5, 0.03, 1)
    assert (full.max_tiles, full.context, full.replay) == (6, 4096, 0.2)


@pytest.mark.slow
def test_the_demo_model_begins_to_learn_a_paper_that_it_has_never_seen(notes, tmp_path):
    """The whole of it, to the fields, is `python -m infra.benchmarks.tuning`."""
    tuned(notes, "demo", tmp_path / "run", epochs=8, batch=6, at_once=6, rate=3e-3, replay=0.0)
    log = [json.loads(line) for line in (tmp_path / "run" / "curve.jsonl").read_text().splitlines()]
    losses = [entry["loss"] for entry in log if "loss" in entry]
    assert losses[-1] < 0.7 * losses[0]
    assert '"delivery_note@1"' in (tmp_path / "run" / "model" / "schemas.json").read_text()
