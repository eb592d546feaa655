"""What the README tells a newcomer to type is typed here, in its order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import specimens, store
from schemas import registry
from tests.e2e.conftest import CHECKOUT, VINBATCH
from tests.servers.cluster import RayHead
from tests.servers.s3 import S3Server

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The README's code blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)


def documents_in(folder: Path) -> dict[str, bytes]:
    return {f"cards/{path.name}": path.read_bytes() for path in folder.iterdir() if path.suffix != ".jsonl"}


def run(script: str, folder: Path, environment: dict[str, str]) -> str:
    found = subprocess.run(
        ["bash", "-euc", script],
        cwd=folder,
        env=os.environ | {"PATH": f"{VINBATCH.parent}:{os.environ['PATH']}"} | environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert found.returncode in (0, 3), f"{script}\n{found.stdout}\n{found.stderr}"
    assert "Traceback" not in found.stderr
    return found.stdout


def test_every_link_to_a_file_leads_to_one() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (CHECKOUT / link).exists()] == []


@pytest.mark.slow
def test_what_is_typed_on_one_machine(tmp_path: Path) -> None:
    for code in blocks("python"):
        name = re.match(r"# (\S+\.py)\n", code)
        assert name, "a python block begins with its file's name"
        (tmp_path / name[1]).write_text(code, encoding="utf-8")
    alone = [script for script in blocks("sh") if "$BUCKET" not in script]
    assert len(alone) == 4
    first, invoices, doubt, own_schema = (run(script, tmp_path, {}) for script in alone)
    assert "document_uri" in first and "first-try" in first
    assert invoices.count("valid") == 2
    assert "next: vinbatch" in doubt
    written = [tmp_path / name for name in ("document.html", "report.html", "cards.xlsx")]
    assert all(path.stat().st_size > 1000 for path in written)
    read = run("python library.py", tmp_path, {"PYTHONPATH": str(CHECKOUT)})
    assert read.startswith(("done {", "review {")) and "'number'" in read
    assert "delivery_note" in own_schema.lower() or "DeliveryNote" in own_schema


@pytest.mark.slow
def test_what_is_typed_for_a_bucket_and_a_cluster(
    tmp_path: Path, moto: S3Server, postgres_url: str, ray_head: RayHead
) -> None:
    specimens.write(tmp_path / "made", 2, ["id_card"], 11)
    bucket = moto.bucket(documents_in(tmp_path / "made"))
    environment = {
        **moto.environment,
        "AWS_ENDPOINT_URL": moto.endpoint,
        "VINBATCH_SOURCE__S3_ENDPOINT": moto.endpoint,
        "VINBATCH_STORE": postgres_url,
        "BUCKET": f"s3://{bucket}",
        "MODEL": "demo",
        "PYTHON": sys.executable,
    }
    from_s3, submitted = (script for script in blocks("sh") if "$BUCKET" in script)
    run(from_s3, tmp_path, environment)
    assert (tmp_path / "cards.parquet").stat().st_size > 0
    run(
        submitted.replace("run $BUCKET", f"run --s3-endpoint {moto.endpoint} $BUCKET"),
        CHECKOUT,
        environment | {"RAY_ADDRESS": ray_head.jobs},
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_the_questions_in_sql(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = f"sqlite:///{tmp_path}/s.db" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    with store.open(url) as ledger:
        for name in ("invoice@1", "id_card@1"):
            ledger.jobs.ensure(
                name, registry.resolve(name), sources=[], settings={}, model="demo", checkpoint="none"
            )
    questions = blocks("sql")
    assert len(questions) == 5
    run('vinbatch query "$QUESTION"', tmp_path, {"QUESTION": questions[0], "VINBATCH_STORE": url})
    with store.open(url) as ledger:
        for question in questions:
            with ledger.query(question) as found:
                assert found.columns and list(found) == []
