"""Several processes learn as one does: the same losses and weights, in the same folder, in any number."""

from __future__ import annotations

import multiprocessing
from itertools import count
from pathlib import Path

import pytest
import torch

from infra.benchmarks import delivery
from pipeline.errors import UsageError
from pipeline.settings import Settings
from pipeline.tuning import folder
from pipeline.tuning.run import Run
from pipeline.tuning.wish import Wish
from pipeline.vintern.ranks import ALONE, Ranks, Seat, joined, listening
from schemas import registry

NOTE = registry.resolve(delivery.SCHEMA)
pytestmark = pytest.mark.filterwarnings("ignore")  # of peft and transformers among themselves
# One of an epoch's two batches is one conversation: then one of two ranks has nothing to learn.
CHANGES = {"epochs": 2, "batch": 4, "at_once": 2, "rate": 1e-2, "max_tiles": 1, "train": "projector"}


@pytest.fixture(scope="module")
def notes(tmp_path_factory) -> Path:
    # Not above: the ranks import this module too, and for these they would take as long as for all they do.
    from pipeline import evaluation
    from pipeline.tuning import labelled
    from pipeline.tuning.export import export
    from tests.vintern import checkpoints

    made = tmp_path_factory.mktemp("ranks")
    delivery.write(made / "papers", 5, seed=5)
    pages = labelled.of_folder(made / "papers", evaluation.load(made / "papers", NOTE), Settings())
    export(made / "set", pages, NOTE, "objects", heldout=0)
    checkpoints.write(made / "base", "v3_5", seed=1)
    return made


def learned(notes: Path, out: Path, ranks: Ranks = ALONE, stop_after: int = 10**6) -> int:
    """Steps that were made; the weights of this rank are in a file beside the folder."""
    torch.set_num_threads(1)
    wish = Wish(notes / "set", str(notes / "base"), out, changes=CHANGES, dtype="float32", device="cpu")
    opened, asked = folder.RunFolder(out), count()
    out.mkdir(exist_ok=True)
    made = Run(wish, opened, Settings(), registry.resolve, lambda line: None, ranks)
    assert made.prepare(lambda: False)
    steps = made.go(lambda: next(asked) >= stop_after).steps
    torch.save(made.tuner.masters.state()["masters"], out.with_suffix(f".{ranks.rank}"))
    return steps


def rank(number: int, meeting, listener, notes: Path, out: Path) -> None:
    """In a process of its own. The second alone is asked to stop, and both end after the same step."""
    with joined(Seat(number, 2, "127.0.0.1", meeting), "cpu", listener) as ranks:
        assert learned(notes, out, ranks, 2 if number else 10**6) == 2


def together(*told: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    listener = listening("127.0.0.1")
    meeting = listener.getsockname()[:2]
    ranks = [
        spawn.Process(target=rank, args=(at, meeting, None if at else listener, *told), daemon=True)
        for at in range(2)
    ]
    for one in ranks:
        one.start()
    for one in ranks:
        one.join(300)
    assert [one.exitcode for one in ranks] == [0, 0]


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)


@pytest.mark.slow
def test_two_ranks_learn_what_one_learns_and_one_goes_on_where_they_stopped(notes, tmp_path):
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert learned(notes, alone) == 4
    together(notes, shared)
    first, second = (weights(shared.with_suffix(f".{number}")) for number in range(2))
    assert all(torch.equal(its, second[name]) for name, its in first.items())
    assert learned(notes, shared) == 4
    one, mixed = weights(alone.with_suffix(".0")), weights(shared.with_suffix(".0"))
    assert len(one) > 20 and any("mlp1" in name for name in one)
    for name, its in one.items():
        assert not torch.equal(first[name], its)  # it has learned since
        torch.testing.assert_close(mixed[name], its, rtol=1e-3, atol=1e-5, msg=name)
    assert (alone / "run.json").read_text() == (shared / "run.json").read_text()


def test_a_folder_that_other_ranks_do_not_see_is_told(tmp_path):
    """Also one that they see, of another run: claimed by the first rank of theirs."""
    other = folder.RunFolder(tmp_path)
    with pytest.raises(UsageError, match="storage that all their machines see"):
        other.must_be({"base": "demo"})
    folder.RunFolder(tmp_path).claim({"base": "demo"})
    other.must_be({"base": "demo"})
    with pytest.raises(UsageError, match="not the same data and base"):
        other.must_be({"base": "demo", "data_hash": "of the files on this machine"})
