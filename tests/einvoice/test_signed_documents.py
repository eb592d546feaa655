"""A signed e-invoice on its way through the child, the merge and a page's row."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from pipeline import run
from pipeline.einvoice import judged, trusted
from pipeline.errors import UsageError
from pipeline.keys import involved
from pipeline.recipe import Recipe
from pipeline.records import Check, Extraction, Signature
from pipeline.run import DocumentResult
from pipeline.settings import Settings, load
from pipeline.specimens import authority
from pipeline.store import page_rows
from schemas import registry
from tests.einvoice.signed import signed, unsigned

INVOICE = registry.resolve("invoice@1")


@pytest.fixture
def anchored(tmp_path: Path) -> Settings:
    folder = tmp_path / "anchors"
    folder.mkdir()
    (folder / "root.pem").write_bytes(authority.root().certificate.public_bytes(Encoding.PEM))
    return load(trust_anchors=folder)


def read(data: bytes, folder: Path, settings: Settings) -> DocumentResult:
    (folder / "one.xml").write_bytes(data)
    return run.document(str(folder / "one.xml"), Recipe.of(INVOICE, settings, None), _never)


def _never(requests: Any) -> Any:
    assert list(requests) == []
    return iter(())


def of(result: DocumentResult) -> tuple[Extraction, Check]:
    assert isinstance(result.outcome, Extraction), result.outcome
    [check] = [check for check in result.outcome.checks if check.code == "signature"]
    return result.outcome, check


@pytest.mark.medium
def test_a_signed_invoice_is_done_and_says_who_signed(tmp_path: Path, anchored: Settings) -> None:
    result = read(signed(), tmp_path, anchored)
    extraction, check = of(result)
    assert (extraction.state, check.passed, check.found) == ("done", True, "valid")
    record = result.pages[0].record
    assert record is not None and record.signature is not None
    assert record.signature.signer == f"{extraction.record['seller_name']} (SPECIMEN)"
    assert record.signature.tax_code == extraction.record["seller_tax_code"]
    assert record.signature.anchored


@pytest.mark.medium
def test_without_anchors_it_is_done_all_the_same_and_says_what_was_not_looked_at(tmp_path: Path) -> None:
    extraction, check = of(read(signed(), tmp_path, load()))
    assert (extraction.state, check.passed, check.severity) == ("done", False, "info")
    assert check.found == "issuer_not_trusted" and "no trust anchors are given" in check.message


@pytest.mark.medium
def test_an_altered_invoice_goes_to_review_with_an_error(tmp_path: Path, anchored: Settings) -> None:
    changed = re.sub(rb"<Ten>[^<]", b"<Ten>X", signed(), count=1)
    for settings in (anchored, load()):
        extraction, check = of(read(changed, tmp_path, settings))
        assert (extraction.state, check.severity, check.found) == ("review", "error", "altered")


@pytest.mark.medium
def test_an_invoice_without_a_signature_goes_to_review_but_for_that_of_a_cash_register(
    tmp_path: Path,
) -> None:
    extraction, check = of(read(unsigned(), tmp_path, load()))
    assert (extraction.state, check.severity, check.found) == ("review", "warning", "unsigned")
    till = re.sub(rb"<KHHDon>(...)T", rb"<KHHDon>\1M", unsigned())
    extraction, check = of(read(till, tmp_path, load()))
    assert (extraction.state, check.severity, check.found) == ("done", "info", "unsigned")


@pytest.mark.medium
@pytest.mark.parametrize("coding", ["utf-16", "utf-8-sig"])
def test_another_coding_of_the_same_text_is_the_same_invoice(
    tmp_path: Path, anchored: Settings, coding: str
) -> None:
    """Canonical XML is UTF-8, whatever the file is written in."""
    text = signed().decode().replace("UTF-8", "UTF-16" if coding == "utf-16" else "UTF-8")
    _, check = of(read(text.encode(coding), tmp_path, anchored))
    assert check.found == "valid"


@pytest.mark.parametrize(
    ("verdict", "anchored", "severity"),
    [
        ("valid", True, "warning"),
        ("altered", True, "error"),
        ("expired_at_signing", False, "warning"),
        ("issuer_not_trusted", True, "warning"),
        ("issuer_not_trusted", False, "info"),
        ("other_signer", False, "warning"),
        ("not_verifiable", True, "warning"),
    ],
)
def test_what_each_verdict_means_for_a_document(verdict: Any, anchored: bool, severity: str) -> None:
    check = judged.check(Signature(verdict, "why", anchored=anchored))
    assert (check.passed, check.severity, check.found) == (verdict == "valid", severity, verdict)


@pytest.mark.medium
def test_a_page_keeps_its_signature_in_its_row(tmp_path: Path, anchored: Settings) -> None:
    [page] = read(signed(), tmp_path, anchored).pages
    assert page.record is not None
    stored = {**page_rows.row_of(page), "record": json.dumps(page_rows.row_of(page)["record"])}
    assert page_rows.page_of(stored) == page
    assert page_rows.page_of(stored).record != replace(page.record, signature=None)


@pytest.mark.medium
def test_other_anchors_are_another_key_and_another_job(tmp_path: Path, anchored: Settings) -> None:
    """A verdict that was given without them, or under others, is no result under these."""
    folder = tmp_path / "more"
    folder.mkdir()
    both = authority.root().certificate, authority.tax_authority().certificate
    (folder / "both.pem").write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in both))
    several = [load(), anchored, load(trust_anchors=folder)]
    assert len({Recipe.of(INVOICE, settings, None).page_key("a" * 64, 1, "xml") for settings in several}) == 3
    assert len({str(involved(settings)["trust_anchors"]) for settings in several}) == 3
    assert load(trust_anchors="anchors").trust_anchors == Path.cwd() / "anchors"


def test_a_folder_that_is_not_there_is_said_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder of trust anchors"):
        trusted.packed(load(trust_anchors=tmp_path / "absent"))
    with pytest.raises(UsageError, match="no folder of trust anchors"):
        involved(load(trust_anchors=tmp_path / "absent"))
