"""A checkpoint in the native layout is one that transformers' processor, and with it vLLM, reads as we do."""

from __future__ import annotations

import json

import pytest
from transformers import Qwen2Tokenizer

from pipeline import vintern
from pipeline.vintern import saving
from tests.vintern import checkpoints

QUESTION = "Đọc số\nvà tiền."


@pytest.mark.medium
@pytest.mark.parametrize("kind", ["v2", "v3_5"])
def test_a_chat_becomes_the_prompt_that_the_engine_makes(tmp_path, kind):
    base, out = tmp_path / "base", tmp_path / "native"
    checkpoints.write(base, kind)
    (base / "profile.json").write_text(json.dumps({"system": 'Bạn "đọc" giấy\ntờ.'}), encoding="utf-8")
    model = vintern.load(base)
    saving.save(
        out, dict(model.network.named_parameters()), model.config, base, model.tokenizer, layout="native"
    )
    theirs = Qwen2Tokenizer.from_pretrained(out)
    parts = [{"type": "image"}, {"type": "text", "text": QUESTION}]
    for content in (parts, f"<IMG_CONTEXT>\n{QUESTION}"):
        chat = [{"role": "user", "content": content}]
        text = theirs.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        image = f"<img>{'<IMG_CONTEXT>' * 256}</img>"  # as the processor writes it
        ids = theirs.encode(text.replace("<IMG_CONTEXT>", image), add_special_tokens=False)
        assert ids == model.prompt_ids(QUESTION, 1).tolist()
    other = [{"role": "system", "content": "Chào"}, {"role": "user", "content": QUESTION}]
    assert theirs.apply_chat_template(other, tokenize=False).count("system\n") == 1
    assert theirs.context_image_token_id == model.tokenizer.image
    assert json.loads((out / "preprocessor_config.json").read_text())["max_patches"] == 6


def test_the_published_layout_has_none_of_these_files(tmp_path):
    base, out = tmp_path / "base", tmp_path / "out"
    checkpoints.write(base, "v2")
    model = vintern.load(base)
    for layout in ("native", "published"):
        saving.save(
            out, dict(model.network.named_parameters()), model.config, base, model.tokenizer, layout=layout
        )
        assert (out / "chat_template.jinja").exists() == (layout == "native")
        assert (out / "preprocessor_config.json").exists() == (layout == "native")
