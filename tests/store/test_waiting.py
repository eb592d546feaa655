"""What a lane calls goes on when the store's mood has passed."""

from __future__ import annotations

from threading import Timer

import psycopg
import pytest

from pipeline import store as stores
from tests.store import samples
from tests.store.samples import finish, refs
from workers.patience import Patience


@pytest.mark.medium
def test_a_commit_waits_until_the_server_may_be_written_again(postgres_url: str) -> None:
    name = postgres_url.rpartition("/")[2]
    with stores.open(postgres_url) as store:
        job = samples.job(store)
        store.ledger.add(job, refs("a"))
        [lease] = store.ledger.claim(job, "w", 1, 600)

        def owner_sets(value: str) -> None:
            with psycopg.connect(postgres_url, autocommit=True) as owner:
                owner.execute("SET default_transaction_read_only = off")
                owner.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {value}")
                owner.execute(
                    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                    " WHERE application_name = 'vinbatch' AND datname = current_database()"
                )

        owner_sets("on")
        well = Timer(2.0, owner_sets, ("off",))
        well.start()
        Patience(lambda: 120.0).call(finish, store, lease)
        well.join()
        assert store.books.verify(job).done == 1
