"""`vinbatch tune --workers` on a real Ray: stopped, killed, and gone on with by one process alone."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from ray.exceptions import ActorDiedError, RayTaskError

from infra.benchmarks import delivery
from pipeline import evaluation
from pipeline.errors import UsageError
from pipeline.settings import Settings
from pipeline.tuning import labelled
from pipeline.tuning.export import export
from pipeline.tuning.wish import Wish
from pipeline.vintern.ranks import PeerGone
from schemas import registry
from tests.e2e.conftest import Command, wait_for
from tests.servers.cluster import RayHead
from tests.vintern import checkpoints
from workers.cluster import Node
from workers.tuning import Team, WorkerLost, cause, team, tune

STEPS = 90
TUNE = (
    "tune", "set", "--model=base", "--out=run", "--epochs=30", "--batch=2", "--max-tiles=1",
    "--dtype=float32", "--device=cpu", "--evaluations=29", "--json",
)  # fmt: skip


@pytest.fixture
def notes(vinbatch: Command) -> Command:
    """The command in a folder with a set and a base; logs each third step."""
    schema = registry.resolve(delivery.SCHEMA)
    delivery.write(vinbatch.folder / "papers", 5, seed=5)
    papers = evaluation.load(vinbatch.folder / "papers", schema)
    pages = labelled.of_folder(vinbatch.folder / "papers", papers, Settings())
    export(vinbatch.folder / "set", pages, schema, "objects", heldout=0)
    checkpoints.write(vinbatch.folder / "base", "v3_5", seed=1)
    return vinbatch


class Watched:
    """A command under way, and what it has said on standard error."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.lines = process, list[str]()
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines += self.process.stderr

    def said(self, words: str) -> bool:
        assert self.process.poll() is None or any(words in line for line in self.lines), self.lines
        return any(words in line for line in self.lines)

    def end(self, code: int) -> str:
        """The last line. Standard output is empty: it did not come to its end."""
        with self.process:
            assert self.process.wait(60) == code, self.lines
            self._reading.join()
            assert self.process.stdout is not None and self.process.stdout.read() == ""
        assert not any("pid=" in line or "Traceback" in line for line in self.lines), self.lines
        return self.lines[-1]


def steps(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / "run" / "curve.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_workers_are_stopped_then_one_is_killed_and_one_alone_goes_on(
    notes: Command, ray_head: RayHead
) -> None:
    two = ("--workers=2", f"--address={ray_head.address}")
    first = Watched(notes.start(*TUNE, *two))
    wait_for(lambda: first.said(f"step 3 of {STEPS}"))
    assert len(ray_head.actors("TuningWorker")) == 2
    first.process.send_signal(signal.SIGTERM)
    last = first.end(130)
    assert last.startswith("stopped after step") and "the same command goes on" in last
    saved = int(last.split()[3])
    assert 3 <= saved < STEPS and (notes.folder / "run" / "state.pt").is_file()

    second = Watched(notes.start(*TUNE, *two))
    wait_for(lambda: steps(notes.folder)[-1] > saved)
    ray_head.actors("TuningWorker")[0].kill()
    last = second.end(4)
    assert last.startswith("vinbatch: worker ") and "of 2 (on 127.0.0.2) died; the same command" in last
    wait_for(lambda: not ray_head.actors("TuningWorker"), 30)

    before = len(steps(notes.folder))
    told = json.loads(notes(*TUNE))
    assert told["steps"] == STEPS and (notes.folder / "run" / "model" / "model.safetensors").is_file()
    assert saved < steps(notes.folder)[before] <= saved + 3  # not from the beginning
    assert told["checkpoint_hash"] in (notes.folder / "run" / "model" / "README.md").read_text()


def test_each_worker_has_a_gpu_or_its_share_of_the_cores() -> None:
    hosts = [Node("a", 32, 4), Node("b", 16, 2)]
    assert team(hosts, 6, "auto") == Team(6, 8, 1)
    assert team(hosts, 2, "cuda") == Team(2, 16, 1)
    assert team(hosts, 4, "cpu") == Team(4, 10, 0)
    assert team([Node("a", 2, 0)], 2, "auto") == Team(2, 1, 0)
    for machines, workers, device, said in (
        (hosts, 7, "auto", "needs a GPU for each, and the cluster's 2 machines have 6"),
        ([Node("a", 8, 0)], 2, "cuda", "the machine has 0"),
        ([Node("a", 2, 4), Node("b", 64, 0)], 4, "auto", "machines have 2 beside their GPUs"),
        ([Node("a", 2, 0)], 3, "auto", "needs a core for each, and the machine has 2"),
    ):
        with pytest.raises(UsageError, match=said):
            team(machines, workers, device)


def test_a_batch_that_is_too_small_is_refused_before_anything_starts(tmp_path: Path) -> None:
    wish = Wish(tmp_path, "base", tmp_path / "run", changes={"batch": 2})
    with pytest.raises(UsageError, match="which 3 workers cannot share"):
        tune(wish, Settings(), None, 3, None, print, threading.Event())
    assert not (tmp_path / "run").exists()


def test_of_several_failures_the_cause_is_told() -> None:
    missed = RayTaskError("tune", "traceback", PeerGone("another worker does not answer any more: closed"))
    wrong = RayTaskError("tune", "traceback", UsageError("set: no item fits"))
    fault = RayTaskError("tune", "traceback", ZeroDivisionError("division by zero"))
    assert str(cause({"worker 1": missed, "worker 2": wrong, "worker 3": missed})) == "set: no item fits"
    assert isinstance(cause({"worker 1": missed, "worker 2": wrong}), UsageError)
    died = cause({"worker 1": missed, "worker 2": ActorDiedError()})
    assert isinstance(died, WorkerLost) and died.message.startswith("worker 2 died; the same command goes on")
    ours = cause({"worker 1": missed, "worker 2": fault})
    assert isinstance(ours, ZeroDivisionError) and ours.__cause__ is fault
    assert "worker 1: another worker does not answer" in str(cause({"worker 1": missed}))
