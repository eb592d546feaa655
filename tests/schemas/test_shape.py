"""Any pydantic model becomes a printed shape, or one clear line says why it cannot."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Annotated, Any, ClassVar, Literal, Optional

import pytest
from pydantic import BaseModel, Field, RootModel, StringConstraints, create_model
from typing_extensions import TypeAliasType

from pipeline import grammar
from schemas.fields import PLAIN, Money, TaxCode
from schemas.printed import whole_pattern
from schemas.registry import BUILT_IN
from schemas.shape import MAX_ITEMS, Group, Leaf, Repeated, SchemaError, shape_of
from schemas.spec import SchemaSpec, instance


class Colour(StrEnum):
    red = "Đỏ"
    blue = "Xanh"


class Plain(Enum):
    one = "Loại 1 (tốt)"


class Line(BaseModel):
    """Một dòng"""

    name: str = Field(title="Tên hàng")
    amount: Money | None = Field(None, title="Thành tiền")


class Everything(BaseModel):
    """Phiếu có mọi thứ

    More about it.
    """

    limit: ClassVar[int] = 3
    text: str
    optional: Optional[str] = Field(None, title="Ghi chú", description="chữ viết tay")  # noqa: UP045
    whole: int
    real: float
    exact: Decimal = Field(gt=0)
    ticked: bool
    day: date
    moment: datetime
    choice: Literal["Nam", "Nữ"] | None
    colour: Colour
    plain: Plain | None
    tax: TaxCode | None
    short: str = Field(max_length=5)
    plate: Annotated[str, StringConstraints(pattern=r"^[0-9]{2}[A-Z]-[0-9]{5}$")] | None
    tags: list[str] = Field(max_length=3)
    lines: list[Line] | None
    inner: Line = Field(title="Dòng riêng")


def leaf(model: type[BaseModel], path: str) -> Leaf:
    return dict(shape_of(model).leaves())[path]


def test_every_supported_type_has_a_printed_form() -> None:
    shape = shape_of(Everything)
    assert (shape.name, shape.label) == ("everything", "Phiếu có mọi thứ")
    assert [field.name for field in shape.fields] == list(Everything.model_fields)
    sql = {path: leaf.printed.sql for path, leaf in shape.leaves()}
    assert sql["whole"] == "integer"
    assert sql["real"] == "real"
    assert sql["exact"] == sql["inner.amount"] == sql["lines[].amount"] == "decimal"
    assert (sql["ticked"], sql["day"], sql["moment"]) == ("boolean", "date", "datetime")
    assert {sql[name] for name in ("text", "choice", "colour", "tax", "tags[]", "lines[].name")} == {"text"}
    grammar.compile(SchemaSpec("everything", 1, shape.label, Everything, shape, "0"))


def test_labels_and_hints_come_from_the_field() -> None:
    assert (leaf(Everything, "optional").label, leaf(Everything, "optional").hint) == (
        "Ghi chú",
        "chữ viết tay",
    )
    assert leaf(Everything, "text").label == "text"
    assert leaf(Everything, "lines[].name").label == "Tên hàng"


def test_lists_are_bounded() -> None:
    fields = {field.name: field for field in shape_of(Everything).fields}
    tags, lines = fields["tags"], fields["lines"]
    assert isinstance(tags, Repeated) and isinstance(tags.item, Leaf) and tags.max_items == 3
    assert isinstance(lines, Repeated) and isinstance(lines.item, Group) and lines.max_items == MAX_ITEMS


def test_choices_are_read_whatever_their_capitals() -> None:
    printed = leaf(Everything, "colour").printed
    assert (printed.parse("XANH"), printed.parse("Đỏ")) == ("Xanh", "Đỏ")
    assert printed.max_chars == len("Xanh")
    assert re.fullmatch(leaf(Everything, "plain").printed.pattern, "Loại 1 (tốt)")
    with pytest.raises(ValueError, match="none of Đỏ, Xanh"):
        printed.parse("Vàng")


def test_constraints_on_text_are_kept_in_the_pattern() -> None:
    assert leaf(Everything, "short").printed.max_chars == 5
    assert not re.fullmatch(leaf(Everything, "short").printed.pattern, "123456")
    plate = leaf(Everything, "plate").printed.pattern
    assert re.fullmatch(plate, "51F-12345")
    assert not re.fullmatch(plate, "51F-1234")


@pytest.mark.parametrize(
    ("written", "fits", "fits_not"),
    [
        ("^[A-Z]{2}$", "AB", "xAB"),
        ("[0-9]{3}", "AB-123-X", "AB-12-X"),
        ("^HD", "HD-1", "X-HD"),
        (r"^(a|b)\$$", "a$", "a"),
        (r"^[\^$b]+$", "^$b", "a"),
    ],
)
def test_a_users_pattern_means_what_pydantic_means_by_it(written: str, fits: str, fits_not: str) -> None:
    assert re.fullmatch(whole_pattern(written), fits)
    assert not re.fullmatch(whole_pattern(written), fits_not)

    class Note(BaseModel):
        field: str = Field(pattern=written, max_length=30)

    Note(field=fits)
    assert leaf(Note, "field").printed.max_chars == 30


@pytest.mark.parametrize("kind", [r"(?=a)b", r"(?<!a)b", r"(a)\1", r"a^b", r"\bword", "(", r"\p{L}"])
def test_a_pattern_that_is_not_regular_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match=r"holds|is no regular"):
        whole_pattern(kind)


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class Root(RootModel[list[str]]):
    pass


@pytest.mark.parametrize(
    ("annotation", "complaint"),
    [
        (dict[str, str], r"Note.field: dict\[str, str\] has no printed form; use a nested model"),
        (dict, "Note.field: dict has no printed form"),
        (Any, "Note.field: .*Any has no printed form; use str"),
        (object, "Note.field: object has no printed form; use str"),
        (bytes, "Note.field: bytes has no printed form; use str"),
        (tuple[str, int], "Note.field: tuple.* has no printed form; use a nested model"),
        (set[str], r"Note.field: set.* has no printed form; use list"),
        (str | int, "Note.field: types of a union are not told apart"),
        (list[str | int], r"Note.field\[\]: types of a union"),
        (list[list[str]], "Note.field: a list of lists"),
        (list, "Note.field: a list must say of what"),
        (Literal[1, 2], "Note.field: the choices .* must all be strings"),
        (Literal["a", ""], "Note.field: the label"),
        (Tree, "Note.field.children.*: Tree holds itself"),
        (Root, "Note.field: Root has no printed form"),
        (list[dict[str, int]], r"Note.field\[\]: dict"),
        (Annotated[str, StringConstraints(pattern=r"^a(?!b)")], "Note.field: the pattern"),
    ],
)
def test_what_has_no_printed_form_is_refused_naming_the_field(annotation: Any, complaint: str) -> None:
    pattern_is_lookahead = "pattern" in complaint
    config: Any = {"regex_engine": "python-re"} if pattern_is_lookahead else {}
    model = create_model("Note", __config__=config, field=(annotation, ...))
    with pytest.raises(SchemaError, match=complaint) as caught:
        shape_of(model)
    assert "\n" not in str(caught.value)


def test_two_fields_of_one_label_are_refused() -> None:
    class Note(BaseModel):
        seller: str = Field(title="Tên")
        buyer: str = Field(title="Tên ")

    with pytest.raises(SchemaError, match=r"Note.buyer and Note.seller have one label, 'Tên'"):
        shape_of(Note)


@pytest.mark.parametrize("label", ["  ", "a\x00b", "x" * 81])
def test_a_label_must_be_printable(label: str) -> None:
    model = create_model("Note", field=(str, Field(title=label)))
    with pytest.raises(SchemaError, match=r"Note.field: the label"):
        shape_of(model)


def test_empty_models_and_other_classes_are_refused() -> None:
    with pytest.raises(SchemaError, match="Empty has no fields"):
        shape_of(create_model("Empty"))
    for other in (dict, Root, "Note"):
        with pytest.raises(SchemaError, match="is no pydantic model"):
            shape_of(other)  # type: ignore[arg-type]


def test_an_undefined_name_is_refused() -> None:
    class Note(BaseModel):
        field: Missing  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(SchemaError, match="Missing"):
        shape_of(Note)


def test_a_product_must_name_fields() -> None:
    class Note(BaseModel):
        product: ClassVar = ("a", "b")
        a: Decimal

    with pytest.raises(SchemaError, match=r"Note.product"):
        shape_of(Note)


def test_built_in_labels_are_as_the_model_was_trained() -> None:
    """The model writes these labels: changing one makes every trained checkpoint useless."""
    labels = {
        name: [leaf.label for _, leaf in shape_of(versions[1]).of_pages.leaves()]
        for name, versions in BUILT_IN.items()
    }
    assert labels["id_card"] == [
        *("Số", "Họ và tên", "Ngày sinh", "Giới tính", "Quốc tịch", "Quê quán", "Nơi thường trú"),
        *("Có giá trị đến", "Đặc điểm nhận dạng", "Ngày cấp", "MRZ"),
    ]
    assert labels["receipt"] == [
        *("Cửa hàng", "MST", "Địa chỉ", "Số HĐ", "Ngày", "Tên hàng", "SL", "Đơn giá", "Thành tiền"),
        *("Tổng cộng", "Tiền khách đưa", "Tiền thừa"),
    ]
    assert labels["invoice"] == [
        *("Mẫu số", "Ký hiệu", "Số", "Ngày lập", "Mã CQT", "Người bán", "MST người bán", "Địa chỉ người bán"),
        *("Người mua", "MST người mua", "Địa chỉ người mua", "Hình thức thanh toán", "Loại tiền"),
        *("STT", "Tên hàng hóa, dịch vụ", "Đơn vị tính", "Số lượng", "Đơn giá", "Thành tiền", "Thuế suất"),
        *("Cộng tiền hàng", "Thuế suất GTGT", "Tiền thuế GTGT", "Tổng cộng tiền thanh toán"),
        *("Số tiền viết bằng chữ", "Hóa đơn liên quan"),
    ]


def test_a_record_becomes_an_instance_with_python_values() -> None:
    record = {
        "text": "a",
        "whole": 3,
        "real": 0.5,
        "exact": "12.50",
        "ticked": False,
        "day": "2026-11-05",
        "moment": "2026-11-05T14:30:00",
        "choice": "Nam",
        "colour": "Đỏ",
        "plain": "Loại 1 (tốt)",
        "tags": ["x"],
        "lines": [{"name": "A", "amount": "1000"}, {"name": None, "amount": None}],
        "inner": {"name": "B", "amount": "0"},
    }
    note = instance(Everything, record)
    assert isinstance(note, Everything)
    assert (note.exact, note.day, note.moment) == (
        Decimal("12.5"),
        date(2026, 11, 5),
        datetime(2026, 11, 5, 14, 30),
    )
    assert (note.colour, note.plain, note.tags) == (Colour.red, Plain.one, ["x"])
    assert note.lines is not None
    assert [(line.name, line.amount) for line in note.lines] == [("A", Decimal(1000)), (None, None)]
    assert (note.inner.amount, note.optional, note.short) == (Decimal(0), None, None)

    shape = shape_of(Everything)
    complaints = SchemaSpec("everything", 1, "", Everything, shape, "0").validate(record)
    assert {check.fields for check in complaints} == {("short",), ("lines[1].name",)}


def test_an_alias_is_no_name_here() -> None:
    class Note(BaseModel):
        total: Decimal = Field(alias="Total", gt=0)

    assert leaf(Note, "total").label == "total"
    assert instance(Note, {"total": "5"}) == Note.model_construct(Total=Decimal(5))
    spec = SchemaSpec("note", 1, "", Note, shape_of(Note), "0")
    assert spec.validate({"total": "5"}) == []
    assert [check.fields for check in spec.validate({"total": "-5"})] == [("total",)]


def test_an_alias_of_a_type_is_that_type() -> None:
    amount = TypeAliasType("amount", Annotated[Decimal | None, Field(gt=0)])
    note = create_model("Note", total=(amount, None), parts=(list[amount], ...))
    assert leaf(note, "total").printed == leaf(note, "parts[]").printed == PLAIN[Decimal]
