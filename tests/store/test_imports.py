"""A question to a store in SQLite brings along nothing that it does not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import store as stores

HEAVY = (
    "numpy", "psycopg", "torch", "ray", "pyarrow", "openpyxl", "xlsxwriter", "PIL", "boto3", "lxml",
    "alembic", "tokenizers",
    "schemas.registry", "schemas.invoice", "pipeline.deciding", "pipeline.store.export",
)  # fmt: skip
ASK = f"""
import sys
from workers.cli import main
try:
    main()
except SystemExit as ended:
    print(ended.code, sorted(set({HEAVY!r}) & set(sys.modules)))
"""


@pytest.mark.medium
def test_a_query_imports_only_what_it_needs(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'rows.db'}"
    stores.open(url).close()
    command = [sys.executable, "-c", ASK, "query", "SELECT 1 AS one", "--store", url, "--format", "csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout.splitlines() == ["one", "1", "0 []"], done.stderr
