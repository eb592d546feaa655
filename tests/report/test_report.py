"""The page of a job: its figures are those that can be counted in the store; a real browser shows it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page

from pipeline import report
from pipeline.advice import advice
from pipeline.errors import Reason
from pipeline.evaluation import load
from pipeline.records import Check, Decision, Failure, Field
from pipeline.records import Testimony as Said
from pipeline.report.scored import of_truth
from pipeline.settings import Settings
from pipeline.store import Job, Store
from pipeline.trust import Calibration
from pipeline.trust.calibration import Curve, Outcome
from pipeline.trust.features import NAMES
from pipeline.trust.promise import Promise
from tests.store import samples
from tests.store.samples import Clock, finish, refs
from tests.store.test_input_vat import OTHER, made

EVIL = "<script>alert(1)</script>\u202egnp"


def fields(number: str, total: str) -> tuple[Field, ...]:
    return Field("number", number, number, 0.55, "read", 1), Field("total", total, total, 0.99, "read", 1)


@pytest.fixture
def job(store: Store, clock: Clock) -> Job:
    """Four documents with a result, one of them a copy; one that is quarantined; one that nobody has read."""
    job = samples.job(store, "may & june")
    store.ledger.add(job, refs("a", "b", "copy", "d", "bad", "left"))
    a, b, copy, d, bad = store.ledger.claim(job, "w", 5, 3600)
    stops = tuple(Check(code, False, "error", f"{code}: {EVIL}") for code in ("net", "total"))
    bears = (Said("total", "qr", "agrees"), Said("total", "qr", "agrees"), Said("number", "text", "differs"))
    one, two = made("1"), made("2", 2_200_000, seller_name=EVIL, state="review")
    finish(store, a, replace(one, fields=fields("1", "1100000"), tier="clean", testimony=bears))
    finish(store, b, replace(two, fields=fields("2", "2200000"), checks=stops))
    clock.pass_(3600)
    again = replace(one, fields=fields("1", "1100000"), state="review")
    finish(store, copy, replace(again, tier="photo", checks=stops[:1]))
    finish(store, d, replace(made("4", 500_000, seller_tax_code=OTHER), tier="clean"))
    store.ledger.quarantine(bad, Failure(Reason.pdf_encrypted, "bad"))
    return job


def page_of(store: Store, job: Job) -> str:
    return report.html(report.gather(store, job, Settings(), pictures=True))


def rows(html: str, section: str) -> list[list[str]]:
    """The cells of the tables in a section, as a person reads them."""
    [inside] = re.findall(rf'<section aria-label="{section}">(.*?)</section>', html, re.S)
    found = re.findall(r"<tr>(.*?)</tr>", inside, re.S)
    cells = (re.findall(r"<td.*?>(.*?)</td>", row, re.S) for row in found)
    return [[re.sub(r"<.*?>", "", cell).strip() for cell in row] for row in cells if row]


@pytest.mark.medium
def test_it_says_what_is_in_the_store(store: Store, job: Job) -> None:
    html = page_of(store, job)
    assert [row[:2] for row in rows(html, "What became of the documents")] == [
        ["done", "2"], ["review", "2"], ["quarantined", "1"], ["unfinished", "1"],
    ]  # fmt: skip
    assert [row[:3] for row in rows(html, "What stops documents")] == [
        ["net", "2", "0"], ["duplicate_file", "1", "0"], ["total", "1", "0"],
    ]  # fmt: skip
    [failed] = rows(html, "What failed")
    assert failed[:4] == ["pdf_encrypted", "1", "0", "save it without its password"]
    assert failed[4] == "vinbatch retry --job &#39;may &amp; june&#39; --reason pdf_encrypted"
    assert rows(html, "Who bears values out") == [["qr", "2", "0", "0", "0"], ["text", "0", "1", "0", "0"]]
    assert [[row[1], row[2], row[3], row[7]] for row in rows(html, "Spend")] == [
        ["9900000016", "2", "3,300,000", "1"],
        [OTHER, "1", "500,000", "0"],
    ]
    doubtful = rows(html, "The least sure pages")
    assert [row[:5] for row in doubtful] == [
        [f"/in/{name}", "1", state, "0.550", "number"]
        for name, state in (("a", "done"), ("b", "review"), ("copy", "review"))
    ]
    assert "uncalibrated" in html and "Vinbatch 0." in html and "demo" in html and "c" * 12 in html
    assert "no picture of the page" in html, "the files are not there, and it says so"


@pytest.mark.medium
def test_nothing_of_others_is_obeyed(store: Store, job: Job) -> None:
    html = page_of(store, job)
    assert html.count("<script>") == 1 and "\u202e" not in html and r"\u202e" in html
    assert "&lt;script&gt;alert(1)" in html
    assert not re.search(r"(?:src|href)\s*=\s*\"(?!data:)|url\(|@import|https?://(?!www\.w3\.org)", html)


@pytest.mark.medium
def test_an_empty_job_has_a_page(store: Store) -> None:
    html = page_of(store, samples.job(store, "nothing"))
    assert "<b>0</b>documents" in html and "<svg" not in html


@pytest.mark.medium
def test_what_people_decided_shows_how_right_it_was(store: Store, job: Job) -> None:
    """Of four values about which they decided, one was wrong; the document of the photo was rejected."""
    store.decisions.add(job, "/in/a", [Decision(None, "accept", "an")])
    corrected = Decision("number", "correct", "an", "9"), Decision("total", "accept", "an")
    store.decisions.add(job, "/in/b", list(corrected))
    store.decisions.add(job, "/in/copy", [Decision(None, "reject", "an")])
    [curves] = report.gather(store, job, Settings(), pictures=False).curves
    assert curves.origin.startswith("4 values of 2 documents that people decided")
    assert [(bar.low, bar.count, bar.accuracy) for bar in curves.bins] == [(0.5, 2, 0.5), (0.9, 2, 1.0)]
    assert [(risk.tier, risk.items, risk.points[-1].risk) for risk in curves.risk] == [
        ("clean", 2, 0.0),
        (None, 2, 0.5),
    ]


@pytest.mark.medium
def test_what_is_promised_stands_beside_the_curve_of_the_documents_held_out(store: Store, job: Job) -> None:
    outcomes = tuple(Outcome(0.999 - n / 1000, None, 10, 10 - (n > 80), n > 90) for n in range(100))
    made = Calibration(
        job.schema, job.checkpoint, "cpu", "truth in t.jsonl", 100, 1000,
        0.0, dict.fromkeys(NAMES, 0.0), {}, {}, Curve((-1.0, 1.0), (-1.0, 1.0)), (1.0, 0.0), outcomes,
    )  # fmt: skip
    promise = Promise.of(made, 0.99)
    store.calibrations.add(made, promise, "an")
    gathered = report.gather(store, job, Settings(), pictures=False)
    [curves] = gathered.curves
    [risk] = curves.risk
    assert (risk.items, risk.points[-1].coverage) == (100, 0.91), "nine are stopped whatever their score"
    html = report.html(gathered)
    assert "calibrated on 100 documents (truth in t.jsonl" in html and "promised: 99.0% right" in html
    assert f"{promise.threshold(None).passing}% pass now" in html


@pytest.mark.medium
def test_with_a_truth_it_shows_what_is_wrong_beside_it(store: Store, job: Job, tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    truth.write_text('{"file": "a", "number": "1", "total": "1.200.000"}\n{"file": "b", "number": "2"}\n')
    true = load(truth, samples.INVOICE)
    scored = of_truth(
        store.results.extractions(job), true, "truth.jsonl", store, job, Settings(), pictures=False
    )
    html = report.html(report.gather(store, job, Settings(), pictures=False, known=scored.curves), scored)
    by_field = {row[0]: row[1:6] for row in rows(html, "How well it reads")}
    assert by_field["number"] == ["2", "2", "0", "0", "0"]  # printed, right, wrong, missing, invented
    assert by_field["total"] == ["1", "0", "1", "0", "1"]
    worst = rows(html, "The worst documents")
    assert ["total", "1.200.000", "1100000", "wrong", "0.990"] in worst
    assert "2 documents of this job whose truth is in truth.jsonl" in html


def test_every_reason_has_its_advice_and_every_setting_in_it_is_one() -> None:
    told = {reason: advice(reason) for reason in Reason}
    assert "`vinbatch failures` says more" not in told.values()
    for named in re.findall(r"\b(?:source|render|engine)\.\w+", " ".join(told.values())):
        section, _, name = named.partition(".")
        assert name in type(getattr(Settings(), section)).model_fields, named


@pytest.mark.slow
def test_a_browser_shows_it_sorts_it_and_asks_nobody(
    store: Store, job: Job, page: Page, tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    file.write_text(page_of(store, job), encoding="utf-8")
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(file.as_uri())
    assert asked == [file.as_uri()] and complaints == []

    suppliers = page.get_by_label("Spend", exact=True).locator("table")
    amounts = suppliers.locator("tbody tr td:nth-child(4)")
    assert amounts.all_text_contents() == ["3,300,000", "500,000"]
    suppliers.get_by_role("button", name="Đồng").click()
    assert amounts.all_text_contents() == ["500,000", "3,300,000"]
    suppliers.get_by_role("button", name="Đồng").press("Enter")
    assert amounts.all_text_contents() == ["3,300,000", "500,000"]
    assert suppliers.locator("th[aria-sort=descending]").count() == 1

    for width in (360, 800, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (
            "the page itself never scrolls sideways"
        )
    charts = page.locator("svg")
    assert charts.count() >= 4
    for number in range(charts.count()):
        named = charts.nth(number).locator("text.axis").all_text_contents()
        assert len(named) == 2 and all(named), "both axes have their names"
