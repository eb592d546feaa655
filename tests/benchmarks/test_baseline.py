"""The Tesseract baseline: labels cut the text as said, and the benchmark's command gives its figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.benchmarks import tesseract
from schemas import registry


def read(monkeypatch: pytest.MonkeyPatch, schema: str, *lines: str) -> dict[str, str]:
    """What is read of a page on which Tesseract sees these lines."""
    monkeypatch.setattr(tesseract, "text_lines", lambda pixels, *options: list(lines))
    record = tesseract.page_record(None, registry.resolve(schema), 1)
    assert {field.path.split("[")[0] for field in record.fields} >= set(
        registry.resolve(schema).model.model_fields
    )
    return {field.path: field.raw for field in record.fields if field.raw is not None}


def test_values_follow_their_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(
        monkeypatch,
        "id_card",
        "Số/No.: 099199000007",
        "@ Họ và tên/Full name:",
        "NGUYỄN THỊ MẪU",
        "Giới tính/Sex: NỮ Quốctịch/Nationality: Việt Nam",
        "Nơi thường trú/Place of residence: 12 Lê Lợi,",
        "Xã An Bình, Huế",
        "Có giá trị đến/Date of expiry: Không thời hạn",
    )
    assert found == {
        "number": "099199000007",
        "full_name": "NGUYỄN THỊ MẪU",
        "sex": "Nữ",
        "nationality": "Việt Nam",
        "place_of_residence": "12 Lê Lợi, Xã An Bình, Huế",
        "expiry": "Không thời hạn",
    }


def test_wares_end_in_three_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(
        monkeypatch,
        "receipt",
        "Quán Mẫu",
        "12 Lê Lợi, Huế",
        "MST: 9900000016",
        "PHIẾU TÍNH TIỀN",
        "Số HĐ: B12 Ngày: 07/05/2025 14:54",
        "Tên hàng SL Đ.giá T.tiền",
        "Cà phê đen 2 20.000 40.000",
        "Trà đào",
        "1 30.000 30.000",
        "Tổng cộng: 70.000",
    )
    assert found["address"] == "12 Lê Lợi, Huế"
    assert found["date"] == "07/05/2025 14:54"
    assert [found[f"lines[{row}].name"] for row in (0, 1)] == ["Cà phê đen", "Trà đào"]
    assert found["lines[1].amount"] == "30.000" and found["total"] == "70.000"


@pytest.mark.slow
def test_the_command_writes_a_row_for_each_paper(tmp_path: Path) -> None:
    from infra.benchmarks import baseline  # with torch, which the other tests here do without

    out = tmp_path / "baseline.json"
    baseline.main(["--count", "1", "--kinds", "receipt", "--model", "none", "--json", str(out)])
    rows = json.loads(out.read_text("utf-8"))["rows"]
    assert [row["papers"] for row in rows] == list(baseline.PAPERS)
    assert rows[0]["right"] > 0.5 and rows[0]["documents"] == 1
