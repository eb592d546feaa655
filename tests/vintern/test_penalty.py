"""Greedy decoding with a repetition penalty, against transformers' own `generate`."""

from __future__ import annotations

import pytest
import torch

from pipeline.settings import EngineSettings
from pipeline.vintern import Vintern, load
from pipeline.vintern.engine import Engine
from pipeline.vintern.vision import normalise
from tests.vintern import checkpoints
from tests.vintern.pages import page


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


@pytest.mark.medium
def test_greedy_with_a_penalty_is_transformers_own(pair) -> None:
    ours, theirs = pair
    requests = [page(number, number % 2, None, 25) for number in range(4)]
    engine = Engine(ours, EngineSettings(repetition_penalty=2.5))
    for answer in engine.generate(requests):
        request = next(request for request in requests if request.id == answer.request_id)
        assert answer.text == generate(ours, theirs, request, repetition_penalty=2.5)
