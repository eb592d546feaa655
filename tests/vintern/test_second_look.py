"""A doubtful answer is given once more, from a picture that is moved; the first one stays as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.records import Generation
from pipeline.settings import EngineSettings
from pipeline.vintern import load
from pipeline.vintern.engine import Engine
from pipeline.vintern.second_look import doubtful, moved
from pipeline.vintern.values import Unmasked
from tests.vintern import checkpoints
from tests.vintern.pages import CARD, page


@pytest.mark.medium
@pytest.mark.parametrize("own_memory", [False, True], ids=["on the host", "on a device"])
def test_only_doubtful_pages_are_read_again_and_the_first_answer_stays(
    tmp_path: Path, own_memory: bool
) -> None:
    checkpoints.write(tmp_path, "v2", seed=1)
    engine = Engine(load(tmp_path, dtype="float32", device="cpu"), EngineSettings(max_batch=2, max_waiting=1))
    engine.backend.own_memory = own_memory  # then the request's own tiles are not kept
    plain = {one.request_id: one for one in engine.generate(page(n, n % 2, CARD, 60) for n in range(4))}
    before = engine.stats.requests
    asked = [replace(page(n, n % 2, CARD, 60), second_look=1.0 if n < 2 else 1e-300) for n in range(4)]
    found = {one.request_id: one for one in engine.generate(asked)}
    assert engine.in_flight == 0 and engine.stats.requests == before + 6
    for name, first in plain.items():
        number = int(name.split()[-1])
        assert found[name].text == first.text
        np.testing.assert_array_equal(found[name].probability, first.probability)
        assert (found[name].again is not None) == found[name].looked_again == (number < 2)
    # The second answer is the one to the moved picture.
    request = asked[0]
    [alone] = engine.generate([replace(request, tiles=moved(request.tiles), second_look=None)])
    again = found[request.id].again
    assert again is not None and again.text == alone.text
    np.testing.assert_allclose(again.probability, alone.probability, rtol=1e-4)


def test_doubt_is_the_product_between_forced_tokens() -> None:
    def answer(chances: list[float], forced: list[bool]) -> Generation:
        spans = np.zeros((len(chances), 2), np.int32)
        floats = np.array(chances, np.float32)
        return Generation("a", "", "stop", spans, floats, floats, np.array(forced, np.bool_), 1)

    value = [0.97, 0.97, 0.97, 0.97]
    assert doubtful(answer(value, [False] * 4), 0.9)
    assert not doubtful(answer(value, [False, False, True, False]), 0.9)  # two values
    assert not doubtful(answer([0.5, 0.99], [True, False]), 0.9)  # what is forced is no doubt
    assert not doubtful(answer([], []), 0.9)


def test_a_picture_moves_to_the_right_and_down() -> None:
    tiles = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)
    found = moved(tiles)
    assert found.shape == tiles.shape and found.dtype == np.uint8
    np.testing.assert_array_equal(found[:, 2:, 3:], tiles[:, :-2, :-3])
    np.testing.assert_array_equal(found[:, 0, 0], tiles[:, 0, 0])


def test_no_probability_is_above_one(tmp_path: Path) -> None:
    """A token that all of the mass is on, beside many that add nothing but rounding."""
    checkpoints.write(tmp_path, "v2", seed=1)
    model = load(tmp_path, dtype="float32", device="cpu")
    size = model.config.language.vocab
    unmasked = Unmasked(model.tokenizer, size, torch.device("cpu"))
    grouped = torch.nonzero(unmasked._group)[:, 0]  # those whose sum is taken of several
    logits = torch.randn(256, size, generator=torch.Generator().manual_seed(0))
    logits[:, grouped] += 20
    tokens = grouped[torch.arange(256) % len(grouped)]
    assert float(unmasked.among_all(logits, tokens).max()) <= 1.0
