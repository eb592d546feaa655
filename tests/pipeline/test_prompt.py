# ruff: noqa: E501
"""The prompt is frozen text: the demo model is trained on it."""

from __future__ import annotations

import unicodedata

import pytest
from pydantic import BaseModel, Field, create_model

from pipeline import prompt
from schemas.registry import SchemaSpec, resolve
from schemas.shape import shape_of
from tests.pipeline.walker import spec_of

RULES = """Chép từng giá trị đúng như in trên giấy, không sửa, không suy đoán.
Mục nào không có trên trang thì ghi null.
Chỉ trả lời bằng JSON, khóa là tên mục."""

FROZEN = {
    "id_card@1": f"""Hãy đọc trang giấy trong ảnh và ghi lại các mục được in trên đó.
Loại giấy: Thẻ căn cước, căn cước công dân hoặc chứng minh nhân dân.
Các mục theo thứ tự: Số; Họ và tên; Ngày sinh; Giới tính; Quốc tịch; Quê quán; Nơi thường trú; Có giá trị đến; Đặc điểm nhận dạng; Ngày cấp; MRZ.
{RULES}""",
    "receipt@1": f"""Hãy đọc trang giấy trong ảnh và ghi lại các mục được in trên đó.
Loại giấy: Phiếu thanh toán của cửa hàng.
Các mục theo thứ tự: Cửa hàng; MST; Địa chỉ; Số HĐ; Ngày; Hàng hóa; Tổng cộng; Tiền khách đưa; Tiền thừa.
Bảng "Hàng hóa", mỗi dòng gồm: Tên hàng; SL; Đơn giá; Thành tiền.
{RULES}""",
    "invoice@1": f"""Hãy đọc trang giấy trong ảnh và ghi lại các mục được in trên đó.
Loại giấy: Hóa đơn giá trị gia tăng.
Các mục theo thứ tự: Mẫu số; Ký hiệu; Số; Ngày lập; Mã CQT; Người bán; MST người bán; Địa chỉ người bán; Người mua; MST người mua; Địa chỉ người mua; Hình thức thanh toán; Loại tiền; Hàng hóa, dịch vụ; Cộng tiền hàng; Thuế suất GTGT; Tiền thuế GTGT; Tổng cộng tiền thanh toán; Số tiền viết bằng chữ; Hóa đơn liên quan.
Bảng "Hàng hóa, dịch vụ", mỗi dòng gồm: STT; Tên hàng hóa, dịch vụ; Đơn vị tính; Số lượng; Đơn giá; Thành tiền; Thuế suất.
{RULES}""",
}  # fmt: skip


@pytest.mark.parametrize("name", FROZEN)
def test_the_demo_model_is_asked_what_it_was_trained_on(name: str) -> None:
    assert prompt.build(resolve(name)) == unicodedata.normalize("NFC", FROZEN[name])


def _spec(model: type[BaseModel], title: str = "Phiếu xuất kho") -> SchemaSpec:
    return spec_of(*shape_of(model).fields, title=title)


def test_tables_and_groups_are_explained_and_hints_stand_beside_their_label() -> None:
    class Person(BaseModel):
        name: str | None = Field(None, title="Tên")

    class Line(BaseModel):
        what: str | None = Field(None, title="Vật tư")

    class Note(BaseModel):
        keeper: Person = Field(default_factory=Person, title="Thủ kho")
        lines: list[Line] = Field(default_factory=list, title="Chi tiết")
        seals: list[str] = Field(default_factory=list, title="Số niêm phong", description="mỗi số\nmột mục")
        number: str | None = Field(None, title="Số  phiếu", description="in đỏ,\ngóc phải")

    said = prompt.build(_spec(Note)).split("\n")
    assert (
        said[2]
        == "Các mục theo thứ tự: Thủ kho; Chi tiết; Số niêm phong (mỗi số một mục); Số phiếu (in đỏ, góc phải)."
    )
    assert said[3:6] == [
        'Mục "Thủ kho" gồm: Tên.',
        'Bảng "Chi tiết", mỗi dòng gồm: Vật tư.',
        'Mục "Số niêm phong" là danh sách, có thể có nhiều giá trị.',
    ]


@pytest.mark.parametrize("tables", [8, 9, 10, 40])
def test_no_schema_grows_the_prompt_beyond_fifteen_lines(tables: int) -> None:
    line = create_model("Line", what=(str | None, Field(None, title="Vật tư")))
    fields = {f"t{i}": (list[line], Field(default_factory=list, title=f"Bảng {i}")) for i in range(tables)}
    said = prompt.build(_spec(create_model("Wide", **fields)))  # type: ignore[call-overload]
    assert len(said.split("\n")) == min(6 + tables, prompt.MAX_LINES)
    assert all(f'Bảng "Bảng {i}", mỗi dòng gồm' in said for i in range(tables))


def test_decomposed_labels_are_asked_for_composed() -> None:
    class Note(BaseModel):
        number: str | None = Field(None, title=unicodedata.normalize("NFD", "Số"))

    assert "thứ tự: Số." in prompt.build(_spec(Note, unicodedata.normalize("NFD", "Phiếu")))
