"""Objects and their server change in mid-job; every document ends in one row that says what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Command
from tests.e2e.drills.conftest import PAGES, Drill
from tests.servers.faults import Fault, FaultProxy
from tests.servers.s3 import S3Server

pytestmark = pytest.mark.slow


@pytest.fixture
def s3_drill(
    drill: Drill,
    vinbatch: Command,
    folder: Path,
    arguments: tuple[object, ...],
    moto: S3Server,
    fault_proxy: FaultProxy,
) -> Drill:
    """The same documents in a bucket, behind a server that can be told to fail."""
    bucket = moto.bucket({path.name: path.read_bytes() for path in folder.iterdir()})
    vinbatch.environment |= moto.environment | {"VINBATCH_SOURCE__TIMEOUT_SECONDS": "2"}
    place = (f"s3://{bucket}/", *arguments, "--s3-endpoint", fault_proxy.endpoint)
    return Drill(vinbatch, place, drill.store)


@pytest.mark.drill
def test_the_object_store_is_slow_refuses_and_cuts_connections(
    s3_drill: Drill, fault_proxy: FaultProxy, undisturbed: list[dict[str, Any]]
) -> None:
    faults: list[Fault] = ["503", "reset", "truncate", "hang", "slow", "corrupt"]
    fault_proxy.faults.extend(faults[:2])  # of the listing
    process = s3_drill.start()
    s3_drill.wait_until_in_the_middle()
    fault_proxy.faults.extend([*faults, None, None, *reversed(faults)])
    assert s3_drill.end(process) == PAGES
    assert sorted(fault_proxy.met) == sorted(faults[:2] + 2 * faults)
    assert s3_drill.rows() == undisturbed


@pytest.mark.drill
def test_the_object_store_is_away_for_longer_than_documents_are_tried(
    s3_drill: Drill, fault_proxy: FaultProxy, undisturbed: list[dict[str, Any]]
) -> None:
    s3_drill.command.environment["VINBATCH_SOURCE__ATTEMPTS"] = "1"
    process = s3_drill.start()
    s3_drill.wait_until_in_the_middle()
    away: list[Fault] = ["503"] * 10_000
    fault_proxy.faults.extend(away)
    s3_drill.wait_for(
        lambda: s3_drill.count("SELECT count(*) FROM documents WHERE reason = 'store_unreachable'") > 3
    )
    s3_drill.wait_for(lambda: s3_drill.count("SELECT count(*) FROM documents WHERE state = 'quarantined'"))
    fault_proxy.faults.clear()
    s3_drill.end(process, code=3)
    job = ("--job", "drill", "--store", s3_drill.store)
    s3_drill.command("retry", *job, "--reason", "store_unreachable")
    s3_drill.end(s3_drill.start())
    assert s3_drill.rows() == undisturbed


@pytest.mark.drill
def test_an_object_is_deleted_during_the_job(
    s3_drill: Drill, moto: S3Server, undisturbed: list[dict[str, Any]]
) -> None:
    process = s3_drill.start()
    s3_drill.wait_until_in_the_middle()
    name = _key(uri := s3_drill.last_waiting())
    moto.client().delete_object(Bucket=_bucket(uri), Key=name)
    s3_drill.end(process, code=3)
    rows = s3_drill.rows()
    [lost] = [row for row in rows if row["uri"] == name]
    assert (lost["state"], lost["reason"], lost["path"]) == ("quarantined", "object_missing", None)
    assert [row for row in rows if row["uri"] != name] == [row for row in undisturbed if row["uri"] != name]


@pytest.mark.drill
def test_an_object_is_replaced_during_the_job(
    s3_drill: Drill, moto: S3Server, undisturbed: list[dict[str, Any]]
) -> None:
    """Bytes other than those listed are never read under the old name; the next run lists and reads them."""
    process = s3_drill.start()
    s3_drill.wait_until_in_the_middle()
    name = _key(uri := s3_drill.last_waiting())
    other = moto.client().get_object(Bucket=_bucket(uri), Key="slip-000.png")["Body"].read()
    moto.client().put_object(Bucket=_bucket(uri), Key=name, Body=other)
    s3_drill.end(process, code=3)
    rows = s3_drill.rows()
    [changed] = [row for row in rows if row["uri"] == name]
    assert (changed["state"], changed["reason"], changed["path"]) == ("quarantined", "object_changed", None)
    others = [row for row in undisturbed if row["uri"] != name]
    assert [row for row in rows if row["uri"] != name] == others

    s3_drill.end(s3_drill.start())
    rows = s3_drill.rows()
    assert [row for row in rows if row["uri"] != name] == others
    as_read = [{**row, "uri": name} for row in undisturbed if row["uri"] == "slip-000.png"]
    assert [row for row in rows if row["uri"] == name] == as_read


def _bucket(uri: str) -> str:
    return uri.split("/")[2]


def _key(uri: str) -> str:
    return uri.partition(_bucket(uri) + "/")[2]
