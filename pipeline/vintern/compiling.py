"""Our own C++ is compiled once on each machine, at the first start, and called through ctypes."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

COMPILERS = ("c++", "g++")
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-fopenmp", "-w")
COMPILE_SECONDS = 120


class KernelsMissing(Exception):
    """These kernels cannot be had here, and why: one line for people."""


def library(source: Path, instructions: Sequence[str]) -> Path:
    """The compiled file in the user's cache, named by what it is made of. Raises KernelsMissing.

    instructions: of the processor, as the compiler names them.
    """
    digest = hashlib.sha256(source.read_bytes() + repr((FLAGS, instructions)).encode()).hexdigest()
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vinbatch"
    except RuntimeError as error:
        raise KernelsMissing("this user has no home directory to keep them in: set XDG_CACHE_HOME") from error
    found = cache / f"{source.stem}-{digest[:16]}.so"
    if found.exists():
        return found
    compiler = os.environ.get("CXX") or next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise KernelsMissing("there is no C++ compiler: install g++, or set CXX")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            made = Path(scratch) / found.name
            _compile(compiler, source, instructions, made)
            made.replace(found)  # at once: others may be compiling it too
    except OSError as error:
        raise KernelsMissing(f"they cannot be compiled in {cache}: {error}") from error
    return found


def opened(path: Path) -> ctypes.CDLL:
    """Raises KernelsMissing for a library of a compiler with another OpenMP than PyTorch's."""
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise KernelsMissing(f"the compiled library cannot be loaded: {error}") from error


def _compile(compiler: str, source: Path, instructions: Sequence[str], made: Path) -> None:
    """Linked without an OpenMP of its own: that of PyTorch, already in the process, gives the threads."""
    part = made.with_suffix(".o")
    commands: tuple[list[str | Path], ...] = (
        [compiler, *FLAGS, *(f"-m{name}" for name in instructions), "-c", source, "-o", part],
        [compiler, "-shared", part, "-o", made],
    )
    try:
        for command in commands:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMPILE_SECONDS)
    except subprocess.CalledProcessError as error:
        complaint = (error.stderr.strip().splitlines() or ["nothing"])[0]
        raise KernelsMissing(f"{compiler} ended with {error.returncode} and said: {complaint}") from error
    except subprocess.TimeoutExpired as error:
        raise KernelsMissing(f"{compiler} took more than {COMPILE_SECONDS} s") from error
