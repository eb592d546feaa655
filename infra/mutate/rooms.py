"""Which tests should notice a change of a file."""

from __future__ import annotations

# The tests of a file, by the longest beginning of its path. Quick ones only: --tests names others.
ROOMS = {
    "schemas/": (
        "tests/schemas",
        "tests/pipeline/test_absence.py",
        "tests/pipeline/test_authority.py",
        "tests/pipeline/test_merge.py",
        "tests/pipeline/test_second_reader_witness.py",
        "tests/pipeline/test_witnesses.py",
        "tests/einvoice/test_reading.py",
    ),
    "pipeline/": ("tests/pipeline",),
    "pipeline/joining.py": ("tests/pipeline/test_merge.py", "tests/pipeline/test_seams.py"),
    "pipeline/merge.py": tuple(
        f"tests/pipeline/test_{of}.py"
        for of in (
            *("merge", "seams", "several", "second_look", "witnesses", "absence", "authority"),
            "completeness",
        )
    ),
    "pipeline/parse.py": tuple(
        f"tests/pipeline/test_{of}.py" for of in ("parse", "forms", "seams", "grammar", "free_text", "merge")
    ),
    "pipeline/keys.py": ("tests/pipeline/test_keys.py", "tests/sandbox/test_second_reader.py"),
    "pipeline/tiles.py": ("tests/pipeline/test_tiles.py",),
    "pipeline/grammar.py": ("tests/pipeline/test_grammar.py", "tests/pipeline/test_parse.py"),
    "pipeline/sources/": tuple(
        f"tests/pipeline/test_sources{kind}.py"
        for kind in ("", "_archives", "_choice", "_groups", "_gzips", "_manifests", "_portfolios", "_s3")
    ),
    "pipeline/store/": ("tests/store",),
    "pipeline/evaluation/": ("tests/evaluation",),
    "pipeline/vintern/": ("tests/vintern",),
    "workers/": ("tests/workers",),
}


def tests_of(file: str) -> tuple[str, ...]:
    """The tests that should notice a change of `file`."""
    known = [start for start in ROOMS if file.startswith(start)]
    if not known:
        raise SystemExit(f"mutate: no tests are named for {file}; give --tests")
    return ROOMS[max(known, key=len)]
