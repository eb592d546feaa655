"""What a teacher says wrongly is refused by name; what it says rightly is kept."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from pipeline.errors import UsageError
from pipeline.store.teaching import TaughtPage
from pipeline.teacher import filters, held_out, prompts
from pipeline.teacher.answers import NoTurns, Turn, turns
from schemas.registry import resolve

TEXT = """HÓA ĐƠN GIÁ TRỊ GIA TĂNG Số: 0001234 Ngày 05 tháng 03 năm 2026
Đơn vị bán hàng: Công ty TNHH An Phú Mã số thuế: 0101234567
Người mua: Trần Thị Bình Địa chỉ: 12 Lê Lợi, Huế
Tổng cộng tiền thanh toán: 1.250.000 đồng"""


def page(text: str | None = TEXT, reader: str | None = None) -> TaughtPage:
    return TaughtPage("0" * 64, "/a.pdf", "1" * 64, 1, 1, 100, 100, text, text is not None, reader)


def general(question: str, answer: str) -> Turn:
    return Turn(question, answer)


@pytest.mark.parametrize(
    "answer",
    [
        "Số hóa đơn là 0001234.",
        "0001234",
        "Ngày 5/3/2026",
        "Người mua là Trần Thị Bình, địa chỉ ở 12 Lê Lợi, Huế.",
        "Tổng cộng là 1 250 000 đồng.",
        "Có",
        "Đây là hóa đơn giá trị gia tăng do một công ty lập cho người mua vào tháng 3 năm 2026.",
        "Bình",
    ],
)
def test_what_is_right_is_kept(answer: str) -> None:
    turn = general("Trên hóa đơn này ghi những gì?", answer)
    assert filters.judged("general", turn, page(), "stop") is None


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("Xin lỗi, tôi không thể đọc hình ảnh này.", "refusal"),
        ("I'm sorry, but I can't assist with that.", "refusal"),
        ("Tôi là một mô hình ngôn ngữ nên không xem được ảnh.", "refusal"),
        ("The invoice was issued by the company to the buyer in March.", "wrong_language"),
        ("Hoa don nay do cong ty lap cho nguoi mua hang", "wrong_language"),
        ("这是一张发票", "wrong_language"),
        ("Số hóa đơn là 0001235.", "contradicts_text"),
        ("Tổng cộng là 1.520.000 đồng.", "contradicts_text"),
        ("Người mua là Nguyễn Văn Cường.", "contradicts_text"),
        ("Ngày 06/03/2026", "contradicts_text"),
        ("Giày thể thao", "contradicts_text"),
        ("rất nhiều " * 30, "loop"),
        ("  ", "empty"),
    ],
)
def test_what_is_wrong_is_refused_by_name(answer: str, code: str) -> None:
    verdict = filters.judged("general", general("Trên hóa đơn này ghi những gì?", answer), page(), "stop")
    assert verdict is not None and verdict.code == code
    assert "000" not in verdict.why and "Nguyễn" not in verdict.why, "no values in reasons"


def test_a_copy_of_a_page_is_held_against_its_words() -> None:
    def verdict(said: str, on: TaughtPage | None = None) -> str | None:
        found = filters.judged("ocr", Turn("", said), on or page(), "stop")
        return None if found is None else found.code

    assert verdict(TEXT) is None
    assert verdict(TEXT.replace("Số: ", "")) is None, "a word is left out now and then"
    assert verdict(TEXT.replace("1.250.000", "1.250.800")) == "contradicts_text"
    assert verdict(TEXT[: len(TEXT) // 2]) == "contradicts_text"
    assert (
        verdict(f"{TEXT}\n" + "Hàng hóa không được đổi trả sau khi rời khỏi cửa hàng này")
        == "contradicts_text"
    )
    seen = page(None, TEXT.replace("Phú", "Phu"))
    assert verdict(TEXT, seen) is None
    assert verdict(TEXT.replace("0101234567", "0101234568"), seen) == "contradicts_reader"
    assert (
        verdict("Một trang giấy khác hẳn với những lời không ai viết ở đây bao giờ", seen)
        == "contradicts_reader"
    )
    assert verdict("Bất cứ điều gì", page(None)) is None, "nobody bears witness"


def test_how_the_teacher_ended_counts() -> None:
    turn = general("Gì?", "Có")
    assert filters.judged("general", turn, page(), "length").code == "truncated"  # type: ignore[union-attr]
    assert filters.judged("general", turn, page(), "blocked").code == "refusal"  # type: ignore[union-attr]


def extraction(values: dict[str, str | None], *, whole: bool = True) -> Turn:
    [prompt] = prompts.chosen(["extraction"], [resolve("receipt@1")])
    [turn] = turns(prompt, json.dumps(values), whole=whole)
    return turn


def test_an_extraction_is_what_the_student_will_have_to_write() -> None:
    turn = extraction({"Cửa hàng": "An Phú", "Tổng cộng": "1.250.000", "MST": ""})
    assert turn.answer.startswith('{"Cửa hàng":"An Phú","MST":null,') and turn.answer.endswith("null}")
    assert filters.judged("extraction", turn, page(), "stop") is None
    strange = extraction({"Cửa hàng": "An Khang"})
    assert filters.judged("extraction", strange, page(), "stop").code == "contradicts_text"  # type: ignore[union-attr]
    seen = page(None, TEXT)
    foreign = {"Cửa hàng": "Bách hóa Xanh", "Địa chỉ": "5 Hai Bà Trưng", "Tổng cộng": "98.000"}
    assert filters.judged("extraction", extraction(foreign), seen, "stop").code == "contradicts_reader"  # type: ignore[union-attr]
    assert filters.judged("extraction", turn, seen, "stop") is None
    unsound = {"Tổng cộng": "1.250.000", "Tiền khách đưa": "2.000.000", "Tiền thừa": "1.250.000"}
    assert extraction(unsound).failed == ("change",)
    assert extraction(unsound, whole=False).failed == (), "sums are of all pages"


@pytest.mark.parametrize(
    ("kind", "said", "code"),
    [
        ("general", "không phải JSON", "malformed"),
        ("general", '[{"question": "Gì?"}]', "malformed"),
        ("general", '[{"question": "Gì?", "answer": 5}]', "malformed"),
        ("general", "[" * 100_000, "malformed"),
        ("ocr", "Không có.", "nothing_there"),
        ("handwriting", "KHÔNG CÓ", "nothing_there"),
        ("extraction", '{"Tên": "A"}', "malformed"),
        ("extraction", '{"Ngày": ["1"]}', "malformed"),
        ("extraction", '{"MST": "hai"}', "malformed"),
        ("extraction", '{"MST": null}', "nothing_there"),
    ],
)
def test_what_is_no_answer_is_said_to_be_none(kind: str, said: str, code: str) -> None:
    specs = [resolve("receipt@1")] if kind == "extraction" else []
    [prompt] = prompts.chosen([kind], specs)
    with pytest.raises(NoTurns) as caught:
        turns(prompt, said, whole=True)
    assert caught.value.code == code


def test_the_student_is_asked_as_jobs_ask() -> None:
    from pipeline import prompt
    from schemas.tasks import Ocr

    found = {one.id: one for one in prompts.chosen(["ocr", "extraction"], [resolve("receipt@1")])}
    assert found["ocr@1"].student == prompt.build(resolve("ocr@1")) == Ocr.task.question
    assert found["extraction@1:receipt@1"].student == prompt.build(resolve("receipt@1"))
    for kinds, specs in (([], []), (["tables"], []), (["extraction"], []), (["ocr"], [resolve("receipt@1")])):
        with pytest.raises(UsageError):
            prompts.chosen(kinds, specs)
    with pytest.raises(UsageError, match="is a task"):
        prompts.chosen(["extraction"], [resolve("ocr")])


def drawn(seed: int, scale: float = 1.0, quality: int = 92) -> bytes:
    """A page of blocks that stand where the seed says."""
    image = Image.new("RGB", (1000, 1400), "white")
    pen = ImageDraw.Draw(image)
    for line in range(20):
        pen.rectangle(
            (60, 60 + 60 * line, 200 + (seed * 7919 + line * 104729) % 700, 90 + 60 * line), fill="black"
        )
    image = image.resize((round(1000 * scale), round(1400 * scale)), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def test_what_models_are_measured_by_is_known_again(tmp_path: Path) -> None:
    (tmp_path / "one.jpg").write_bytes(drawn(1, 0.8, 75))
    long = "Một hai ba bốn năm sáu bảy tám chín mười mười một mười hai mười ba và hết"
    row = {
        "conversations": [{"from": "human", "value": "<image>\nAi ký?"}, {"from": "gpt", "value": "Ông An."}]
    }
    other = {"question": "Đọc trang", "answers": [long]}
    (tmp_path / "set.jsonl").write_text(f"{json.dumps(row)}\n\n{json.dumps(other)}\n", encoding="utf-8")
    found = held_out.load([tmp_path])
    assert found.has_picture("x", drawn(1))
    assert not any(found.has_picture("x", drawn(seed)) for seed in range(2, 12))
    assert found.has_pair("ai ký", "Ông An") and not found.has_pair("Ai ký?", "Ông Bình.")
    assert found.has_text(long.replace("bốn", "4")) and not found.has_text(
        long[:40] + " hoàn toàn khác với những gì đã ghi"
    )
    (tmp_path / "set.jsonl").write_text("{}\nno\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"set.jsonl, line 2 is no JSON"):
        held_out.load([tmp_path])
    with pytest.raises(UsageError, match="does not exist"):
        held_out.load([tmp_path / "none"])


def test_a_figure_that_a_second_reader_did_not_see_among_all_others_is_another_papers() -> None:
    figures = "\n".join(f"Dòng {at}: {at}{at}.000" for at in range(1, 10))
    seen = page(None, f"{TEXT}\n{figures}")
    foreign = filters.judged("general", general("Tổng cộng là bao nhiêu?", "Là 98.700 đồng."), seen, "stop")
    assert foreign is not None and foreign.code == "contradicts_reader"
    right = general("Tổng cộng là bao nhiêu?", "Tổng cộng là 1.250.000 đồng.")
    assert filters.judged("general", right, seen, "stop") is None
    few = page(
        None, "Cửa hàng An Phú 1.250.000"
    )  # of a page on which it saw next to nothing, it knows nothing
    assert filters.judged("general", general("Tổng cộng?", "Là 98.700 đồng."), few, "stop") is None


def test_half_a_copy_has_fewer_words_of_its_own_than_the_page_has_however_many_were_misread() -> None:
    words = [f"chữ{at}" if at % 5 else f"chu{at}" for at in range(60)]
    seen = page(None, " ".join(words))
    copy = " ".join(f"chữ{at}" for at in range(60))
    assert filters.judged("ocr", general("", copy), seen, "stop") is None
    part = filters.judged("ocr", general("", " ".join(copy.split()[:40])), seen, "stop")
    assert part is not None and part.code == "contradicts_reader"
