"""The engine's parts: text and spans, loops, penalties, places, slots, grammars."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher
from transformers import RepetitionPenaltyLogitsProcessor

from pipeline import grammar
from pipeline.errors import Permanent, Reason
from pipeline.settings import EngineSettings
from pipeline.transcript import _piece_by_piece, transcript
from pipeline.vintern import Vintern, load
from pipeline.vintern import tokenizer as tokenizers
from pipeline.vintern.batching import Batch, Shape, Work
from pipeline.vintern.checkpoint import DEMO
from pipeline.vintern.constrain import Grammars, unpack
from pipeline.vintern.engine import Engine
from pipeline.vintern.kv_cache import KVCache, token_bytes
from pipeline.vintern.loops import CYCLES, LINES, PERIOD, SHORTEST, LoopGuard
from pipeline.vintern.pointing import Pointer, peaks
from pipeline.vintern.sampler import Penalties, choose
from pipeline.vintern.values import ValueText
from schemas.registry import resolve
from tests.vintern import checkpoints
from tests.vintern.pages import CARD, FIXED, page


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Vintern:
    directory = tmp_path_factory.mktemp("tiny")
    checkpoints.write(directory, "v3_5")
    return load(directory, dtype="float32", device="cpu")


@pytest.mark.medium
@given(text=st.text(max_size=12), cuts=st.lists(st.integers(0, 40)), damage=st.binary(max_size=3))
@example(text="", cuts=[], damage=b"\xed\xa0")  # which are two characters
@example(text="â", cuts=[1], damage=b"")
def test_spans_cover_the_text_however_it_is_cut(text: str, cuts: list[int], damage: bytes) -> None:
    whole = damage + text.encode("utf-8") + damage
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    pieces = [whole[a:b] for a, b in pairwise(edges)]
    said, spans = transcript(pieces)
    assert said == whole.decode("utf-8", "replace")
    plain, plain_spans = _piece_by_piece(pieces)
    assert said == plain and spans.tolist() == plain_spans.tolist() and spans.dtype == plain_spans.dtype
    assert all(0 <= start <= end <= len(said) for start, end in spans)
    assert all((start < end) == bool(piece) for (start, end), piece in zip(spans, pieces, strict=True))
    assert set().union(*(range(a, b) for a, b in spans)) == set(range(len(said)))


def test_tokens_that_share_a_letter_share_its_span() -> None:
    text, spans = transcript([b"N", "Ệ".encode()[:2], "Ệ".encode()[2:] + b"!", b""])
    assert text == "NỆ!"
    assert spans.tolist() == [[0, 1], [1, 2], [1, 3], [3, 3]]


class Guard:
    """The guard's one answer."""

    def __init__(self, values: bool) -> None:
        self._guard = LoopGuard(1)
        self._guard.begin(0, values)

    def loops(self, token: int, text: bytes, inside: bool = True) -> bool:
        breaks = b'"' in text or not inside
        return bool(self._guard.loops(np.array([0]), np.array([token]), np.array([breaks]))[0])


class PlainGuard:
    """The same by its definition: an answer by itself, all its tokens kept."""

    def __init__(self, values: bool) -> None:
        self.values, self.tokens, self.run = values, [], 0

    def loops(self, token: int, breaks: bool) -> bool:
        self.tokens.append(token)
        self.run = 0 if breaks else self.run + 1
        return any(self._cycle(period) for period in range(1, PERIOD + 1))

    def _cycle(self, period: int) -> bool:
        over_values = self.values and period > self.run
        length = max((LINES if over_values else CYCLES) * period, SHORTEST)
        tail = self.tokens[-length:]
        return len(tail) == length and tail[period:] == tail[:-period]


@pytest.mark.medium
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 6))
def test_all_rows_in_one_pass_are_guarded_as_each_by_itself(seed: int, rows: int) -> None:
    """Rows that are fed now and then, begin anew, and repeat themselves with a slip here and there."""
    rng = np.random.default_rng(seed)
    guard, plain = LoopGuard(rows), [PlainGuard(False)] * rows
    period, slip, quote = rng.integers(1, 12, rows), rng.random(rows) * 0.03, rng.random(rows) * 0.2
    told = 0
    for at in range(150):
        for row in np.flatnonzero(rng.random(rows) < (1 if at == 0 else 0.004)):
            values = bool(rng.random() < 0.5)
            guard.begin(row, values)
            plain[row] = PlainGuard(values)
        fed = np.flatnonzero(rng.random(rows) < 0.95)
        tokens = np.where(rng.random(rows) < slip, rng.integers(0, 9, rows), at % period)[fed]
        breaks = (rng.random(rows) < quote)[fed]
        expected = [plain[row].loops(int(t), bool(b)) for row, t, b in zip(fed, tokens, breaks, strict=True)]
        assert guard.loops(fed, tokens, breaks).tolist() == expected
        told += sum(expected)
    event("some loop" if told else "no loop")


@pytest.mark.medium
@given(period=st.integers(1, 40), lead=st.integers(0, 30))
def test_a_cycle_is_a_loop_after_a_few_rounds(period: int, lead: int) -> None:
    guard = Guard(values=False)
    assert not any(guard.loops(1000 + token, b"x") for token in range(lead))
    told = [guard.loops(number % period, b"x") for number in range(CYCLES * period + SHORTEST)]
    assert told.index(True) + 1 == max(CYCLES * period, SHORTEST)


def test_an_invoice_of_many_lines_is_no_loop() -> None:
    lines = [
        {"STT": str(n), "Tên hàng": "Bút bi Thiên Long", "Đơn vị": "Cái", "SL": "10", "Thành tiền": "50.000"}
        for n in range(1, 61)
    ]
    guard = Guard(values=True)
    text = json.dumps(lines, ensure_ascii=False, separators=(",", ":"))
    assert not any(guard.loops(ord(letter), letter.encode()) for letter in text)
    assert not any(
        guard.loops(ord(letter), letter.encode()) for letter in '{"a":"' + "." * (SHORTEST - 1) + '"}'
    )


def receipt(lines: int) -> list[tuple[int, bytes]]:
    """The tokens of a receipt with so many equal lines, by the demo model's tokenizer, with their bytes."""
    tokenizer = tokenizers.load(DEMO)
    line = {"name": "Bia Sài Gòn", "quantity": "1", "unit_price": "15.000", "amount": "15.000"}
    text = grammar.answer(resolve("receipt@1").shape, {"store": "Quán Mẫu", "lines": [line] * lines})
    return [(token, tokenizer.decode([token]).encode()) for token in tokenizer.encode_plain(text)]


@pytest.mark.parametrize("lines", [7, 12, 24, 39])
def test_equal_lines_of_a_receipt_are_no_loop(lines: int) -> None:
    guard = Guard(values=True)
    assert not any(guard.loops(token, text) for token, text in receipt(lines))


def test_lines_that_never_end_are_a_loop() -> None:
    guard = Guard(values=True)
    tokens = receipt(60)
    at = next(number for number, (token, text) in enumerate(tokens) if guard.loops(token, text))
    assert at < len(tokens) * (LINES + 1) / 60


def test_rows_of_nulls_are_whole_values() -> None:
    """A table of 30 columns, of which a line has none filled: 60 tokens that repeat themselves."""
    text = '{"a":[[' + ",".join(["null"] * 30) + '],["'
    parts = re.findall(r"null|.", text)
    guard, values = Guard(values=True), ValueText()
    for part in parts:
        values.holds(part.encode())
        assert not guard.loops(ord(part[0]), part.encode(), values.inside)
    runaway = [guard.loops(7, b"x", values.inside) for _ in range(SHORTEST)]
    assert runaway.index(True) + 1 == SHORTEST


def test_a_long_text_is_no_loop_and_a_value_that_repeats_itself_is() -> None:
    rng = np.random.default_rng(0)
    guard = Guard(values=True)
    assert not guard.loops(7, b'":"')
    assert not any(guard.loops(token, b"x") for token in rng.integers(0, 10_000, 3_000).tolist())
    said = [guard.loops(token, b"x") for token in (1, 2, 3) * 20]
    assert said.index(True) + 1 == SHORTEST


@pytest.fixture
def stuck(tmp_path: Path) -> Vintern:
    """A model for which any two letters are equally likely, so that the first one allowed always wins."""
    checkpoints.write(tmp_path, "v3_5")
    model = load(tmp_path, dtype="float32", device="cpu")
    head = model.language.lm_head.weight.data
    head[: model.tokenizer.end_of_turn] = head[0].clone()
    return model


@pytest.mark.medium
def test_a_loop_ends_early_and_is_tried_once_more(stuck: Vintern) -> None:
    request = page(1, 1, LLMatcher.grammar_from_regex(r"([a-d]){900}"), 900)
    engine = Engine(stuck, EngineSettings())
    (answer,) = engine.generate([request])
    assert (answer.finish, answer.attempts) == ("loop", 2)
    assert SHORTEST <= len(answer.forced) < 100
    assert engine.stats.retried == 1
    (penalised,) = Engine(stuck, EngineSettings(repetition_penalty=1.2, retry_penalty=1)).generate([request])
    assert (penalised.finish, penalised.attempts) == ("loop", 1)
    assert answer.text == penalised.text  # the second try is a fresh one with the penalty
    (plain,) = Engine(stuck, EngineSettings(retry_penalty=1)).generate([request])
    assert (plain.text, plain.attempts) == ("a" * SHORTEST, 1)


def test_a_penalty_can_end_a_loop(stuck: Vintern) -> None:
    """The model is made to see only ones, and to prefer `a` to an end until `a` is penalised."""
    language, end = stuck.language, stuck.tokenizer.end_of_turn
    language.embed_tokens.weight.data.fill_(1)
    for layer in language.layers:
        layer.self_attn.o_proj.weight.data.zero_()
        layer.mlp.down_proj.weight.data.zero_()
    language.norm.weight.data.fill_(1)
    language.lm_head.weight.data[stuck.tokenizer.encode("a")[0]] = 1
    language.lm_head.weight.data[end] = 0.9
    (answer,) = Engine(stuck, EngineSettings()).generate([page(1, 0, None, 300)])
    assert (answer.text, answer.finish, answer.attempts) == ("a", "stop", 2)


def test_what_the_grammar_forces_is_no_loop_and_needs_no_model(model: Vintern) -> None:
    engine = Engine(model, EngineSettings())
    requests = [page(1, 1, FIXED, 50), page(2, 1, LLMatcher.grammar_from_regex("-{120}"), 200)]
    answers = list(engine.generate(requests))
    assert [answer.text for answer in answers] == ["không có gì", "-" * 120]
    assert all(answer.forced.all() and answer.finish == "stop" for answer in answers)
    assert engine.stats.tiles == 0


def test_the_penalty_is_transformers_own() -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 50)
    generated = [[3, 3, 9, 11], [], [49]]
    ours = Penalties([2.5, 2.5, 1.0], generated).apply(logits)
    theirs = RepetitionPenaltyLogitsProcessor(2.5)(torch.tensor([generated[0]]), logits[:1].clone())
    assert torch.equal(ours[:1], theirs)
    assert torch.equal(ours[1:], logits[1:])


def test_choose_gives_both_probabilities() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.2, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]]))
    masks = torch.tensor([[0b1110], [-1]], dtype=torch.int32)
    first, second = choose(logits, masks).numpy().T
    assert first == pytest.approx((1, 0.4, 0.2))  # of equal ones the lowest
    assert second == pytest.approx((3, 0.4, 0.4))
    nothing, _ = choose(logits, torch.tensor([[0], [-1]], dtype=torch.int32)).numpy().T
    assert not np.isfinite(nothing[1])


@pytest.mark.parametrize("pool", [False, True])
def test_masks_of_a_vocabulary_that_is_no_multiple_of_32(model: Vintern, pool: bool) -> None:
    vocabulary = model.config.language.vocab
    assert vocabulary % 32
    grammars = Grammars(model.tokenizer, vocabulary, pool=pool)
    masks = torch.zeros(2, grammars.words, dtype=torch.int32)
    constraint = grammars.start(LLMatcher.grammar_from_regex("[a-c]x"))
    grammars.fill([None, constraint], masks)
    allowed = unpack(masks, vocabulary)
    assert allowed[0].all() and allowed.shape == (2, vocabulary)
    assert [model.tokenizer.decode([int(i)]) for i in allowed[1].nonzero()[:, 0]] == ["a", "b", "c"]


def test_every_token_has_the_bytes_that_the_tokenizer_decodes(model: Vintern) -> None:
    grammars = Grammars(model.tokenizer, model.config.language.vocab)
    for token in range(model.config.language.vocab):
        assert grammars.bytes_of(token).decode("utf-8", "replace") == model.tokenizer.decode([token])
    assert grammars.bytes_of(model.config.language.vocab) == b""


def test_a_constraint_refuses_and_a_copy_starts_afresh(model: Vintern) -> None:
    grammars = Grammars(model.tokenizer, model.config.language.vocab)
    first, second = grammars.start(CARD), grammars.start(CARD)
    with pytest.raises(Permanent) as raised:
        first.accept(*model.tokenizer.encode("x"))
    assert raised.value.reason == Reason.grammar_error
    assert model.tokenizer.decode(second.forced()) == '{"Số":'
    with pytest.raises(Permanent, match="grammar: "):
        grammars.start("start: nonsense ((")


def test_slots_are_given_lowest_first_and_once(model: Vintern) -> None:
    cache = KVCache(model.config.language, 3, 64, torch.bfloat16, torch.device("cpu"))
    assert [cache.allocate(), cache.allocate(), cache.allocate(), cache.free] == [0, 1, 2, 0]
    cache.release(1)
    cache.release(0)
    assert cache.allocate() == 0
    with pytest.raises(ValueError, match="not in use"):
        cache.release(1)
    assert token_bytes(model.config.language, torch.bfloat16) == 2 * 2 * 2 * 16 * 2
    assert not any(kept.any() for kept in (*cache.keys, *cache.values))


def test_a_slot_that_is_not_in_use_is_not_wiped(model: Vintern) -> None:
    """Whoever hands a slot back twice harms neither the next one in it nor the slot of padding."""
    cache = KVCache(model.config.language, 2, 64, torch.bfloat16, torch.device("cpu"))
    slot = cache.allocate()
    every = (*cache.keys, *cache.values)
    for kept in every:
        kept.fill_(1)
    for wrong in (1, cache.slots, -1):
        with pytest.raises(ValueError, match="not in use"):
            cache.release(wrong, wipe=64)
    assert all(kept.all() for kept in every)
    cache.release(slot, wipe=3)
    assert not any(kept[slot, :3].any() for kept in every)
    assert all(kept[slot, 3:].all() and kept[slot + 1 :].all() for kept in every)


def test_peaks_find_the_centre_of_the_strongest_cells() -> None:
    weights = torch.zeros(2, 2 * 256)
    weights[0, 256 + 5 * 16 + 7], weights[0, 256 + 5 * 16 + 8] = 0.6, 0.3  # tile 1, row 5, columns 7 and 8
    weights[1, 0] = 0.2  # a corner
    assert torch.allclose(peaks(weights), torch.tensor([[0.6, 1, 5, 7 + 1 / 3], [0.2, 0, 0, 0]]))


def test_a_pointer_joins_steps_and_ignores_what_is_no_page() -> None:
    pointer = Pointer(slots=2, tiles=2, device=torch.device("cpu"))
    rows = torch.zeros(3, 512)
    rows[0, 3], rows[1, 20], rows[2, 300] = 0.4, 0.8, 0.9
    places = pointer.step(rows, counts=[2, 1], slots=[1, 0], tiles=[1, 1])
    fed, coming = places[:3], places[3:]
    assert fed[1, 0] == pytest.approx(0.4)  # the mean of its own 0.8 and nothing before
    assert fed[2, 0] == 0  # cell 300 is beyond its one tile
    assert coming[0].tolist() == pytest.approx([0.8, 0, 1, 4])
    fed = pointer.step(torch.zeros(1, 512), counts=[1], slots=[1], tiles=[1])
    assert fed[0].tolist() == pytest.approx([0.4, 0, 1, 4])  # from the row of the step before


class Fake:
    """As much of an answer as batching looks at."""

    finish = None
    launched = False

    def __init__(self, tiles: int, pending: int = 1) -> None:
        self.tile_count, self.encoded, self.pending = tiles, 0, [0] * pending


SHAPE = Shape(vision=(4, 8), mixed=True, prefill=100, decode=6, chunk=3, patience=2)


def test_vision_waits_for_a_full_bucket_but_not_for_long() -> None:
    batch = Batch(SHAPE)
    batch.running = [Fake(1)]
    batch.admit(Fake(3))
    assert [batch.next() for _ in range(3)] == [Work.decode, Work.decode, Work.vision]
    batch.admit(Fake(6))
    assert batch.next() is Work.vision
    tiles = batch.tiles()
    assert len(tiles) == 8 and SHAPE.bucket(8) == 8 and SHAPE.bucket(3) == 4
    batch.encoded(tiles)
    assert (len(batch.ready), len(batch.encoding)) == (1, 1)
    assert batch.next() is Work.prefill


def test_prompts_share_a_prefill_while_they_fit() -> None:
    batch = Batch(SHAPE)
    batch.ready = [Fake(0, 40), Fake(0, 50), Fake(0, 10), Fake(0, 500)]
    assert batch.prompts() == batch.ready[:2]
    batch.prefilled(batch.prompts())
    assert (len(batch.running), len(batch.ready)) == (2, 2)
    batch.ready = [Fake(0, 500)]
    assert len(batch.prompts()) == 1


def test_everyone_is_fed_and_chunks_take_the_rest() -> None:
    batch = Batch(SHAPE)
    batch.running = [Fake(0, 5), Fake(0, 1), Fake(0, 4)]
    assert [count for _, count in batch.feed()] == [3, 1, 2]
