"""Memory does not grow with a job: what lists, reads, reports and exports it holds only a few documents.

VINBATCH_DOCUMENTS=1000000 pytest tests/workers/test_million.py --timeout 0      the size that is meant
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workers.conftest import SCHEMA

DOCUMENTS = int(os.environ.get("VINBATCH_DOCUMENTS", "80000"))
MOST = 320 * 2**20  # bytes of resident memory, of which Ray, numpy and pyarrow are two thirds
GROWTH = 6 * 2**20  # bytes: the names alone of 60,000 more documents would take 8 million
LIBRARIES = 12 * 2**20  # bytes, from the step on in which pyarrow comes: its pools vary by as much
CHECKOUT = Path(__file__).resolve().parents[2]


def peaks(folder: Path, documents: int) -> dict[str, int]:
    """The largest resident memory after each step of a job of that many documents, bytes."""
    folder.mkdir()
    (folder / "slip.py").write_text(SCHEMA, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tests.workers.million", f"sqlite:///{folder / 'rows.db'}", str(documents)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_a_job_four_times_as_large_takes_no_more_memory(tmp_path: Path) -> None:
    small, large = peaks(tmp_path / "small", DOCUMENTS // 4), peaks(tmp_path / "large", DOCUMENTS)
    print({step: f"{small[step] / 2**20:.0f} and {large[step] / 2**20:.0f} MiB" for step in large})  # noqa: T201
    assert max(large.values()) < MOST
    steps = list(large)
    for step in steps:
        most = GROWTH if steps.index(step) < steps.index("parquet") else LIBRARIES
        assert large[step] - small[step] < most, step
