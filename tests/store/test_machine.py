"""Random interleavings, clocks and crashes against a model that fits on a page."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pipeline import store as stores
from pipeline.errors import LeaseLost, Reason
from pipeline.records import DocumentRef, Failure
from pipeline.store import Lease, Store
from tests.store import samples
from tests.store.samples import Clock, finish, invoice, page
from tests.store.test_crashes import Died, dying_at

LEASE = 60.0
ATTEMPTS = 3
MAX_LOSSES = 3
PASSING = Failure(Reason.store_unreachable, "503", retryable=True)
DEADLY = Failure(Reason.worker_lost, "gone")
FINAL = Failure(Reason.pdf_damaged, "bad")


@dataclass
class Document:
    """What the ledger should know of a document."""

    state: str = "pending"
    token: str | None = None
    until: float = 0.0  # not before (pending), not after (leased); in seconds of the model
    tries: int = 0
    losses: int = 0
    suspect: bool = False
    result: str | None = None


@dataclass
class Model:
    now: float = 0.0
    documents: dict[str, Document] = field(default_factory=dict)

    def take_back(self) -> None:
        for document in self.documents.values():
            if document.state == "leased" and document.until <= self.now:
                document.losses += 1
                document.suspect, document.token, document.until = True, None, self.now
                document.state = "quarantined" if document.losses >= MAX_LOSSES else "pending"

    def due(self, *, suspect: bool) -> set[str]:
        return {
            uri
            for uri, found in self.documents.items()
            if found.state == "pending" and found.suspect == suspect and found.until <= self.now
        }


class LedgerMachine(RuleBasedStateMachine):
    """Leases that were ever given out stay in `leases`: a vanished worker may come back at any time."""

    store: Store
    clock: Clock
    names = count()

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.leases: list[Lease] = []
        self.start = self.clock.now
        self.job = samples.job(self.store, f"job-{next(self.names)}")

    @rule(numbers=st.lists(st.integers(0, 6), max_size=4), dies=st.integers(0, 6))
    def add(self, numbers: list[int], dies: int) -> None:
        refs = [DocumentRef(self._uri(number)) for number in numbers]
        with self._perhaps_dying(dies):
            new = {ref.uri for ref in refs} - self.model.documents.keys()
            assert self.store.ledger.add(self.job, refs).added == len(new)
            for uri in new:
                self.model.documents[uri] = Document(until=self.model.now)

    @rule(seconds=st.sampled_from([1.0, LEASE / 2, LEASE, 5 * LEASE]))
    def time_passes(self, seconds: float) -> None:
        self.clock.pass_(seconds)
        self.model.now += seconds

    @rule(limit=st.integers(1, 4), suspects=st.booleans(), dies=st.integers(0, 6))
    def claim(self, limit: int, suspects: bool, dies: int) -> None:
        with self._perhaps_dying(dies):
            got = self.store.ledger.claim(
                self.job, "w", limit, LEASE, max_losses=MAX_LOSSES, suspects=suspects
            )
            self.model.take_back()
            alone, free = self.model.due(suspect=True), self.model.due(suspect=False)
            uris = {lease.uri for lease in got}
            assert len(uris) == len(got)
            if suspects and alone:
                assert len(uris) == 1 and uris <= alone
            else:
                assert uris <= free and len(uris) == min(limit, len(free))
            for lease in got:
                document = self.model.documents[lease.uri]
                document.tries += 1
                document.state, document.token, document.until = "leased", lease.token, self.model.now + LEASE
                assert (lease.attempt, lease.losses, lease.suspect) == (
                    document.tries,
                    document.losses,
                    document.suspect,
                )
            self.leases += got

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from(self.leases), max_size=3, unique=True))
        lost = self.store.ledger.renew(chosen, LEASE)
        assert lost == [lease for lease in chosen if not self._holds(lease)]
        for lease in chosen:
            if self._holds(lease):
                self.model.documents[lease.uri].until = self.model.now + LEASE

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), dies=st.integers(0, 12), state=st.sampled_from(["done", "review"]))
    def commit(self, data: st.DataObject, dies: int, state: str) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        document = self.model.documents[lease.uri]
        result = f"{lease.token}-{state}"
        if document.token == lease.token and document.result == result:
            finish(self.store, lease, invoice(result, state=state))  # again: its answer was lost
        elif not self._holds(lease):
            with pytest.raises(LeaseLost):
                finish(self.store, lease, invoice(result, state=state))
        else:
            with self._perhaps_dying(dies):
                finish(self.store, lease, invoice(result, state=state))
            if self._state(lease.uri) != "leased":  # it may be done although the process died
                document.state, document.result = state, result

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def save_page(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        if self._holds(lease):
            self.store.results.save_page(lease, page(1, lease.token))
            assert lease.token in self.store.results.known_pages([lease.token])
        else:
            with pytest.raises(LeaseLost):
                self.store.results.save_page(lease, page(1, f"late-{lease.token}"))
            assert not self.store.results.known_pages([f"late-{lease.token}"])

    @precondition(lambda self: self.leases)
    @rule(
        data=st.data(), failure=st.sampled_from([None, PASSING, DEADLY]), delay=st.sampled_from([0.0, 90.0])
    )
    def release(self, data: st.DataObject, failure: Failure | None, delay: float) -> None:
        lease = data.draw(st.sampled_from([held for held in self.leases if self._holds(held)] or self.leases))
        document = self.model.documents[lease.uri]
        if not self._holds(lease):
            if document.token != lease.token:
                with pytest.raises(LeaseLost):
                    self.store.ledger.release(lease, failure, delay=delay)
            return
        self.store.ledger.release(lease, failure, delay=delay, attempts=ATTEMPTS)
        document.until = self.model.now + delay
        document.tries -= failure is None
        document.suspect |= failure is DEADLY
        given_up = failure is not None and document.tries - document.losses >= ATTEMPTS
        document.state = "quarantined" if given_up else "pending"

    @precondition(lambda self: any(self._holds(lease) for lease in self.leases))
    @rule(data=st.data())
    def quarantine(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from([held for held in self.leases if self._holds(held)]))
        self.store.ledger.quarantine(lease, FINAL)
        self.model.documents[lease.uri].state = "quarantined"

    @rule(reason=st.sampled_from([PASSING.reason, DEADLY.reason, FINAL.reason]), dies=st.integers(0, 8))
    def retry(self, reason: Reason, dies: int) -> None:
        hit = {item.uri for item in self.store.failures.each(self.job, str(reason))}
        with self._perhaps_dying(dies):
            assert self.store.failures.retry(self.job, reason=str(reason)) == len(hit)
        again = {uri for uri in hit if self._state(uri) == "pending"}
        assert again in (hit, set())  # all or none
        for uri in again:
            before = self.model.documents[uri]
            assert before.state == "quarantined"
            self.model.documents[uri] = Document(until=self.model.now, suspect=before.suspect)

    @rule(number=st.integers(0, 6), dies=st.integers(0, 12))
    def purge(self, number: int, dies: int) -> None:
        uri = self._uri(number)
        with self._perhaps_dying(dies):
            self.store.purge(document=uri)
        if self._state(uri) is None:
            self.model.documents.pop(uri, None)
            self.leases = [lease for lease in self.leases if lease.uri != uri]

    @invariant()
    def the_books_balance(self) -> None:
        balance = self.store.books.verify(self.job)
        assert balance.submitted == len(self.model.documents)
        assert {row.uri: row.state for row in self.store.results.documents(self.job)} == {
            uri: document.state for uri, document in self.model.documents.items()
        }
        assert {
            found.uri: found.extraction.record["number"] for found in self.store.results.extractions(self.job)
        } == {uri: document.result for uri, document in self.model.documents.items() if document.result}

    def _uri(self, number: int) -> str:
        return f"/{self.job.name}/{number}"  # a purge is for all jobs, and each example has its own

    def _holds(self, lease: Lease) -> bool:
        document = self.model.documents.get(lease.uri)
        return document is not None and document.state == "leased" and document.token == lease.token

    @contextmanager
    def _perhaps_dying(self, statement: int) -> Iterator[None]:
        """Dies before that statement; 0 does not die."""
        try:
            with dying_at(self.store, statement):
                yield
        except Died:
            pass

    def _state(self, uri: str) -> str | None:
        return next((row.state for row in self.store.results.documents(self.job) if row.uri == uri), None)


@pytest.fixture
def machine(url: str) -> Iterator[type[LedgerMachine]]:
    folder = Path(tempfile.mkdtemp())
    clock = Clock()
    with stores.open(url, clock=clock) as store:
        yield type("Machine", (LedgerMachine,), {"store": store, "clock": clock, "names": count()})
    shutil.rmtree(folder)


@pytest.mark.medium
@pytest.mark.parametrize("examples", [5, pytest.param(25, marks=pytest.mark.slow)])
def test_any_interleaving_keeps_the_books(machine: type[LedgerMachine], examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30 if examples > 5 else 20,
            deadline=None,
            derandomize=examples < 100,
            suppress_health_check=list(HealthCheck),
        ),
    )
