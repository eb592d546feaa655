"""The model card's way of generating, against transformers' own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipeline.errors import UsageError
from pipeline.settings import EngineSettings
from pipeline.vintern import Vintern, load
from pipeline.vintern.engine import Engine
from pipeline.vintern.vision import normalise
from tests.vintern import checkpoints
from tests.vintern.pages import CARD, WORDS, page


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory):
    directory = tmp_path_factory.mktemp("tiny")
    theirs = checkpoints.write(directory, "v3_5", seed=2)
    return load(directory, dtype="float32", device="cpu"), theirs


pytestmark = pytest.mark.filterwarnings("ignore:Passing `repetition_penalty` with `inputs_embeds`")


@torch.no_grad()
def generate(ours: Vintern, theirs, request, **how) -> str:
    ids = ours.prompt_ids(request.question, len(request.tiles))[None]
    embeds = theirs.get_input_embeddings()(ids)
    if len(request.tiles):
        pixels = normalise(torch.from_numpy(request.tiles))
        visual = theirs.model.get_image_features(pixel_values=pixels).pooler_output
        embeds[ids == ours.tokenizer.image] = visual.flatten(0, 1)
    found = theirs.generate(
        inputs_embeds=embeds,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=request.max_new_tokens,
        **how,
    )
    return ours.tokenizer.decode(found[0].tolist())


@pytest.mark.parametrize("number", range(4))
def test_beam_search_with_a_penalty_is_transformers_own(pair, number: int) -> None:
    ours, theirs = pair
    request = page(number, number % 2, None, 20)
    how = {"num_beams": 3, "repetition_penalty": 2.5}
    settings = EngineSettings(beams=3, repetition_penalty=2.5, max_batch=4)
    (answer,) = Engine(ours, settings).generate([request])
    assert answer.text == generate(ours, theirs, request, **how)


def test_greedy_with_a_penalty_is_transformers_own(pair) -> None:
    ours, theirs = pair
    requests = [page(number, number % 2, None, 25) for number in range(4)]
    engine = Engine(ours, EngineSettings(repetition_penalty=2.5))
    for answer in engine.generate(requests):
        request = next(request for request in requests if request.id == answer.request_id)
        assert answer.text == generate(ours, theirs, request, repetition_penalty=2.5)


def test_beams_find_what_greedy_does_not_and_keep_to_the_grammar(pair) -> None:
    ours, _ = pair
    better = 0
    for number in range(4):
        request = page(number, 0, (CARD, WORDS)[number % 2], 60)
        (greedy,) = Engine(ours, EngineSettings()).generate([request])
        engine = Engine(ours, EngineSettings(beams=3))
        (beams,) = engine.generate([request])
        assert beams.finish == greedy.finish == "stop"
        assert beams.text.startswith(("{", "Số", "Ngày", "Đông"))
        assert engine._cache.free == engine._cache.slots
        better += beams.text != greedy.text
    assert better


def test_beams_need_slots_and_keep_no_places(pair) -> None:
    ours, _ = pair
    for settings in (EngineSettings(beams=3, max_batch=2), EngineSettings(beams=3, place=True)):
        with pytest.raises(UsageError, match="3 beams"):
            Engine(ours, settings)


def test_a_likely_end_of_turn_ends_the_beams_early(pair, tmp_path: Path) -> None:
    checkpoints.write(tmp_path, "v3_5", seed=2)
    ours = load(tmp_path, dtype="float32", device="cpu")
    theirs = checkpoints.write(tmp_path, "v3_5", seed=2)
    for head in (ours.language.lm_head, theirs.lm_head):
        head.weight.data[ours.tokenizer.end_of_turn] *= 3
    for number in range(6):
        request = page(number, 0, None, 20)
        (answer,) = Engine(ours, EngineSettings(beams=3)).generate([request])
        assert answer.text == generate(ours, theirs, request, num_beams=3)
