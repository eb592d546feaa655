"""What the model gave the tokens of values before the mask: forced ones too, and every way to end a value."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from llguidance import LLMatcher

from pipeline.settings import EngineSettings
from pipeline.vintern import load
from pipeline.vintern.engine import Engine
from pipeline.vintern.values import Unmasked, ValueText
from tests.pipeline.walker import bpe
from tests.vintern import checkpoints
from tests.vintern.pages import COMPACT, answer_slowly, page

# Every value ends because the grammar lets nothing else follow, the last ones together with the answer.
FULL = LLMatcher.grammar_from_json_schema(
    {
        "type": "object",
        "properties": {
            "Số": {"type": "string", "pattern": "^[0-9]{3}$"},
            "Hàng": {
                "type": "array",
                "items": {"type": "string", "pattern": "^[a-e]{2}$"},
                "minItems": 2,
                "maxItems": 2,
            },
        },
        "required": ["Số", "Hàng"],
        "additionalProperties": False,
    },
    overrides=COMPACT,
)
VALUES = re.compile(r'(?<=[:\[,]")[^"]+"(?!:)|\]')


def test_a_forced_token_of_a_value_has_what_the_model_gave_it(tmp_path: Path) -> None:
    checkpoints.write(tmp_path, "v3_5", seed=3)
    model = load(tmp_path, dtype="float32", device="cpu")
    requests = [page(number, number % 2, FULL, 60) for number in range(3)]
    for batch in (1, 3):
        for answer in Engine(model, EngineSettings(max_batch=batch)).generate(requests):
            request = next(request for request in requests if request.id == answer.request_id)
            slow = answer_slowly(model, request)
            assert (answer.text, answer.finish) == (model.tokenizer.decode(slow.tokens), "stop")
            before = slow.logits.softmax(-1)[torch.arange(len(slow.tokens)), slow.tokens].numpy()
            inside = np.zeros(len(answer.forced), dtype=bool)
            for found in VALUES.finditer(answer.text):
                inside |= (answer.spans[:, 0] < found.end()) & (answer.spans[:, 1] > found.start())
            known = ~np.isnan(answer.unmasked)
            np.testing.assert_array_equal(known, inside | ~answer.forced)
            assert (known & answer.forced).sum() >= 4
            assert (answer.probability[answer.forced] == 1).all()
            np.testing.assert_allclose(answer.unmasked[known], before[known], rtol=1e-4)


@pytest.mark.parametrize(
    ("pieces", "parts"),
    [
        (['{"a', '":', '"', "b", '"}'], "000.1"),
        (['{"a":"', "x", '\\"', ']"', ',"b":', "null}"], "0.1100"),
        (['[{"a', '":"', "1", '"},{"', "a", '":', "null", "}", "]"], "00.100001"),
        (['{"a":["', "x", '","', "y", '"]', "}"], "0.1110"),
        (["{", '"a":[', "]", "}"], "0010"),
        (['{"a":"', ":,{[", '","', "b", '":"', "c", '"}'], "0.10011"),
    ],
)
def test_tokens_of_values_are_told_from_those_of_the_form(pieces: list[str], parts: str) -> None:
    """A dot: what is between the quotes, which counts too."""
    text = ValueText()
    said = "".join(str(int(text.holds(piece.encode()))) for piece in pieces)
    assert said == parts.replace(".", "1")


def test_ending_a_value_is_one_choice_however_it_goes_on() -> None:
    vocabulary = bpe().get_vocab(with_added_tokens=False)
    endings = [number for piece, number in vocabulary.items() if piece.startswith('"')]
    assert len(endings) > 2
    size = bpe().get_vocab_size()
    unmasked = Unmasked(SimpleNamespace(backend=bpe()), size, torch.device("cpu"))  # type: ignore[arg-type]
    logits = torch.randn(2, size, generator=torch.Generator().manual_seed(1))
    quote, letter = vocabulary['"'], vocabulary["a"]
    every = logits.double().softmax(1)
    expected = torch.stack([every[0, endings].sum(), every[1, letter]])
    found = unmasked.among_all(logits, torch.tensor([quote, letter]))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    chosen = torch.tensor([[quote, quote], [0.5, 0.5], [0.25, 0.25]], dtype=torch.float64)
    beside = unmasked.beside(logits, chosen.clone(), torch.tensor([True, False]))
    torch.testing.assert_close(beside[2, 0], expected[0], rtol=1e-5, atol=0)
    assert beside[2, 1] == 0.25, "without a grammar nothing is left out"
    assert torch.equal(beside[:2], chosen[:2])
