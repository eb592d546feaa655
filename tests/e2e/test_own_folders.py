"""A person's own folders may be called as ours are: the command finds its own packages all the same."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.conftest import SLIP, VINBATCH, Command, write_slips

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

THEIRS = "raise ImportError('this is not the package of that name that Vinbatch is made of')\n"


@pytest.mark.parametrize(
    "program", [(sys.executable, "-m", "workers.cli"), (str(VINBATCH),)], ids=["module", "console"]
)
def test_a_job_where_the_users_own_schemas_and_pipeline_are(
    program: tuple[str, ...], vinbatch: Command, model: Path
) -> None:
    typed = replace(vinbatch, program=program)
    write_slips(typed.folder / "in", pictures=2)
    for name in ("schemas", "pipeline"):
        (typed.folder / name).mkdir()
        (typed.folder / name / "__init__.py").write_text(THEIRS, encoding="utf-8")
    own = SLIP.replace("class Slip", "from schemas.fields import VnDate\n\n\nclass Slip")
    (typed.folder / "schemas" / "slips.py").write_text(own, encoding="utf-8")

    assert "documents  2," in typed("plan", "in", "--schema", "schemas/slips.py:Slip")
    out = typed(
        "run", "in", "--schema", "schemas/slips.py:Slip", "--model", model,
        "--store", "sqlite:///rows.db", "--job", "own",
    )  # fmt: skip
    assert "job own: 2 documents" in out and "2 pages read" in out
