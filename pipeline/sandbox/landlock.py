"""Landlock: the files, ports and processes that this process and its children may reach.

Needs no privilege, only Linux 5.13 or later with Landlock among its security modules. What a kernel can hold
to depends on the version ("ABI") of its Landlock: files from 1, cutting files short from 3, TCP from 4,
devices' ioctl from 5, signals and abstract sockets from 6. See <linux/landlock.h> and
https://docs.kernel.org/userspace-api/landlock.html.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterable
from contextlib import suppress

from pipeline.sandbox import kernel

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_VERSION = 1  # flag of _CREATE_RULESET: tell the ABI
_PATH_BENEATH = 1  # kind of rule

_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}  # by the ABI that brought them
_TCP_RIGHTS = {4: 0b11}  # bind, connect
_SCOPES = {6: 0b11}  # abstract unix sockets, signals


def abi() -> int:
    """The version of the kernel's Landlock; 0 where it has none or is told not to use it."""
    try:
        return kernel.call(_CREATE_RULESET, 0, 0, _VERSION)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
            return 0
        raise


def restrict(readable: Iterable[str], programs: Iterable[str] = ()) -> int:
    """Leave this process what is beneath `readable` to read and beneath `programs` to read and start.

    Nothing can be written, made, removed or renamed anywhere; open files stay as they are. Paths that do not
    exist are passed over. The process must have renounced new privileges. Returns the ABI, 0 if nothing was
    done because the kernel has no Landlock. Raises OSError.
    """
    version = abi()
    if not version:
        return 0
    handled = [_known(rights, version) for rights in (_FILE_RIGHTS, _TCP_RIGHTS, _SCOPES)]
    attributes = struct.pack("QQQ", *handled)[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = kernel.call(_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for path in readable:
            _allow(ruleset, path, _READ_FILE | _READ_DIR)
        for path in programs:
            _allow(ruleset, path, _READ_FILE | _READ_DIR | _EXECUTE)
        kernel.call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return version


def _known(rights: dict[int, int], version: int) -> int:
    return sum(right for since, right in rights.items() if since <= version)


def _allow(ruleset: int, path: str, rights: int) -> None:
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):  # not there, or not ours to read
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not stat.S_ISDIR(os.fstat(place).st_mode):
                rights &= ~_READ_DIR
            kernel.call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0)
        finally:
            os.close(place)
