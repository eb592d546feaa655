"""The machine's clock jumps in mid-job, forward by more than a lease and back by more than that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Command
from tests.e2e.drills.conftest import Drill

pytestmark = [pytest.mark.slow, pytest.mark.drill]

HOOKS = Path(__file__).with_name("hooks")


def test_the_clock_jumps(
    vinbatch: Command,
    folder: Path,
    model: Path,
    slip: str,
    undisturbed: list[dict[str, Any]],
) -> None:
    off = vinbatch.folder / "off"

    def put(seconds: int) -> None:
        (vinbatch.folder / "new").write_text(str(seconds), encoding="utf-8")
        (vinbatch.folder / "new").replace(off)

    put(0)
    vinbatch.environment |= {"PYTHONPATH": str(HOOKS), "CLOCK_IS_OFF": str(off)}
    drill = Drill(
        vinbatch,
        (folder, "--schema", slip, "--model", model),  # a Ray of its own: it starts with this environment
        f"sqlite:///{vinbatch.folder / 'rows.db'}",
    )
    process = drill.start()
    drill.wait_until_in_the_middle()
    put(3600)
    drill.wait_until_in_the_middle(10)
    put(-3600)
    drill.wait_until_in_the_middle(18)
    process.kill()
    process.communicate()
    put(-20_000)  # now the dead lane's leases end hours from now, and all that waits is due as late
    drill.end(drill.start())
    assert drill.count("SELECT count(*) FROM documents WHERE losses > 0")
    assert drill.rows() == undisturbed
