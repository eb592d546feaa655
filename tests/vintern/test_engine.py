"""The engine against the slow way: same tokens, same probabilities, whoever shares the batch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import Reason, UsageError
from pipeline.records import Generation, Request
from pipeline.settings import EngineSettings
from pipeline.vintern import Vintern, load
from pipeline.vintern.engine import Engine, EngineFull
from tests.vintern import checkpoints
from tests.vintern.pages import CARD, GRAMMARS, WORDS, Slow, answer_slowly, page, same, text_of

TILES = (1, 2, 0, 1, 3)
MIXES = int(os.environ.get("VINBATCH_MIXES", "12"))  # `make long` has 200
SLOW_PAGES = int(os.environ.get("VINBATCH_SLOW_PAGES", "10"))  # `make long` has 200


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Vintern:
    directory = tmp_path_factory.mktemp("tiny")
    checkpoints.write(directory, "v2", seed=1)
    return load(directory, dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def pages() -> list[Request]:
    return [
        page(number, TILES[number % 5], GRAMMARS[number % 5], 24 + 4 * (number % 3)) for number in range(8)
    ]


@pytest.fixture(scope="module")
def slow(model: Vintern, pages: list[Request]) -> dict[str, Slow]:
    return {request.id: answer_slowly(model, request) for request in pages}


@pytest.fixture(scope="module")
def alone(model: Vintern, pages: list[Request]) -> dict[str, Generation]:
    """Each page answered by an engine that holds nothing else."""
    answers = {}
    for request in pages:
        answers |= run(Engine(model, EngineSettings(max_batch=1)), [request])
    return answers


def run(engine: Engine, requests: list[Request]) -> dict[str, Generation]:
    answers = {}
    for generation in engine.generate(iter(requests)):
        assert generation.request_id not in answers
        answers[generation.request_id] = generation
    assert sorted(answers) == sorted(request.id for request in requests)
    assert engine.in_flight == 0
    return answers


@pytest.mark.medium
def test_says_what_one_at_a_time_decoding_says(
    model: Vintern, pages: list[Request], slow: dict[str, Slow]
) -> None:
    """Also shows that feeding forced tokens as a chunk changes nothing: the slow way chooses each of them."""
    answers = run(Engine(model, EngineSettings(max_batch=4)), pages)
    assert sum(int(answer.forced.sum()) for answer in answers.values()) > 50
    for request in pages:
        answer, expected = answers[request.id], slow[request.id]
        assert answer.text == text_of(model, expected.tokens)
        assert answer.finish == expected.finish
        assert len(answer.forced) == len(expected.tokens)
        rows = torch.arange(len(expected.tokens))
        before = expected.logits.softmax(-1)[rows, expected.tokens].numpy()
        under = (
            expected.logits.masked_fill(~expected.allowed, -torch.inf)
            .softmax(-1)[rows, expected.tokens]
            .numpy()
        )
        chosen = ~answer.forced
        known = ~np.isnan(answer.unmasked)  # of the forced ones, those of values
        assert known[chosen].all()
        np.testing.assert_allclose(answer.unmasked[known], before[known], rtol=1e-4)
        np.testing.assert_allclose(answer.probability[chosen], under[chosen], rtol=1e-4)
        np.testing.assert_array_equal(answer.probability[answer.forced], 1)


mixes = st.fixed_dictionaries(
    {
        "order": st.permutations(range(8)),
        "count": st.integers(1, 8),
        "max_batch": st.integers(1, 6),
        "max_waiting": st.integers(1, 4),
        "steps_between": st.lists(st.integers(0, 12), min_size=8, max_size=8),
    }
)


def mix(model: Vintern, pages: list[Request], alone: dict[str, Generation], how: dict[str, object]) -> None:
    """Requests come in any order, any number of steps apart; each answer is that alone, to the last bit."""
    engine = Engine(model, EngineSettings(max_batch=how["max_batch"], max_waiting=how["max_waiting"]))
    chosen = [pages[number] for number in how["order"][: how["count"]]]
    answers: dict[str, Generation] = {}

    def step() -> None:
        for generation in engine.step():
            assert generation.request_id not in answers
            answers[generation.request_id] = generation

    for request, steps in zip(chosen, how["steps_between"], strict=False):
        while not engine.room:
            step()
        engine.submit(request)
        for _ in range(steps):
            step()
    while engine.in_flight:
        step()
    assert sorted(answers) == sorted(request.id for request in chosen)
    assert all(same(answers[request.id], alone[request.id]) for request in chosen)


@pytest.mark.slow
@settings(max_examples=MIXES, derandomize=True)
@given(how=mixes)
def test_no_answer_depends_on_its_neighbours(model, pages, alone, how) -> None:
    mix(model, pages, alone, how)


@pytest.mark.slow
def test_many_pages_equal_the_slow_way(model: Vintern) -> None:
    """Where the two differ, the slow way's best two logits must be a tie within float32's rounding."""
    pages = [page(100 + number, TILES[number % 2], GRAMMARS[number % 5], 30) for number in range(SLOW_PAGES)]
    answers = run(Engine(model, EngineSettings(max_batch=8, retry_penalty=1)), pages)
    different = 0
    for request in pages:
        expected = answer_slowly(model, request)
        if answers[request.id].text != text_of(model, expected.tokens):
            best = expected.logits.masked_fill(~expected.allowed, -torch.inf).topk(2).values
            assert (best[:, 0] - best[:, 1]).min() < 1e-4
            different += 1
    assert different <= 1


@pytest.mark.slow
def test_bfloat16_chooses_the_best_within_its_rounding(
    model: Vintern, pages: list[Request], tmp_path: Path
) -> None:
    """Re-scored in float32, each token that bf16 chose is within 0.25 nats of the likeliest one allowed."""
    checkpoints.write(tmp_path, "v2", seed=1)
    half = load(tmp_path, dtype="bfloat16", device="cpu")
    engine = Engine(half, EngineSettings(max_batch=4))
    together = run(engine, pages)
    assert all(same(together[name], answer) for name, answer in run(engine, pages[:2]).items())
    for request in (pages[0], pages[2]):
        slow = answer_slowly(half, request)
        assert together[request.id].text == text_of(half, slow.tokens)
        exact = force(model, request, slow.tokens)
        best = exact.masked_fill(~slow.allowed, -torch.inf).max(-1).values
        assert (best - exact[torch.arange(len(slow.tokens)), slow.tokens]).max() < 0.25


@torch.inference_mode()
def force(model: Vintern, request: Request, tokens: list[int]) -> torch.Tensor:
    """float32 log probabilities [tokens, vocab] before each of `tokens`."""
    prompt = model.prompt_ids(request.question, len(request.tiles))
    # Apart from the prompt: random weights may say an image token, which has no tile.
    visual = model.vision(torch.from_numpy(request.tiles)) if len(request.tiles) else None
    said = model.language.embed(torch.tensor(tokens, dtype=torch.int64))
    embeds = torch.cat([model.embed(prompt, visual), said])
    hidden = model.language(embeds[None], torch.arange(len(embeds))[None])[0]
    return model.language.head(hidden[len(prompt) - 1 : -1]).float().log_softmax(-1)


@pytest.mark.medium
def test_where_tokens_looked_changes_no_bit_of_an_answer(model: Vintern) -> None:
    changes_no_bit(model)


def changes_no_bit(model: Vintern) -> None:
    requests = [page(number, 1 + number, CARD, 20) for number in range(3)]
    blind, placed = (
        run(Engine(model, EngineSettings(place=on, max_batch=2)), requests) for on in (False, True)
    )
    for id, answer in placed.items():
        assert answer.place is not None and answer.place[~answer.forced].any() and blind[id].place is None
        assert same(replace(answer, place=None), blind[id])


@pytest.mark.medium
def test_places_are_the_last_layers_attention(model: Vintern) -> None:
    request = page(3, 2, CARD, 30)
    answer = run(Engine(model, EngineSettings(place=True)), [request])[request.id]
    tokens = answer_slowly(model, request).tokens
    prompt = model.prompt_ids(request.question, 2)
    ids = torch.cat([prompt, torch.tensor(tokens)])
    weights = last_attention(model, ids, torch.from_numpy(request.tiles))
    visual = weights[:, ids == model.tokenizer.image]
    fed = int(np.flatnonzero(~answer.forced)[-1])  # the last choice, and what it forced, ended the answer
    assert fed > 20
    for number in range(fed):
        row = (visual[len(prompt) + number - 1] + visual[len(prompt) + number]) / 2
        weight, tile, down, across = answer.place[number]
        cell = int(row.argmax())
        assert weight == pytest.approx(float(row.max()), rel=1e-3)
        assert tile == cell // 256
        assert abs(down - cell % 256 // 16) <= 1
        assert abs(across - cell % 16) <= 1
    assert answer.place[fed, 0] == pytest.approx(float(visual[len(prompt) + fed - 1].max()), rel=1e-3)
    assert not answer.place[fed + 1 :].any()


@torch.inference_mode()
def last_attention(model: Vintern, ids: torch.Tensor, tiles: torch.Tensor) -> torch.Tensor:
    """The last layer's attention, mean over heads, [tokens, tokens]."""
    kept = []

    def attend(layer, query, key, value):
        key, value = (part.repeat_interleave(query.shape[1] // key.shape[1], 1) for part in (key, value))
        scores = query @ key.transpose(2, 3) / query.shape[3] ** 0.5
        weights = scores.masked_fill(torch.ones_like(scores[0, 0]).triu(1).bool(), -torch.inf).softmax(-1)
        kept.append(weights)
        return weights @ value

    embeds = model.embed(ids, model.vision(tiles))
    model.language(embeds[None], torch.arange(len(ids))[None], attend)
    return kept[-1][0].mean(0)


def test_a_bad_request_ends_alone_with_its_reason(model: Vintern, pages: list[Request], alone) -> None:
    odd = np.zeros((1, 448, 448, 3), np.float32)
    small, many = np.zeros((1, 4, 4, 3), np.uint8), np.zeros((17, 448, 448, 3), np.uint8)
    bad = {
        "float tiles": (Request("float tiles", odd, "?", None, 5), Reason.internal_error, "float32"),
        "small tiles": (Request("small tiles", small, "?", None, 5), Reason.internal_error, "448"),
        "no grammar": (Request("no grammar", many[:1], "?", "start: ((", 5), Reason.grammar_error, "grammar"),
        "too long": (Request("too long", many, "?", None, 5), Reason.prompt_too_long, "17 tiles"),
    }
    requests = [request for request, _, _ in bad.values()]
    answers = run(
        Engine(model, EngineSettings(max_batch=4)), [requests[0], pages[0], *requests[1:], pages[1]]
    )
    for name, (_, reason, said) in bad.items():
        assert (answers[name].finish, answers[name].reason) == ("error", reason)
        assert said in answers[name].message
        assert len(answers[name].probability) == 0
    assert same(answers[pages[0].id], alone[pages[0].id])
    assert same(answers[pages[1].id], alone[pages[1].id])


def test_logits_that_are_no_numbers_end_the_request_not_the_engine(
    tmp_path: Path, pages: list[Request]
) -> None:
    checkpoints.write(tmp_path, "v2")
    broken = load(tmp_path, dtype="float32", device="cpu")
    broken.language.norm.weight.data.fill_(torch.nan)
    answer = run(Engine(broken, EngineSettings()), pages[:1])[pages[0].id]
    assert (answer.finish, answer.reason) == ("error", Reason.internal_error)


def test_what_is_no_number_ends_with_its_request(model: Vintern, pages: list[Request], alone) -> None:
    """The next one in its slot is shorter, and does not see what is left there."""
    short, *_, long = sorted(pages, key=lambda request: len(request.tiles))
    engine = Engine(model, EngineSettings(max_batch=1))
    first = model.vision.embeddings.class_embedding.data
    sound = first.clone()
    try:
        first.fill_(torch.nan)
        assert run(engine, [replace(long, grammar=None)])[long.id].finish == "error"
    finally:
        first.copy_(sound)
    assert same(run(engine, [short])[short.id], alone[short.id])


def test_tiles_may_be_read_only_as_ray_hands_them_over(model: Vintern, pages: list[Request], alone) -> None:
    tiles = pages[0].tiles.copy()
    tiles.flags.writeable = False
    (answer,) = Engine(model, EngineSettings()).generate([replace(pages[0], tiles=tiles)])
    assert same(answer, alone[pages[0].id])


def test_the_queue_is_bounded(model: Vintern, pages: list[Request]) -> None:
    engine = Engine(model, EngineSettings(max_batch=1, max_waiting=2))
    engine.submit(pages[0])
    with pytest.raises(UsageError, match="already in flight"):
        engine.submit(pages[0])
    engine.submit(pages[1])
    assert (engine.room, engine.in_flight) == (0, 2)
    with pytest.raises(EngineFull):
        engine.submit(pages[2])
    engine.step()  # the first has its slot
    assert engine.room == 1
    engine.submit(pages[2])
    finished = []
    while engine.in_flight:
        finished += engine.step()
    assert len(finished) == 3
    assert engine.step() == []


@pytest.mark.medium
def test_generate_reads_no_further_than_there_is_room(model: Vintern, pages: list[Request]) -> None:
    taken = 0

    def source() -> Iterator[Request]:
        nonlocal taken
        for request in pages:
            taken += 1
            yield request

    answers = Engine(model, EngineSettings(max_batch=1, max_waiting=2)).generate(source())
    next(answers)
    assert taken < len(pages)
    assert len(list(answers)) == len(pages) - 1


def test_the_cache_holds_less_when_told_so(model: Vintern, pages: list[Request]) -> None:
    answers = run(Engine(model, EngineSettings(kv_tokens=700)), [pages[0], page(50, 3, WORDS)])
    assert answers[pages[0].id].finish in ("stop", "length")
    assert answers["page 50"].reason == Reason.prompt_too_long
    assert "700 fit" in answers["page 50"].message


def test_an_answer_is_cut_at_the_end_of_its_slot(model: Vintern) -> None:
    prompt = len(model.prompt_ids(page(1, 1, None).question, 1))
    answer = run(Engine(model, EngineSettings(kv_tokens=prompt + 7)), [page(1, 1, CARD, 100)])["page 1"]
    assert (answer.finish, len(answer.forced)) == ("length", 7)


@pytest.mark.parametrize(("bound", "tokens"), [(None, 20), (9, 9), (90, 20)])
def test_an_answer_is_as_long_as_the_context_leaves_unless_something_bounds_it(
    model: Vintern, bound: int | None, tokens: int
) -> None:
    request = replace(page(1, 1, CARD), max_new_tokens=None)
    room = len(model.prompt_ids(request.question, 1)) + 20
    answer = run(Engine(model, EngineSettings(kv_tokens=room, max_new_tokens=bound)), [request])["page 1"]
    assert (answer.finish, len(answer.forced)) == ("length", tokens)


@pytest.mark.medium
def test_stats_count_everything(model: Vintern, pages: list[Request]) -> None:
    engine = Engine(model, EngineSettings(max_batch=4))
    answers = run(engine, pages).values()
    stats = engine.stats
    assert stats.requests == len(pages)
    assert stats.failed == stats.retried == 0
    assert stats.tiles == sum(len(request.tiles) for request in pages if request.grammar != GRAMMARS[4])
    assert stats.forced_tokens == sum(int(answer.forced.sum()) for answer in answers)
    assert stats.decoded_tokens == sum(int((~answer.forced).sum()) for answer in answers)
    assert stats.vision_seconds > 0 and stats.prefill_seconds > 0 and stats.decode_seconds > 0
