"""Pages read by a server: `--engine openai:URL`, on a real Ray, with our own engine behind the server."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from infra.benchmarks.own_server import Chat, Reply, serving
from pipeline import specimens
from pipeline.api import Reader
from pipeline.settings import load
from tests.e2e.conftest import Command

pytestmark = pytest.mark.slow
KEY = "sk-not-for-the-ledger"
STORE = "sqlite:///rows.db"
FIELDS = """SELECT uri, path, raw, confidence FROM fields JOIN documents ON documents.id = fields.document_id
    JOIN jobs ON jobs.id = job_id WHERE jobs.name = 'cards' ORDER BY fields.number"""


def test_rows_are_those_of_the_embedded_engine(vinbatch: Command) -> None:
    folder = vinbatch.folder / "in"
    specimens.write(folder, 2, ["id_card"], 5, worn=False, formats=["jpeg"])
    (folder / "truth.jsonl").unlink()
    # The driver and the lane each greet it; then it is out of order for a while.
    moods = [None, None, Reply(503), Reply(429, headers={"Retry-After": "0.1"}), Reply(502)]
    # With one tile there is no thumbnail, which a server makes of another picture: both are asked the same.
    vinbatch.environment |= {"VINBATCH_SERVER_KEY": KEY, "VINBATCH_TILES__MAX_TILES": "1"}
    with serving(
        Chat("demo").answer, key=KEY, interfere=lambda body: moods.pop(0) if moods else None
    ) as served:
        named = "in", "--schema=id_card@1", f"--store={STORE}", f"--engine=openai:{served.url}"
        process = vinbatch.start("run", *named, "--model=demo", "--job=cards")
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, out + err
        asked = len(served.asked)
        assert "job cards: 2 documents" in out and asked == 2 + 3 + 2 and not moods
        assert served.keys == {f"Bearer {KEY}"}
        assert f"pages are read by demo at {served.url[:-3]}, which is this machine" in err
        assert f"demo at openai:{served.url}; ready" in err
        again = vinbatch("run", *named, "--model=demo", "--job=another")
        assert "0 pages read, 2 known before" in again and len(served.asked) == asked + 1  # a greeting
        wrong = vinbatch.fails("run", *named, "--model=big", "--job=wrong")
        assert "has no model big: it has demo" in wrong.splitlines()[-1]
    with closing(sqlite3.connect(vinbatch.folder / "rows.db")) as database:
        rows = database.execute(FIELDS).fetchall()
        [[read_with]] = database.execute("SELECT DISTINCT numerics FROM pages")
    ours = load(second_look=0, tiles={"max_tiles": 1}, engine={"place": False})
    with Reader("id_card@1", "demo", settings=ours) as embedded:
        for path in sorted(folder.iterdir()):
            mine = [row[1:] for row in rows if Path(row[0]) == path]
            fields = embedded.read(path).fields
            assert any(one.raw for one in fields)
            assert [(path, raw) for path, raw, _ in mine] == [(one.path, one.raw) for one in fields]
            assert [sure for *_, sure in mine] == pytest.approx([one.confidence for one in fields], abs=0.01)
    assert read_with.startswith(f"no second look; remote openai {served.url} model demo,")
    assert f"demo at openai:{served.url}" in vinbatch("status", f"--store={STORE}", "--job=cards")
    assert KEY not in out + err and KEY.encode() not in (vinbatch.folder / "rows.db").read_bytes()
