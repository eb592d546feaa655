"""Tables that do not fit beside their page: every line comes back, and the answer is one text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pipeline import grammar, merge, parse
from pipeline.errors import Permanent, Reason
from pipeline.grammar import Form
from pipeline.records import Extraction, Generation, Request
from pipeline.settings import EngineSettings
from pipeline.vintern import Vintern, load
from pipeline.vintern.constrain import Grammars
from pipeline.vintern.engine import Engine
from pipeline.vintern.passes import Table, goes_round, leaving, tables
from schemas.registry import SchemaSpec, resolve
from tests.vintern import checkpoints
from tests.vintern.pages import CONTEXT, LONG, LONG_ROWS, long_page, of_context, page, same
from tests.vintern.scripted import Script, Scripted

SLIP, BOUNDED = (resolve(f"{Path(__file__).with_name('slip.py')}:{name}") for name in ("Slip", "Bounded"))
ROOM = 700  # tokens for an answer, of which a line of a slip takes some 45


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Vintern:
    directory = tmp_path_factory.mktemp("tiny")
    checkpoints.write(directory, "v2", seed=1)
    checkpoints.edit(directory, llm_config={"max_position_embeddings": 32768})
    return load(directory, dtype="float32", device="cpu")


def slip(lines: int, form: Form = "objects") -> str:
    """The answer that is right for a slip of so many lines; some of them say the same but for the number."""
    rows = [
        {"no": str(n), "name": f"Vở {n % 7} ô ly", "amount": f"{n % 5 + 1}.000"} for n in range(1, lines + 1)
    ]
    whole = sum(n % 5 + 1 for n in range(1, lines + 1))
    return grammar.answer(SLIP.shape, {"store": "Kho Đông", "lines": rows, "total": f"{whole}.000"}, form)


def reads(truth: str) -> Script:
    """Goes on after what it sees of `truth`: its beginning, or the part before the table and whole lines.

    What it sees after a cut must begin with a line and be enough to find the place by.
    """
    table = truth.index("[") + 1

    def says(seen: str) -> str:
        if truth.startswith(seen):
            return truth[len(seen) :]
        assert seen.startswith(truth[:table]), f"the table's head is out of sight: {seen[: table + 20]}"
        rest = seen[table:]
        assert truth.count(rest) == 1 and rest[0] == truth[table], f"the place cannot be found: {rest[:60]}"
        at = truth.index(rest)
        assert truth[at - 1] == ","
        return truth[at + len(rest) :]

    return says


def request(most: int = 10_000, spec: SchemaSpec = SLIP, form: Form = "objects") -> Request:
    return page(1, 1, grammar.compile(spec, form), most)


def engine(model: Vintern, says: Script, room: int = ROOM, **settings: Any) -> Engine:
    length = len(model.prompt_ids(request().question, 1)) + room
    return Engine(
        model,
        EngineSettings(**{"retry_penalty": 1, "place": False, **settings}),
        Scripted(model, says, length),
    )


def read(generation: Generation, form: Form = "objects") -> Extraction:
    return merge.document([parse.page_record(generation, SLIP, 1, form=form)], SLIP)


@pytest.mark.medium
@pytest.mark.parametrize(
    ("lines", "form"), [(n, "objects") for n in (0, 10, 30, 60, 100)] + [(n, "rows") for n in (10, 60, 100)]
)
def test_a_table_comes_back_with_all_its_lines(model: Vintern, lines: int, form: Form) -> None:
    truth = slip(lines, form)
    reader = engine(model, reads(truth))
    (answer,) = reader.generate([request(form=form)])
    assert (answer.text, answer.finish, answer.attempts) == (truth, "stop", 1)
    assert (answer.passes > 1) == (lines > 10) and reader.stats.passes == answer.passes
    made = read(answer, form)
    assert len(made.record["lines"]) == lines
    assert [line["no"] for line in made.record["lines"]] == list(range(1, lines + 1))
    assert made.state == "done", [check for check in made.checks if not check.passed]
    assert all(field.confidence is not None and 0.99 < field.confidence <= 1 for field in made.fields)


@pytest.mark.medium
def test_the_page_is_seen_once_and_no_token_is_fed_twice(model: Vintern) -> None:
    reader = engine(model, reads(slip(60)))
    (answer,) = reader.generate([request()])
    assert isinstance(reader.backend, Scripted) and answer.passes > 3
    assert reader.backend.encoded == 1
    assert reader.backend.fed < answer.prompt_tokens + len(answer.spans)


@pytest.mark.medium
def test_positions_end_where_the_model_was_made_for_no_more(model: Vintern) -> None:
    language = replace(model.config.language, positions=2000)
    short = Vintern(model.network, replace(model.config, language=language), model.tokenizer, "")
    (answer,) = engine(short, reads(slip(60))).generate([request()])
    assert (answer.finish, answer.prompt_tokens + len(answer.spans)) == ("length", 2000)


@pytest.mark.medium
def test_a_table_ends_at_the_bound_on_passes_and_says_so(model: Vintern) -> None:
    (answer,) = engine(model, reads(slip(100)), max_passes=3).generate([request()])
    assert (answer.finish, answer.passes) == ("length", 3)
    with pytest.raises(Permanent, match=r"not finished after \d+ tokens in 3 passes") as raised:
        parse.page_record(answer, SLIP, 1)
    assert raised.value.reason == Reason.output_truncated
    (answer,) = engine(model, reads(slip(100)), max_passes=1).generate([request()])
    assert (answer.finish, answer.passes, len(answer.spans)) == ("length", 1, ROOM)


@pytest.mark.medium
def test_less_room_takes_more_passes(model: Vintern) -> None:
    truth = slip(30)
    (tight, wide) = (next(engine(model, reads(truth), room).generate([request()])) for room in (400, 800))
    assert (tight.text, wide.text) == (truth, truth) and tight.passes > wide.passes > 1


@pytest.mark.medium
def test_a_bound_on_tokens_counts_those_of_all_passes(model: Vintern) -> None:
    truth = slip(30)
    (answer,) = engine(model, reads(truth)).generate([request(most=900)])
    assert (answer.finish, len(answer.spans)) == ("length", 900) and answer.passes > 1
    (answer,) = engine(model, reads(truth), max_new_tokens=900).generate([request()])
    assert (answer.finish, len(answer.spans)) == ("length", 900) and answer.passes > 1


def test_without_a_line_that_can_leave_the_answer_is_cut(model: Vintern) -> None:
    (answer,) = engine(model, reads(slip(30)), room=100).generate([request()])
    assert (answer.finish, answer.passes) == ("length", 1)  # two lines have no room
    (answer,) = engine(model, reads(slip(0)), room=20).generate([request()])
    assert (answer.finish, answer.passes, len(answer.spans)) == ("length", 1, 20)


@pytest.mark.medium
def test_a_runaway_table_ends_at_the_schemas_bound(model: Vintern) -> None:
    """The grammar counts over all passes."""
    truth = slip(60)

    def says(seen: str) -> str:
        return "null}" if "]" in seen else reads(truth)(seen)

    (answer,) = engine(model, says).generate([request(spec=BOUNDED)])
    assert answer.text.count("STT") == 40 and answer.passes > 1
    assert answer.finish == "stop" and answer.text.endswith('],"Cộng":null}')


def writes(truth: str, following: Callable[[list[int]], int]) -> Script:
    """Writes the line of `truth` that `following` names, given the numbers of the whole lines in sight."""
    table, end = truth.index("[") + 1, truth.index("]")
    rows = re.findall(r"{[^}]*}", truth[table:end])

    def says(seen: str) -> str:
        if len(seen) < table:
            return truth[len(seen) :]
        body = seen[table:]
        if "]" in body:
            return truth[end + len(body) - body.index("]") :]
        whole = [int(number) for number in re.findall(r'{"STT":"([0-9]+)"[^}]*}', body)]
        begun = body[body.rfind("}") + 1 :]
        number = following(whole)
        likely = [number, *(whole[-1:] and [whole[-1] + 1]), *range(1, len(rows) + 1)]
        lines = (truth[end:] if n > len(rows) else f"{',' * bool(whole)}{rows[n - 1]}" for n in likely)
        # A line that was begun before a cut is the one that is written on.
        return next(line for line in lines if line.startswith(begun))[len(begun) :]

    return says


def begins_again(lines: int) -> Script:
    """The table never ends: after its last line comes its first."""
    return writes(slip(lines), lambda whole: whole[-1] % lines + 1 if whole else 1)


def goes_back(lines: int, at: int) -> Script:
    """Reads well, but after its first cut it goes back two lines once it sees `at` whole ones."""
    chosen: dict[tuple[int, ...], int] = {(): 1}

    def following(whole: list[int]) -> int:
        seen = tuple(whole)
        if seen not in chosen:
            back = (
                len(seen) == at
                and seen[0] != 1
                and all(chosen[other] > max(other, default=0) for other in chosen)
            )
            chosen[seen] = seen[-1] - 1 if back else seen[-1] + 1
        return chosen[seen]

    return writes(slip(lines), following)


@pytest.mark.medium
def test_a_model_that_begins_the_table_again_in_each_pass_is_stopped(model: Vintern) -> None:
    """A round is longer than any cycle that is looked for while it writes, and brings nothing."""
    (answer,) = engine(model, begins_again(12), room=900).generate([request()])
    assert answer.finish == "loop" and 36 <= answer.text.count("STT") < 50
    with pytest.raises(Permanent) as raised:
        parse.page_record(answer, SLIP, 1)
    assert raised.value.reason == Reason.generation_loop
    (twice,) = engine(model, begins_again(12), room=900, retry_penalty=1.01).generate([request()])
    assert (twice.attempts, twice.text, twice.seams) == (2, answer.text, answer.seams)


@pytest.mark.medium
def test_lines_read_again_at_a_seam_are_kept_once(model: Vintern) -> None:
    """Their numbers tell that they are the same, and the total bears it out."""
    tried = (next(engine(model, goes_back(30, at)).generate([request()])) for at in range(6, 15))
    answer = next(answer for answer in tried if answer.text.count("STT") > 30)  # as soon as it has been cut
    assert answer.finish == "stop"
    made = read(answer)
    assert [line["no"] for line in made.record["lines"]] == list(range(1, 31))
    again = [check for check in made.checks if check.code == "line_reread"]
    assert len(again) == 1 and answer.text.count("STT") == 32
    assert made.state == "done"
    # Without what is known of passes, the total finds it.
    plain = merge.document([replace(parse.page_record(answer, SLIP, 1), seams=())], SLIP)
    assert plain.state == "review" and len(plain.record["lines"]) > 30


@torch.inference_mode()
def slowly(model: Vintern, asked: Request, tokens: list[int], forced: list[bool]) -> tuple[Tensor, Tensor]:
    """Logits before each of `tokens`, and how each looked at the page: one forward pass without a cache.

    Each token sees what had not yet left when it was fed; what is forced is fed with the next choice.
    """
    bytes_of = Grammars(model.tokenizer, model.config.language.vocab).bytes_of
    ids = torch.cat([model.prompt_ids(asked.question, 1), torch.tensor(tokens)])
    prompt = len(ids) - len(tokens)
    sees = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
    sight: list[int] = []
    chosen = 0
    for number, without_choice in enumerate(forced):
        if len(sight) == CONTEXT - prompt:
            fed = sight.index(chosen)
            leave = leaving([bytes_of(tokens[n]) for n in sight], len(sight), fed)
            assert leave is not None
            sees[prompt + chosen :, [prompt + n for n in sight[slice(*leave)]]] = False
            del sight[slice(*leave)]
        sight.append(number)
        chosen = chosen if without_choice else number
    looked: list[Tensor] = []

    def attend(layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        key, value = (part.repeat_interleave(query.shape[1] // key.shape[1], 1) for part in (key, value))
        weights = (
            (query @ key.transpose(2, 3) / query.shape[3] ** 0.5).masked_fill(~sees, -torch.inf).softmax(-1)
        )
        looked.append(weights[0].mean(0)[:, ids == model.tokenizer.image])
        return weights @ value

    embeds = model.embed(ids, model.vision(torch.from_numpy(asked.tiles)))
    hidden = model.language(embeds[None], torch.arange(len(ids))[None], attend)
    return model.language.head(hidden)[0, prompt - 1 : -1].float(), looked[-1][prompt - 1 :]


@pytest.mark.medium
@pytest.mark.parametrize(("kernels", "rules"), [(True, LONG), (False, LONG), (False, LONG_ROWS)])
def test_a_further_pass_says_what_a_whole_forward_pass_over_its_sight_says(
    model: Vintern, kernels: bool, rules: str
) -> None:
    asked = long_page(model, 3, 110, rules)
    reader = Engine(of_context(model), EngineSettings(place=True, kernels=kernels))
    reader.submit(asked)
    (held,) = reader._batch.waiting  # a letter may be one token or its bytes: only the answer itself knows
    answer = next(done for _ in iter(int, 1) for done in reader.step())
    assert answer.passes >= 3 and answer.finish == "stop" and answer.place is not None
    tokens = held.tokens
    assert len(answer.spans) == len(tokens)
    logits, looked = slowly(model, asked, tokens, answer.forced.tolist())
    chosen = np.flatnonzero(~answer.forced)
    assert (chosen > answer.seams[1]).sum() > 9
    said = logits.softmax(-1)[torch.arange(len(tokens)), torch.tensor(tokens)].numpy()
    np.testing.assert_allclose(answer.unmasked[chosen], said[chosen], rtol=1e-3)
    for number in chosen[:-1]:
        row = (looked[number] + looked[number + 1]) / 2
        assert answer.place[number, 0] == pytest.approx(float(row.max()), rel=1e-3)


@pytest.mark.medium
def test_passes_do_not_depend_on_neighbours_and_change_nothing_that_fits(model: Vintern) -> None:
    asked = [long_page(model, n, room) for n, room in ((1, 110), (2, 150), (3, 120), (4, 600))]

    def answers(requests: list[Request], **settings: Any) -> list[Generation]:
        reader = Engine(of_context(model), EngineSettings(place=False, **settings))
        return sorted(reader.generate(requests), key=lambda answer: answer.request_id)

    alone = [answer for each in asked for answer in answers([each], max_batch=1)]
    together = {answer.request_id: answer for answer in answers(asked, max_batch=3)}
    assert [answer.passes > 1 for answer in alone] == [True, True, True, False]
    assert all(same(together[answer.request_id], answer) for answer in alone)
    assert all(together[answer.request_id].seams == answer.seams for answer in alone)
    (once,) = answers(asked[3:], max_passes=1)
    assert same(once, alone[3])


values = st.text('ab"\\[]{},:đ ', max_size=6)
documents = st.fixed_dictionaries(
    {
        "Đầu": values,
        "Bảng": st.lists(st.fixed_dictionaries({"ạ": values, "s": st.lists(values, max_size=2)}), max_size=8),
        "Phí": st.lists(values, max_size=4),
        "Hàng: a; b": st.lists(st.lists(st.none() | values, min_size=2, max_size=2), max_size=8),
    }
)


@pytest.mark.medium
@given(document=documents, edges=st.lists(st.integers(0, 600), max_size=80), end=st.integers(1, 600))
def test_what_stays_in_sight_is_the_text_without_whole_lines(
    document: dict[str, Any], edges: list[int], end: int
) -> None:
    """However tokens are cut, across lines and within letters, and wherever the text ends so far."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()[:end]
    at = sorted({0, len(text), *(edge for edge in edges if edge < len(text))})
    pieces = [text[a:b] for a, b in pairwise(at)]
    leave = leaving(pieces, len(pieces), len(pieces))
    if leave is not None:
        stays = b"".join(pieces[: leave[0]] + pieces[leave[1] :])
        assert len(stays) < len(text)
        assert any(without_some_lines(text, stays, table) for table in tables(text))


def without_some_lines(text: bytes, stays: bytes, table: Table) -> bool:
    """`stays` is `text` without some lines of the table, one behind the other; the last whole one stays."""
    starts = [start for start, _ in table.lines]
    return any(stays == text[:a] + text[b:] for a, b in combinations(starts, 2))


@pytest.mark.medium
@given(document=documents)
def test_tables_are_the_lists_that_are_in_no_other(document: dict[str, Any]) -> None:
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    found = [[json.loads(text[a:b]) for a, b in table.lines] for table in tables(text)]
    assert found == [value for value in document.values() if isinstance(value, list)]
    assert list(tables(b"[" + text + b"]")) == []


PIECES = [b'{"a":[{', *[b'"b":1},{'] * 9, b'"b"']


@pytest.mark.parametrize(
    ("room", "cached", "leave"),
    [
        (11, 10, (1, 4)),  # a quarter of the room becomes free
        (8, 10, (1, 6)),
        (11, 3, (1, 3)),  # no more than is in the cache
        (3, 10, None),  # with the last whole line there would be no room
        (11, 1, None),
    ],
)
def test_the_oldest_lines_leave(room: int, cached: int, leave: tuple[int, int] | None) -> None:
    assert leaving(PIECES, room, cached) == leave


def test_where_tokens_of_lines_are_never_cut_alike_nothing_leaves() -> None:
    assert leaving([b'{"a":[{"b":', b'1},{"b', b'":2},{', b'"b":3},'], 4, 4) is None


def test_rows_that_begin_in_two_ways_leave_each_with_its_like() -> None:
    """The first row begins with a value, the others with null: they cannot follow on what opens a value."""
    pieces = [b'{"a: b":[["', b'1"],[', *[b"null],["] * 6, b"null", b'],["']
    assert leaving(pieces, 9, 10) == (2, 6)
    stays = b"".join(pieces[:2] + pieces[6:])
    assert stays == b'{"a: b":[["1"],[' + b"null],[" * 2 + b'null],["'


def test_many_rounds_of_the_same_lines_are_a_loop() -> None:
    def table(*numbers: int) -> bytes:
        return b'{"t":[' + b",".join(b'{"a":%d}' % number for number in numbers) + b","

    assert goes_round(table(7, *[1, 2, 3] * 10))
    assert not goes_round(table(7, *[1, 2, 3] * 9))  # rung up by turns
    assert not goes_round(table(*[1] * 100))
    assert goes_round(table(*list(range(40)) * 3))
    assert not goes_round(table(*list(range(40)) * 2))
