"""A command brings along nothing that it does not need: a question to a store in SQLite least of all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import store as stores
from tests.store import samples

NEVER = (
    "psycopg", "torch", "ray", "pyarrow", "openpyxl", "xlsxwriter", "PIL", "boto3", "lxml", "alembic",
    "tokenizers", "pikepdf", "cryptography", "sqlalchemy.dialects.postgresql", "schemas.registry",
    "schemas.invoice", "pipeline.deciding", "pipeline.einvoice.tree", "pipeline.store.export",
)  # fmt: skip
NO_TABLES = ("sqlalchemy", "asyncio", "pydantic_settings", "rich", "pipeline.settings", "pipeline.store")
NO_RECORDS = (
    "numpy",
    "stdnum",
    "pipeline.records",
    "pipeline.store.jobs",
    "pipeline.store.results",
    "schemas.checks",
)
ASK = """
import sys
from workers.cli import main
try:
    main()
except SystemExit as ended:
    print(ended.code, sorted(set({heavy!r}) & set(sys.modules)))
"""


@pytest.mark.medium
@pytest.mark.parametrize(
    ("words", "besides"),
    [
        (("--help",), (*NO_TABLES, *NO_RECORDS)),
        (("query", "SELECT 1 AS one"), NO_RECORDS),
        (("failures", "--job", "june"), ("numpy",)),
        (("status",), ()),
    ],
    ids=lambda given: " ".join(given[:1]),
)
def test_a_command_imports_only_what_it_needs(
    words: tuple[str, ...], besides: tuple[str, ...], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'rows.db'}"
    with stores.open(url) as store:
        samples.job(store)
    where = () if words == ("--help",) else ("--store", url)
    program = ASK.format(heavy=(*NEVER, *besides))
    command = [sys.executable, "-c", program, *words, *where]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr
