"""The plainest reader there is: Tesseract's text, cut at the labels that the paper prints.

It knows every label of our specimens, held-out ones too, and the usual order of a till receipt; it learns
nothing. A label is found where it is nearly spelled in the text without diacritics; what follows it, on its
line or the next, is the value.
"""

from __future__ import annotations

import io
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from PIL import Image
from rapidfuzz import fuzz

from pipeline.errors import UsageError
from pipeline.normal import normal
from pipeline.records import Field, PageRecord, Pixels
from schemas.shape import Leaf, Repeated
from schemas.spec import SchemaSpec
from schemas.text import unaccented

ALIKE = 84  # of 100: how well a label must be spelled

LABELS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "id_card": {
        "number": (
            "Số định danh cá nhân / Personal identification number",
            "Số định danh cá nhân",
            "Số / No.",
            "Số:",
        ),
        "full_name": (
            "Họ, chữ đệm và tên khai sinh / Full name",
            "Họ, chữ đệm và tên khai sinh",
            "Họ và tên / Full name",
            "Họ và tên",
        ),
        "date_of_birth": (
            "Ngày, tháng, năm sinh / Date of birth",
            "Ngày, tháng, năm sinh",
            "Ngày sinh / Date of birth",
            "Ngày sinh",
        ),
        "sex": ("Giới tính / Sex", "Giới tính"),
        "nationality": ("Quốc tịch / Nationality", "Quốc tịch"),
        "place_of_origin": ("Quê quán / Place of origin", "Quê quán"),
        "place_of_residence": (
            "Nơi thường trú / Place of residence",
            "Nơi thường trú",
            "Nơi cư trú / Place of residence",
            "Nơi cư trú",
        ),
        "expiry": (
            "Có giá trị đến / Date of expiry",
            "Có giá trị đến",
            "Ngày, tháng, năm hết hạn / Date of expiry",
            "Ngày, tháng, năm hết hạn",
        ),
        "personal_identification": ("Đặc điểm nhận dạng / Personal identification", "Đặc điểm nhận dạng"),
        "issue_date": (
            "Ngày, tháng, năm / Date, month, year",
            "Ngày, tháng, năm cấp / Date of issue",
            "Ngày, tháng, năm cấp",
            "Ngày, tháng, năm:",
        ),
        "": (
            "Nơi đăng ký khai sinh / Place of birth",
            "Nơi đăng ký khai sinh",
            "MẪU – SPECIMEN – KHÔNG CÓ GIÁ TRỊ",
            "CỤC TRƯỞNG CỤC CẢNH SÁT",
        ),
    },
    "receipt": {
        "tax_code": ("Mã số thuế:", "MST:"),
        "number": ("Số HĐ:", "HĐ số:", "Số:"),
        "date": ("Ngày bán:", "Ngày:"),
        "total": ("Tổng cộng:", "Tổng tiền:"),
        "paid": ("Tiền khách đưa:", "Khách đưa:", "Khách trả:"),
        "change": ("Tiền thối lại:", "Tiền thừa:", "Trả lại:"),
        "": ("MẪU – SPECIMEN – KHÔNG CÓ GIÁ TRỊ",),
    },
}
_HEADINGS = ("HÓA ĐƠN BÁN LẺ", "PHIẾU THANH TOÁN", "HÓA ĐƠN THANH TOÁN", "PHIẾU TÍNH TIỀN")
_SEVERAL_LINES = ("place_of_origin", "place_of_residence", "personal_identification")
_FIGURE = r"\d{1,3}(?:[.,]\d{3})+|\d+"
_WARE = re.compile(
    rf"^(?P<name>.*?)\s*(?P<quantity>\d{{1,3}})\s+(?P<unit_price>{_FIGURE})\s+(?P<amount>{_FIGURE})$"
)


@dataclass(frozen=True, slots=True)
class _Found:
    """A label in a line: the field it names, where it begins and ends."""

    path: str
    start: int
    end: int


def text_lines(pixels: Pixels, *options: str, seconds: float = 60.0) -> list[str]:
    """Tesseract's lines of a page, as one block of Vietnamese text. Raises UsageError if it is missing."""
    data = io.BytesIO()
    Image.fromarray(pixels).convert("L").save(data, "PNG")
    command = ["tesseract", "stdin", "stdout", "--psm", "6", *(options or ("-l", "vie"))]
    try:
        done = subprocess.run(
            command, input=data.getvalue(), capture_output=True, timeout=seconds, check=True
        )
    except FileNotFoundError:
        raise UsageError(
            "tesseract is not installed: run `apt-get install tesseract-ocr tesseract-ocr-vie`"
        ) from None
    except subprocess.CalledProcessError as error:
        raise UsageError(f"tesseract failed: {error.stderr.decode(errors='replace').strip()}") from error
    lines = (
        " ".join(line.split()).replace(" /", "/").replace("/ ", "/")
        for line in done.stdout.decode().splitlines()
    )
    return [line for line in lines if line]


def page_record(pixels: Pixels, spec: SchemaSpec, page: int) -> PageRecord:
    """What Tesseract and the labels say of a page, as a record of the pipeline; confidences are unknown."""
    lines = text_lines(pixels)
    values = _labelled(lines, LABELS[spec.name], dict(spec.shape.leaves()))
    if spec.name == "id_card":
        values = _loose_number(lines) | values
        values |= _card(lines, pixels)
    else:
        values |= _receipt(lines)
    return PageRecord(page, tuple(_fields(spec, values, page)))


def _fields(spec: SchemaSpec, values: Mapping[str, str], page: int) -> Iterator[Field]:
    """Every field of the schema, absent ones as null; each list with the number of its items."""
    leaves = dict(spec.shape.leaves())
    for node in spec.shape.fields:
        if isinstance(node, Leaf):
            yield _field(node.name, leaves[node.name], values.get(node.name), page)
        elif isinstance(node, Repeated):
            rows = [
                int(path.split("[")[1].split("]")[0]) for path in values if path.startswith(f"{node.name}[")
            ]
            count = max(rows, default=-1) + 1
            yield Field(node.name, None, count, None, "read", page)
            for path, leaf in leaves.items():
                for row in range(count):
                    if path.startswith(f"{node.name}[]"):
                        at = path.replace("[]", f"[{row}]")
                        yield _field(at, leaf, values.get(at), page)


def _field(path: str, leaf: Leaf, raw: str | None, page: int) -> Field:
    if raw is None:
        return Field(path, None, None, None, "read", page)
    value, problem = normal(leaf, raw)
    return Field(path, raw, value, None, "read", page, problem=problem)


def _labelled(
    lines: Sequence[str], labels: Mapping[str, Sequence[str]], leaves: Mapping[str, Leaf]
) -> dict[str, str]:
    values: dict[str, str] = {}
    found = [_labels_in(line, labels) for line in lines]
    for number, line in enumerate(lines):
        for order, label in enumerate(found[number]):
            stop = found[number][order + 1].start if order + 1 < len(found[number]) else len(line)
            rest = line[label.end : stop]
            parts = [re.sub(r"^[^:0-9]{0,30}:", "", rest)]  # what is left of a label in two languages
            following = number + 1
            while order + 1 == len(found[number]) and following < len(lines) and not found[following]:
                if _filled(parts) and label.path not in _SEVERAL_LINES:
                    break
                parts.append(lines[following])
                following += 1
            if label.path and label.path not in values:
                value = _fitting(leaves[label.path], label.path, " ".join(parts))
                if value:
                    values[label.path] = value
    return values


def _filled(parts: Sequence[str]) -> bool:
    return any(character.isalnum() for part in parts for character in part)


def _labels_in(line: str, labels: Mapping[str, Sequence[str]]) -> list[_Found]:
    """The labels in a line from left to right; where they overlap, the one that explains most letters."""
    plain = unaccented(line).lower()
    candidates = []
    for path, texts in labels.items():
        for text in texts:
            label = unaccented(text).lower().replace(" / ", "/")
            if len(label) > len(plain) + 2:
                continue
            match = fuzz.partial_ratio_alignment(label, plain, score_cutoff=ALIKE)
            if match is None:
                continue
            start = match.dest_start + (not plain[match.dest_start].isalnum())
            if start == 0 or not plain[start - 1].isalnum():  # not inside a word
                wrong = (100 - match.score) / 100 * len(label)
                candidates.append((len(label) - 4 * wrong, _Found(path, start, match.dest_end)))
    found: list[_Found] = []
    for _, label in sorted(candidates, key=lambda c: -c[0]):
        if all(label.path != f.path and (label.end <= f.start or f.end <= label.start) for f in found):
            found.append(label)
    return sorted(found, key=lambda f: f.start)


def _fitting(leaf: Leaf, path: str, text: str) -> str | None:
    """The part of the text that the field's own pattern accepts; free text is only trimmed."""
    text = " ".join(text.split()).strip(" :;|_-–—'\"")
    if path == "sex":
        text = text.title()
    if leaf.printed.sql != "text" or path in ("number", "tax_code", "full_name", "sex"):
        match = re.search(leaf.printed.pattern, text)
        return match[0].strip() if match else None
    return text or None


def _loose_number(lines: Sequence[str]) -> dict[str, str]:
    """Twelve digits in a row, where the short label before them is misread."""
    match = re.search(r"(?<!\d)\d{12}(?!\d)", "\n".join(line for line in lines if "<" not in line))
    return {"number": match[0]} if match else {}


def _card(lines: Sequence[str], pixels: Pixels) -> dict[str, str]:
    """What shows without a label: three lines of a machine-readable zone, read again as such."""
    if not any(line.count("<") >= 4 for line in lines):
        return {}
    allowed = "tessedit_char_whitelist=ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789<"
    zone = [line.replace(" ", "") for line in text_lines(pixels, "-l", "eng", "-c", allowed)]
    zone = [line for line in zone if line.count("<") >= 2 and len(line) >= 25]
    return {"mrz": " ".join((line + "<" * 30)[:30] for line in zone[-3:])} if len(zone) >= 3 else {}


def _receipt(lines: Sequence[str]) -> dict[str, str]:
    """The shop on the first line, its address up to the tax code or the title; wares end in three figures."""
    values: dict[str, str] = {}
    labels = LABELS["receipt"]
    head = next(
        (n for n, line in enumerate(lines) if _labels_in(line, labels) or _is_heading(line)), len(lines)
    )
    if head:
        values["store"] = lines[0]
    if head > 1:
        values["address"] = " ".join(lines[1:head])
    count = 0
    before = ""
    for line in lines[head:]:
        if _labels_in(line, labels):
            before = ""
            continue
        match = _WARE.match(line)
        if match is None:
            before = line
            continue
        for name, text in match.groupdict().items():
            value = text or before if name == "name" else text
            if value:
                values[f"lines[{count}].{name}"] = value
        count, before = count + 1, ""
    return values


def _is_heading(line: str) -> bool:
    return any(fuzz.ratio(unaccented(line).lower(), unaccented(text).lower()) >= ALIKE for text in _HEADINGS)
