"""Pages go out as Label Studio's tasks and come in again as decisions, by the command itself."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from pipeline import store as stores
from pipeline.records import DocumentRef
from tests.store import samples, sheets
from tests.store.conftest import Typed


@pytest.fixture
def june(store: stores.Store, tmp_path: Path) -> stores.Store:
    """One receipt that is a picture of this machine, with a misread total and without a number."""
    path = tmp_path / "a.png"
    Image.new("RGB", (600, 800), "white").save(path)
    job = samples.job(store, "june", sheets.RECEIPT)
    store.ledger.add(job, [DocumentRef(str(path), size=path.stat().st_size)])
    [lease] = store.ledger.claim(job, "w", 1, 60)
    read = sheets.receipt({"total": "80.000", "number": None, "store": "Cửa hàng"}, {"total": 0.6})
    page = replace(samples.page(), width=600, height=800)
    store.results.commit(lease, read, [page], sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    return store


def annotated(task: dict[str, Any], **texts: str | None) -> dict[str, Any]:
    """The task as Label Studio exports it: regions of the prediction, with these texts by their paths; None:
    the choice "illegible" in place of a text.
    """
    [prediction] = task["predictions"]
    result = []
    for item in json.loads(json.dumps(prediction["result"])):
        [path] = item["meta"]["text"]
        if item["type"] == "textarea" and path in texts:
            item["value"]["text"] = [texts[path]] if texts[path] is not None else []
        result.append(item)
        if item["type"] == "rectanglelabels" and path in texts and texts[path] is None:
            value = {"choices": ["illegible"]}
            result.append({"id": item["id"], "from_name": "ruling", "type": "choices", "value": value})
    drawn = {
        "id": "x1",
        "from_name": "label",
        "type": "rectanglelabels",
        "value": {"rectanglelabels": ["number"]},
    }
    text = {"id": "x1", "from_name": "text", "type": "textarea", "value": {"text": ["0012"]}}
    empty = {"result": [], "was_cancelled": True}
    return {"id": 7, "data": task["data"], "annotations": [{"result": [*result, drawn, text]}, empty]}


@pytest.mark.medium
def test_tasks_go_out_and_come_in_again(june: stores.Store, typed: Typed) -> None:
    said = typed("export", "--job", "june", "--format", "label-studio", "--out", "tasks.json")
    assert said.startswith("1 tasks: tasks.json, tasks.config.xml")
    [task] = json.loads(Path("tasks.json").read_text("utf-8"))
    picture = base64.b64decode(task["data"]["image"].removeprefix("data:image/jpeg;base64,"))
    assert Image.open(io.BytesIO(picture)).size == (600, 800)
    labels = {label.get("value") for label in ElementTree.parse("tasks.config.xml").iter("Label")}
    assert labels == {path for path, _ in sheets.RECEIPT.shape.leaves()}
    result = task["predictions"][0]["result"]
    assert {label for item in result for label in item["value"].get("rectanglelabels", ())} <= labels
    [total, text] = [item for item in result if item["meta"]["text"] == ["total"]]
    assert total["value"] | {"rectanglelabels": 0} == pytest.approx(
        {"x": 10, "y": 20, "width": 20, "height": 5, "rotation": 0, "rectanglelabels": 0}
    )
    assert (text["value"]["text"], text["id"] == total["id"]) == (["80.000"], True)

    back = annotated(task, total="30.000", store=None)
    Path("back.json").write_text(json.dumps([back]), encoding="utf-8")
    applied = typed("corrections", "--job", "june", "--from", "back.json", "--by", "Lan", "--apply")
    assert "total (Tổng cộng): 80000 → 30000" in applied and "number (Số HĐ): nothing → 0012" in applied
    [found] = june.results.extractions(june.jobs.find("june"))
    record = found.extraction.record
    assert (record["total"], record["number"], record["store"]) == ("30000", "0012", None)
    assert {one.field for one in found.decisions} == {"total", "number", "store"}


@pytest.mark.medium
def test_pages_may_lie_beside_the_tasks(june: stores.Store, typed: Typed, tmp_path: Path) -> None:
    words = ("export", "--job", "june", "--format", "label-studio", "--out", "t.json")
    typed(*words, "--image-url", "http://files/t_pages/")
    [task] = json.loads(Path("t.json").read_text("utf-8"))
    [page] = Path("t_pages").iterdir()
    assert task["data"]["image"] == f"http://files/t_pages/{page.name}"
    (tmp_path / "a.png").write_bytes(b"another file")
    assert "no task for page 1" in typed(*words, code=3)
    assert json.loads(Path("t.json").read_text("utf-8")) == []
