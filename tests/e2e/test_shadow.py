"""A candidate beside a job, as it is typed: its share, what is kept apart, and the switch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.store.shadows import is_chosen
from tests.e2e.conftest import Command, write_slips
from tests.servers.cluster import RayHead
from tests.vintern import checkpoints

pytestmark = pytest.mark.slow
STORE = "sqlite:///rows.db"


def share_of(wanted: int, uris: list[str]) -> float:
    """A share to which so many of these belong. Two of them may lie less than a hundredth apart."""
    low, high = 0.0, 1.0
    while (found := sum(is_chosen(uri, (low + high) / 2) for uri in uris)) != wanted:
        low, high = ((low + high) / 2, high) if found < wanted else (low, (low + high) / 2)
    return (low + high) / 2


def test_a_share_is_read_by_a_candidate_and_the_switch_is_one_flag(
    vinbatch: Command, model: Path, slip: str, ray_head: RayHead
) -> None:
    folder = write_slips(vinbatch.folder / "in", pictures=5)
    (folder / "bad.pdf").write_bytes(b"no document")
    checkpoints.write(vinbatch.folder / "candidate", seed=1)
    uris = sorted(str(path) for path in folder.iterdir())
    share = share_of(3, uris)
    mine = [uri for uri in uris if is_chosen(uri, share)]
    common = ("in", "--schema", slip, "--store", STORE, "--address", ray_head.address)
    job = ("run", *common, "--model", model, "--job", "june", "--accept-failures")
    (vinbatch.folder / "job.toml").write_text(f'shadow = "candidate"\nshare = {share}\n', encoding="utf-8")

    said = json.loads(vinbatch(*job, "--file", "job.toml", "--json"))
    assert said["documents"]["submitted"] == 6 and said["shadow"]["documents"]["submitted"] == 3
    shadow = said["shadow"]["job"]
    assert shadow.startswith("june-shadow-") and said["shadow"]["error"] is None

    documents = "SELECT uri, jobs.name AS job FROM documents JOIN jobs ON jobs.id = job_id ORDER BY uri"
    found = vinbatch.rows(documents, STORE)
    assert [row["uri"] for row in found if row["job"] == shadow] == mine
    assert [row["uri"] for row in found if row["job"] == "june"] == uris
    assert {row["job"] for row in vinbatch.rows("SELECT job FROM slip_v1", STORE)} == {"june"}
    pictures = [uri for uri in mine if uri.endswith(".png")]
    apart = vinbatch.rows("SELECT job, document_uri FROM _shadow_slip_v1 ORDER BY document_uri", STORE)
    assert [(row["job"], row["document_uri"]) for row in apart] == [(shadow, uri) for uri in pictures]

    again = vinbatch(*job, "--shadow", "candidate", "--share", share)  # typed, or in the file
    assert again.count("0 pages read, 0 known before") == 2 and "--against decisions" in again
    assert "no shadow" not in again
    refused = vinbatch.fails("run", *common, "--model", "candidate", "--job", shadow, code=2)
    assert "is the shadow of a job" in refused

    switched = vinbatch("run", *common, "--model", "candidate", "--job", "july", "--accept-failures")
    assert f"{5 - len(pictures)} pages read, {len(pictures)} known before" in switched
