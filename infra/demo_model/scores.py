"""The demo model's scores through the real command line, from files: what its card says.

    python -m infra.demo_model.scores --folder FOLDER --json scores.json

For each set `vinbatch specimens` writes fresh documents (no seed of them is trained on) and `vinbatch eval`
reads and scores them. A set whose scores are in FOLDER already is not read again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipeline.vintern import load

COUNT = 24
SETS = {
    "front, clean": "--kind id_card_front --clean --seed 9001",
    "front, worn": "--kind id_card_front --worn --seed 9002",
    "front, held-out fonts": "--kind id_card_front --clean --fonts held-out --layouts standard --seed 9005",
    "front, values left out": "--kind id_card_front --clean --blank 0.3 --seed 9006",
    "back, clean": "--kind id_card_back --clean --seed 9003",
    "receipt, clean": "--kind receipt --clean --seed 9004",
    "receipt, worn": "--kind receipt --worn --seed 9007",
    "invoice, clean": "--kind invoice --clean --lines 5 --seed 9008",
    "invoice, worn": "--kind invoice --worn --format png --lines 5 --seed 9009",
    "invoice, held-out fonts": (
        "--kind invoice --clean --fonts held-out --layouts standard --lines 5 --seed 9010"
    ),
    "front, photo": "--kind id_card_front --tier photo --seed 9011",
    "receipt, photo": "--kind receipt --tier photo --seed 9012",
    "invoice, photo": "--kind invoice --tier photo --lines 5 --seed 9013",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    model = load("demo", device="cpu")
    found = {
        "model": model.checkpoint_hash,
        "documents": COUNT,
        "dtype": str(model.dtype).removeprefix("torch."),
        "scores": {name: parts(read(options.folder, name)) for name in SETS},
    }
    options.json.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def read(folder: Path, name: str) -> dict[str, Any]:
    """The report of `vinbatch eval` over one set."""
    words = SETS[name].split()
    kind, seed = words[1], words[-1]
    schema = f"{kind.removesuffix('_front').removesuffix('_back')}@1"
    report, made = folder / f"{seed}.json", folder / seed
    if not report.exists():
        _vinbatch("specimens", "--out", made, "--count", COUNT, *words)
        truth = ("--truth", made / "truth.jsonl", "--json", report)
        _vinbatch(
            "eval", made, *truth, "--schema", schema, "--model", "demo", "--store", f"sqlite:///{made}.db"
        )
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return found


def parts(report: dict[str, Any]) -> dict[str, float]:
    """Shares of right values: of all, header, lines, each field; and of the absent that came out null."""
    by_field = {field["leaf"]: field for field in report["fields"] if field["printed"]}
    lines = [field for leaf, field in by_field.items() if "[]" in leaf]
    header = [field for leaf, field in by_field.items() if "[]" not in leaf]
    absent = sum(field["absent"] for field in report["fields"] if "[]" not in field["leaf"])
    invented = sum(field["hallucinated"] for field in report["fields"] if "[]" not in field["leaf"])
    found = {"all": report["total"]["recall"], "header": _share(header)}
    if lines:
        found["lines"] = _share(lines)
    if absent + invented:
        found["absent"] = absent / (absent + invented)
    return found | {leaf: field["recall"] for leaf, field in by_field.items()}


def _share(fields: list[dict[str, Any]]) -> float:
    right = sum(field["right"] for field in fields)
    return float(right / sum(field["printed"] for field in fields))


def _vinbatch(*arguments: object) -> None:
    command = [sys.executable, "-m", "workers.cli", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
