"""A hub model is one commit for the whole life of a job, whatever its branch does meanwhile."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.vintern import checkpoint
from tests.e2e.conftest import VINBATCH, Command, write_slips
from tests.servers import hub as hubs
from tests.servers.hub import REPOSITORY, Hub
from tests.vintern import checkpoints

OLD, NEW = hubs.commit_of(1), hubs.commit_of(2)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two commits of a repository, each with a pickle and code that nobody wants."""
    made = {}
    for seed, commit in enumerate((OLD, NEW)):
        folder = tmp_path_factory.mktemp("hub") / commit
        checkpoints.write(folder, seed=seed)
        for name in ("pytorch_model.bin", "modeling_internvl_chat.py"):
            (folder / name).write_bytes(b"code")
        made[commit] = folder
    return made


@pytest.fixture
def hub(folders: dict[str, Path]) -> Iterator[Hub]:
    with hubs.serving(Hub(folders, {"main": OLD, "v1": OLD})) as served:
        yield served


@pytest.fixture
def typed(vinbatch: Command, hub: Hub) -> Command:
    """`vinbatch` with the local hub, a cache of its own, and one document."""
    write_slips(vinbatch.folder / "in", pictures=1)
    vinbatch.environment |= {
        "HF_ENDPOINT": hub.url, "HF_HOME": str(vinbatch.folder / "cache"), "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1", "VINBATCH_STORE": f"sqlite:///{vinbatch.folder}/rows.db",
    }  # fmt: skip
    return vinbatch


def fetched(folder: Path) -> set[str]:
    return {path.name for path in (folder / "cache").rglob("snapshots/*/*")}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_job_keeps_its_commit(typed: Command, hub: Hub, slip: str) -> None:
    run = ("run", "in", "--schema", slip, "--job", "one", "--model")
    typed(*run, REPOSITORY)
    assert fetched(typed.folder) >= {"config.json", "model.safetensors"}
    assert not fetched(typed.folder) & {"pytorch_model.bin", "modeling_internvl_chat.py"}

    hub.refs["main"] = NEW
    write_slips(typed.folder / "more", pictures=1)
    (typed.folder / "more" / "slip-000.png").rename(typed.folder / "in" / "another.png")
    typed(*run, REPOSITORY)  # resumed: the branch has moved, the job has not
    [job] = typed.rows("SELECT model, checkpoint FROM jobs", typed.environment["VINBATCH_STORE"])
    assert job["model"] == f"{REPOSITORY}@{OLD}"
    assert job["checkpoint"] == checkpoint.digest(hub.commits[OLD])
    assert not [path for path in hub.log if NEW in path]

    assert "checkpoint was" in typed.fails(*run, f"{REPOSITORY}@main")  # asked for by name, it is another


def located(typed: Command, model: str, chunk: int = 10 * 2**20) -> Path:
    """Where a process like a lane's finds it, downloaded in chunks of so many bytes (10 MiB by default)."""
    code = f"from huggingface_hub import constants; constants.DOWNLOAD_CHUNK_SIZE = {chunk}; "
    code += f"from pipeline.vintern import checkpoint; print(checkpoint.locate({model!r}))"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **typed.environment},
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    return Path(found.stdout.strip())


@pytest.mark.slow
@pytest.mark.parametrize(("revision", "commit"), [("", OLD), ("@main", OLD), ("@v2", NEW), (f"@{NEW}", NEW)])
def test_a_revision_is_one_commit(typed: Command, hub: Hub, revision: str, commit: str) -> None:
    hub.refs["v2"] = NEW
    found = located(typed, REPOSITORY + revision)
    assert checkpoint.digest(found) == checkpoint.digest(hub.commits[commit])
    assert checkpoint.pinned(REPOSITORY + revision, found) == f"{REPOSITORY}@{commit}"
    assert not fetched(typed.folder) & {"pytorch_model.bin", "modeling_internvl_chat.py"}
    hub.refs.clear()
    typed.environment["HF_HUB_OFFLINE"] = "1"
    assert located(typed, f"{REPOSITORY}@{commit}") == found  # a lane whose network is gone


def refused(typed: Command, slip: str, model: str) -> str:
    return typed.fails("run", "in", "--schema", slip, "--job", "one", "--model", model, code=4).splitlines()[
        -1
    ]


@pytest.mark.slow
def test_a_broken_download_goes_on(typed: Command, hub: Hub) -> None:
    size = (hub.commits[OLD] / "model.safetensors").stat().st_size
    hub.break_after = size // 2
    found = located(typed, REPOSITORY, chunk=size // 8)  # what is kept of a broken download are whole chunks
    assert checkpoint.digest(found) == checkpoint.digest(hub.commits[OLD])
    starts = [int(asked.split()[1]) for asked in hub.ranges if asked.startswith("model.safetensors")]
    assert starts and min(starts) > 0  # not from the beginning


@pytest.mark.slow
def test_what_came_whole_is_kept(typed: Command, hub: Hub, slip: str) -> None:
    hub.break_after, hub.mends = 1000, False
    said = refused(typed, slip, REPOSITORY)
    assert "cannot fetch" in said and "what is missing" in said
    hub.break_after, before = None, len(hub.log)
    found = located(typed, f"{REPOSITORY}@{OLD}")
    assert checkpoint.digest(found) == checkpoint.digest(hub.commits[OLD])
    files = {path.rpartition("/")[2] for path in hub.log[before:] if "/resolve/" in path}
    assert files == {"model.safetensors"}


@pytest.mark.slow
def test_what_it_says_to_type_by_hand_works(typed: Command, hub: Hub, slip: str) -> None:
    typed.environment["HF_HUB_OFFLINE"] = "1"
    for model, commit in ((f"{REPOSITORY}@{NEW}", NEW), (REPOSITORY, OLD)):
        match = re.search(r"run `(hf download .*?)`", refused(typed, slip, model))
        assert match
        words = [commit if word == "DIR" else word for word in shlex.split(match[1])]
        done = subprocess.run(
            [VINBATCH.with_name("hf"), *words[1:]],
            cwd=typed.folder,
            env={**typed.environment, "HF_HUB_OFFLINE": "0", "PATH": ""},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert checkpoint.digest(typed.folder / commit) == checkpoint.digest(hub.commits[commit])
        assert not (typed.folder / commit / "pytorch_model.bin").exists()


@pytest.mark.slow
def test_a_revision_that_is_not_there(typed: Command, slip: str) -> None:
    assert "RevisionNotFound" in refused(typed, slip, f"{REPOSITORY}@v9")
    assert "RepositoryNotFound" in refused(typed, slip, "nobody/nothing")


@pytest.mark.parametrize(
    "name", ["a/b/c", "a", "../x/y", "a/b@", "a/b@-x", "a/b@c d", "a/b@\x1b[31m", "@v1", "a/-b"]
)
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(checkpoint.UsageError, match="neither a directory"):
        checkpoint.check(name)


def test_which_names_a_job_keeps() -> None:
    snapshot = Path("/cache/snapshots") / OLD
    assert checkpoint.pinned("a/b", snapshot) == checkpoint.pinned("a/b@v1", snapshot) == f"a/b@{OLD}"
    assert checkpoint.pinned("demo", checkpoint.DEMO) == "demo"
    assert checkpoint.begun_with("a/b", f"a/b@{OLD}") == f"a/b@{OLD}"
    assert checkpoint.begun_with("a/b@v2", f"a/b@{OLD}") == "a/b@v2"
    assert checkpoint.begun_with("a/bc", f"a/b@{OLD}") == "a/bc"
    assert checkpoint.begun_with("a/b", None) == "a/b"
