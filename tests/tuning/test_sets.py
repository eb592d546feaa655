"""Documents whose values are known become a data set that others read; what is wrong with one is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from infra.benchmarks import delivery
from pipeline import evaluation, prompt, vintern
from pipeline import store as stores
from pipeline.errors import UsageError
from pipeline.records import Decision
from pipeline.settings import Settings
from pipeline.tuning import dataset, labelled
from pipeline.tuning.export import export
from pipeline.tuning.labels import Labels
from pipeline.vintern import checkpoint, sequences
from pipeline.vintern import tokenizer as tokenizers
from schemas import registry
from tests.review import samples
from tests.typed import typed

NOTE = registry.resolve(delivery.SCHEMA)
RECEIPT = registry.resolve("receipt@1")


@pytest.fixture(scope="module")
def notes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("papers") / "notes"
    delivery.write(folder, 12, seed=3)
    return folder


@pytest.fixture(scope="module")
def made(notes, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("sets") / "notes"
    pages = labelled.of_folder(notes, evaluation.load(notes, NOTE), Settings())
    told = export(out, pages, NOTE, "objects", heldout=0.3, seed=1)
    assert not told.left_out and told.pages["train"] + told.pages["heldout"] == 12
    return out


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.medium
def test_a_set_is_in_the_fields_format_and_is_what_the_product_asks_and_reads(made, notes):
    meta = json.loads((made / "meta.json").read_text(encoding="utf-8"))
    [entry] = meta.values()
    train = rows(made / entry["annotation"])
    assert entry["length"] == len(train)
    truth = {Path(row["file"]).stem: row for row in rows(notes / "truth.jsonl")}
    labels = Labels(NOTE, "objects")
    for row in train:
        asked, answered = row["conversations"]
        assert (asked["from"], answered["from"]) == ("human", "gpt")
        assert asked["value"] == f"<image>\n{prompt.build(NOTE)}"
        with Image.open(made / entry["root"] / row["image"]) as picture:
            assert picture.size == (row["width"], row["height"])
        known = truth[Path(row["document"]).stem]
        read = labels.values(answered["value"])
        assert read is not None and read.get("receiver") == known["receiver"]
        assert read["lines[0].name"] == known["lines[0].name"]
    held = rows(made / "heldout.jsonl")
    assert held and not {row["document"] for row in held} & {row["document"] for row in train}
    scored = evaluation.load(made / "images" / "heldout", NOTE)
    assert len(scored.documents) == len(held) and "lines[].quantity" in scored.labelled


def test_a_document_never_changes_sides_and_the_folder_is_private(made, notes, tmp_path):
    pages = list(labelled.of_folder(notes, evaluation.load(notes, NOTE), Settings()))
    export(tmp_path / "half", pages[:6], NOTE, "objects", heldout=0.3, seed=1)
    before = {row["id"] for row in rows(tmp_path / "half" / "heldout.jsonl")}
    assert before <= {row["id"] for row in rows(made / "heldout.jsonl")}
    assert (made / "train.jsonl").stat().st_mode & 0o077 == 0
    with pytest.raises(UsageError, match="not empty"):
        export(made, pages, NOTE, "objects")


def test_pseudonyms_are_consistent_and_no_picture_shows_the_true_names(notes, tmp_path):
    pages = list(labelled.of_folder(notes, evaluation.load(notes, NOTE), Settings()))[:4]
    export(tmp_path / "one", [*pages, *pages], NOTE, "objects", heldout=0, pseudonymise=True)
    told = rows(tmp_path / "one" / "train.jsonl")
    assert not (tmp_path / "one" / "images").exists() and all("image" not in row for row in told)
    text = (tmp_path / "one" / "train.jsonl").read_text(encoding="utf-8")
    names = [page.values["receiver"] for page in pages if "receiver" in page.values]
    assert names and not any(
        name in text or Path(page.document).stem in text for name in names for page in pages
    )
    answers = [row["conversations"][1]["value"] for row in told]
    assert answers[:4] == answers[4:]
    assert all(Labels(NOTE, "objects").refused(answer) is None for answer in answers)
    with pytest.raises(UsageError, match="pseudonyms"):
        list(_preparer().prepared(dataset.good(tmp_path / "one")))


@pytest.mark.medium
def test_reviewed_documents_become_a_set_with_what_people_decided(tmp_path):
    papers = [samples.sample("receipt", seed, 1, 1) for seed in range(5)]
    with stores.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        job = samples.filled(store, tmp_path, "receipt@1", papers, 5, "june")
        by_uri = {document.uri: document for document in store.results.documents(job)}
        for number, uri in enumerate(sorted(by_uri)[:4]):
            paper = papers[number]
            wrong = [
                field.path
                for field in paper.extraction.fields
                if field.raw is not None and field.raw != paper.truth.get(field.path)
            ]
            made = [Decision(path, "correct", "lan", raw=paper.truth[path]) for path in wrong]
            ruling = "reject" if number == 3 else "accept"
            store.decisions.add(job, uri, [*made, Decision(None, ruling, "lan")])
        pages = list(labelled.of_job(store, job, Settings(), RECEIPT))
        told = export(tmp_path / "set", pages, RECEIPT, "objects", heldout=0)
    assert told.pages["train"] == 3 and not told.not_whole  # one was rejected, at one nobody has looked
    for row in rows(tmp_path / "set" / "train.jsonl"):
        paper = papers[int(Path(row["document"]).name[:4])]
        assert row["conversations"][1]["value"] == Labels(RECEIPT, "objects").answer(paper.truth)


@pytest.mark.medium
def test_check_finds_what_was_planted(made, tmp_path, monkeypatch, capfd):
    assert "nothing is wrong" in typed(monkeypatch, capfd, "dataset", "check", made, "--model", "demo")
    train = rows(made / "train.jsonl")
    held = rows(made / "heldout.jsonl")
    long = {**train[0], "id": "long", "schema": None}
    long["conversations"] = [
        {"from": "human", "value": "<image>\nĐọc."},
        {"from": "gpt", "value": "à " * 5000},
    ]
    foreign = json.loads(json.dumps(train[3]))
    foreign["conversations"][1]["value"] = '{"Số phiếu":"GH1"}'
    planted = [
        {**train[0], "id": "gone", "image": "train/nowhere.png"},
        {**train[1], "id": "swapped", "conversations": train[1]["conversations"][::-1]},
        {**train[2], "id": "away", "image": "../../etc/passwd"},
        long,
        {**foreign, "id": "foreign"},
        {**held[0], "id": "held"},
        {**train[4], "id": "size", "width": 3},
    ]
    for row in planted:
        row.pop("document", None)
    path = made / "planted.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in planted), encoding="utf-8")
    told = typed(monkeypatch, capfd, "dataset", "check", path, "--against", made, "--model", "demo", code=3)
    path.unlink()
    for number, kind in enumerate(
        ("missing image", "bad row", "bad row", "too long", "not as asked", "evaluated page", "wrong size"), 1
    ):
        assert f"{kind}, {path}, line {number}:" in told


def test_sets_of_5cd_ai_are_read_from_parquet(tmp_path):
    picture = tmp_path / "a.png"
    Image.new("RGB", (500, 300), "white").save(picture)
    spoken = [
        {"role": "user", "content": "<image>\nTổng tiền?"},
        {"role": "assistant", "content": "80.000"},
        {"role": "user", "content": "Ngày nào?"},
        {"role": "assistant", "content": "1/5/2026"},
    ]
    table = pa.table(
        {
            "image": [{"bytes": picture.read_bytes(), "path": None}],
            "description": ["Một hóa đơn."],
            "conversations": [spoken],
        }
    )
    pq.write_table(table, tmp_path / "set.parquet")
    talk, description = dataset.good(tmp_path / "set.parquet")
    assert talk.turns == (("Tổng tiền?", "80.000"), ("Ngày nào?", "1/5/2026"))
    assert description.answer == "Một hóa đơn."
    assert talk.picture is not None and talk.picture.read() == picture.read_bytes()
    model = _preparer()
    [one, _] = model.prepared([talk, description])
    text = model.tokenizer.backend.decode(list(one.tokens.ids), skip_special_tokens=False)
    close = model.config.separator
    assert text.endswith(
        f"Tổng tiền?{close}<|im_start|>assistant\n80.000{close}<|im_start|>user\nNgày nào?{close}"
        "<|im_start|>assistant\n1/5/2026<|im_end|>"
    )
    learned = [token for token, weight in zip(one.tokens.ids, one.tokens.weights, strict=True) if weight]
    assert (
        model.tokenizer.backend.decode(learned, skip_special_tokens=False)
        == "80.000<|im_end|>1/5/2026<|im_end|>"
    )


def test_what_the_grammar_forces_counts_less():
    model = _preparer()
    labels = Labels(RECEIPT, "objects")
    answer = labels.answer({"store": "AB", "lines[0].name": "C"})
    found = sequences.tokens(model.tokenizer, model.config, [("Đọc.", answer)], 0, skeleton=0.25)
    spelled = {
        model.tokenizer.backend.id_to_token(token): weight
        for token, weight in zip(found.ids, found.weights, strict=True)
        if weight
    }
    assert spelled["A"] == spelled["null"] == spelled["C"] == 1.0
    assert spelled['"Cửa hàng":'] == spelled["}"] == 0.25


def _preparer():
    from pipeline.tuning.prepare import Preparer

    directory = checkpoint.locate("demo")
    config = vintern.config.read(directory)
    return Preparer(
        config, tokenizers.load(directory), config.context_length, 1.0, registry.resolve, Settings().render
    )
