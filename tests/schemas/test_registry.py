"""Schemas by name and from a user's file; their hashes."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import schemas
from schemas.registry import SchemaError, SchemaSpec, resolve
from schemas.shape import Leaf

NOTE = '''
"""My schemas."""
from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Optional

from pydantic import BaseModel, Field, field_validator, model_validator

from schemas.checks import CheckResult
from schemas.fields import Money, TaxCode


def heavy(note: DeliveryNote) -> Iterator[CheckResult]:
    """Never more than a tonne."""
    if note.weight is not None:
        yield CheckResult("heavy", note.weight <= 1000, "warning", f"{note.weight} kg", ("weight",))


class Item(BaseModel):
    name: Optional[str] = Field(None, title="Tên")
    price: Money | None = Field(None, title="Giá")


class DeliveryNote(BaseModel):
    """Phiếu giao hàng"""

    checks: ClassVar = (heavy,)

    supplier: str = Field(title="Bên giao")
    tax_code: TaxCode | None = Field(None, title="MST")
    weight: int | None = Field(None, title="Khối lượng", ge=0)
    items: list[Item] = Field(default_factory=list, title="Hàng")

    @field_validator("supplier")
    @classmethod
    def upper(cls, value: str) -> str:
        if not value.isupper():
            raise ValueError("the supplier must be in capitals")
        return value.lower()

    @model_validator(mode="after")
    def weighed(self) -> DeliveryNote:
        if self.items and self.weight == 0:
            raise ValueError("items without weight")
        return self
'''


@pytest.fixture
def note(tmp_path: Path) -> Path:
    file = tmp_path / "my_schemas.py"
    file.write_text(NOTE, encoding="utf-8")
    return file


def edited(note: Path, old: str, new: str) -> SchemaSpec:
    text = NOTE.replace(old, new)
    assert text != NOTE
    note.write_text(text, encoding="utf-8")
    return resolve(f"{note}:DeliveryNote")


@pytest.mark.parametrize("name", ["invoice", "id_card", "receipt"])
def test_a_name_alone_is_the_newest_version(name: str) -> None:
    assert resolve(name) == resolve(f"{name}@2")
    assert (resolve(name).name, resolve(name).version, resolve(name).reference) == (name, 2, f"{name}@2")


def test_a_spec_crosses_processes() -> None:
    spec = resolve("invoice")
    assert pickle.loads(pickle.dumps(spec)) == spec


def test_a_users_file_needs_no_registration(note: Path) -> None:
    spec = resolve(f"{note}:DeliveryNote")
    assert (spec.name, spec.version, spec.title) == ("delivery_note", 1, "Phiếu giao hàng")
    assert [path for path, _ in spec.shape.leaves()] == [
        "supplier",
        "tax_code",
        "weight",
        "items[].name",
        "items[].price",
    ]
    assert resolve(spec.reference) == spec


def test_a_users_rules_and_validators_are_run_and_change_nothing(note: Path) -> None:
    spec = resolve(f"{note}:DeliveryNote")
    record = {"supplier": "ABC", "tax_code": None, "weight": 1200, "items": [{"name": "X", "price": "12.50"}]}
    assert spec.validate(record) == []
    assert [(check.code, check.passed) for check in spec.checks(record)] == [("heavy", False)]
    assert record["supplier"] == "ABC"

    (complaint,) = spec.validate(record | {"supplier": "abc"})
    assert (complaint.code, complaint.passed, complaint.fields) == ("schema", False, ("supplier",))
    assert complaint.message == "supplier: Value error, the supplier must be in capitals"
    (complaint,) = spec.validate(record | {"weight": 0})
    assert (complaint.fields, complaint.message) == ((), "DeliveryNote: Value error, items without weight")
    (complaint,) = spec.validate(record | {"weight": -1})
    assert (complaint.fields, complaint.found) == (("weight",), "-1")


def test_an_absent_value_that_the_schema_requires_is_said(note: Path) -> None:
    spec = resolve(f"{note}:DeliveryNote")
    (complaint,) = spec.validate({"supplier": None, "tax_code": None, "weight": None, "items": None})
    assert complaint.message == "supplier: the schema requires it, and the paper does not show it"
    assert complaint.found is None
    assert spec.checks({}) == []


def test_a_rule_that_raises_is_a_failed_check(note: Path) -> None:
    spec = edited(note, "if note.weight is not None:", "if note.weight > 0:")
    (crashed,) = spec.checks({"weight": None})
    assert (crashed.code, crashed.passed, crashed.severity) == ("check_crashed", False, "error")
    assert "heavy" in crashed.message


def test_a_validator_that_raises_anything_is_a_failed_check(note: Path) -> None:
    spec = edited(note, 'raise ValueError("items without weight")', "raise RuntimeError('boom')")
    (crashed,) = spec.validate({"supplier": "A", "weight": 0, "items": [{"name": None, "price": None}]})
    assert crashed.code == "check_crashed"
    assert "boom" in crashed.message


@pytest.mark.parametrize(
    ("old", "new", "page_too"),
    [
        ('title="Bên giao"', 'title="Bên bán"', True),
        ("tax_code: TaxCode", "tax_code: str", True),
        ("list[Item]", "list[str]", True),
        ("ge=0", "ge=1", False),
        ("<= 1000", "<= 2000", False),
        ("value.isupper()", "value.istitle()", False),
        ("self.weight == 0", "self.weight == 1", False),
        ("checks: ClassVar = (heavy,)", "checks: ClassVar = ()", False),
    ],
)
def test_what_can_change_a_result_changes_the_hash(note: Path, old: str, new: str, page_too: bool) -> None:
    before = resolve(f"{note}:DeliveryNote")
    after = edited(note, old, new)
    assert after.hash != before.hash
    assert (after.page_hash != before.page_hash) is page_too


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Never more than a tonne.", "At most a tonne."),
        ("checks: ClassVar = (heavy,)\n", "checks: ClassVar = (heavy,)  # one rule\n\n"),
    ],
)
def test_a_comment_changes_no_hash(note: Path, old: str, new: str) -> None:
    before = resolve(f"{note}:DeliveryNote")
    assert edited(note, old, new).hash == before.hash


@pytest.mark.medium
@pytest.mark.parametrize(
    ("file", "added", "document", "page"),
    [
        ("sums.py", "MORE = 1", True, False),
        ("dates.py", "MORE = 1", True, True),
        ("sums.py", "# A remark.", False, False),
    ],
)
def test_our_own_rules_are_in_a_documents_hash_and_our_parsers_in_a_pages(
    tmp_path: Path, file: str, added: str, document: bool, page: bool
) -> None:
    shutil.copytree(Path(schemas.__file__).parent, tmp_path / "schemas")
    ask = "from schemas.registry import resolve; s = resolve('receipt@1'); print(s.hash, s.page_hash)"

    def hashes() -> list[str]:
        return subprocess.check_output([sys.executable, "-c", ask], cwd=tmp_path, text=True).split()

    before = hashes()
    with (tmp_path / "schemas" / file).open("a", encoding="utf-8") as edited:
        edited.write(f"\n{added}\n")
    assert [now != then for now, then in zip(hashes(), before, strict=True)] == [document, page]


def test_an_edited_file_is_read_anew(note: Path) -> None:
    resolve(f"{note}:DeliveryNote")
    leaves = dict(edited(note, 'title="MST"', 'title="Mã số thuế"').shape.leaves())
    assert isinstance(leaves["tax_code"], Leaf)
    assert leaves["tax_code"].label == "Mã số thuế"


def test_a_version_names_its_own_views(note: Path) -> None:
    assert (
        edited(note, "    checks: ClassVar", "    version: ClassVar = 3\n    checks: ClassVar").version == 3
    )


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("bill", "no schema 'bill': there are invoice@2, id_card@2, receipt@2"),
        ("", "no schema ''"),
        ("invoice@9", "no schema 'invoice@9': invoice has version 1"),
        ("invoice@", "no schema 'invoice@'"),
        ("invoice@01", "no schema 'invoice@01'"),
        ("my.py", "a file's model is my.py:Model"),
        ("nowhere.py:Note", "no schema file 'nowhere.py'"),
        (":Note", "no schema file ''"),
    ],
)
def test_an_unknown_name_says_what_there_is(name: str, complaint: str) -> None:
    with pytest.raises(SchemaError) as caught:
        resolve(name)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("class Note(", "line 1: '(' was never closed"),
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("x = 1", "has no 'Note'; it has"),
        ("from pydantic import BaseModel\nclass Bill(BaseModel):\n    a: str", "has no 'Note'; it has Bill"),
        (
            "from typing import ClassVar\nfrom pydantic import BaseModel\nclass Note(BaseModel):\n"
            "    paper: ClassVar = 'plastic'\n    a: str",
            "Note: its paper is 'plastic'; it can be card",
        ),
        ("class Note: pass", "Note is no pydantic model"),
        ("Note = 3", "Note is no pydantic model"),
        (
            "from pydantic import BaseModel\nclass Note(BaseModel):\n    data: dict[str, str]",
            "Note.data: dict[str, str] has no printed form; use a nested model",
        ),
        (
            "from pydantic import BaseModel\nclass Note(BaseModel):\n    checks = ()\n    a: str",
            "annotated attribute",
        ),
        (
            "from typing import ClassVar\nfrom pydantic import BaseModel\nclass Note(BaseModel):\n"
            "    checks: ClassVar = (3,)\n    a: str",
            "3 among its checks is no function",
        ),
        (
            "from typing import ClassVar\nfrom pydantic import BaseModel\nclass Note(BaseModel):\n"
            "    version: ClassVar = 0\n    a: str",
            "Note.version is 0; it must be 1, 2, 3",
        ),
    ],
)
def test_a_broken_file_is_one_line(tmp_path: Path, code: str, complaint: str) -> None:
    file = tmp_path / "broken.py"
    file.write_text(textwrap.dedent(code), encoding="utf-8")
    with pytest.raises(SchemaError) as caught:
        resolve(f"{file}:Note")
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_cannot_take_the_name_of_a_built_in_one(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from typing import ClassVar\nfrom pydantic import BaseModel\nclass Invoice(BaseModel):\n    a: str\n"
    )
    with pytest.raises(SchemaError, match="invoice@1, which is built in; rename the class"):
        resolve(f"{file}:Invoice")
    file.write_text(file.read_text().replace("    a: str", "    version: ClassVar = 3\n    a: str"))
    assert resolve(f"{file}:Invoice").version == 3
