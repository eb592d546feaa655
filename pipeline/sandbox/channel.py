"""How commands reach the child: messages on a socket, a document's file beside one that opens it."""

from __future__ import annotations

import _socket  # the socket module itself takes longer to import than all of the child's own code
import array
import json
import os
from collections.abc import Iterator
from typing import Any

_MESSAGE_BYTES = 4096  # more than any command


class Commands:
    """The child's side of the socket `fd`: (command, file number or -1), until the other side closes it."""

    def __init__(self, fd: int) -> None:
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, fd)

    def __iter__(self) -> Iterator[tuple[dict[str, Any], int]]:
        room = _socket.CMSG_SPACE(array.array("i").itemsize)
        while True:
            message, beside, _, _ = self._socket.recvmsg(_MESSAGE_BYTES, room, _socket.MSG_CMSG_CLOEXEC)
            if not message:
                return
            files = array.array("i", beside[0][2]) if beside else [-1]
            yield json.loads(message), files[0]


def send(socket: _socket.socket, command: dict[str, Any], file: int | None = None) -> None:
    """The parent's side: one command, and an open file with it. Raises OSError when nobody reads it."""
    beside = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", [file]))] if file is not None else []
    socket.sendmsg([json.dumps(command).encode()], beside)


def sealed(data: bytes) -> int:
    """A file in memory that holds `data` and that nobody can change any more. Raises OSError."""
    import fcntl

    file = os.memfd_create("document", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(file, left) :]
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, 0b1111)  # F_SEAL_SEAL, _SHRINK, _GROW, _WRITE
    except BaseException:
        os.close(file)
        raise
    return file
