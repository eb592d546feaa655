"""The way of a document, from a file on disk to its record, with a model that is told what to answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline import grammar, reading, run
from pipeline.errors import Permanent, Reason, ReplicaLost
from pipeline.keys import ModelFacts
from pipeline.recipe import Recipe
from pipeline.records import Extraction, Failure, Generation, PageImage, Request
from pipeline.run import DocumentResult
from pipeline.settings import Settings
from schemas.registry import resolve
from schemas.shape import Leaf, Printed, Repeated
from tests.pipeline import papers
from tests.pipeline.walker import recite, reciter, spec_of

RECEIPT = resolve("receipt@1")
MODEL = ModelFacts("c" * 64, max_tiles=2, numerics="cpu float32")
RECIPE = Recipe.of(RECEIPT, Settings(), MODEL)
SHORT = spec_of(
    Leaf("number", "Số", Printed(r"\d{2}", str, "text", 2)),
    Leaf("word", "Chữ", Printed("[a-z]{1,4}", str, "text", 4)),
    Repeated("lines", "Dòng", Leaf("lines", "Dòng", Printed("[A-D]{2}", str, "text", 2)), 3),
)
LINE = {"name": "Sữa", "quantity": "2", "unit_price": "15.000", "amount": "30.000"}
FIRST = {"store": "Chợ Mới", "date": "05/11/2026", "lines": [LINE]}
LAST = {"lines": [{**LINE, "name": "Kẹo"}], "total": "60.000"}


@pytest.fixture
def paper(tmp_path: Path) -> str:
    """A TIFF of two pages."""
    path = tmp_path / "receipt.tiff"
    pages = [Image.new("RGB", (400, 300), colour) for colour in ("white", "ivory")]
    for number, image in enumerate(pages):
        image.paste((0, 0, 0), (10 + 40 * number, 10, 30 + 40 * number, 40))
    pages[0].save(path, save_all=True, append_images=pages[1:])
    return str(path)


def key(uri: str, page: int, recipe: Recipe = RECIPE) -> str:
    import hashlib

    return recipe.page_key(hashlib.sha256(Path(uri).read_bytes()).hexdigest(), page)


def answers(uri: str, *pages: dict[str, Any]) -> dict[str, str]:
    return {key(uri, number): grammar.answer(RECEIPT.shape, page) for number, page in enumerate(pages, 1)}


def read(uri: str, *pages: dict[str, Any]) -> DocumentResult:
    return run.document(uri, RECIPE, reciter(answers(uri, *pages)))


@pytest.mark.medium
def test_a_file_becomes_a_record(paper: str) -> None:
    made = read(paper, FIRST, LAST)
    assert isinstance(made.outcome, Extraction)
    assert made.outcome.state == "done", made.outcome.checks
    assert made.outcome.record["store"] == "Chợ Mới"
    assert [line["name"] for line in made.outcome.record["lines"]] == ["Sữa", "Kẹo"]
    assert made.outcome.record["total"] == "60000"


@pytest.mark.medium
def test_text_that_was_passed_over_sends_the_document_to_review(tmp_path: Path) -> None:
    """A PDF's own text goes with its page, is kept, and tells that lines of the table were not read."""
    goods = [
        {"name": f"Ware {n}", "quantity": "2", "unit_price": "15.000", "amount": "30.000"} for n in range(8)
    ]
    rows = [f"{row['name']}  {row['quantity']}  {row['unit_price']}  {row['amount']}" for row in goods]
    drawing = b"".join(
        b"BT /F 12 Tf %d %d Td (%s) Tj ET " % (60 + 120 * column, 700 - 20 * row, cell.encode())
        for row, cells in enumerate(rows)
        for column, cell in enumerate(cells.split("  "))
    )
    paper = tmp_path / "receipt.pdf"
    paper.write_bytes(papers.pages([drawing]))
    whole = read(str(paper), {**FIRST, "lines": goods, "total": "240.000"})
    short = read(str(paper), {**FIRST, "lines": goods[:6], "total": "180.000"})
    for made in (whole, short):
        record = made.pages[0].record
        assert record is not None and record.text is not None and record.text.trusted
        assert len(record.text.words) == 8 * 5
    assert isinstance(whole.outcome, Extraction) and isinstance(short.outcome, Extraction)
    assert "incomplete" not in {check.code for check in whole.outcome.checks}
    (check,) = [check for check in short.outcome.checks if check.code == "incomplete"]
    assert check.message.startswith("page 1: 8 lines of a table stand there, and 6 were read")
    assert short.outcome.state == "review"


@pytest.mark.medium
def test_what_was_not_drawn_sends_the_document_to_review(tmp_path: Path) -> None:
    stamp = b"<</Type/Annot/Subtype/Stamp/F 4/Name/Approved/Rect[120 60 380 100]>>"
    plain, stamped = tmp_path / "plain.pdf", tmp_path / "stamped.pdf"
    plain.write_bytes(papers.pages([papers.text("x")]))
    stamped.write_bytes(papers.pages([papers.text("x")], page=b"/Annots[6 0 R]", extra=[stamp]))
    everything = {**FIRST, "total": "30.000"}
    sound, doubtful = (read(str(path), everything).outcome for path in (plain, stamped))
    assert isinstance(sound, Extraction) and sound.state == "done"
    assert isinstance(doubtful, Extraction) and doubtful.state == "review"
    assert doubtful.record == sound.record
    (check,) = (check for check in doubtful.checks if not check.passed and check.severity != "info")
    assert check.code == "annotation_not_drawn" and "page 1" in check.message and "Stamp" in check.message


@pytest.mark.medium
def test_each_page_says_how_it_came_about(paper: str) -> None:
    made = read(paper, FIRST, LAST)
    assert [page.page for page in made.pages] == [1, 2]
    for page in made.pages:
        assert page.key == key(paper, page.page)
        assert (page.width, page.height, page.renderer) == (400, 300, "pillow")
        assert page.tiles in (1, 3)
        assert page.output_tokens and page.prompt_tokens
        assert page.record is not None and page.failure is None


@pytest.mark.medium
def test_the_engine_is_asked_with_tiles_question_and_grammar(paper: str) -> None:
    seen: list[Request] = []

    def generate(requests: Iterable[Request]) -> Iterator[Generation]:
        for request in requests:
            seen.append(request)
            yield recite(grammar.answer(RECEIPT.shape, FIRST), request.id)

    run.document(paper, RECIPE, generate)
    assert len(seen) == 2
    for request in seen:
        assert request.tiles.dtype == np.uint8 and request.tiles.shape[1:] == (448, 448, 3)
        assert "Phiếu thanh toán" in request.question and request.grammar == RECIPE.grammar
        assert request.max_new_tokens == Settings().engine.max_new_tokens
    assert not np.array_equal(seen[0].tiles, seen[1].tiles)


@pytest.mark.medium
def test_a_page_that_is_known_is_not_read_again(paper: str) -> None:
    before = read(paper, FIRST, LAST)
    known = {page.key: page for page in before.pages[:1]}
    only_second = {key(paper, 2): answers(paper, FIRST, LAST)[key(paper, 2)]}
    assert run.document(paper, RECIPE, reciter(only_second), known=lambda _: known) == before
    everything = {page.key: page for page in before.pages}
    assert run.document(paper, RECIPE, reciter({}), known=lambda _: everything) == before


@pytest.mark.medium
@pytest.mark.parametrize(
    ("finish", "reason"), [("length", Reason.output_truncated), ("loop", Reason.generation_loop)]
)
def test_one_bad_page_does_not_harm_its_neighbour(paper: str, finish: Any, reason: Reason) -> None:
    def generate(requests: Iterable[Request]) -> Iterator[Generation]:
        for request in requests:
            good = recite(answers(paper, FIRST, LAST)[request.id], request.id)
            yield replace(good, finish=finish) if request.id == key(paper, 1) else good

    made = run.document(paper, RECIPE, generate)
    assert isinstance(made.outcome, Extraction)
    assert made.outcome.state == "partial" and made.outcome.pages == 2
    assert made.outcome.record["total"] == "60000"
    first, second = made.pages
    assert first.record is None and first.failure is not None
    assert (first.failure.reason, first.failure.page) == (reason, 1)
    assert first.output, "what the model said is kept, to be looked at"
    assert second.record is not None


@pytest.mark.medium
def test_when_every_page_fails_the_document_has_the_failure(paper: str) -> None:
    def generate(requests: Iterable[Request]) -> Iterator[Generation]:
        for request in requests:
            yield replace(recite("{", request.id), finish="length")

    made = run.document(paper, RECIPE, generate)
    assert isinstance(made.outcome, Failure)
    assert made.outcome.reason is Reason.output_truncated
    assert len(made.pages) == 2 and made.sha256


def test_a_missing_and_a_broken_file_end_with_a_reason(tmp_path: Path) -> None:
    missing = run.document(str(tmp_path / "none.pdf"), RECIPE, reciter({}))
    assert isinstance(missing.outcome, Failure) and missing.outcome.reason is Reason.object_missing
    text = tmp_path / "text.pdf"
    text.write_text("no PDF")
    made = run.document(str(text), RECIPE, reciter({}))
    assert isinstance(made.outcome, Failure) and made.outcome.reason is Reason.unsupported_type
    assert made.sha256 and made.pages == ()


@pytest.mark.slow
def test_a_document_that_ends_every_renderer_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "endless.pdf").write_bytes(papers.endless(page=None, count=8))
    recipe = Recipe.of(RECEIPT, Settings(render={"dpi": 72, "seconds": 0.3}), MODEL)
    made = run.document(str(tmp_path / "endless.pdf"), recipe, reciter({}))
    failures = [page.failure for page in made.pages if page.failure is not None]
    assert [why.reason for why in failures] == [Reason.render_timeout] * 8
    assert ["not tried" in why.message for why in failures] == [False] * 5 + [True] * 3


def test_an_unforeseen_error_on_one_page_is_its_failure_with_a_traceback() -> None:
    told = run.prepare(PageImage(4, np.zeros((0, 5, 3), np.uint8), "pillow"), RECIPE)
    assert isinstance(told, Failure)
    assert (told.reason, told.page, told.retryable) == (Reason.internal_error, 4, False)
    assert told.traceback and "ValueError" in told.traceback
    assert re.match(r"ValueError at \w+\.py:\d+;", told.message)
    assert "Nguyễn" not in reading.failure(KeyError("Nguyễn")).message  # it may hold what was read
    assert reading.failure(MemoryError(), 1).retryable
    assert reading.failure(Permanent(Reason.pdf_damaged, "bent"), 1).reason is Reason.pdf_damaged


@pytest.mark.medium
def test_an_answer_too_many_too_few_or_unasked_is_an_error_of_the_engine(paper: str) -> None:
    def never(requests: Iterable[Request]) -> Iterator[Generation]:
        list(requests)
        return iter(())

    def twice(requests: Iterable[Request]) -> Iterator[Generation]:
        for request in requests:
            said = recite(grammar.answer(RECEIPT.shape, FIRST), request.id)
            yield from (said, said)

    with pytest.raises(RuntimeError, match=r"no result for pages \[1, 2\] of 2"):
        run.document(paper, RECIPE, never)
    with pytest.raises(RuntimeError, match="answered twice, or never asked"):
        run.document(paper, RECIPE, twice)


@pytest.mark.medium
def test_the_loss_of_the_engine_is_not_the_documents_failure(paper: str) -> None:
    def dies(requests: Iterable[Request]) -> Iterator[Generation]:
        raise ReplicaLost(Reason.worker_lost, "gone")

    with pytest.raises(ReplicaLost):
        run.document(paper, RECIPE, dies)


def test_a_retryable_failure_speaks_for_the_document() -> None:
    lost = reading.failed_page(Failure(Reason.render_crashed, "hard", 1), "k")
    late = reading.failed_page(Failure(Reason.out_of_memory, "soft", 2, retryable=True), "k")
    told = reading.outcome([lost, late], RECIPE)
    assert isinstance(told, Failure) and told.retryable
    with pytest.raises(ValueError, match="must name its page"):
        reading.failed_page(Failure(Reason.pdf_damaged, "bent"), "k")


def test_a_rule_that_changes_reads_no_page_again() -> None:
    assert Recipe.of(replace(RECEIPT, hash="f" * 64), Settings(), MODEL).key == RECIPE.key


@pytest.mark.slow
def test_the_real_engine_reads_a_document_and_every_answer_can_be_read(paper: str, tmp_path: Path) -> None:
    from pipeline import vintern
    from pipeline.vintern.engine import Engine
    from tests.vintern import checkpoints

    checkpoints.write(tmp_path / "checkpoint", "v2")
    model = vintern.load(str(tmp_path / "checkpoint"), device="cpu")
    settings = Settings(
        engine={"place": True, "max_new_tokens": 400, "kv_tokens": 4096, "max_batch": 2},
        tiles={"max_tiles": 2},
    )
    facts = ModelFacts(model.checkpoint_hash, model.max_tiles, "cpu float32")
    recipe = Recipe.of(SHORT, settings, facts)
    made = run.document(paper, recipe, Engine(model, settings.engine).generate)
    assert [page.failure for page in made.pages] == [None, None]
    assert isinstance(made.outcome, Extraction)
    assert set(made.outcome.record) == {"number", "word", "lines"}
    for page in made.pages:
        assert page.record is not None and page.tiles == 1 and (page.prompt_tokens or 0) > 256
        for field in page.record.fields:
            assert field.confidence is not None and 0 < field.confidence <= 1
            assert (field.box is not None) == (field.raw is not None)
    again = run.document(paper, recipe, Engine(model, settings.engine).generate)
    assert again == made
