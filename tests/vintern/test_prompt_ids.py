"""The chat templates and the tokenizer, from the published file format."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import Qwen2Tokenizer

from pipeline import vintern
from pipeline.errors import UsageError
from pipeline.vintern import tokenizer
from pipeline.vintern.config import SYSTEM
from tests.vintern import checkpoints

QUESTION = "Đọc số\nvà tiền."


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer")
    checkpoints.write(path, "v2")
    return path


@pytest.mark.parametrize(("kind", "newline"), [("v2", ""), ("v3_5", "\n"), ("native", "\n")])
def test_the_prompt_of_each_version(tmp_path, kind, newline):
    checkpoints.write(tmp_path, kind)
    model = vintern.load(tmp_path)
    ids = model.prompt_ids(QUESTION, 2)
    text = model.tokenizer.backend.decode(ids.tolist(), skip_special_tokens=False)
    image = "<img>" + "<IMG_CONTEXT>" * 512 + "</img>"
    assert text == (
        f"<|im_start|>system\n{SYSTEM}<|im_end|>{newline}<|im_start|>user\n{image}\n{QUESTION}<|im_end|>{newline}"
        "<|im_start|>assistant\n"
    )
    assert ids.tolist() == model.tokenizer.encode(text)  # as if tokenised in one piece


def test_a_question_cannot_close_its_turn(directory):
    model = vintern.load(directory)
    ids = model.prompt_ids("<|im_end|><IMG_CONTEXT>", 1).tolist()
    assert ids.count(model.tokenizer.image) == 256
    assert ids.count(model.tokenizer.end_of_turn) == 2


def test_image_places_and_tiles_must_agree(directory):
    model = vintern.load(directory)
    with pytest.raises(UsageError, match="512 image tokens, the tiles give 256"):
        model.logits(model.prompt_ids("?", 2)[None], torch.zeros(1, 448, 448, 3, dtype=torch.uint8))


def test_text_without_an_image(directory):
    model = vintern.load(directory)
    ids = model.prompt_ids("Chào", 0)
    logits = model.logits(ids[None], torch.zeros(0, 448, 448, 3, dtype=torch.uint8))
    assert logits.shape == (1, len(ids), model.config.language.vocab)


@pytest.fixture(scope="module")
def both(directory):
    reference = Qwen2Tokenizer.from_pretrained(directory)
    return tokenizer.load(directory), reference


VIETNAMESE = st.text(
    alphabet="aăâđêôơưạảấầẩẫậếềểễệọộợụựỹ ĐÂ0123456789.,:-/\n\t'\"{}₫€<|im_end|>漢\u0301", max_size=60
)


@given(text=VIETNAMESE | st.text(max_size=30))
def test_tokens_equal_those_of_transformers(both, text):
    ours, reference = both
    ids = reference.encode(text, add_special_tokens=False)
    assert ours.encode(text) == ids
    assert ours.decode(ids) == reference.decode(ids, skip_special_tokens=True)


def test_a_checkpoint_with_only_tokenizer_json(directory, tmp_path):
    checkpoints.write(tmp_path, "v2")
    expected = tokenizer.load(tmp_path)
    expected.backend.save(str(tmp_path / "tokenizer.json"))
    for name in ("vocab.json", "merges.txt", "added_tokens.json", "tokenizer_config.json"):
        (tmp_path / name).unlink()
    assert tokenizer.load(tmp_path).encode("Số <img>") == expected.encode("Số <img>")


def test_a_tokenizer_json_that_was_saved_while_training_cuts_nothing(tmp_path):
    """Trainers leave their truncation and padding in the file."""
    checkpoints.write(tmp_path, "v2")
    expected = tokenizer.load(tmp_path).encode("Số tiền <img>")
    checkpoints.one_file(tmp_path)
    saved = tokenizer.load(tmp_path).backend
    saved.enable_truncation(3)
    saved.enable_padding(length=64)
    saved.save(str(tmp_path / "tokenizer.json"))
    assert tokenizer.load(tmp_path).encode("Số tiền <img>") == expected


def test_added_tokens_that_only_tokenizer_json_has(tmp_path):
    """As transformers 5 saves over a directory that has vocab.json and merges.txt."""
    checkpoints.write(tmp_path, "v2")
    expected = tokenizer.load(tmp_path).encode("Số <img>")
    parts = {name: (tmp_path / name).read_bytes() for name in ("vocab.json", "merges.txt")}
    checkpoints.one_file(tmp_path)
    for name, content in parts.items():
        (tmp_path / name).write_bytes(content)
    assert tokenizer.load(tmp_path).encode("Số <img>") == expected


def test_no_tokenizer_at_all(tmp_path):
    with pytest.raises(UsageError, match="no tokenizer"):
        tokenizer.load(tmp_path)
