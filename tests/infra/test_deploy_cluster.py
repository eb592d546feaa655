"""What the page on deploying says of running clusters and of copies of the store, typed as it stands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import ray

from infra import lock
from pipeline import specimens
from tests.e2e.conftest import VINBATCH
from tests.servers import postgres
from tests.servers.cluster import RayHead
from tests.servers.starting import PATIENCE
from workers import cluster, metrics

PAGE = (lock.ROOT / "infra" / "deploy" / "README.md").read_text("utf-8")


def blocks(word: str) -> list[str]:
    """The page's blocks to be typed that hold this word, in order."""
    return [one for one in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.M | re.S) if word in one]


def bash(script: str, folder: Path, *, code: int = 0, **environment: str) -> str:
    paths = f"{VINBATCH.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=folder,
        env=os.environ | {"PATH": paths} | environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == code, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def write_job(folder: Path, *more: str) -> None:
    """A job of e-invoices, which needs no lane."""
    specimens.write(folder / "in", 2, ["invoice"], 3, xml=True)
    for path in (folder / "in").iterdir():
        if path.is_file() and path.suffix != ".xml":
            path.unlink()
    lines = f'sources = ["{folder}/in/*.xml"]', 'schema = "invoice@1"', 'model = "demo"', "any_schema = true"
    (folder / "job.toml").write_text("\n".join((*lines, "accept_failures = true", *more, "")), "utf-8")


@pytest.mark.slow
def test_a_job_that_is_submitted_twice_is_one_and_resumes(tmp_path: Path, ray_head: RayHead) -> None:
    submit, delete = blocks("--submission-id")[0], blocks("ray job delete")[0]
    submit = submit.replace("-- vinbatch", f"-- {VINBATCH}")  # which an image has in its PATH
    submitted = tmp_path / "submitted"
    submitted.mkdir()
    # The head of the tests does not have the store in its environment, as one in earnest has.
    write_job(submitted, f'store = "{submitted}/rows.db"')
    environment = {"RAY_ADDRESS": ray_head.jobs}
    said = bash(submit, submitted, **environment)
    name = bash("vinbatch run --file job.toml --print-job", submitted).strip()
    assert name.startswith("invoice-1-") and f"job {name}: 2 documents" in said and "0 known before" in said
    assert "already exists" in bash(submit, submitted, code=1, **environment)
    assert f"job {name}: 2 documents" in bash(f"ray job logs {name}", submitted, **environment)
    bash(f"JOB={name}\n{delete}", submitted, **environment)
    again = bash(submit, submitted, **environment)
    assert f"job {name}: 2 documents" in again and "0 pages read" in again


@pytest.mark.slow
def test_a_checkout_is_submitted_with_uv(tmp_path: Path, ray_head: RayHead) -> None:
    """uv makes the environment; the job needs no lane, so that only the driver's is made."""
    submit = blocks("uv run")[0]
    write_job(tmp_path, f'store = "{tmp_path}/rows.db"')
    found = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.find-links"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    links = (
        f'--runtime-env-json \'{{"env_vars": {{"UV_FIND_LINKS": "{found}", "UV_TORCH_BACKEND": "cpu"}}}}\''
    )
    script = submit.replace("--working-dir .", f"--working-dir . {links}")
    script = script.replace("-- uv run", f"-- {VINBATCH.with_name('uv')} run --python {sys.executable}")
    script = script.replace("infra/deploy/job.toml", str(tmp_path / "job.toml"))
    assert "2 documents" in bash(script, lock.ROOT, RAY_ADDRESS=ray_head.jobs)


A_JOB = r'job="Th\\xe1ng 6"'  # Prometheus doubles a backslash


@pytest.mark.slow
def test_figures_have_the_names_that_the_dashboard_asks_for(ray_head: RayHead) -> None:
    with cluster.joined(ray_head.address, 0, lambda _: None):
        port = ray.nodes()[0]["MetricsExportPort"]
        ray.get(_counting.remote())
        wanted = {figure.exported for figure in metrics.FIGURES}

        def there() -> bool:
            with urllib.request.urlopen(f"http://127.0.0.2:{port}/metrics", timeout=10) as page:
                lines = page.read().decode().splitlines()
            ours = [line for line in lines if line.startswith("ray_vinbatch_") and A_JOB in line]
            return wanted <= {line.partition("{")[0] for line in ours}

        until(there)


@ray.remote(num_cpus=0)
def _counting() -> None:
    told = metrics.LaneMetrics("Tháng 6", "a-lane")  # Ray takes ASCII alone
    for figure in metrics.FIGURES:
        if figure.kind == "counter":
            told.count(figure.name, 2, **dict.fromkeys(figure.labels, "x"))
        else:
            told.show(figure.name, 0.5)
    time.sleep(12)  # Ray sends them every few seconds, while the process lives


@pytest.mark.slow
def test_a_sqlite_store_is_copied_and_goes_on(tmp_path: Path) -> None:
    write_job(tmp_path)
    bash("vinbatch run --file job.toml --job it", tmp_path)
    bash(blocks("VACUUM INTO")[0], tmp_path)
    assert (tmp_path / "backup.db").stat().st_mode & 0o077 == 0
    (tmp_path / "vinbatch.db").unlink()
    for rest in tmp_path.glob("vinbatch.db-*"):
        rest.unlink()
    shutil.move(tmp_path / "backup.db", tmp_path / "vinbatch.db")
    assert "the books balance" in bash("vinbatch status --verify", tmp_path)
    assert "0 pages read" in bash("vinbatch run --file job.toml --job it", tmp_path)


@pytest.mark.slow
def test_a_postgresql_store_is_copied_and_goes_on(tmp_path: Path, postgres_url: str) -> None:
    write_job(tmp_path)
    restored = postgres_url.rpartition("/")[0] + f"/restored_{tmp_path.name.replace('-', '_')}"
    environment = {"VINBATCH_STORE": postgres_url, "RESTORED": restored}
    bash("vinbatch run --file job.toml --job it", tmp_path, **environment)
    script = blocks("pg_dump")[0].replace(" restored\n", f" {restored.rpartition('/')[2]}\n")
    bash(f'PATH="{postgres.binaries()}:$PATH"\n{script}', tmp_path, **environment)
    environment["VINBATCH_STORE"] = restored
    assert "the books balance" in bash("vinbatch status --verify", tmp_path, **environment)
    assert "0 pages read" in bash("vinbatch run --file job.toml --job it", tmp_path, **environment)
    assert "2" in bash(
        "vinbatch query 'SELECT count(*) FROM invoice_v1' --format csv", tmp_path, **environment
    )
