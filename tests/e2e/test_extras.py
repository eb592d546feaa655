"""Without the extras every job runs; the commands that need one say in a line what to install."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# What pyproject.toml has in extras. None in sys.modules makes an import fail as if it were absent.
ABSENT = (
    "httpx2",
    "rapidfuzz",
    "reportlab",
    "sacrebleu",
    "scipy",
    "segno",
    "transformers",
    "hypothesis",
    "peft",
    "jiwer",
    "moto",
    "stickler",
    "coverage",
)
WITHOUT = f"import sys; sys.modules.update(dict.fromkeys({ABSENT})); "


def without_extras(code: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    command = [sys.executable, "-c", WITHOUT + code, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.medium
@pytest.mark.parametrize(
    ("arguments", "package", "extra"),
    [
        (("specimens", "--out", "made"), "segno", "specimens"),
        (("eval", "--truth", "truth.jsonl", "--job", "j"), "rapidfuzz", "evaluation"),
        (
            ("dataset", "make", ".", "--out", "o", "--teacher", "http://[::1]/v1", "--teacher-model", "m"),
            "httpx2",
            "teacher",
        ),
        (("tune", "set", "--model", "demo", "--out", "run"), "peft", "tuning"),
    ],
    ids=["specimens", "eval", "dataset make", "tune"],
)
def test_a_command_without_its_extra_says_what_to_install(
    arguments: tuple[str, ...], package: str, extra: str, tmp_path: Path
) -> None:
    found = without_extras("from workers.cli import main; main()", tmp_path, *arguments)
    assert (found.returncode, found.stdout) == (4, "")
    assert found.stderr == (
        f"vinbatch: {package} is not installed: pip install 'vinbatch[{extra}]'; "
        "in a checkout infra/setup.sh app\n"
    )


@pytest.mark.medium
def test_what_a_job_imports_is_there_without_the_extras(tmp_path: Path) -> None:
    modules = (
        "workers.job, workers.replica, workers.reader, workers.scheduler, pipeline.vintern, pipeline.run"
    )
    code = f"import {modules}; from workers.cli import main; main()"
    found = without_extras(code, tmp_path, "plan", str(tmp_path))
    assert found.returncode == 0, found.stderr
