"""E-invoice XML in a lane: read by its readers, committed like any document, and the model is not asked."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from pipeline import store as stores
from pipeline.settings import load
from tests.einvoice.invoices import PRINTED, einvoice, envelope, written
from tests.workers.conftest import FACTS, Bench
from workers.lane import LaneJob
from workers.reader import recipe


@pytest.fixture
def invoices(bench: Bench, tmp_path: Path) -> Bench:
    """The bench with a job for invoices."""
    url = f"sqlite:///{tmp_path / 'invoices.db'}"
    settings = load(store=url, render={"seconds": 60}, lane={"attempts": 2, "lease_seconds": 60})
    lane_job = LaneJob("job", url, "invoice@1", "rote", FACTS.checkpoint_hash, 0, settings)
    store = stores.open(url)
    job = store.jobs.ensure(
        "job", recipe(lane_job, FACTS).spec, sources=["x"], settings={}, model="rote", checkpoint="c"
    )
    return Bench(tmp_path, settings, store, job, lane_job)


@pytest.mark.medium
def test_invoices_are_read_beside_each_other_without_the_model(invoices: Bench) -> None:
    (invoices.folder / "good.xml").write_bytes(written(envelope(einvoice())))
    (invoices.folder / "same.xml").write_bytes(written(envelope(einvoice())))
    (invoices.folder / "other.xml").write_bytes(b"<?xml version='1.0'?><svg/>")
    with zipfile.ZipFile(invoices.folder / "mail.zip", "w") as archive:
        archive.writestr("2.xml", written(einvoice("2")))
    uris = [str(invoices.folder / name) for name in ("good.xml", "same.xml", "other.xml", "mail.zip!/2.xml")]
    invoices.add(*uris)
    report = invoices.work(invoices.claim())
    states = invoices.states()
    assert states.pop("other.xml") == ("quarantined", "xml_other")
    assert {state for state, _ in states.values()} <= {"done", "review"} and len(states) == 3
    assert invoices.replica.answered == 0
    assert (report.pages, report.pages_known, report.tokens) == (2, 1, 0)
    found = invoices.store.results.extractions(invoices.job)
    stored = {Path(each.uri).name: each.extraction for each in found}
    assert [(field.path, field.value) for field in stored["good.xml"].fields] == list(PRINTED)
    assert {field.source for field in stored["2.xml"].fields} == {"xml"}
    invoices.store.books.verify(invoices.job)
