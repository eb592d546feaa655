"""The system calls that a process may make: a list of what is allowed, held to by the kernel (seccomp).

Needs no privilege and works inside containers. What is not listed is refused with EPERM; a call that came
after Linux 5.0 does not exist (ENOSYS), because libraries then take the older way, which the list judges.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from typing import Literal

from pipeline.sandbox import kernel

Role = Literal["decoder", "supervisor", "program"]
Step = tuple[int, int, int, int]  # of a BPF program: code, jump if true, jump if false, operand

_FILTER = 2  # SECCOMP_MODE_FILTER; this and what follows: <linux/seccomp.h>
_ALLOW, _REFUSE, _ABSENT = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38  # EPERM, ENOSYS
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # <linux/bpf_common.h>
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_YOUNG = 424  # the first call after Linux 5.0; x32 calls of x86_64 have numbers far above

_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # <linux/audit.h>

# Numbers on x86_64 and aarch64 (<asm/unistd.h>); None: the architecture does not have it.
_NUMBERS: dict[str, tuple[int | None, int | None]] = {
    # what is open already, and opening to read
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67),
    "close": (3, 57), "lseek": (8, 62), "open": (2, None), "openat": (257, 56), "fstat": (5, 80),
    "newfstatat": (262, 79), "stat": (4, None), "lstat": (6, None), "statx": (332, 291), "fstatfs": (138, 44),
    "access": (21, None), "faccessat": (269, 48), "readlink": (89, None), "readlinkat": (267, 78),
    "getdents64": (217, 61), "getcwd": (79, 17), "fadvise64": (221, 223), "fcntl": (72, 25),
    "ioctl": (16, 29), "dup": (32, 23), "dup2": (33, None), "dup3": (292, 24), "poll": (7, None),
    "ppoll": (271, 73), "select": (23, None), "pselect6": (270, 72),
    # memory
    "mmap": (9, 222), "munmap": (11, 215), "mremap": (25, 216), "mprotect": (10, 226), "madvise": (28, 233),
    "brk": (12, 214),
    # signals to itself
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132), "tgkill": (234, 131),
    # threads, and the end
    "futex": (202, 98), "set_robust_list": (273, 99), "set_tid_address": (218, 96), "rseq": (334, 293),
    "clone": (56, 220), "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "exit": (60, 93),
    "exit_group": (231, 94),
    # time and what the process is
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101), "gettimeofday": (96, 169), "time": (201, None), "restart_syscall": (219, 128),
    "getrusage": (98, 165), "getrlimit": (97, 163), "prlimit64": (302, 261), "getpid": (39, 172),
    "getppid": (110, 173), "gettid": (186, 178), "getuid": (102, 174), "geteuid": (107, 175),
    "getgid": (104, 176), "getegid": (108, 177), "uname": (63, 160), "sysinfo": (99, 179),
    "getrandom": (318, 278), "arch_prctl": (158, None), "prctl": (157, 167),
    # only for some roles
    "recvmsg": (47, 212), "execve": (59, 221), "wait4": (61, 260), "waitid": (247, 95), "pipe": (22, None),
    "pipe2": (293, 59),
}  # fmt: skip

_OF_ROLES: dict[str, tuple[Role, ...]] = {
    "recvmsg": ("decoder", "supervisor"),
    "wait4": ("supervisor",),
    "waitid": ("supervisor",),
    "pipe": ("supervisor",),
    "pipe2": ("supervisor",),
    "execve": ("supervisor", "program"),
}

_WRITING = 0o3 | 0o100 | 0o1000 | 0o20000000  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_TMPFILE
_TERMINAL = (0x5401, 0x802C542A)  # TCGETS, TCGETS2: isatty
_CLOSE_ON_EXEC = (0x5451, 0x5450)  # FIOCLEX, FIONCLEX
_DESCRIPTORS = (0, 1, 2, 3, 1030)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC
_THREAD = 0x00010000  # CLONE_THREAD
_FAMILY = 0x00002000 | 0x00008000 | 0x00020000 | 0x7E000000  # CLONE_PTRACE, _PARENT, and new namespaces


def available() -> bool:
    """Whether this kernel and processor can be told what to allow."""
    if sys.platform != "linux" or platform.machine() not in _AUDIT or struct.calcsize("P") != 8:
        return False
    try:  # without a program it fails in one way where filters exist, and in another where they do not
        kernel.prctl(kernel.PR_SET_SECCOMP, _FILTER, 0)
    except OSError as error:
        return error.errno == 14  # EFAULT
    return True


def restrict(role: Role) -> bool:
    """Leave this process the calls of its role, for good and for all that it starts. False where it cannot.

    The process must have renounced new privileges. Raises OSError.

    decoder     draws with libraries of its own: threads, but no other process
    supervisor  starts programs, parses nothing itself
    program     what a supervisor starts: may not start anything but threads
    """
    if not available():
        return False
    steps = _program(role)
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    described = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
    kernel.prctl(kernel.PR_SET_SECCOMP, _FILTER, described)
    return True


def _program(role: Role) -> list[Step]:
    machine = platform.machine()
    column = list(_AUDIT).index(machine)
    steps: list[Step] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, _AUDIT[machine]),
        (_RETURN, 0, 0, _REFUSE),
        (_LOAD, 0, 0, _NUMBER),
    ]
    for name, numbers in _NUMBERS.items():
        number = numbers[column]
        if number is not None and role in _OF_ROLES.get(name, (role,)):
            judged = _judged(name, role)
            steps += [(_EQUAL, 0, len(judged), number), *judged]
    steps += [(_AT_LEAST, 0, 1, _YOUNG), (_RETURN, 0, 0, _ABSENT), (_RETURN, 0, 0, _REFUSE)]
    return steps


def _judged(name: str, role: Role) -> list[Step]:
    """The steps that allow a call or refuse it for its arguments; every way through them ends."""
    match name:
        case "open":
            return _without(1, _WRITING)
        case "openat":
            return _without(2, _WRITING)
        case "ioctl":
            return _one_of(1, *_TERMINAL, *_CLOSE_ON_EXEC)
        case "fcntl":
            return _one_of(1, *_DESCRIPTORS)
        case "prlimit64":
            return _null(2)  # its own limits may be asked for, not set
        case "tgkill":
            return _one_of(0, os.getpid())  # abort(); what a supervisor starts ends without
        case "prctl" if role == "supervisor":
            return _one_of(0, kernel.PR_SET_NAME, kernel.PR_SET_PDEATHSIG, kernel.PR_SET_SECCOMP)
        case "prctl":
            return _one_of(0, kernel.PR_SET_NAME)
        case "clone" if role == "supervisor":
            return _without(0, _FAMILY)
        case "clone":
            return _thread()
    return [(_RETURN, 0, 0, _ALLOW)]


def _low(argument: int) -> Step:
    """Loads the half of an argument that flags, commands and process numbers stand in."""
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * argument)


def _without(argument: int, bits: int) -> list[Step]:
    return [_low(argument), (_ANY_BIT, 1, 0, bits), (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]


def _one_of(argument: int, *values: int) -> list[Step]:
    tests = [(_EQUAL, len(values) - i, 0, value) for i, value in enumerate(values)]
    return [_low(argument), *tests, (_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)]


def _null(argument: int) -> list[Step]:
    high = (_LOAD, 0, 0, _ARGUMENTS + 8 * argument + 4)
    ends = [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]
    return [_low(argument), (_EQUAL, 0, 3, 0), high, (_EQUAL, 0, 1, 0), *ends]


def _thread() -> list[Step]:
    ends = [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]
    return [_low(0), (_ANY_BIT, 2, 0, _FAMILY), (_ANY_BIT, 0, 1, _THREAD), *ends]
