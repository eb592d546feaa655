"""What the C library does with memory that is freed, where it is glibc's; elsewhere nothing is changed."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator

from torch import nn

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3), in glibc's malloc.h
_KEPT = 2**30  # bytes; more than any tensor of a pass
_LARGE = 2**22  # bytes of a block that goes back to the system at once, while a checkpoint is loaded
_USUAL = 2**25  # glibc's own largest


@contextlib.contextmanager
def handed_back() -> Iterator[None]:
    """While this lasts, large blocks come from the system and go back to it as soon as they are freed.

    As it comes, the C library soon takes them from its heap, where what stays lies among what was freed: of a
    checkpoint that is loaded to be packed, up to a gigabyte is held on to.
    """
    _set(_LARGE, _LARGE)
    try:
        yield
    finally:
        _set(_USUAL, 2 * _USUAL)


def keep() -> bool:
    """Let the C library keep what a pass frees for the next one; False where it has no such setting.

    As it comes, it gives large blocks back to the system, which fills them with zeros again, page by page,
    for the next tensor: 30% of a prefill's time. The process then stays as large as its largest pass.
    """
    return _set(_KEPT, _KEPT)


def give_back() -> None:
    """Hand what was freed back to the system."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def let_go(network: nn.Module) -> None:
    """Of the checkpoint's file, and of what was loaded only to be packed.

    As long as one parameter lies in the file's memory, all of the file is held.
    """
    for parameter in network.parameters():
        parameter.data = parameter.data.clone()
    give_back()


def _set(large: int, trimmed: int) -> bool:
    """From how many bytes on a block is the system's own, and how many may lie free at the heap's end."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, large)) and bool(mallopt(_TRIM_THRESHOLD, trimmed))
