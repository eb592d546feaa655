"""What a child process gives up before it reads an untrusted byte.

Limits are the kernel's own (setrlimit), so a parser that runs wild cannot talk its way out. The network is
closed by a seccomp filter, which needs no privilege and works inside containers.
"""

from __future__ import annotations

import ctypes
import math
import platform
import resource
import struct
import sys

_FILE_BYTES = 2**20  # what the child may write to any file: its complaints on stderr
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2  # <linux/prctl.h>, <linux/seccomp.h>
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 1  # <linux/seccomp.h>; refused calls give EPERM

# AUDIT_ARCH, then the system calls (<asm/unistd.h>) that open a way out, then those that start programs.
_CALLS = {
    "x86_64": (0xC000003E, (41, 101, 310, 311, 425), (59, 322)),
    "aarch64": (0xC00000B7, (198, 117, 270, 271, 425), (221, 281)),
}  # socket, ptrace, process_vm_readv, process_vm_writev, io_uring_setup; execve, execveat


def limit_resources(memory_bytes: int) -> None:
    """Bound address space and file output for good, and leave no core dumps."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_BYTES, _FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def allow_cpu(seconds: float) -> None:
    """Let the process burn `seconds` more of CPU time; then the kernel ends it (SIGXCPU).

    The parent's clock is usually first. This one also holds when the parent is gone.
    """
    usage = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(usage.ru_utime + usage.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def close_network(programs: bool) -> bool:
    """Refuse sockets and the like, and new programs unless `programs`. False where the kernel cannot."""
    if sys.platform != "linux" or platform.machine() not in _CALLS:
        return False
    architecture, doors, starts = _CALLS[platform.machine()]
    refused = doors if programs else doors + starts
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06  # BPF: LD|W|ABS, JMP|JEQ|K, JMP|JGE|K, RET|K
    program = [
        (load, 0, 0, 4),  # the architecture of the call
        (equal, 1, 0, architecture),
        (give, 0, 0, _REFUSE),
        (load, 0, 0, 0),  # its number
        (at_least, len(refused) + 1, 0, 0x40000000),  # x32 numbers would slip past the list
        *((equal, len(refused) - i, 0, number) for i, number in enumerate(refused)),
        (give, 0, 0, _ALLOW),
        (give, 0, 0, _REFUSE),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    described = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        return False
    return bool(libc.prctl(_SECCOMP, _FILTER, described, 0, 0) == 0)
