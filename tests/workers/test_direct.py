"""What needs no model is read in the driver's own process, under leases like a lane's; the rest is left."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import store as stores
from pipeline.errors import LeaseLost
from pipeline.recipe import Recipe
from pipeline.records import DocumentRef
from pipeline.render import Renderer
from pipeline.settings import load
from pipeline.store import Job, Store
from schemas import registry
from tests.einvoice.invoices import PRINTED, einvoice, envelope, written
from workers.direct import Direct

SPEC = registry.resolve("invoice@1")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with stores.open(f"sqlite:///{tmp_path / 'rows.db'}") as opened:
        yield opened


@pytest.fixture
def job(store: Store) -> Job:
    return store.jobs.ensure("job", SPEC, sources=["x"], settings={}, model="m", checkpoint="c")


def direct(store: Store, job: Job, stop: threading.Event | None = None, **lane: object) -> Direct:
    settings = load(store=store.url, lane={"lease_seconds": 60, "attempts": 2, **lane})
    return Direct(
        store, job, Recipe.of(SPEC, settings, None), "here", lambda: True, stop or threading.Event()
    )


def fill(folder: Path, **files: bytes) -> list[str]:
    for name, data in files.items():
        (folder / name.replace("_", ".")).write_bytes(data)
    return [str(folder / name.replace("_", ".")) for name in files]


def states(store: Store, job: Job) -> dict[str, tuple[str, str | None]]:
    return {Path(row.uri).name: (row.state, row.reason) for row in store.results.documents(job)}


@pytest.mark.medium
def test_a_job_of_xml_is_read_to_its_end(tmp_path: Path, store: Store, job: Job) -> None:
    many = {f"n{number}_xml": written(envelope(einvoice(str(number)))) for number in range(40)}
    uris = fill(
        tmp_path, one_dat=written(einvoice()), bad_xml=b"<?xml version='1.0'?><svg/>", no_dat=b"x", **many
    )
    store.ledger.add(job, [DocumentRef(uri) for uri in [*uris, str(tmp_path / "missing.xml")]])
    work = direct(store, job)
    assert work.work()
    found = states(store, job)
    assert found.pop("bad.xml") == ("quarantined", "xml_other")
    assert found.pop("no.dat") == ("quarantined", "unsupported_type")
    assert found.pop("missing.xml") == ("quarantined", "object_missing")
    assert len(found) == 41 and {state for state, _ in found.values()} <= {"done", "review"}
    stored = {Path(one.uri).name: one.extraction for one in store.results.extractions(job)}
    assert [(field.path, field.value) for field in stored["one.dat"].fields] == list(PRINTED)
    assert work.report.pages == 41 and work.report.documents.total() == 44
    store.books.verify(job)


def test_print_by_its_name_is_not_even_claimed(tmp_path: Path, store: Store, job: Job) -> None:
    store.ledger.add(job, [DocumentRef(str(tmp_path / "missing.pdf"))])
    assert not direct(store, job).work()
    [lease] = store.ledger.claim(job, "lane", 1, 60)
    assert (lease.attempt, lease.losses) == (1, 0)


@pytest.mark.medium
def test_what_needs_the_model_is_given_back_and_counts_no_try(tmp_path: Path, store: Store, job: Job) -> None:
    uris = fill(tmp_path, a_xml=written(einvoice()), b_dat=b"%PDF-1.7", c_xml=written(einvoice("3")))
    store.ledger.add(job, [DocumentRef(uri) for uri in uris])
    assert not direct(store, job).work()
    assert {name: state for name, (state, _) in states(store, job).items()}["b.dat"] == "pending"
    leases = store.ledger.claim(job, "lane", 9, 60)
    assert {(Path(lease.uri).name, lease.attempt) for lease in leases} == {("b.dat", 1), ("c.xml", 1)}


def test_xml_beside_print_is_left_to_a_lane(tmp_path: Path, store: Store, job: Job) -> None:
    one, other = fill(tmp_path, a_xml=written(einvoice()), a_pdf=b"%PDF-1.7")
    parts = (DocumentRef(one), DocumentRef(other))
    store.ledger.add(job, [DocumentRef.of_parts(parts)])
    assert not direct(store, job).work()
    assert store.ledger.claim(job, "lane", 1, 60)[0].attempt == 1


@pytest.mark.medium
def test_a_stop_gives_back_what_is_not_begun(tmp_path: Path, store: Store, job: Job) -> None:
    uris = fill(tmp_path, **{f"n{number}_xml": written(einvoice(str(number))) for number in range(5)})
    store.ledger.add(job, [DocumentRef(uri) for uri in uris])
    stop = threading.Event()
    work = direct(store, job, stop)
    read = work._read

    def read_and_stop(*given: object) -> None:
        read(*given)  # type: ignore[arg-type]
        stop.set()

    work._read = read_and_stop  # type: ignore[method-assign]
    assert work.work()
    assert sum(state == "pending" for state, _ in states(store, job).values()) == 4


@pytest.mark.medium
def test_what_somebody_else_has_taken_over_is_not_kept(tmp_path: Path, store: Store, job: Job) -> None:
    [uri] = fill(tmp_path, a_xml=written(einvoice()))
    store.ledger.add(job, [DocumentRef(uri)])
    work = direct(store, job)
    end = work._end

    def late(lease: object, found: object) -> None:
        work._end = end  # type: ignore[method-assign]
        raise LeaseLost("it is another's")

    work._end = late  # type: ignore[method-assign]
    [lease] = work._claim()
    with Renderer(work._recipe.settings.render) as renderer:
        work._read_all([lease], renderer)
    assert work.report.late == 1 and states(store, job)["a.xml"][0] == "leased"


RUN = """
import asyncio, sys, threading
from rich.console import Console
from pipeline.settings import load
from workers.job import JobRequest, run_job
from workers.progress import Reporter

folder, model = sys.argv[1:]
request = JobRequest((folder,), "invoice@1", model, load(store=f"sqlite:///{folder}/rows.db"))
with Reporter(Console(stderr=True)) as reporter:
    outcome = asyncio.run(run_job(request, reporter, threading.Event()))
balance = outcome.balance
print(balance.done + balance.review, outcome.last.pages, sorted({"ray", "torch"} & set(sys.modules)))
"""


@pytest.mark.slow
def test_a_run_of_xml_alone_loads_neither_ray_nor_torch(tmp_path: Path) -> None:
    from tests.vintern.checkpoints import write

    model = tmp_path / "model"
    write(model, "v2")
    (tmp_path / "in").mkdir()
    fill(tmp_path / "in", a_xml=written(einvoice()), b_xml=written(einvoice("2")))
    command = [sys.executable, "-c", RUN, str(tmp_path / "in"), str(model)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout.split("\n")[0] == "2 2 []", done.stderr
