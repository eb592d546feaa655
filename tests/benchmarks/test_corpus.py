"""The corpus script says of every page of a folder what becomes of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline import papers


@pytest.mark.medium
def test_every_page_of_a_folder_has_its_line(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    stamp = b"<</Type/Annot/Subtype/Stamp/F 4/Rect[120 60 380 100]>>"
    (folder / "a.pdf").write_bytes(papers.pages([papers.text("one"), papers.text("two")]))
    (folder / "b.pdf").write_bytes(papers.pages([papers.text("x")], page=b"/Annots[6 0 R]", extra=[stamp]))
    (folder / "c.pdf").write_bytes(b"%PDF-1.4 and no more")
    (folder / "d.png").write_bytes(papers.picture("PNG"))
    lines = tmp_path / "out.jsonl"
    done = subprocess.run(
        [sys.executable, "-m", "infra.benchmarks.corpus", str(folder), "--jsonl", str(lines)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [
        (Path(row["file"]).name, row["page"], row["outcome"], row.get("renderer"), row.get("reason"))
        for row in rows
    ] == [
        ("a.pdf", 1, "drawn", "pdfium", None),
        ("a.pdf", 2, "drawn", "pdfium", None),
        ("b.pdf", 1, "flagged", "pdfium", None),
        ("c.pdf", None, "failed", None, "pdf_damaged"),
        ("d.png", 1, "drawn", "pillow", None),
    ]
    assert rows[2]["flags"][0][0] == "annotation_not_drawn"
    assert (rows[0]["width"], rows[0]["height"], rows[0]["tiles"]) == (1653, 2339, 7)
    assert "1 of 4 pages that were drawn, 25.0%" in done.stdout
