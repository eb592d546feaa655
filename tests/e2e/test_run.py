"""From files to rows by the command line, on real Rays, stores and servers."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import psutil
import pytest
from PIL import Image

from pipeline import specimens
from tests.e2e.conftest import CHECKOUT, Command, finish, write_slips
from tests.servers.cluster import RayHead
from tests.servers.s3 import S3Server

pytestmark = pytest.mark.slow


def test_a_folder_becomes_rows_on_a_ray_of_its_own(vinbatch: Command, model: Path, slip: str) -> None:
    folder = write_slips(vinbatch.folder / "in", pictures=3, pdfs=2)
    specimens.write(folder / "made", 2, ["receipt"], 5)
    (folder / "made" / "truth.jsonl").unlink()
    shutil.copy(folder / "slip-000.png", folder / "the-same-bytes.png")
    names = sorted(path.name for path in folder.rglob("*.*"))
    for beside in ("Thumbs.db", "made/list.xlsx", ".DS_Store", "no-slip.pdf"):
        (folder / beside).write_bytes(b"x")
    job = (
        "run",
        "in",
        "--exclude",
        "no-*",
        "--schema",
        slip,
        "--model",
        model,
        "--store",
        "sqlite:///rows.db",
        "--job",
        "slips",
    )

    process = vinbatch.start(*job, "--profile")
    out, err = finish(process)
    assert "job slips: 8 documents" in out
    rows = dict(re.findall(r"│ ([a-z :,-]+?) +│ +([\d.]+) │ +\d+% │", out))
    assert {"start-up", "drawing, preparing", "the model: vision", "the model: decode"} < set(rows)
    whole = float(rows.pop("together"))
    assert whole > 0 and abs(sum(map(float, rows.values())) - whole) < 0.05 * (len(rows) + 1)
    assert re.search(r"^bottleneck, \d+% of the time: ", out, re.M)
    assert "4 files were left out by their names" in out
    assert "ended · documents 8/8" in err and "\x1b" not in err  # plain lines where there is no terminal
    left = [
        p.info["cmdline"]
        for p in psutil.process_iter(["cmdline"])
        if str(process.pid) in str(p.info["cmdline"])
    ]
    assert not left

    rows = vinbatch.rows(
        "SELECT document_uri, number, kind, state FROM slip_v1 ORDER BY document_uri", "sqlite:///rows.db"
    )
    assert [Path(row["document_uri"]).name for row in rows] == names
    assert all(row["number"] is None or re.fullmatch("[0-9]{2}", row["number"]) for row in rows)
    pages = vinbatch.rows("SELECT count(*) AS n, min(tiles) AS least FROM pages", "sqlite:///rows.db")
    assert pages[0]["n"] == 12 and pages[0]["least"] >= 1

    again = vinbatch(*job)
    assert "0 pages read, 0 known before" in again  # nothing is even started
    assert "the books balance" in vinbatch(
        "status", "--job", "slips", "--store", "sqlite:///rows.db", "--verify"
    )


def test_s3_to_postgres_on_a_cluster(
    vinbatch: Command, model: Path, slip: str, ray_head: RayHead, moto: S3Server, postgres_url: str
) -> None:
    folder = write_slips(vinbatch.folder / "in", pictures=3, pdfs=1)
    with zipfile.ZipFile(vinbatch.folder / "more.zip", "w") as archive:
        archive.write(folder / "slip-000.png", "inside/zip.png")
    objects = {f"slips/{path.name}": path.read_bytes() for path in folder.iterdir()}
    bucket = moto.bucket({**objects, "slips/more.zip": (vinbatch.folder / "more.zip").read_bytes()})
    vinbatch.environment |= moto.environment | {"VINBATCH_STORE": postgres_url}

    command = (
        "run", f"s3://{bucket}/slips/", "--schema", slip, "--model", model,
        "--address", ray_head.address, "--s3-endpoint", moto.endpoint,
    )  # fmt: skip
    out = vinbatch(*command, "--job", "s3")
    assert "job s3: 5 documents" in out and "6 pages read, 1 known before" in out
    rows = vinbatch.rows("SELECT document_uri, state FROM slip_v1 ORDER BY document_uri", postgres_url)
    assert [row["document_uri"] for row in rows] == [
        f"s3://{bucket}/slips/book-000.pdf",
        f"s3://{bucket}/slips/more.zip!/inside/zip.png",
        *(f"s3://{bucket}/slips/slip-{number:03}.png" for number in range(3)),
    ]
    assert not ray_head.actors("Scheduler")  # a job leaves nothing on the cluster
    again = vinbatch(*command, "--job", "another")
    assert "0 pages read, 7 known before" in again  # by what it is, whatever job it is in


def test_a_submitted_job(
    vinbatch: Command, model: Path, slip: str, ray_head: RayHead, postgres_url: str
) -> None:
    folder = write_slips(vinbatch.folder / "in", pictures=2)
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ray"), "job", "submit", "--address", ray_head.jobs,
            "--working-dir", _working_dir(vinbatch.folder), "--",
            sys.executable, "-m", "workers.cli", "run", str(folder),
            "--schema", slip, "--model", str(model), "--job", "submitted", "--store", postgres_url,
        ],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "job submitted: 2 documents" in done.stdout
    assert len(vinbatch.rows("SELECT document_uri FROM slip_v1", postgres_url)) == 2


def _working_dir(folder: Path) -> str:
    """The checkout as a person has it, without what git leaves out (Ray would upload the environment too)."""
    listed = subprocess.run(
        ["git", "ls-files", "schemas", "pipeline", "workers", "pyproject.toml"],
        cwd=CHECKOUT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    copy = folder / "checkout"
    for name in listed.stdout.splitlines():
        if (CHECKOUT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, copy / name, follow_symlinks=False)
    return str(copy)


def test_bad_input_gives_one_row_each_and_stops_nothing(
    vinbatch: Command, model: Path, slip: str, ray_head: RayHead, moto: S3Server
) -> None:
    folder = write_slips(vinbatch.folder / "in", pictures=1, pdfs=1, pages=2)
    whole = (folder / "book-000.pdf").read_bytes()
    (folder / "empty.pdf").write_bytes(b"")
    (folder / "text.pdf").write_text("this is no PDF at all", encoding="utf-8")
    (folder / "half.pdf").write_bytes(whole[: len(whole) // 2])
    (folder / "no-pages.pdf").write_bytes(_pdf_without_pages())
    (folder / "notes.docx").write_text("not a kind of file that is read", encoding="utf-8")
    Image.new("1", (30_000, 30_000)).save(folder / "huge.png")
    with zipfile.ZipFile(folder / "climbs.zip", "w") as archive:
        archive.write(folder / "slip-000.png", "../../outside.png")
    (folder / "manifest").mkdir()
    manifest = vinbatch.folder / "manifest.csv"
    manifest.write_text(
        f"uri\n{folder / 'slip-000.png'}\n{folder / 'missing.png'}\nftp://nowhere/x.png\n", "utf-8"
    )
    bucket = moto.bucket({"a.png": (folder / "slip-000.png").read_bytes()})
    lines = f'{{"uri": "s3://{bucket}/a.png"}}\n{{"uri": "s3://{bucket}/no-such-key.png"}}\nnot json\n'
    (vinbatch.folder / "more.jsonl").write_text(lines, encoding="utf-8")
    vinbatch.environment |= moto.environment

    sources = ("in", "manifest.csv", "more.jsonl")
    out = vinbatch(
        "run", *sources, "--schema", slip, "--model", model, "--job", "bad", "--store", "sqlite:///rows.db",
        "--address", ray_head.address, "--s3-endpoint", moto.endpoint, code=3,
    )  # fmt: skip
    assert "what failed and why: vinbatch failures --job bad" in out
    rows = vinbatch.rows("SELECT uri, state, reason FROM documents ORDER BY uri", "sqlite:///rows.db")
    found = {Path(row["uri"]).name: (row["state"], row["reason"]) for row in rows}
    assert len(found) == len(rows)
    read = {name for name, (state, _) in found.items() if state in ("done", "review")}
    assert read == {"book-000.pdf", "slip-000.png", "a.png"}
    reasons = {name: reason for name, (state, reason) in found.items() if state == "quarantined"}
    assert len(reasons) == len(found) - 3
    assert reasons["empty.pdf"] == "empty_file"
    assert reasons["text.pdf"] == "unsupported_type"
    assert reasons["half.pdf"] == "pdf_damaged"
    assert reasons["no-pages.pdf"] in ("pdf_no_pages", "pdf_damaged")
    assert reasons["notes.docx"] == "unsupported_type"
    assert reasons["huge.png"] == "too_many_pixels"
    assert reasons["missing.png"] == "object_missing"
    assert reasons["no-such-key.png"] == "object_missing"
    assert sorted(reasons.values()).count("manifest_line") == 2
    assert sorted(reasons.values()).count("archive_member") == 1

    told = vinbatch("failures", "--job", "bad", "--store", "sqlite:///rows.db")
    assert "too_many_pixels" in told and "vinbatch run" in told
    plan = vinbatch("plan", *sources, "--s3-endpoint", moto.endpoint)
    named = len(rows) + 1  # slip-000.png stands in the folder and in a manifest: one row, two listings
    assert f"documents  {named}" in plan and "pages      5" in plan
    assert "too_many_pixels 1" in plan


def _pdf_without_pages() -> bytes:
    return (
        b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n"
        b"2 0 obj\n<< /Type /Pages /Kids [] /Count 0 >>\nendobj\n"
        b"xref\n0 3\n0000000000 65535 f \n0000000009 00000 n \n0000000058 00000 n \n"
        b"trailer\n<< /Size 3 /Root 1 0 R >>\nstartxref\n110\n%%EOF\n"
    )
