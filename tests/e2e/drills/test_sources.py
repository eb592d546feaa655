"""Objects and their server change in mid-job; every document ends in one row that says what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Command
from tests.e2e.drills.conftest import Drill
from tests.servers.faults import FaultProxy
from tests.servers.s3 import S3Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


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


def _bucket(uri: str) -> str:
    return uri.split("/")[2]


def _key(uri: str) -> str:
    return uri.partition(_bucket(uri) + "/")[2]
