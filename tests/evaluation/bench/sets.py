"""Tiny benchmarks in the published formats; what they ask is our own."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as arrow
from PIL import Image
from pyarrow import parquet

QUESTIONS = {
    "11": ("Biển hiệu màu gì?", "màu xanh lá cây"),
    "12": ("Quán bán món gì?", "phở bò"),
    "13": ("Nhà số mấy?", "số 25"),
    "14": ("Có mấy người?", "có ba người"),
}


def png(number: int = 0) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (40 * number % 256, 90, 160)).save(file, "PNG")
    return file.getvalue()


def pictures(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        (folder / name).write_bytes(png(number))


def write(path: Path, held: Any) -> None:
    path.write_text(json.dumps(held, ensure_ascii=False), encoding="utf-8")


def openvivqa(root: Path) -> Path:
    """As OpenViVQA and VLSP 2023: objects by id, one answer each."""
    names = {str(900 + i): f"{900 + i:012d}.png" for i in range(2)}
    pictures(root / "test-images", list(names.values()))
    annotations = {
        id: {"image_id": 900 + number % 2, "question": question, "answer": answer}
        for number, (id, (question, answer)) in enumerate(QUESTIONS.items())
    }
    write(root / "vlsp2023_test_data.json", {"images": names, "annotations": annotations})
    return root


def vitextvqa(root: Path) -> Path:
    """As ViTextVQA: lists, several answers each; beside it the form for handing in."""
    pictures(root / "st_images", ["1.png"])
    images = [{"id": 1, "filename": "1.png"}]
    rows = [
        {"id": int(id), "image_id": 1, "question": question, "answers": [answer, answer.upper()]}
        for id, (question, answer) in QUESTIONS.items()
    ]
    write(root / "ViTextVQA_test_gt.json", {"images": images, "annotations": rows})
    empty = [{**row, "answers": ["your answer"]} for row in rows]
    write(root / "ViTextVQA_test.json", {"images": images, "annotations": empty})
    return root


def mtvqa(root: Path) -> Path:
    """As MTVQA: parquet with the images inside, and questions as a text that Python wrote."""
    pairs = [{"question": question, "answer": answer} for question, answer in QUESTIONS.values()]
    rows = [
        {"image": {"bytes": png(), "path": "a.png"}, "id": "7", "qa_pairs": str(pairs), "lang": "VI"},
        {"image": {"bytes": png(), "path": "b.png"}, "id": "8", "qa_pairs": "[]", "lang": "TH"},
    ]
    root.mkdir(parents=True, exist_ok=True)
    parquet.write_table(arrow.Table.from_pylist(rows), root / "test-00000-of-00001.parquet")
    return root


def answers(path: Path, given: dict[str, str]) -> Path:
    rows = (json.dumps({"id": id, "answer": said}, ensure_ascii=False) for id, said in given.items())
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path
