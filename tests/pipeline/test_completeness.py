"""Text that stands on a page and was not read is found; a page that was read whole is let alone."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import pytest

from pipeline import merge, textlayer
from pipeline.completeness import incomplete
from pipeline.records import Check, Field, PageRecord, TextLayer, Word
from pipeline.specimens.making import make
from pipeline.specimens.specimen import Page, Specimen
from schemas.registry import resolve

_LINE = re.compile(r"lines\[(\d+)\]\.(\w+)")
SPECIMENS = [
    (kind, layouts, seed)
    for kind in ("invoice", "receipt", "id_card")
    for layouts in ("standard", "held-out")
    for seed in range(5)
]
LONG = ("invoice", "held-out", 7)  # 43 lines on two pages


@cache
def specimen(kind: str, layouts: str, seed: int) -> Specimen:
    return make(kind, seed, preset="clean", layouts=layouts)


def printed(page: Page) -> tuple[Word, ...]:
    """The words of a page where they are drawn, as a text layer has them."""
    height, width = page.backdrop.shape[:2]
    found = []
    for run in page.runs:
        text = unicodedata.normalize("NFC", run.text)
        letter = run.width / max(1, len(text))
        top, bottom = (run.baseline - 0.75 * run.size) / height, (run.baseline + 0.2 * run.size) / height
        for word in re.finditer(r"\S+", text):
            left, right = run.x + letter * word.start(), run.x + letter * word.end()
            found.append(Word(word[0], (left / width, top, right / width, bottom)))
    return tuple(found)


def words(found: Specimen) -> dict[int, tuple[Word, ...]]:
    return {number: printed(page) for number, page in enumerate(found.pages, 1)}


def fields(found: Specimen) -> list[Field]:
    """All that the specimen says, read without a mistake."""
    return [
        Field(path, each["raw"], each["raw"], 1.0, "read", each["page"], each["box"])
        for path, each in found.truth["fields"].items()
    ]


def without_lines(read: Sequence[Field], gone: set[int]) -> list[Field]:
    """As if these lines had been passed over: the others are numbered anew."""
    numbers = sorted({int(match[1]) for each in read if (match := _LINE.fullmatch(each.path))} - gone)
    kept = []
    for each in read:
        match = _LINE.fullmatch(each.path)
        if match is None:
            kept.append(each)
        elif int(match[1]) not in gone:
            kept.append(each._replace(path=f"lines[{numbers.index(int(match[1]))}].{match[2]}"))
    return kept


def found(
    which: tuple[str, str, int], read: Sequence[Field], there: Mapping[int, Sequence[Word]]
) -> list[Check]:
    return list(incomplete(read, there, resolve(f"{which[0]}@1").shape))


@pytest.mark.medium
@pytest.mark.parametrize("which", SPECIMENS, ids=str)
def test_a_page_that_was_read_whole_is_let_alone(which: tuple[str, str, int]) -> None:
    paper = specimen(*which)
    assert found(which, fields(paper), words(paper)) == []


@pytest.mark.medium
@pytest.mark.parametrize("share", [1, 3])
@pytest.mark.parametrize("which", SPECIMENS, ids=str)
def test_a_page_that_was_read_wrongly_was_still_read(which: tuple[str, str, int], share: int) -> None:
    """Whatever is wrong with each third value, or with every one: other checks are for that."""
    paper = specimen(*which)
    wrong = [
        each._replace(raw=f"{each.raw} ".replace(" ", "0 ")) if number % share == 0 else each
        for number, each in enumerate(fields(paper))
    ]
    assert found(which, wrong, words(paper)) == []


ASIDE = (
    "Điện thoại (Tel): 0243 795 9595 - 0912 345 678 Fax: 0243 795 9596 Email: ketoan@vidu.example.vn",
    "Số tài khoản: 0011004123456 - 19027384950011 tại Vietcombank chi nhánh Hoàn Kiếm, Techcombank Hội sở",
    "Tra cứu hóa đơn tại https://tracuu.example.vn/invoice/search - mã bí mật: 7QK2M9XW-4HT8",
    "Giải pháp hóa đơn điện tử phát hành bởi Tập đoàn Công nghệ Ví Dụ, MST 0100000000, Hotline 19001000",
    "Signature Valid - Ký bởi: XƯỞNG SỢI BÔNG SÔNG ĐÀ - Ký ngày: 2026-11-05T08:15:30",
)


def test_what_sellers_software_and_signatures_say_of_themselves_is_nothing_passed_over() -> None:
    which = ("invoice", "standard", 1)
    paper = specimen(*which)
    lines = [
        [*line.split()[:4], *(f"{word}{n}" for word in line.split()[4:])] for line in ASIDE for n in range(3)
    ]
    beside = [
        Word(text, (0.1 + place / 100, 0.95 + row / 400, 0.1 + (place + 1) / 100, 0.951 + row / 400))
        for row, line in enumerate(lines)
        for place, text in enumerate(line)
    ]
    there = {1: (*words(paper)[1], *beside)}
    read = [each for each in fields(paper) if each.page == 1]
    assert found(which, read, there) == []
    other = {1: (*words(paper)[1], *(replace(word, text=f"chữ{i}") for i, word in enumerate(beside)))}
    assert [check.code for check in found(which, read, other)] == ["incomplete"]  # the control


SENTENCES = (
    "1. Hàng đã mua được đổi trong 7 ngày kể từ ngày nhận nếu có lỗi của nhà sản xuất.",
    "2. Bên mua thanh toán trong vòng 30 ngày; chậm trả chịu lãi 0,05% mỗi ngày trên số tiền còn nợ.",
    "Trụ sở: Tầng 8, tòa nhà Sông Đà, đường Phạm Hùng, Nam Từ Liêm",
    "Tải ứng dụng để nhận ưu đãi 20% cho đơn hàng đầu tiên",
    "Mọi tranh chấp được giải quyết tại Tòa án nhân dân có thẩm quyền theo pháp luật Việt Nam.",
)


def line_of(text: str, row: int, blank: float = 0.004) -> list[Word]:
    """Words set from the left, 7 thousandths of the page a letter."""
    found, left = [], 0.05
    for word in text.split():
        found.append(Word(word, (left, 0.9 + row / 60, left + 0.007 * len(word), 0.91 + row / 60)))
        left += 0.007 * len(word) + blank
    return found


def test_terms_adverts_and_letterheads_are_nothing_passed_over() -> None:
    which = ("invoice", "standard", 1)
    paper = specimen(*which)
    read = [each for each in fields(paper) if each.page == 1]
    beside = [word for row, text in enumerate(SENTENCES * 2) for word in line_of(text, row)]
    assert found(which, read, {1: (*words(paper)[1], *beside)}) == []
    values = [word for row, text in enumerate(SENTENCES * 2) for word in line_of(f"Đ/c: {text}", row)]
    assert found(which, read, {1: (*words(paper)[1], *values)}) != []  # the control: behind a label
    cells = [word for row, text in enumerate(SENTENCES * 2) for word in line_of(text, row, 0.05)]
    assert found(which, read, {1: (*words(paper)[1], *cells)}) != []  # and set as a table


def test_figures_of_other_values_over_a_table_are_no_line_of_it() -> None:
    cells = [["", "0007412", "12345678"], ["Gạo", "2.000", "24.000"], ["Muối", "5.000", "40.000"]]
    there = [
        Word(cell, (0.1 + 0.3 * column, 0.1 + 0.02 * row, 0.25 + 0.3 * column, 0.115 + 0.02 * row))
        for row, line in enumerate(cells)
        for column, cell in enumerate(line)
        if cell
    ]
    read = [
        Field(f"lines[{row}].{name}", cell, cell, 1.0, "read", 1)
        for row, line in enumerate(cells[1:])
        for name, cell in zip(("name", "quantity", "amount"), line, strict=True)
    ]
    others = [
        Field("number", "12345678", None, 1.0, "read", 1),
        Field("series", "0007412", None, 1.0, "read", 1),
    ]
    assert found(("invoice", "", 0), [*read, *others], {1: there}) == []
    (check,) = found(("invoice", "", 0), read, {1: there})  # the control: nothing says what they are
    assert check.message == "page 1: 3 lines of a table stand there, and 2 were read (lines)"


GONE = {"of the middle": range(20, 23), "the last of a page": range(22, 25), "the first": range(3)}


@pytest.mark.medium
@pytest.mark.parametrize("name", GONE)
def test_a_table_of_which_a_tenth_was_passed_over(name: str) -> None:
    """25 lines stand on the first page and 18 on the second."""
    paper = specimen(*LONG)
    gone = set(GONE[name])
    (check,) = found(LONG, without_lines(fields(paper), gone), words(paper))
    assert (check.code, check.passed, check.severity) == ("incomplete", False, "warning")
    assert check.message == "page 1: 25 lines of a table stand there, and 22 were read (lines)"
    assert (check.expected, check.found, check.fields) == ("25", "22", ("lines",))


@pytest.mark.medium
@pytest.mark.parametrize("name", ["quantity", "unit_price", "amount"])
@pytest.mark.parametrize("layouts", ["standard", "held-out"])
@pytest.mark.parametrize("kind", ["invoice", "receipt"])
def test_a_column_of_figures_that_was_passed_over(kind: str, layouts: str, name: str) -> None:
    seeds = (seed for seed in range(40) if len(specimen(kind, layouts, seed).truth["record"]["lines"]) >= 4)
    found = specimen(kind, layouts, next(seeds))
    read = [each for each in fields(found) if not each.path.endswith(f"].{name}")]
    checks = list(incomplete(read, words(found), resolve(f"{kind}@1").shape))
    assert [check.message.endswith(f"(lines[].{name})") for check in checks].count(True) >= 1
    assert {check.code for check in checks} == {"incomplete"}


def test_one_line_of_many_that_was_passed_over() -> None:
    paper = specimen(*LONG)
    for gone in range(0, 43, 5):
        (check,) = found(LONG, without_lines(fields(paper), {gone}), words(paper))
        assert check.message.startswith(f"page {1 if gone < 25 else 2}: ")


def test_a_table_that_was_passed_over_on_one_of_its_pages() -> None:
    paper = specimen(*LONG)
    checks = found(LONG, without_lines(fields(paper), set(range(25, 43))), words(paper))
    assert [check.message for check in checks if "table" in check.message] == [
        "page 2: 18 lines of a table stand there, and 0 were read (lines)"
    ]


@pytest.mark.medium
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_page_of_which_a_third_was_passed_over(seed: int, part: int) -> None:
    which = ("invoice", "standard", seed)
    paper = specimen(*which)
    there = sorted((each for each in fields(paper) if each.page == 1), key=lambda each: (each.box or ())[1:2])
    sizes = [len(str(each.raw).split()) for each in there]
    gone: list[Field] = []
    for each in there[part * len(there) // 3 :]:
        if sum(len(str(one.raw).split()) for one in gone) < sum(sizes) / 3:
            gone.append(each)
    checks = found(which, [each for each in fields(paper) if each not in gone], words(paper))
    assert checks and all(check.message.startswith("page 1: ") for check in checks)


@pytest.mark.medium
def test_lines_in_larger_pieces_than_words_serve_as_well() -> None:
    """As a reader of lines gives them, with a box for each."""
    paper = specimen(*LONG)
    pieces = {
        number: [
            Word(
                run.text,
                (run.x / 1654, run.baseline / 2339 - 0.01, (run.x + run.width) / 1654, run.baseline / 2339),
            )
            for run in page.runs
        ]
        for number, page in enumerate(paper.pages, 1)
    }
    assert found(LONG, fields(paper), pieces) == []
    (check,) = found(LONG, without_lines(fields(paper), {4, 5}), pieces)
    assert check.message.startswith("page 1: 25 lines of a table stand there, and 23 were read")


def test_what_was_read_on_a_page_without_known_words_may_stand_on_another() -> None:
    """The same invoice as a PDF and as a photo: the photo's values are no surprise on the PDF."""
    paper = specimen("invoice", "standard", 0)
    elsewhere = [each._replace(page=2) for each in fields(paper)]
    assert found(("invoice", "standard", 0), elsewhere, words(paper)) == []


def document(layer: TextLayer | None, read: Sequence[Field]) -> list[Check]:
    spec = resolve("invoice@1")
    lists = [Field("lines", None, len({each.path[:8] for each in read if "[" in each.path}), 1.0, "read", 1)]
    absent = [
        Field(path, None, None, 1.0, "read", 1)
        for path, _ in spec.shape.leaves()
        if "[" not in path and path not in {each.path for each in read}
    ]
    made = merge.document([PageRecord(1, (*read, *lists, *absent), text=layer)], spec)
    assert any(check.code == "incomplete" for check in made.checks) <= (made.state == "review")
    return list(made.checks)


def test_the_check_is_one_of_the_document_where_the_text_is_trusted() -> None:
    paper = specimen("invoice", "standard", 0)
    read = [each for each in fields(paper) if each.page == 1]
    some = [each for each in read if "[" not in each.path]
    layer = TextLayer(words(paper)[1], True)
    assert len(some) < len(read)
    assert "incomplete" not in {check.code for check in document(layer, read)}
    assert "incomplete" in {check.code for check in document(layer, some)}
    assert "incomplete" not in {check.code for check in document(None, some)}
    checks = document(replace(layer, trusted=False, why="invisible"), some)
    assert "incomplete" not in {check.code for check in checks}
    (said,) = [check for check in checks if check.code == "text_not_trusted"]
    assert said.severity == "info" and "invisible" in said.message


def test_words_become_lines_of_print() -> None:
    first = [
        Word("b", (0.5, 0.101, 0.6, 0.12)),
        Word("a", (0.1, 0.1, 0.2, 0.121)),
        Word(".", (0.62, 0.115, 0.63, 0.12)),
    ]
    second = [Word("c", (0.05, 0.13, 0.2, 0.15))]
    texts = [[word.text for word in line] for line in textlayer.lines([*second, *first])]
    assert texts == [["a", "b", "."], ["c"]]
