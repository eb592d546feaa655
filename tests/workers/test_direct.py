"""What needs no model is read in the driver's own process, under leases like a lane's; the rest is left."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from pipeline import grammar, keys, run
from pipeline import store as stores
from pipeline.reading import Commit
from pipeline.recipe import Recipe, engines_numerics
from pipeline.records import DocumentRef
from pipeline.render import Renderer
from pipeline.settings import EngineSettings, load
from pipeline.store import Job, Store
from pipeline.vintern import checkpoint as checkpoints
from pipeline.vintern import facts
from schemas import registry
from tests.e2e.conftest import SLIP
from tests.einvoice.invoices import PRINTED, einvoice, envelope, written
from tests.pipeline.walker import recite
from tests.vintern.checkpoints import write
from workers.direct import Direct, earlier_recipes

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
    """And what was gathered with it, to be put in the same transaction, is."""
    uris = fill(tmp_path, **{f"n{number}_xml": written(einvoice(str(number))) for number in range(3)})
    store.ledger.add(job, [DocumentRef(uri) for uri in uris])
    work = direct(store, job)
    leases = work._claim()
    store.ledger.release(leases[1])
    [theirs] = store.ledger.claim(job, "another", 1, 60)
    assert theirs.uri == leases[1].uri
    with Renderer(work._recipe.settings.render) as renderer:
        work._read_all(leases, renderer)
    assert work.report.late == 1 and work.report.documents.total() == 2
    assert [states(store, job)[f"n{number}.xml"][0] == "leased" for number in range(3)] == [
        False,
        True,
        False,
    ]


def answered(
    store: Store, paper: Path, rules: Recipe, generate: run.Generate, checkpoint: str = "c"
) -> run.DocumentResult:
    """`paper` as another job has read it before."""
    first = store.jobs.ensure(
        "first", rules.spec, sources=["x"], settings={}, model="m", checkpoint=checkpoint
    )
    store.ledger.add(first, [DocumentRef(str(paper))])
    [lease] = store.ledger.claim(first, "lane", 1, 60)
    found = run.document(str(paper), rules, generate)
    assert isinstance(found.verdict, Commit)
    store.results.commit(lease, found.verdict.extraction, found.pages, sha256=found.sha256)
    return found


def picture(path: Path, shade: int = 255) -> Path:
    Image.new("RGB", (300, 200), (shade, 255, 255)).save(path)
    return path


def nulls(rules: Recipe) -> run.Generate:
    text = grammar.answer(rules.spec.shape, {})
    return lambda requests: (recite(text, request.id) for request in requests)


@pytest.mark.medium
def test_print_whose_pages_are_known_is_committed_and_the_rest_is_left(
    tmp_path: Path, store: Store, job: Job
) -> None:
    write(tmp_path / "model", "v2")
    settings = load(store=store.url, review_below=0.5)
    numerics = "cpu float32 AVX2 torch, sample 00"
    model = facts.earlier(tmp_path / "model", "c", settings.engine, SPEC.reference, numerics)
    rules = Recipe.of(SPEC, load(store=store.url), model)
    paper = picture(tmp_path / "a.png")
    before = answered(store, paper, rules, nulls(rules))
    beside = tmp_path / "b.xml"
    beside.write_bytes(written(einvoice()))
    same = picture(tmp_path / "same.png")
    parts = (DocumentRef(str(beside)), DocumentRef(str(same)))  # one is read now, the other is known
    new = picture(tmp_path / "new.png", 9)
    store.ledger.add(job, [DocumentRef(str(paper)), DocumentRef.of_parts(parts), DocumentRef(str(new))])
    bare = Recipe.of(SPEC, settings, None)
    earlier = partial(facts.earlier, tmp_path / "model", "c", settings.engine, SPEC.reference)
    known = earlier_recipes(store, job, SPEC, bare, earlier)
    assert [one.key for one in known] == [rules.key]
    work = Direct(store, job, bare, "here", lambda: True, threading.Event(), known)
    assert not work.work()
    assert (work.report.pages, work.report.pages_known) == (1, 2)
    assert states(store, job)["new.png"][0] == "pending"
    stored = {one.uri: one.extraction for one in store.results.extractions(job)}
    assert len(stored) == 2
    again = store.results.pages(job, str(paper))
    assert [page.record for page in again] == [page.record for page in before.pages]


def test_what_a_person_chose_of_the_engine_must_have_been_so() -> None:
    words = "cpu bfloat16 AVX512+amx_bf16 1f2e, rows as they are, sample 00"
    assert facts.may_serve(words, EngineSettings())
    assert facts.may_serve(words, EngineSettings(device="cpu", dtype="bfloat16", threads=3))
    assert not facts.may_serve(words, EngineSettings(dtype="float32"))
    assert not facts.may_serve(words, EngineSettings(device="cuda:0"))
    assert not facts.may_serve(words, EngineSettings(kernels=False))
    threads = "cpu float32 AVX2 torch 2 threads rows padded, sample 00"
    assert facts.may_serve(threads, EngineSettings(kernels=False, threads=2))
    assert not facts.may_serve(threads, EngineSettings(threads=12))
    card = "cuda bfloat16 sm_90, 132 multiprocessors, cuda 13.0, attention flash, compiled"
    assert facts.may_serve(card, EngineSettings(warmup="compile", device="cuda:1"))
    assert not facts.may_serve(card, EngineSettings(warmup="graphs"))


def test_another_second_look_is_another_reading() -> None:
    with_one, without = load(second_look=0.9), load(second_look=0)
    model = keys.ModelFacts("c", 6, "cpu float32")
    told = Recipe.of(SPEC, with_one, model).numerics
    assert told is not None
    assert engines_numerics(with_one, told) == "cpu float32"
    assert engines_numerics(without, told) is engines_numerics(load(second_look=0.5), told) is None


RUN = """
import asyncio, sys, threading
from rich.console import Console
from pipeline.settings import load
from workers.job import JobRequest, run_job
from workers.progress import Reporter

folder, model, schema, store = sys.argv[1:]
request = JobRequest((folder,), schema, model, load(store=store, review_below=0.5))
with Reporter(Console(stderr=True)) as reporter:
    outcome = asyncio.run(run_job(request, reporter, threading.Event()))
balance = outcome.balance
known = sum(report.pages_known for report in outcome.last.reports)
loaded = sorted({"ray", "torch", "tokenizers"} & set(sys.modules))
print(balance.done + balance.review, outcome.last.pages, known, loaded)
"""


@pytest.mark.slow
def test_a_run_of_xml_alone_loads_neither_ray_nor_torch(tmp_path: Path) -> None:
    model = tmp_path / "model"
    write(model, "v2")
    (tmp_path / "in").mkdir()
    fill(tmp_path / "in", a_xml=written(einvoice()), b_xml=written(einvoice("2")))
    assert (
        ran(tmp_path, tmp_path / "in", model, "invoice@1", f"sqlite:///{tmp_path / 'rows.db'}") == "2 2 0 []"
    )


@pytest.mark.slow
def test_a_run_over_known_pages_loads_neither_ray_nor_torch(tmp_path: Path, store: Store) -> None:
    """The engine that has read them is a real one: its keys must be found without it."""
    from pipeline import vintern
    from pipeline.vintern.engine import Engine

    model, settings = tmp_path / "model", load(store=store.url)
    write(model, "v2")
    (tmp_path / "slips.py").write_text(SLIP, encoding="utf-8")
    spec = registry.resolve(f"{tmp_path / 'slips.py'}:Slip")
    (tmp_path / "in").mkdir()
    paper = picture(tmp_path / "in" / "a.png")
    engine = Engine(vintern.load(model, device="cpu"), settings.engine)
    rules = Recipe.of(spec, settings, facts.model_facts(engine, spec))
    answered(store, paper, rules, engine.generate, checkpoints.digest(model))
    assert ran(tmp_path, tmp_path / "in", model, f"{tmp_path / 'slips.py'}:Slip", store.url) == "1 0 1 []"


def ran(cwd: Path, *arguments: object) -> str:
    command = [sys.executable, "-c", RUN, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[0]
