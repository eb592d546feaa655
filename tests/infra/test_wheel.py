"""What is released works without a checkout: the demo model, questions, rules and migrations come along."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
READ = """
import pipeline
from pathlib import Path
from pipeline import api, store
from pipeline.specimens import write
assert str(Path(pipeline.__file__)).startswith({site!r}), pipeline.__file__
write("in", 1, ["id_card"], seed=5, worn=False)
store.open("sqlite:///rows.db").close()
with api.Reader("id_card@1", "demo") as reader:
    [card] = [path for path in Path("in").iterdir() if path.suffix not in (".jsonl", ".json")]
    print(len([field for field in reader.read(card).fields if field.value]))
"""


@pytest.mark.slow
def test_the_wheel_reads_a_specimen_outside_of_the_checkout(tmp_path: Path) -> None:
    wheels, site = tmp_path / "wheels", tmp_path / "site"
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(source)], check=True)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "-w", str(wheels), str(source)], check=True, capture_output=True)
    [wheel] = wheels.glob("vinbatch-*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    done = subprocess.run(
        [sys.executable, "-c", READ.format(site=str(site))],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 4
