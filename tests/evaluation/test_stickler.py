"""What we write for stickler-eval, read and counted by stickler-eval itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stickler.structured_object_evaluator.bulk_structured_model_evaluator import BulkStructuredModelEvaluator
from stickler.structured_object_evaluator.models.structured_model import StructuredModel

from pipeline.evaluation import stickler
from tests.evaluation.papers import read
from tests.evaluation.test_report import MILK, SWEET, TRUE, truth_of


@pytest.mark.medium
def test_stickler_reads_the_pairs_and_counts_as_we_do(tmp_path: Path) -> None:
    truth = truth_of(tmp_path, a=TRUE, b={**TRUE, "total": None}, c=TRUE)
    papers = [
        read("/d/a.png", TRUE),
        read("/d/b.png", {**TRUE, "store": "Chợ Mái", "lines": [SWEET, {**MILK, "amount": "3.000"}]}),
    ]
    written = stickler.export(papers, truth, tmp_path / "pairs.jsonl")
    assert written.documents == 3 and written.schema == tmp_path / "pairs.schema.json"
    model = StructuredModel.from_json_schema(json.loads(written.schema.read_text("utf-8")))
    evaluator = BulkStructuredModelEvaluator(target_schema=model)
    for line in (tmp_path / "pairs.jsonl").read_text("utf-8").splitlines():
        pair = json.loads(line)
        evaluator.update(
            model.from_json(pair["ground_truth"]), model.from_json(pair["prediction"]), doc_id=pair["doc_id"]
        )
    found = evaluator.compute()
    assert found.document_count == 3 and not found.errors
    counts = {name: (m["tp"], m["fd"], m["fa"], m["fn"]) for name, m in found.field_metrics.items()}
    assert counts["store"] == (1, 1, 0, 1)  # another word is wrong, the unread document is missing
    assert counts["total"] == (1, 0, 1, 1)  # one is invented
    assert counts["date"] == (2, 0, 0, 1)
    assert counts["lines.name"][0] == 4 and counts["lines.amount"][:2] == (3, 1)
    assert found.confidence_metrics["overall"] is not None
