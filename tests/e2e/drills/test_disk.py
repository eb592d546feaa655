"""The disk under SQLite is full in mid-job: nothing is lost, and with new room the job goes on."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Command, finish
from tests.e2e.drills.conftest import PAGES, Drill

pytestmark = [pytest.mark.slow, pytest.mark.drill]

SAID = "is full; make room, nothing is lost"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", place], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture
def on_disk(vinbatch: Command, folder: Path, arguments: tuple[object, ...], disk: Path) -> Drill:
    return Drill(vinbatch, (folder, *arguments), f"sqlite:///{disk / 'rows.db'}")


def fill(disk: Path) -> Path:
    """A file that takes all the room there is."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError as error:
            assert error.errno == errno.ENOSPC
    return ballast


def test_a_run_waits_for_room(
    on_disk: Drill,
    disk: Path,
    undisturbed: list[dict[str, Any]],
) -> None:
    process = on_disk.start()
    on_disk.wait_until_in_the_middle()
    ballast = fill(disk)
    assert process.stderr is not None
    assert any(SAID in line for line in process.stderr)
    assert on_disk.unfinished()
    ballast.unlink()
    assert on_disk.end(process) == PAGES
    assert on_disk.rows() == undisturbed


@pytest.mark.drill
def test_a_run_that_has_no_patience_ends_and_the_same_command_goes_on(
    on_disk: Drill,
    disk: Path,
    undisturbed: list[dict[str, Any]],
) -> None:
    on_disk.command.environment["VINBATCH_LANE__PATIENCE_SECONDS"] = "2"
    process = on_disk.start()
    on_disk.wait_until_in_the_middle()
    ballast = fill(disk)
    _, err = finish(process, 4)
    last = err.strip().splitlines()[-1]
    assert last.startswith("vinbatch: ") and SAID in last
    assert err.count("has ended and is replaced") == 1  # another lane would only wait as long again
    ballast.unlink()
    on_disk.end(on_disk.start())
    assert on_disk.rows() == undisturbed
