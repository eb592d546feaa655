"""No credential and no value that was read stands in anything a run writes, or in any process's title."""

from __future__ import annotations

import io
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image

from pipeline.specimens import codes
from tests.e2e.conftest import Command, finish, wait_for
from tests.pipeline import papers
from tests.servers.cluster import actors
from tests.servers.s3 import S3Server
from workers.cli.secrecy import has_password, without_store

PASSWORD, SECRET_KEY, VALUE = "pw-7c1e5f", "key-93ad02", "thu-4be8a6"
# Every second time the schema's own rule fails, with what was read in its message.
TELLING = """
from itertools import count
from typing import ClassVar

from pydantic import BaseModel, Field

from schemas.evidence import Evidence

calls = count()


def talks(record, codes):
    if next(calls) % 2:
        raise ValueError(f"cannot judge {record} beside {codes}")
    return []


class Talk(BaseModel):
    \"\"\"Phiếu\"\"\"

    number: str | None = Field(None, title="Số", pattern=r"[0-9]{2}")
    evidence: ClassVar = (Evidence("qr", talks),)
"""


def slip(number: int) -> bytes:
    """A picture with a QR code that says VALUE."""
    image = Image.new("RGB", (448, 448), (255, 255, 200 + number))
    code = Image.fromarray(codes.qr(f"{VALUE} {number}"))
    image.paste(code.resize((224, 224), Image.Resampling.NEAREST), (100, 100))
    image.save(file := io.BytesIO(), "PNG")
    return file.getvalue()


class Watch(threading.Thread):
    """Keeps what stands in the log files below a folder, and the titles of a process's descendants."""

    def __init__(self, folder: Path, pid: int) -> None:
        super().__init__(daemon=True)
        self.logs: dict[Path, str] = {}
        self.titles: set[str] = set()
        self._folder = folder
        self._process = psutil.Process(pid)
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.2):
            for path in self._folder.rglob("*"):
                if path.is_file() and "logs" in path.parts:
                    self.logs[path] = path.read_text(errors="replace")
            try:
                family = self._process.children(recursive=True)
                self.titles |= {" ".join([child.name(), *child.cmdline()]) for child in family}
                if family:  # the command itself begins with what was typed
                    self.titles.add(" ".join(self._process.cmdline()))
            except (psutil.Error, OSError):
                continue

    def stop(self) -> None:
        self._over.set()
        self.join(30)


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder for Ray's files, with a name short enough for its sockets."""
    folder = Path(tempfile.mkdtemp(prefix="s-"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow
def test_a_run_with_failures_tells_nothing(
    vinbatch: Command, model: Path, moto: S3Server, postgres_url: str, short: Path
) -> None:
    objects = {f"{number}.png": slip(number) for number in range(12)}
    bucket = moto.bucket({**objects, "broken.pdf": papers.text("x")[:300], "no.png": b"not a picture"})
    (vinbatch.folder / "talk.py").write_text(TELLING, encoding="utf-8")
    manifest = vinbatch.folder / "all.jsonl"
    keys = [*objects, "broken.pdf", "no.png", "never-there.png"]
    manifest.write_text("".join(f'"s3://{bucket}/{key}"\n' for key in keys))
    store = postgres_url.replace("vinbatch@", f"vinbatch:{PASSWORD}@")
    assert PASSWORD in store
    vinbatch.environment |= moto.environment | {
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "TMPDIR": str(short),
    }

    process = vinbatch.start(
        "run", manifest, "--schema", "talk.py:Talk", "--model", model, "--job", "talk",
        "--store", store, "--s3-endpoint", moto.endpoint,
    )  # fmt: skip
    watch = Watch(short, process.pid)
    watch.start()
    [reader, *_] = wait_for(lambda: actors(process.pid, "Reader"))
    reader.kill()
    out, err = finish(process, code=3)
    watch.stop()

    vinbatch.environment["VINBATCH_STORE"] = store
    told = vinbatch("failures", "--job", "talk") + vinbatch("status", "--job", "talk", "--verify")
    away = vinbatch.fails("status", "--store", re.sub(r":\d+/", ":1/", store), code=4)
    assert "postgresql" in away

    rows = vinbatch.rows("SELECT state, count(*) AS n FROM documents GROUP BY state", store)
    assert {row["state"] for row in rows} >= {"quarantined"} and sum(row["n"] for row in rows) == len(keys)
    [found] = vinbatch.rows(f"SELECT count(*) AS n FROM pages WHERE record LIKE '%{VALUE}%'", store)
    assert found["n"] >= 10  # there was something to tell
    assert any("ray::" in title for title in watch.titles) and len(watch.logs) > 5
    written = {"out": out, "err": err, "failures": told, "away": away, "titles": "\n".join(watch.titles)}
    for place, text in {**written, **{str(path): text for path, text in watch.logs.items()}}.items():
        for secret in (PASSWORD, SECRET_KEY, VALUE):
            lines = [line for line in text.splitlines() if secret in line]
            assert not lines, f"{place} tells: {lines[0][:500]}"


def test_a_password_on_the_command_line_is_found() -> None:
    typed = ["python", "-m", "workers.cli", "run", "in", "--store", "postgresql://a:b@c/d", "--job", "x"]
    kept, url = without_store(typed)
    assert kept == ["python", "-m", "workers.cli", "run", "in", "--job", "x"]
    assert url is not None and has_password(url)
    assert without_store(["x", "--store=sqlite:///a.db", "--store=y"]) == (["x"], "y")
    assert has_password("postgresql://c/d?user=a&password=b")
    assert not any(map(has_password, ("sqlite:///rows.db", "postgresql://a@c/d", "postgresql://[c/d", "")))
