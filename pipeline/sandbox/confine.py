"""What a child process gives up before it reads an untrusted byte, all of it at once and for good.

Files are left to read only where code, fonts and the data of the renderers lie; the checkout, where a store
or a file with passwords may lie too, is not among them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.sandbox import kernel, landlock, limits, seccomp

PROGRAMS = ("pdftoppm", "pdfinfo")

_PACKAGES = Path(__file__).parents[1], Path(__file__).parents[2] / "schemas"  # our own code
_SHARED = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/nix/store",
    "/usr/share/fonts", "/usr/local/share/fonts", "/usr/share/X11/fonts", "/usr/share/fontconfig",
    "/usr/share/poppler", "/etc/fonts", "/var/cache/fontconfig", "/usr/share/zoneinfo", "/etc/localtime",
    "/usr/share/tesseract-ocr",
    "/dev/urandom",  # qpdf asks for it before it opens what is encrypted
)  # fmt: skip
_LOADERS = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/nix/store",
)  # where ld.so lies, which starts programs


@dataclass(frozen=True, slots=True)
class Confinement:
    """What holds a child, or would hold it: the ABI of Landlock (0: none), and the list of system calls."""

    landlock: int
    seccomp: bool

    @property
    def complete(self) -> bool:
        return self.landlock > 0 and self.seccomp

    @property
    def words(self) -> str:
        """In one line what holds, or what is missing and what that means."""
        if self.complete:
            return (
                f"files are decoded in a sandbox: Landlock {self.landlock} and a list of allowed system calls"
            )
        lacks, means = [], []
        if not self.landlock:
            lacks.append("Landlock (Linux 5.13 or later with landlock among its lsm=)")
            means.append("read this user's files")
        if not self.seccomp:
            lacks.append("seccomp filters (on x86_64 or aarch64)")
            means.append("write files and reach the network" if not self.landlock else "make any system call")
        return (
            f"the sandbox is incomplete: this kernel lacks {' and '.join(lacks)}; a hostile file that takes"
            f" over its decoder could {' and '.join(means)} (render.require_sandbox = true refuses to go on)"
        )


def possible() -> Confinement:
    """What this kernel can hold a child to."""
    return Confinement(landlock.abi(), seccomp.available())


def begin(parent: int, memory_bytes: int, cpu_seconds: int) -> None:
    """First of all: limits, and the end of this process with `parent`, the process that started it.

    Raises OSError.
    """
    limits.end_with_parent(parent)
    limits.bound(memory_bytes, cpu_seconds)


def give_up(role: seccomp.Role, programs: tuple[str, ...] = PROGRAMS) -> Confinement:
    """Confine this process, which has one thread and has seen nothing untrusted; what holds it now.

    A supervisor may start `programs`. Raises OSError.
    """
    limits.drop_capabilities()
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    started = [*_LOADERS, *_places(programs)] if role == "supervisor" else []
    held = landlock.restrict(_readable(), started)
    return Confinement(held, seccomp.restrict(role))


def give_up_more(supervisor: int) -> None:
    """In a process that a supervisor has forked, before it becomes a program: it may start nothing more."""
    limits.end_with_parent(supervisor)
    seccomp.restrict("program")


def _readable() -> Iterator[str]:
    yield from map(str, _PACKAGES)
    yield from _SHARED
    for entry in sys.path:  # the interpreter's own and installed packages; not the checkout, nor where we are
        if Path(entry).name in ("site-packages", "dist-packages", "lib-dynload") or entry == _standard():
            yield entry
    for prefix in {
        sys.prefix,
        sys.base_prefix,
        *(str(Path(place).parents[1]) for place in _places(PROGRAMS)),
    }:
        yield from (
            f"{prefix}/{part}" for part in ("lib", "lib64", "share/fonts", "share/poppler", "etc/fonts")
        )


def _standard() -> str:
    """The folder of the standard library."""
    return str(Path(os.__file__).parent)


def _places(programs: tuple[str, ...]) -> Iterator[str]:
    """Where programs are installed."""
    for folder in os.get_exec_path():
        for name in programs:
            place = os.path.join(folder, name)  # noqa: PTH118
            if os.path.isfile(place):  # noqa: PTH113  (False also where we may not look)
                yield os.path.realpath(place)
