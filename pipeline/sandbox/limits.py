"""What a process may use up and what it may be: limits, no privileges, no life after its parent."""

from __future__ import annotations

import math
import os
import resource
import signal
import struct
import sys
import time

from pipeline.sandbox import kernel

FILE_BYTES = 2**20  # what the child may write to any file: its complaints on stderr
_OPEN_FILES = 64
_CAPSET = {"x86_64": 126, "aarch64": 91}  # <asm/unistd.h>
_CAPABILITIES_VERSION = 0x20080522  # <linux/capability.h>


def end_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends; `parent` is that one's process.

    Exits at once if the parent is gone already. What this process starts must ask for it again.
    """
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def hide_memory() -> None:
    """Close this process's memory, environment and open files to other processes of the same user.

    That is /proc/PID/mem, /proc/PID/environ, /proc/PID/fd, ptrace and pidfd_getfd. It leaves no core dump.
    """
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)


def drop_capabilities() -> None:
    """Root keeps its own files and nothing else of what root may; for anybody else nothing changes."""
    header = struct.pack("Ii", _CAPABILITIES_VERSION, 0)
    kernel.call(_CAPSET[os.uname().machine], header, bytes(24))


def bound(memory_bytes: int, cpu_seconds: int) -> None:
    """Bound address space, CPU time, files and their sizes for good, and leave no core dumps."""
    for what, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (allowed, allowed))


def cpu_seconds(pid: int) -> float:
    """The CPU time that a child of this process has used, which must not have been waited for."""
    return time.clock_gettime((~pid << 3) | 2)  # as clock_getcpuclockid(3) makes it


def allow_cpu(pid: int, seconds: float) -> None:
    """Let a child of this process use `seconds` more of CPU time; then the kernel ends it (SIGXCPU).

    The caller's clock is usually first. This one holds when the caller is gone, and the child cannot lift it.
    """
    hard = resource.prlimit(pid, resource.RLIMIT_CPU)[1]
    soft = math.ceil(cpu_seconds(pid) + seconds) + 1
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.prlimit(pid, resource.RLIMIT_CPU, (soft, hard))


if sys.platform != "linux":
    raise ImportError("documents are drawn on Linux only")
