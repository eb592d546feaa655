"""The value-added-tax invoice (hóa đơn GTGT, form 01/GTGT), as displayed in PDF or on paper."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, Field

from schemas import invoice_rules as rules
from schemas.checks import Rule
from schemas.fields import (
    AmountInWords,
    AuthorityCode,
    Currency,
    FormNumber,
    InvoiceNumber,
    LineNumber,
    Money,
    Quantity,
    Series,
    TaxCode,
    Text,
    UnitPrice,
    VatRate,
    VnDate,
)


class InvoiceLine(BaseModel):
    """Một dòng hàng hóa, dịch vụ"""

    product: ClassVar = ("quantity", "unit_price", "amount")

    no: LineNumber | None = Field(None, title="STT")
    name: Text | None = Field(None, title="Tên hàng hóa, dịch vụ")
    unit: Text | None = Field(None, title="Đơn vị tính")
    quantity: Quantity | None = Field(None, title="Số lượng")
    unit_price: UnitPrice | None = Field(None, title="Đơn giá")
    amount: Money | None = Field(None, title="Thành tiền")
    vat_rate: VatRate | None = Field(None, title="Thuế suất")


class Invoice(BaseModel):
    """Hóa đơn giá trị gia tăng"""

    checks: ClassVar[tuple[Rule, ...]] = (
        rules.line_numbers,
        rules.line_amounts,
        rules.net,
        rules.vat,
        rules.total,
        rules.total_in_words,
        rules.tax_codes,
        rules.numbering,
        rules.vat_rates,
    )

    form_no: FormNumber | None = Field(None, title="Mẫu số")
    series: Series | None = Field(None, title="Ký hiệu")
    number: InvoiceNumber | None = Field(None, title="Số")
    issue_date: VnDate | None = Field(None, title="Ngày lập")
    tax_authority_code: AuthorityCode | None = Field(None, title="Mã CQT")
    seller_name: Text | None = Field(None, title="Người bán")
    seller_tax_code: TaxCode | None = Field(None, title="MST người bán")
    seller_address: Text | None = Field(None, title="Địa chỉ người bán")
    buyer_name: Text | None = Field(None, title="Người mua")
    buyer_tax_code: TaxCode | None = Field(None, title="MST người mua")
    buyer_address: Text | None = Field(None, title="Địa chỉ người mua")
    payment_method: Text | None = Field(None, title="Hình thức thanh toán")
    currency: Currency | None = Field(None, title="Loại tiền")
    lines: list[InvoiceLine] = Field(default_factory=list, title="Hàng hóa, dịch vụ")
    net: Money | None = Field(None, title="Cộng tiền hàng")
    vat_rate: VatRate | None = Field(None, title="Thuế suất GTGT")
    vat: Money | None = Field(None, title="Tiền thuế GTGT")
    total: Money | None = Field(None, title="Tổng cộng tiền thanh toán")
    total_in_words: AmountInWords | None = Field(None, title="Số tiền viết bằng chữ")
    related_invoice: Text | None = Field(None, title="Hóa đơn liên quan")
