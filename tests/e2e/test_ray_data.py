"""For pipelines on Ray Data: bytes become records in it, and it reads what a job has written."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import CHECKOUT, Command, finish, write_slips
from tests.servers.s3 import S3Server

pytestmark = pytest.mark.slow

# In a process of its own: Ray is connected once in each.
SCRIPT = """
import json, os, sqlite3, sys
import ray
from pyarrow import fs
from workers.ray_data import ReadDocuments

files, slip, model, database, bucket, endpoint = sys.argv[1:]
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
ray.data.DataContext.get_current().enable_progress_bars = False
read = ray.data.read_binary_files(files, include_paths=True).map_batches(
    ReadDocuments,
    fn_constructor_kwargs={"schema": slip, "model": model},
    compute=ray.data.ActorPoolStrategy(size=1),
    batch_size=2,
)
s3 = fs.S3FileSystem(endpoint_override=endpoint, allow_bucket_creation=False)
found = {
    "read": [{**row, "path": os.path.basename(row["path"])} for row in read.take_all()],
    "sql": ray.data.read_sql("SELECT * FROM slip_v1", lambda: sqlite3.connect(database)).take_all(),
    "parquet": ray.data.read_parquet(f"{bucket}/out/slip_v1", filesystem=s3).take_all(),
}
print(json.dumps(found, default=str))
"""


def test_bytes_become_records_in_ray_data_and_it_reads_a_jobs_views_and_its_parquet_on_s3(
    vinbatch: Command, model: Path, slip: str, moto: S3Server
) -> None:
    folder = write_slips(vinbatch.folder / "in", pictures=3)
    (folder / "broken.png").write_bytes((folder / "slip-000.png").read_bytes()[:300])
    vinbatch.environment |= {**moto.environment, "PYTHONPATH": str(CHECKOUT), "RAY_AUTH_MODE": "disabled"}
    bucket, database = moto.bucket(), vinbatch.folder / "rows.db"
    job = ("--schema", slip, "--model", model, "--store", database, "--job", "slips")
    vinbatch("run", "in", *job, code=3)
    target = ("export", "--job", "slips", "--store", database, "--out", f"s3://{bucket}/out/")
    vinbatch(*target, "--s3-endpoint", moto.endpoint)
    script = vinbatch.folder / "script.py"
    script.write_text(SCRIPT)
    python = Command(vinbatch.folder, vinbatch.environment, (sys.executable,))
    given = (script, folder, slip, model, database, bucket, moto.endpoint)
    found = json.loads(finish(python.start(*given))[0].splitlines()[-1])

    with sqlite3.connect(database) as connection:
        query = "SELECT uri, state, record FROM documents LEFT JOIN extractions ON document_id = documents.id"
        stored = {Path(uri).name: (state, record) for uri, state, record in connection.execute(query)}
    assert len(stored) == len(found["read"]) == 4
    for row in found["read"]:
        state, record = stored[row["path"]]
        assert row["state"] == state and (row["reason"] is None) == (state != "quarantined")
        assert record is None if row["record"] is None else json.loads(row["record"]) == json.loads(record)
    for rows in (found["sql"], found["parquet"]):
        assert sorted(Path(row["document_uri"]).name for row in rows) == sorted(
            name for name, (_, record) in stored.items() if record is not None
        )
    assert {row["job"] for row in found["parquet"]} == {"slips"}
