"""The receipt of a shop's till."""

from __future__ import annotations

from pydantic import BaseModel, Field

from schemas.fields import Code, Money, Quantity, TaxCode, Text, TillDate, UnitPrice


class ReceiptLine(BaseModel):
    """Một dòng hàng"""

    name: Text | None = Field(None, title="Tên hàng")
    quantity: Quantity | None = Field(None, title="SL")
    unit_price: UnitPrice | None = Field(None, title="Đơn giá")
    amount: Money | None = Field(None, title="Thành tiền")


class Receipt(BaseModel):
    """Phiếu thanh toán của cửa hàng"""

    store: Text | None = Field(None, title="Cửa hàng")
    tax_code: TaxCode | None = Field(None, title="MST")
    address: Text | None = Field(None, title="Địa chỉ")
    number: Code | None = Field(None, title="Số HĐ")
    date: TillDate | None = Field(None, title="Ngày")
    lines: list[ReceiptLine] = Field(default_factory=list, title="Hàng hóa")
    total: Money | None = Field(None, title="Tổng cộng")
    paid: Money | None = Field(None, title="Tiền khách đưa")
    change: Money | None = Field(None, title="Tiền thừa")
