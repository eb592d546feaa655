"""The citizen's identity card: CCCD (2021 form) and căn cước (2024 form), either side, and the old CMND."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, Field

from schemas import id_card_rules as rules
from schemas.checks import CodeRule, Rule
from schemas.fields import ExpiryDate, LongText, Mrz, NationalId, PersonName, Text, VnDate


class IdCard(BaseModel):
    """Thẻ căn cước, căn cước công dân hoặc chứng minh nhân dân"""

    checks: ClassVar[tuple[Rule, ...]] = (
        rules.number,
        rules.date_order,
        rules.expiry,
        rules.machine_readable_zone,
    )
    code_checks: ClassVar[tuple[CodeRule, ...]] = (rules.card_code,)

    number: NationalId | None = Field(None, title="Số")
    full_name: PersonName | None = Field(None, title="Họ và tên")
    date_of_birth: VnDate | None = Field(None, title="Ngày sinh")
    sex: Literal["Nam", "Nữ"] | None = Field(None, title="Giới tính")
    nationality: Text | None = Field(None, title="Quốc tịch")
    place_of_origin: Text | None = Field(None, title="Quê quán")
    place_of_residence: Text | None = Field(None, title="Nơi thường trú")
    expiry: ExpiryDate | None = Field(None, title="Có giá trị đến")
    personal_identification: LongText | None = Field(None, title="Đặc điểm nhận dạng")
    issue_date: VnDate | None = Field(None, title="Ngày cấp")
    mrz: Mrz | None = Field(None, title="MRZ")
