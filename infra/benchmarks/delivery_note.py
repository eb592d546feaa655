"""A paper that no model of ours has seen: a delivery note of five fields and up to three lines."""

from __future__ import annotations

from pydantic import BaseModel, Field

from schemas.fields import Code, Quantity, Text, VnDate


class Goods(BaseModel):
    """Một dòng hàng"""

    name: Text | None = Field(None, title="Mặt hàng")
    quantity: Quantity | None = Field(None, title="Số lượng")


class DeliveryNote(BaseModel):
    """Phiếu giao hàng"""

    number: Code | None = Field(None, title="Số phiếu")
    date: VnDate | None = Field(None, title="Ngày giao")
    receiver: Text | None = Field(None, title="Người nhận")
    place: Text | None = Field(None, title="Nơi giao")
    driver: Text | None = Field(None, title="Tài xế")
    lines: list[Goods] = Field(default_factory=list, title="Bảng kê", max_length=3)
