"""What a schema takes of a context, against specimens' true answers in the published tokenizer."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from infra.benchmarks import published
from infra.benchmarks.room import CONFIG
from pipeline import grammar, prompt
from pipeline.grammar import Form
from pipeline.specimens import invoice
from pipeline.specimens.specimen import shape
from pipeline.vintern import config as configs
from pipeline.vintern import counting
from pipeline.vintern.prompt_ids import prompt_ids
from pipeline.vintern.tokenizer import Tokenizer
from schemas.registry import resolve
from schemas.shape import Leaf, Printed, Repeated
from tests.pipeline.walker import spec_of

INVOICE = resolve("invoice@1")


@pytest.fixture(scope="module")
def config(published_files: dict[published.Version, Path], tmp_path_factory: Any) -> configs.Config:
    directory = tmp_path_factory.mktemp("config")
    (directory / "config.json").write_text(json.dumps(CONFIG))
    return configs.read(directory)


@pytest.mark.parametrize("form", get_args(Form))
def test_the_answer_of_an_invoice_is_estimated_with_a_little_to_spare(
    config: configs.Config, published_tokenizer: Tokenizer, form: Form
) -> None:
    config = replace(config, answer_form=form)
    room = counting.room(config, published_tokenizer, INVOICE, 4096)
    for seed in range(40):
        bill = invoice.plan(random.Random(seed), "standard", "standard", 0, 0)
        raw = shape("invoice", {path: value.raw for path, value in bill.plan.items()})
        text = grammar.answer(INVOICE.shape, raw, form)
        head = text.index('"Hàng hóa, dịch vụ')
        before = len(published_tokenizer.encode(text[:head]))
        assert 0.8 < room.before / before < 1.4
        true = len(published_tokenizer.encode(text))
        assert 0.95 < (room.header + room.line * len(bill.lines)) / true < 1.3


@pytest.mark.parametrize("form", get_args(Form))
def test_the_prompt_is_counted_exactly(
    config: configs.Config, published_tokenizer: Tokenizer, form: Form
) -> None:
    config = replace(config, answer_form=form)
    room = counting.room(config, published_tokenizer, INVOICE, 4096)
    for tiles in (1, 7):
        ids = prompt_ids(published_tokenizer, config, prompt.build(INVOICE, form), tiles)
        assert len(ids) == room.prompt + room.tile * tiles


def test_a_schema_without_lists_has_no_lines_and_the_costliest_of_several_counts(
    config: configs.Config, published_tokenizer: Tokenizer
) -> None:
    word = Leaf("word", "Chữ", Printed("[a-z]{1,9}", str, "text", 9))
    short, long = (
        Repeated(name, name, Leaf("item", name, Printed(".{1,99}", str, "text", chars)), 7)
        for name, chars in (("a", 2), ("b", 99))
    )
    rooms = [
        counting.room(config, published_tokenizer, spec_of(*fields), 4096)
        for fields in ((word,), (short,), (long,), (short, long))
    ]
    assert [room.most_lines for room in rooms] == [0, 7, 7, 14]
    assert rooms[0].line == 0 < rooms[1].line < rooms[2].line == rooms[3].line
