"""After a bad night the log tells what happened, one JSON object a line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.conftest import finish
from tests.e2e.drills.conftest import Drill
from tests.servers.cluster import RayHead

pytestmark = [pytest.mark.slow, pytest.mark.drill, pytest.mark.timeout(1200)]


def test_the_log_names_what_died_and_what_was_started(drill: Drill, ray_head: RayHead) -> None:
    drill.command.environment |= {"VINBATCH_LOG__FORMAT": "json"}
    missing = drill.command.folder / "missing.jsonl"
    missing.write_text(json.dumps({"uri": str(drill.command.folder / "gone.png")}))
    command, *others = drill._arguments
    drill._arguments = (command, missing, *others)
    process = drill.start()
    drill.wait_until_in_the_middle()
    [replica] = drill.wait_for(lambda: ray_head.actors("Replica"))
    replica.kill()
    _, err = finish(process, 3)
    records: list[dict[str, Any]] = [json.loads(line) for line in err.splitlines()]
    assert {record["level"] for record in records} <= {"info", "warning"}

    def logged(message: str) -> list[dict[str, Any]]:
        return [record for record in records if record["message"].startswith(message)]

    assert [record["source"] for record in logged("the source is listed")] == [str(missing), str(others[0])]
    [ready] = logged("the lane is ready")
    [replaced] = logged("the replica has ended and is replaced")
    assert replaced["message"].endswith("the replica died")
    assert replaced["job"] == ready["job"] == "drill" and replaced["lane"] == ready["lane"]
    [gone] = logged("the document is quarantined")
    assert (gone["document"], gone["reason"]) == (str(drill.command.folder / "gone.png"), "object_missing")
    assert gone["job"] == "drill" and gone["lane"] == ready["lane"]
    assert ready["time"] < replaced["time"] < logged("the run ends")[0]["time"]
