"""The benchmarks by name, and where their files are.

    openvivqa    OpenViVQA, also the files of VLSP 2023: vlsp2023_{train,dev,test}_data.json
    vitextvqa    ViTextVQA: ViTextVQA_{train,dev,test_gt}.json, images in st_images
    mtvqa-vi     MTVQA's questions in Vietnamese: {train,test}*.parquet as published, or JSON lines
    vlsp         other files of that family: VLSP 2022's EVJVQA, all with "images" and "annotations"

A benchmark is given as the file itself, or as the folder that holds it; images may be anywhere below that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.evaluation.bench import annotated, mtvqa
from pipeline.evaluation.bench.questions import Question
from pipeline.settings import SourceSettings

_Reader = Callable[[Path, Path, SourceSettings], list[Question]]


@dataclass(frozen=True, slots=True)
class Bench:
    """`files` has the names of each split's file, as globs."""

    name: str
    files: Mapping[str, str]
    read: _Reader


_SPLITS = ("train", "dev", "test")
BENCHES = {
    bench.name: bench
    for bench in (
        Bench("openvivqa", {split: f"*{split}_data*.json" for split in _SPLITS}, annotated.read),
        Bench(
            "vitextvqa",
            {
                "train": "ViTextVQA_train*.json",
                "dev": "ViTextVQA_dev*.json",
                "test": "ViTextVQA_test_gt*.json",
            },
            annotated.read,
        ),
        Bench("mtvqa-vi", {"train": "train*", "test": "test*"}, mtvqa.read),
        Bench("vlsp", {split: f"*{split}*.json" for split in _SPLITS}, annotated.read),
    )
}


def load(
    name: str, data: Path, split: str = "test", settings: SourceSettings | None = None
) -> list[Question]:
    """The questions of one split, in the file's order. Raises UsageError saying what is wrong and where."""
    bench = BENCHES.get(name)
    if bench is None:
        raise UsageError(f"--bench: there is no {name}; there are {', '.join(BENCHES)}")
    file, root = (data, data.parent) if data.is_file() else (_found(bench, data, split), data)
    questions = bench.read(file, root, settings or SourceSettings())
    if not questions:
        raise UsageError(f"{file} holds no question")
    _check(questions, file)
    return questions


def _found(bench: Bench, folder: Path, split: str) -> Path:
    if not folder.is_dir():
        raise UsageError(f"--data: there is no file or folder {folder}")
    if split not in bench.files:
        raise UsageError(f"--split: {bench.name} has {', '.join(bench.files)}, not {split}")
    pattern = bench.files[split]
    files = sorted(path for path in folder.rglob(pattern) if path.suffix in (".json", ".jsonl", ".parquet"))
    if len(files) != 1:
        what = "no file" if not files else f"{len(files)} files ({files[0].name}, {files[1].name} …)"
        raise UsageError(f"--data: {folder} has {what} called {pattern}; give the file itself")
    return files[0]


def _check(questions: list[Question], file: Path) -> None:
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise UsageError(f"{file}: two questions have the id {question.id}")
        seen.add(question.id)
    if all(question.answers == ("your answer",) for question in questions):
        raise UsageError(
            f"{file} is the form for handing answers in, and holds none: take the one called …_gt"
        )
