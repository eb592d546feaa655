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


@pytest.mark.medium
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


PIECES = ('"', '",', '"]', '"Ċ', "%", '%",', "a", "\\", '\\"', '","')


@pytest.mark.parametrize(
    ("piece", "together"),
    [
        ('"', ('"', '",', '"]', '"Ċ', '","')),
        ('","', ('"', '",', '"]', '"Ċ', '","')),
        ("%", ("%", '%",')),
        ('%",', ("%", '%",')),
        ("a", ("a",)),
        ('"]', ('"]',)),  # the end of a list too
        ("\\", ("\\",)),  # what follows it ends nothing
        ('\\"', ('\\"',)),
    ],
)
def test_how_an_answer_goes_on_behind_a_value_is_no_doubt_about_it(
    piece: str, together: tuple[str, ...]
) -> None:
    ids = {piece: number for number, piece in enumerate(PIECES)}
    backend = SimpleNamespace(get_vocab=lambda with_added_tokens: ids)
    unmasked = Unmasked(SimpleNamespace(backend=backend), 16, torch.device("cpu"))  # type: ignore[arg-type]
    logits = torch.randn(2, 16, generator=torch.Generator().manual_seed(1))
    expected = logits.double().softmax(1)[:, [ids[one] for one in together]].sum(1)
    tokens = torch.tensor([ids[piece]] * 2)
    torch.testing.assert_close(unmasked.among_all(logits, tokens), expected, rtol=1e-5, atol=0)
    own = logits.double().softmax(1)[0, ids[piece]]
    chosen = torch.stack([tokens.double(), torch.ones(2).double(), own.repeat(2)])
    beside = unmasked.beside(logits, chosen.clone(), torch.tensor([True, False]))
    torch.testing.assert_close(beside[2], torch.stack([expected[0], own]), rtol=1e-5, atol=0)
    assert torch.equal(beside[:2], chosen[:2])
