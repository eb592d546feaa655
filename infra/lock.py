"""Renews the locks: every package that a checkout installs, at one version, with the hashes of its files.

infra/requirements.lock holds what a job needs, infra/requirements-extras.lock what specimens, evaluation and
the review page need beside it, infra/requirements-test.lock what the tests need beside both, the second
reader included, and infra/requirements-vocabulary.lock the one package of which the tests read a file,
without what it depends on.

    python -m infra.lock               what pyproject.toml has gained or lost; all else keeps its version
    python -m infra.lock --upgrade     the newest version of everything but torch

The locks are for all machines: they are resolved for Python 3.11 and 3.12 and every platform at once, and
name neither an index nor a local file. Torch stands in infra/constraints.txt by its plain version, without
hashes, because each machine takes the build that fits its GPU; that build's own metadata names the CUDA
packages and the Triton it was made with, and they are left to it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "infra" / "requirements.lock"
EXTRAS_LOCK = ROOT / "infra" / "requirements-extras.lock"
TEST_LOCK = ROOT / "infra" / "requirements-test.lock"
LOCKS = {
    LOCK: (),
    EXTRAS_LOCK: ("specimens", "evaluation", "review", "tuning"),
    TEST_LOCK: ("test", "second-reader"),
}  # each with its extras
VOCABULARY_LOCK = ROOT / "infra" / "requirements-vocabulary.lock"
CONSTRAINTS = ROOT / "infra" / "constraints.txt"
_OF_TORCH = re.compile(r"torch|triton|nvidia-.+|cuda-.+")  # torch's build decides about these
_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)")
_HEAD = "# Written by `make lock` (infra/lock.py). Do not edit.\n"
_PROJECT = ("pyproject.toml", "-")  # with _TOOLS
_TOOLS = "setuptools>=77\nuv\n"  # what builds and installs


def pins(text: str) -> dict[str, set[str]]:
    """Versions by normalised name, of a lock or of constraints; two where Python 3.11 and 3.12 differ."""
    found: dict[str, set[str]] = {}
    for match in filter(None, map(_PIN.match, text.splitlines())):
        found.setdefault(normalised(match[1]), set()).add(match[2])
    return found


def normalised(name: str) -> str:
    """A package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def blocks(resolved: str) -> list[str]:
    """Requirements, each with its hashes, less those that torch's build decides about."""
    # A browser is no machine of ours: the mark says nothing, and would make two entries of one.
    ours = resolved.replace(" ; sys_platform != 'emscripten'", "")
    ours = ours.replace("sys_platform == 'emscripten' or ", "")
    found = re.split(r"^(?=[A-Za-z0-9])", ours, flags=re.M)
    return [block for block in found if (match := _PIN.match(block)) and not of_torch(match[1])]


def of_torch(name: str) -> bool:
    return _OF_TORCH.fullmatch(normalised(name)) is not None


def resolve(*flags: str, keep: str = "", of: tuple[str, ...] = _PROJECT) -> str:
    """uv's resolution, with the versions of `keep` wherever they serve."""
    command = (
        Path(sys.executable).with_name("uv"), "pip", "compile", *of, "--universal",
        "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate", "--quiet", *flags,
        "--constraint", CONSTRAINTS,
    )  # fmt: skip
    with tempfile.NamedTemporaryFile("w+", suffix=".lock") as out:
        out.write(keep)
        out.flush()
        command = (*command, "--output-file", out.name)
        subprocess.run([*map(str, command)], input=_TOOLS, cwd=ROOT, stdout=2, text=True, check=True)
        return Path(out.name).read_text(encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--upgrade", action="store_true", help="the newest version of everything but torch")
    upgrade = parser.parse_args().upgrade
    keep = "" if upgrade else "".join(path.read_text(encoding="utf-8") for path in LOCKS if path.exists())
    everything = resolve("--all-extras", keep=keep)
    extras: list[str] = []
    held: set[str] = set()
    for path, more in LOCKS.items():
        extras += [flag for extra in more for flag in ("--extra", extra)]
        found = [block for block in blocks(resolve(*extras, keep=everything)) if block not in held]
        held |= set(found)
        _write(path, found)
    kept = "" if upgrade or not VOCABULARY_LOCK.exists() else VOCABULARY_LOCK.read_text(encoding="utf-8")
    _write(VOCABULARY_LOCK, blocks(resolve("--no-deps", keep=kept, of=("--group", "vocabulary"))))


def _write(path: Path, found: list[str]) -> None:
    path.write_text(_HEAD + "".join(found), encoding="utf-8")
    print(f"{path.relative_to(ROOT)}: {len(found)} requirements")


if __name__ == "__main__":
    main()
