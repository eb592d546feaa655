"""A document of several files: pages numbered through, each known by its own file, checked together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from pipeline import grammar, run
from pipeline.errors import Reason
from pipeline.keys import ModelFacts
from pipeline.reading import Quarantine, Reading, Retry
from pipeline.recipe import Recipe
from pipeline.records import DocumentRef, Extraction, Failure, Generation, Part, Request
from pipeline.run import DocumentResult
from pipeline.settings import Settings
from pipeline.sources import list_documents
from pipeline.specimens.einvoice import xml_of
from pipeline.specimens.files import encode
from pipeline.specimens.making import make
from pipeline.specimens.specimen import Specimen
from schemas.registry import resolve
from tests.pipeline.test_reading import RECIPE as SLIPS
from tests.pipeline.test_reading import answer, prepared
from tests.pipeline.walker import recite, reciter

CARD = resolve("id_card@1")
RECIPE = Recipe.of(CARD, Settings(), ModelFacts("c" * 64, max_tiles=2, numerics="cpu float32"))


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> tuple[Specimen, Path]:
    """Two cards, each with its front and its back as a file."""
    folder = tmp_path_factory.mktemp("cards")
    return _drawn(folder, 3, "ours"), folder


def _drawn(folder: Path, seed: int, name: str) -> Specimen:
    made = make("id_card", seed, preset="clean")
    for side, page in zip(("front", "back"), made.pages, strict=True):
        Image.fromarray(page.pixels).save(folder / f"{name}-{side}.png", compress_level=1)
    return made


def key(path: Path, page: int = 1, recipe: Recipe = RECIPE) -> str:
    return recipe.page_key(hashlib.sha256(path.read_bytes()).hexdigest(), page)


def read(made: Specimen, *files: Path, missing: Path | None = None) -> DocumentResult:
    """The card whose pages the specimen has, by a model that answers with its truth."""
    texts = {key(path): grammar.answer(CARD.shape, made.raw(number)) for number, path in enumerate(files, 1)}
    refs = [DocumentRef(str(path)) for path in (*files, *([missing] if missing else []))]
    return run.document(str(files[0]), RECIPE, reciter(texts), parts=refs)


@pytest.mark.medium
def test_front_and_back_of_a_card_are_checked_against_each_other(cards: tuple[Specimen, Path]) -> None:
    made, folder = cards
    card = read(made, folder / "ours-front.png", folder / "ours-back.png").outcome
    assert isinstance(card, Extraction)
    assert card.state == "done", [check for check in card.checks if not check.passed]
    assert card.record == {**card.record, **{k: v for k, v in made.truth["record"].items() if v is not None}}
    assert card.pages == 2 and {field.page for field in card.fields if field.raw} == {1, 2}
    told = {(one.source, one.page) for one in card.testimony if one.verdict == "agrees"}
    assert {("qr", 1), ("mrz", 2)} <= told  # the print of the front, borne out by both sides


@pytest.mark.medium
def test_the_back_of_another_card_is_found_out(cards: tuple[Specimen, Path]) -> None:
    made, folder = cards
    other = _drawn(folder, 5, "other")
    mixed = replace(made, truth={**made.truth, "fields": {
        **{path: field for path, field in made.truth["fields"].items() if field["page"] == 1},
        **{path: field for path, field in other.truth["fields"].items() if field["page"] == 2},
    }})  # fmt: skip
    card = read(mixed, folder / "ours-front.png", folder / "other-back.png").outcome
    assert isinstance(card, Extraction) and card.state == "review"
    told = {(one.source, one.page, one.field) for one in card.testimony if one.verdict == "differs"}
    assert {("mrz", 2, "number"), ("mrz", 2, "full_name"), ("mrz", 2, "date_of_birth")} <= told


@pytest.mark.medium
def test_a_part_that_is_missing_is_named_and_the_others_are_read(cards: tuple[Specimen, Path]) -> None:
    made, folder = cards
    gone = folder / "ours-gone.png"
    result = read(made, folder / "ours-front.png", missing=gone)
    card = result.outcome
    assert isinstance(card, Extraction) and card.state == "partial"
    assert card.record["number"] == made.truth["record"]["number"]
    first, second = result.pages
    assert first.failure is None and second.page == 2
    assert second.failure is not None and second.failure.reason is Reason.object_missing
    assert str(gone) in second.failure.message
    assert [(part.uri, part.pages, part.failure is None) for part in result.parts] == [
        (str(folder / "ours-front.png"), 1, True),
        (str(gone), 1, False),
    ]
    alone = run.document("x", RECIPE, reciter({}), parts=[DocumentRef(str(gone)), DocumentRef(f"{gone}.2")])
    assert isinstance(alone.verdict, Quarantine) and alone.verdict.why.reason is Reason.object_missing


@pytest.mark.medium
def test_a_page_that_is_known_from_its_own_file_is_not_read_again(cards: tuple[Specimen, Path]) -> None:
    """Nor the other way round: a page of a document of several is known where its file is one by itself."""
    made, folder = cards
    front, back = folder / "ours-front.png", folder / "ours-back.png"
    together = read(made, front, back)
    alone = run.document(
        str(back), RECIPE, reciter({key(back): grammar.answer(CARD.shape, made.raw(2))}),
    )  # fmt: skip
    known = {page.key: page for page in alone.pages}
    only_front = reciter({key(front): grammar.answer(CARD.shape, made.raw(1))})
    again = run.document(
        "x",
        RECIPE,
        only_front,
        known=lambda _: known,
        parts=[DocumentRef(str(front)), DocumentRef(str(back))],
    )
    assert (again.pages, again.verdict, again.parts) == (together.pages, together.verdict, together.parts)
    assert (
        run.document(str(back), RECIPE, reciter({}), known=lambda _: {p.key: p for p in together.pages})
        == alone
    )


def test_pages_of_several_files_are_numbered_through(tmp_path: Path) -> None:
    parts = [Part("a.pdf", "a" * 64, pages=2), Part("b.pdf", "b" * 64, pages=3)]
    reading = Reading(SLIPS, parts)
    assert [reading.place(number) for number in range(1, 6)] == [(0, 1), (0, 2), (1, 1), (1, 2), (1, 3)]
    assert reading.keys[4] == SLIPS.page_key("b" * 64, 2)
    reading.drawn(4, prepared(2))
    result = reading.answered(answer(reading, 4))
    assert result.page == 4 and result.record is not None and result.record.page == 4
    assert {field.page for field in result.record.fields} == {4}
    failed = reading.failed(5, Failure(Reason.pdf_damaged, "it is torn", 3))
    assert failed.failure is not None
    assert (failed.failure.page, failed.failure.message) == (5, "b.pdf, page 3: it is torn")
    with pytest.raises(RuntimeError, match="page 1 of 5 was asked for, and page 3 came"):
        reading.drawn(3, prepared(3))


def test_the_same_bytes_twice_in_a_document_are_two_pages_of_it() -> None:
    reading = Reading(SLIPS, [Part("a.png", "a" * 64), Part("b.png", "a" * 64)], prefix="try/")
    assert reading.keys[1] == reading.keys[2] and reading.request_id(1) != reading.request_id(2)
    for page in (1, 2):
        reading.drawn(page, prepared(1))
    for page in (2, 1):
        assert reading.answered(answer(reading, page)).page == page
    known = {result.key: result for result in reading.finished[:1]}
    other = Reading(SLIPS, [Part("a.png", "a" * 64), Part("b.png", "a" * 64)])
    other.known(known)
    assert [page.page for page in other.finished] == [1, 2]


def test_a_part_that_may_come_back_is_waited_for() -> None:
    busy = Failure(Reason.store_unreachable, "503", retryable=True)
    reading = Reading(SLIPS, [Part("a.png", "a" * 64), Part("b.png", failure=busy)])
    reading.drawn(1, prepared(1))
    reading.answered(answer(reading, 1))
    verdict = reading.verdict(last_try=False)
    assert isinstance(verdict, Retry) and verdict.why.message == "b.png, page 1: 503"


def test_what_ended_the_renderer_in_one_file_is_not_held_against_the_next() -> None:
    reading = Reading(SLIPS, [Part("a.pdf", "a" * 64, pages=6), Part("b.pdf", "b" * 64, pages=1)])
    for page in range(1, 6):
        reading.failed(page, Failure(Reason.render_timeout, "30 s", page))
    assert reading.given_up(6) is not None
    assert reading.given_up(7) is None


@pytest.mark.medium
def test_files_that_are_too_large_together_are_not_read(cards: tuple[Specimen, Path]) -> None:
    made, folder = cards
    front, back = folder / "ours-front.png", folder / "ours-back.png"
    most = front.stat().st_size + back.stat().st_size - 1
    recipe = replace(RECIPE, settings=Settings.model_validate({"source": {"max_bytes": most}}))

    def generate(requests: Iterable[Request]) -> Iterator[Generation]:
        for request in requests:
            yield recite(grammar.answer(CARD.shape, made.raw(1)), request.id)

    refs = [DocumentRef(str(front)), DocumentRef(str(back))]
    found = run.document("x", recipe, generate, parts=refs)
    second = found.parts[1].failure
    assert second is not None and second.reason is Reason.too_many_bytes and str(back) in second.message
    assert isinstance(found.outcome, Extraction) and found.outcome.state == "partial"


# an invoice's XML beside its PDF

INVOICES = Recipe.of(resolve("invoice@1"), Settings(), ModelFacts("c" * 64, 2, numerics="cpu float32"))


def invoice_of(folder: Path, seed: int, **changes: str) -> tuple[Specimen, list[DocumentRef]]:
    """An invoice as a PDF and, of the same name and with these values changed, as XML."""
    made = make("invoice", seed, preset="clean")
    record = {**made.truth["record"], **changes}
    (folder / f"{seed}.pdf").write_bytes(encode(made, "pdf"))
    (folder / f"{seed}.xml").write_bytes(xml_of({**made.truth, "record": record}))
    return made, list(list_documents([str(folder)], Settings().source))


def read_invoice(made: Specimen, ref: DocumentRef) -> DocumentResult:
    data = Path(ref.uri).read_bytes()
    keys = [
        INVOICES.page_key(hashlib.sha256(data).hexdigest(), n, "pdf") for n in range(1, len(made.pages) + 1)
    ]
    shape = INVOICES.spec.shape
    texts = {key: grammar.answer(shape, made.raw(number)) for number, key in enumerate(keys, 1)}
    return run.document(ref.uri, INVOICES, reciter(texts), parts=ref.parts)


@pytest.mark.medium
def test_the_xml_beside_a_pdf_is_one_document_with_it_and_decides(tmp_path: Path) -> None:
    made, [ref] = invoice_of(tmp_path, 6)
    assert [Path(part.uri).name for part in ref.parts] == ["6.pdf", "6.xml"]
    found = read_invoice(made, ref)
    bill = found.outcome
    assert isinstance(bill, Extraction) and bill.pages == len(made.pages) + 1
    assert bill.record["total"] == made.truth["record"]["total"]
    assert len(bill.record["lines"]) == len(made.truth["record"]["lines"])  # counted once
    assert {field.source for field in bill.fields if field.path == "total"} == {"xml"}
    assert {field.page for field in bill.fields if field.path == "total"} == {len(made.pages) + 1}
    assert not [check.code for check in bill.checks if check.code in ("several_documents", "page_conflict")]


@pytest.mark.medium
def test_print_that_differs_from_its_xml_sends_the_invoice_to_a_person(tmp_path: Path) -> None:
    made, [ref] = invoice_of(tmp_path, 6, number="00000001")
    bill = read_invoice(made, ref).outcome
    assert isinstance(bill, Extraction) and bill.state == "review"
    assert bill.record["number"] != made.truth["record"]["number"]
    assert any(one.field == "number" and one.verdict == "differs" for one in bill.testimony)
    assert "several_documents" not in {check.code for check in bill.checks}


@pytest.mark.medium
def test_the_xml_of_another_invoice_is_found_out(tmp_path: Path) -> None:
    """Equal names may lie: then the record is that of the XML alone, and says so."""
    made, [ref] = invoice_of(tmp_path, 6, number="00000001", seller_tax_code="0100109106")
    bill = read_invoice(made, ref).outcome
    assert isinstance(bill, Extraction) and bill.state == "review"
    [check] = (check for check in bill.checks if check.code == "several_documents")
    assert {"number", "seller_tax_code"} == {*check.fields}
    assert f"page {len(made.pages) + 1} with number '00000001'" in check.message
