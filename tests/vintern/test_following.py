"""What is remembered by state is what would be worked out anew: masks and forced tokens."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher

from pipeline import grammar
from pipeline.errors import Reason
from pipeline.specimens.making import make
from pipeline.vintern import tokenizer as tokenizers
from pipeline.vintern.checkpoint import DEMO
from pipeline.vintern.constrain import Grammars
from pipeline.vintern.following import Follower, Vocabulary
from pipeline.vintern.languages import Languages, NotRead
from pipeline.vintern.learning import learn
from pipeline.vintern.tokenizer import Tokenizer
from schemas.registry import resolve
from schemas.shape import Group, Leaf, Printed, Repeated
from tests.pipeline.walker import spec_of
from tests.vintern.pages import COMPACT

WIDE = Printed(r"[!-~À-ỹ][ !-~À-ỹ]{0,39}", str, "text", 40)
TIGHT = Printed(r"[A-Z0-9<]{4} [A-Z0-9<]{2,20}|<|Không( rõ)?", str, "text", 30)
SUMS = Printed(r"-?(?:\d{1,3}(?:[., ]\d{3})+|\d{1,15})(?: ?(?:đồng|đ|₫))?", str, "text", 12)
LINE = Group("line", "Dòng", (Leaf("code", "Mã", TIGHT), Leaf("sum", "Tiền", SUMS)))
ODD = spec_of(
    Leaf("wide", "Ghi chú", WIDE),
    Repeated("notes", "Dấu", Leaf("note", "Dấu", WIDE), 3),
    Repeated("lines", "Dòng", LINE, 4),
    Leaf("only", "Loại", Printed("A|AB|ABCD", str, "text", 4)),
)
SPECS = {"odd": ODD, **{name: resolve(name) for name in ("id_card@1", "receipt@1", "invoice@1")}}
GRAMMARS = {name: grammar.compile(spec) for name, spec in SPECS.items()}
GRAMMARS |= {f"{name} in rows": grammar.compile(spec, "rows") for name, spec in SPECS.items()}

Choose = Callable[[torch.Tensor, bytes], int | None]  # from the mask and what is said already


class Counting(Grammars):
    """Counts the masks that llguidance was asked for."""

    asked = 0

    def _work_out(self, rows, masks):
        self.asked += len(rows)
        super()._work_out(rows, masks)


@pytest.fixture(scope="module")
def counting(published_tokenizer: Tokenizer) -> Counting:
    return Counting(published_tokenizer, published_tokenizer.size)


@pytest.fixture
def fresh(counting: Counting) -> Counting:
    """As if just made, which takes seconds."""
    counting._compiled.clear()
    counting._masks.clear()
    counting.asked = 0
    return counting


def walk(grammars: Grammars, rules: str, choose: Choose, longest: int = 5000) -> bytes:
    """An answer as the engine has it, its masks and what is forced held against llguidance's alone."""
    ours, plain = grammars.start(rules), LLMatcher(grammars._tokenizer, rules, log_level=0)
    mask, expected = torch.zeros(2, 1, grammars.words, dtype=torch.int32)
    said = b""
    for _ in range(longest):
        forced = plain.compute_ff_tokens()
        assert ours.forced() == forced
        assert plain.consume_tokens(forced)
        said += b"".join(map(grammars.bytes_of, forced))
        assert ours.complete == plain.is_stopped()
        if ours.complete:
            break
        grammars.fill([ours], mask)
        plain.unsafe_compute_mask_ptr(expected.data_ptr(), grammars.words * 4)
        assert torch.equal(mask, expected), f"after {said.decode('utf-8', 'replace')!r}"
        token = choose(mask, said)
        if token is None:
            break
        ours.accept(token)
        assert plain.consume_tokens([token])
        said += grammars.bytes_of(token)
    return said


def anything(grammars: Grammars, seed: int, short: float) -> Choose:
    """Any allowed token; with the chance `short` one of one byte."""
    dice = random.Random(seed)

    def choose(mask: torch.Tensor, _: bytes) -> int:
        allowed = np.flatnonzero(np.unpackbits(mask.numpy().view(np.uint8), bitorder="little"))
        small = [int(token) for token in allowed[:300] if len(grammars.bytes_of(int(token))) == 1]
        return dice.choice(small) if small and dice.random() < short else int(dice.choice(allowed))

    return choose


def saying(grammars: Grammars, tokenizer: Tokenizer, text: str, *, letters: bool = False) -> Choose:
    """`text` as a model says it, or letter by letter."""
    whole = text.encode()
    by_bytes = {grammars.bytes_of(token): token for token in range(tokenizer.size)}

    def choose(_: torch.Tensor, said: bytes) -> int | None:
        coming = whole[len(said) :]
        assert whole.startswith(said)
        if not coming:
            return None
        if coming[0] & 0xC0 == 0x80:  # inside a letter
            return next(by_bytes[coming[:size]] for size in (3, 2, 1) if coming[:size] in by_bytes)
        return tokenizer.encode_plain(coming.decode()[: 1 if letters else 300])[0]

    return choose


@pytest.mark.slow
@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32), name=st.sampled_from(list(GRAMMARS)), short=st.sampled_from([0, 0.7, 0.97])
)
def test_whatever_is_said_masks_are_those_of_the_plain_way(
    published_grammars: Grammars, seed: int, name: str, short: float
) -> None:
    walk(published_grammars, GRAMMARS[name], anything(published_grammars, seed, short), 60)


LONG = {
    "seller_name": 'Công ty "Ánh Dương" ' + "x" * 180,
    "seller_address": "a b " * 45 + "c",
    "tax_authority_code": "A1" * 20,
    "lines": [{"no": "1", "name": "- " * 36 + "=" * 128, "amount": "1.000.000 đ"}] * 3,
}


@pytest.mark.slow
@pytest.mark.parametrize(("letters", "form"), [(False, "objects"), (True, "objects"), (True, "rows")])
def test_up_to_every_bound(
    fresh: Counting, published_tokenizer: Tokenizer, letters: bool, form: grammar.Form
) -> None:
    """Values that end at their bounds, letter by letter: every number of letters that may still come."""
    text = grammar.answer(SPECS["invoice@1"].shape, LONG, form)
    rules = GRAMMARS["invoice@1" if form == "objects" else "invoice@1 in rows"]
    assert walk(fresh, rules, saying(fresh, published_tokenizer, text, letters=letters))


@pytest.mark.slow
@pytest.mark.parametrize("form", get_args(grammar.Form))
def test_pages_of_one_schema_come_to_the_same_states(
    fresh: Counting, published_tokenizer: Tokenizer, form: grammar.Form
) -> None:
    lines = [{"no": str(number), "name": "Gạch ốp lát", "amount": f"{number}.000"} for number in range(1, 9)]
    rules = GRAMMARS["invoice@1" if form == "objects" else "invoice@1 in rows"]
    first = {"seller_name": "CÔNG TY GỐM SỨ", "number": "0000123", "lines": lines, "net": "45.000"}
    other = first | {"seller_name": "HỢP TÁC XÃ GỐM MỚI", "number": "0098765", "lines": lines[:5]}
    asked = []
    for values in (first, other, first):
        before = fresh.asked
        text = grammar.answer(SPECS["invoice@1"].shape, values, form)
        walk(fresh, rules, saying(fresh, published_tokenizer, text))
        asked.append(fresh.asked - before)
    assert asked[0] > 50 and asked[1] < 10 and asked[2] == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["receipt@1 in rows", "invoice@1"])
def test_a_page_comes_to_states_that_were_learned_before(
    fresh: Counting, published_tokenizer: Tokenizer, name: str
) -> None:
    """And their masks are right: `walk` holds each against the plain way."""
    found = learn(fresh, GRAMMARS[name])
    assert 300 < found == fresh.asked == len(fresh._masks) <= fresh.room
    schema, _, rows = name.partition(" in ")
    raw = make(schema.removesuffix("@1"), 3).raw(1)
    text = grammar.answer(SPECS[schema].shape, raw, "rows" if rows else "objects")
    walk(fresh, GRAMMARS[name], saying(fresh, published_tokenizer, text))
    assert fresh.asked <= found + 1


def test_a_small_vocabulary_has_nothing_to_learn() -> None:
    small = tokenizers.load(DEMO)
    assert learn(Grammars(small, small.size), GRAMMARS["receipt@1"]) == 0


@pytest.mark.slow
def test_no_more_is_remembered_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch, fresh: Counting, published_tokenizer: Tokenizer
) -> None:
    monkeypatch.setattr(fresh._masks, "room", 5)
    text = grammar.answer(SPECS["receipt@1"].shape, {"total": "12.500"})
    for _ in range(2):
        walk(fresh, GRAMMARS["receipt@1"], saying(fresh, published_tokenizer, text))
        assert len(fresh._masks) == 5
    assert fresh.asked > 20


@pytest.mark.medium
@pytest.mark.parametrize("pool", [False, True])
def test_rows_of_a_step_are_as_each_by_itself_however_little_is_kept(pool: bool) -> None:
    """Masks as they are on the device, tokens of all rows at once, and next to no room for what is known."""
    small, dice = tokenizers.load(DEMO), random.Random(5)
    grammars = Grammars(small, small.size, pool=pool, device=torch.device("cpu"))
    grammars._masks.room = 3
    rules = [GRAMMARS["receipt@1"], GRAMMARS["odd in rows"], LLMatcher.grammar_from_regex("Số [0-9]{9}")]
    rows = [
        (grammars.start(rules[n % 3]), LLMatcher(grammars._tokenizer, rules[n % 3], log_level=0))
        for n in range(18)
    ]
    every = [states for held, _ in rows[:2] if (states := held.states)]
    for states in every:
        states.most = 40
    expected, forgotten = torch.zeros(len(rows), grammars.words, dtype=torch.int32), 0
    for _ in range(60):
        for held, plain in rows:
            forced = plain.compute_ff_tokens()
            assert held.forced() == forced and plain.consume_tokens(forced)
            assert held.complete == plain.is_stopped()
        rows = [(held, plain) for held, plain in rows if not held.complete]
        if not rows:
            break
        masks = grammars.masks([None, *(held for held, _ in rows)])
        tokens = []
        for row, (_, plain) in enumerate(rows):
            plain.unsafe_compute_mask_ptr(expected[row].data_ptr(), grammars.words * 4)
            bits = np.unpackbits(expected[row].numpy().view(np.uint8), bitorder="little")
            tokens.append(int(dice.choice(np.flatnonzero(bits))))
        assert torch.equal(masks[1:], expected[: len(rows)]) and bool((masks[0] == -1).all())
        made = [states.made for states in every]
        held = rows[0][0].copy()
        wrong = next(token for token in range(small.size) if not masks[1, token // 32] >> token % 32 & 1)
        refused = grammars.accept(
            [(held, wrong), *((held, token) for (held, _), token in zip(rows, tokens, strict=True))]
        )
        assert list(refused) == [0] and refused[0].reason == Reason.grammar_error
        assert all(plain.consume_tokens([token]) for (_, plain), token in zip(rows, tokens, strict=True))
        assert len(grammars._masks) <= 3 and all(states.made <= states.most for states in every)
        forgotten += any(states.made < before for states, before in zip(every, made, strict=True))
    assert forgotten


@pytest.mark.slow
@pytest.mark.parametrize(
    "rules",
    [
        LLMatcher.grammar_from_regex("(Số|Ngày) [0-9]{1,8}"),
        LLMatcher.grammar_from_json_schema({"type": "string", "pattern": "^(?i)ab*$"}, overrides=COMPACT),
        LLMatcher.grammar_from_json_schema({"type": "string", "pattern": "ab*"}, overrides=COMPACT),
        LLMatcher.grammar_from_json_schema({"type": "string", "minLength": 2}, overrides=COMPACT),
        LLMatcher.grammar_from_json_schema({"type": "integer"}, overrides=COMPACT),
        LLMatcher.grammar_from_json_schema({"type": "string"}),
    ],
)
def test_a_grammar_of_another_form_is_not_followed(fresh: Counting, rules: str) -> None:
    with pytest.raises(NotRead):
        Follower(rules, Vocabulary([b"a"]))
    for seed in range(3):
        walk(fresh, rules, anything(fresh, seed, 0.5), 8)
    assert not fresh._masks and fresh.asked > 4


@pytest.mark.slow
def test_what_json_escapes_otherwise_is_not_followed(fresh: Counting, published_tokenizer: Tokenizer) -> None:
    """A pattern that allows control characters lets llguidance write them in two ways."""
    rules = LLMatcher.grammar_from_json_schema({"type": "string", "pattern": "^[^x]{3}$"}, overrides=COMPACT)
    assert Follower(rules, Vocabulary([b"a"]))
    said = walk(fresh, rules, saying(fresh, published_tokenizer, r'"a\nb"', letters=True))
    assert json.loads(said) == "a\nb"


SIMPLE = st.recursive(
    st.sampled_from(["a", "b", "ế", r"\.", ".", "[ab]", "[^a]", r"\d", r"[\w-]", r"[^\s\d]", r"\S"]),
    lambda inner: (
        st.builds("{}{}".format, inner, inner)
        | st.builds("(?:{}|{})".format, inner, inner)
        | st.builds("({}){}".format, inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{2,}"]))
    ),
    max_leaves=6,
)


@pytest.mark.medium
@given(
    patterns=st.lists(SIMPLE, min_size=1, max_size=3),
    text=st.text(alphabet="abế. 1-_", max_size=8),
    most=st.integers(0, 8),
)
@example(patterns=["(a?){2}b"], text="b", most=8)
def test_a_language_is_that_of_its_patterns(patterns: list[str], text: str, most: int) -> None:
    every = Languages()
    bound = every.times(every.letter(((0, 0x10FFFF),)), 0, most)
    both = every.both(bound, *(every.pattern(f"^{one}$") for one in patterns))
    now, rest = every.follow(*every.split(both), text)
    fits = len(text) <= most and all(re.fullmatch(one, text, re.ASCII) for one in patterns)
    assert (now.nullable and rest.nullable) == fits
    assert every.follow(*every.split(both), text[:4])[0] is every.follow(*every.split(both), text[:4])[0]


def test_a_bound_is_told_from_another_only_by_a_token_that_reaches_it() -> None:
    ranges = ((ord(" "), ord(" ")), (ord("a"), ord("z")))
    words = Vocabulary([b"a", b"-" * 90, b"b" * 30, b"c" * 60 + b"-", b"d" * 44 + b'",' + b"e" * 10])
    # At 30, 45 and 60 a token's run of such characters ends, at 44 a quote may close it.
    at_most = {
        bound: words.beyond(bound, ranges) for bound in (5, 17, 18, 29, 30, 31, 32, 43, 44, 45, 46, 47, 200)
    }
    assert at_most == {
        5: 5, 17: 17, 18: 29, 29: 29, 30: 30, 31: 31, 32: 43, 43: 43, 44: 44, 45: 45, 46: 46, 47: 59, 200: 62,
    }  # fmt: skip
    # Where no token reaches as far as any bound that matters, all of those are one.
    assert {Vocabulary([b"a"]).beyond(bound, ranges) for bound in (18, 29, 200)} == {18}
