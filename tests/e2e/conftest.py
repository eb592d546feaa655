"""What the end-to-end tests share: the command as a person types it, a model, documents, a quick schema."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from tests.vintern import checkpoints

CHECKOUT = Path(__file__).resolve().parents[2]
VINBATCH = Path(sys.executable).with_name("vinbatch")

# Every answer is short and ends, whatever random weights say.
SLIP = '''
from enum import StrEnum
from pydantic import BaseModel, Field


class Kind(StrEnum):
    bill = "Phiếu thu"
    note = "Phiếu chi"


class Slip(BaseModel):
    """Phiếu"""

    number: str | None = Field(None, title="Số", pattern=r"[0-9]{2}")
    kind: Kind | None = Field(None, title="Loại")
'''


@dataclass
class Command:
    """`vinbatch` in a folder of its own."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = (str(VINBATCH),)

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.program, *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: object, code: int = 0) -> str:
        """Its standard output; fails unless it ends with `code`, and on any traceback."""
        return finish(self.start(*arguments), code)[0]

    def fails(self, *arguments: object, code: int = 2) -> str:
        """Its standard error, which must be one line for a person."""
        out, err = finish(self.start(*arguments), code)
        assert out == ""
        return err

    def rows(self, sql: str, store: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self("query", sql, "--store", store, "--format", "json"))
        return found


def finish(process: subprocess.Popen[str], code: int = 0, seconds: float = 600) -> tuple[str, str]:
    with process:
        try:
            out, err = process.communicate(timeout=seconds)
        finally:
            process.kill()
    assert process.returncode == code, f"ended with {process.returncode}\n{out}\n{err}"
    assert "Traceback" not in err, err
    return out, err


def wait_for(condition: Callable[[], Any], seconds: float = 300) -> Any:
    """Until `condition` is true; returns what it gave."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint with random weights: what it reads means nothing, but always the same nothing."""
    directory = tmp_path_factory.mktemp("checkpoint") / "tiny"
    checkpoints.write(directory)
    return directory


@pytest.fixture(scope="session")
def slip(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("schema") / "slips.py"
    path.write_text(SLIP, encoding="utf-8")
    return f"{path}:Slip"


@pytest.fixture
def vinbatch(tmp_path: Path) -> Command:
    return Command(tmp_path, {"OMP_NUM_THREADS": "1", "VINBATCH_ENGINE__THREADS": "1"})


def picture(number: int, size: tuple[int, int] = (448, 448)) -> Image.Image:
    """A slip that is like no other."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    draw.text((40, 40), f"Phieu so {number}", fill="black", font_size=48)
    draw.rectangle((40, 120 + number % 200, 300, 140 + number % 200), fill=(number % 256, 40, 90))
    return image


def write_slips(folder: Path, pictures: int, pdfs: int = 0, pages: int = 3) -> Path:
    """Pictures of one page, and PDFs of several."""
    folder.mkdir()
    for number in range(pictures):
        picture(number).save(folder / f"slip-{number:03}.png")
    for number in range(pdfs):
        first, *others = [picture(1000 + 10 * number + page) for page in range(pages)]
        first.save(folder / f"book-{number:03}.pdf", save_all=True, append_images=others)
    return folder


WHAT_WAS_READ = """
    SELECT documents.uri, documents.state, documents.reason, documents.pages, documents.sha256,
           fields.path, fields.raw, fields.value, fields.confidence, fields.page
    FROM documents JOIN jobs ON jobs.id = documents.job_id
    LEFT JOIN fields ON fields.document_id = documents.id
    WHERE jobs.name = '{job}' ORDER BY documents.uri, fields.number
"""
