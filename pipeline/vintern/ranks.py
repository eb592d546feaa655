"""One process among several that learn one model together, and how they add up and agree.

Each does its share of a batch; gradients are summed, and every one makes the same step, so that the weights
are the same everywhere. torch is imported where a group is opened: whoever learns alone opens none.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psutil

from pipeline.errors import UsageError, VinbatchError

if TYPE_CHECKING:
    from torch import Tensor

# The others wait while the first reads held-out pages; whoever started them sees to it that none waits for
# one that is dead.
_PATIENCE = timedelta(days=1)


class PeerGone(VinbatchError):
    """Another rank does not answer any more."""


class Ranks:
    """A process alone: number 0 of 1. There is nobody to add up with, to agree with or to wait for."""

    rank = 0
    world = 1

    @property
    def first(self) -> bool:
        """The one that writes and tells."""
        return self.rank == 0

    def add_up(self, weights: Sequence[Tensor], number: float) -> float:  # noqa: ARG002
        """Gives each weight the sum of its gradients over all ranks, and none where no rank has one; returns
        the sum of `number`. Raises PeerGone, as the other methods do.
        """
        return number

    def any(self, flag: bool) -> bool:
        """Whether it is so at one of the ranks at least: one answer for all. They wait for each other."""
        return flag

    def same(self, number: int) -> bool:  # noqa: ARG002
        """Whether all ranks have this number."""
        return True

    def wait(self) -> None:
        """Until all ranks are here."""
        self.any(False)


ALONE = Ranks()


@dataclass(frozen=True, slots=True)
class Seat:
    """A rank, the address of its machine, and where the first one listens for the others."""

    rank: int
    world: int
    address: str
    meeting: tuple[str, int]


def listening(address: str) -> socket.socket:
    """A socket at a free port of this address, and of no other: for the rank whom the others meet."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family)
    made.bind((address, 0))
    made.listen()
    return made


@contextmanager
def joined(seat: Seat, device: str, listener: socket.socket | None = None) -> Iterator[Ranks]:
    """Inside this block the process is one of a group; at its end all wait for each other. One that leaves it
    by an error leaves the others waiting: whoever started them ends them.

    device    "cuda": gradients go by NCCL, between the GPUs; "cpu": by Gloo, as all else does
    listener  of the first rank: the one that `listening` gave

    Raises UsageError where torch finds no GPU for "cuda".
    """
    import torch
    from torch import distributed

    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            f"PyTorch finds no GPU on {seat.address}, where Ray has one: install its build for CUDA, or give "
            "--device cpu"
        )
    _bind(seat.address)
    host, port = seat.meeting
    store: Any = distributed.TCPStore(  # type: ignore[attr-defined]
        host,
        port,
        seat.world,
        is_master=listener is not None,
        timeout=_PATIENCE,
        wait_for_workers=False,
        master_listen_fd=None if listener is None else listener.detach(),
    )
    if device == "cuda":
        torch.cuda.set_device(0)  # of those that this process may use
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo",
        store=store,
        rank=seat.rank,
        world_size=seat.world,
        timeout=_PATIENCE,
    )
    group = _Group(seat.rank, seat.world)
    yield group
    group.wait()
    # Not after an error: NCCL may wait here for others, who wait for this rank.
    distributed.destroy_process_group()


class _Group(Ranks):
    def __init__(self, rank: int, world: int) -> None:
        self.rank, self.world = rank, world

    def add_up(self, weights: Sequence[Tensor], number: float) -> float:
        import torch

        sizes = [weight.numel() for weight in weights]
        grads = [weight.grad for weight in weights]
        told = [float(grad is not None) for grad in grads] + [number]
        # All in one: a call for each of some hundred small tensors would take longer than the step.
        flat = torch.cat(
            [
                *(
                    weight.new_zeros(size) if grad is None else grad.flatten()
                    for weight, grad, size in zip(weights, grads, sizes, strict=True)
                ),
                weights[0].new_tensor(told),
            ]
        )
        self._reduce(flat, "SUM")
        *given, total = flat[-len(told) :].tolist()
        for weight, grad, by in zip(weights, flat[: -len(told)].split(sizes), given, strict=True):
            weight.grad = grad.view_as(weight) if by else None
        return float(total)

    def any(self, flag: bool) -> bool:
        import torch

        found = torch.tensor([int(flag)])
        self._reduce(found, "MAX")
        return bool(found.item())

    def same(self, number: int) -> bool:
        import torch

        found = torch.tensor([number, -number])
        self._reduce(found, "MAX")
        most, least = found.tolist()
        return bool(most == -least)

    def _reduce(self, tensor: Tensor, how: str) -> None:
        from torch import distributed

        by: Any = getattr(distributed.ReduceOp, how)
        try:
            distributed.all_reduce(tensor, by)
        except RuntimeError as error:  # torch has no narrower one for Gloo
            why = (str(error).strip().splitlines() or [""])[0]
            raise PeerGone(f"another worker does not answer any more: {why}") from error


def _bind(address: str) -> None:
    """Have Gloo and NCCL listen at this address of the machine alone, unless the environment says where.

    By themselves they take the address that the host's name stands for: on many machines that is none, or
    one of the loopback interface, where no other machine can reach it.
    """
    name = _interface(address)
    if name is not None:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
        os.environ.setdefault("NCCL_SOCKET_IFNAME", name)


def _interface(address: str) -> str | None:
    """The name of the network interface with this address; any of 127.0.0.0/8 is the loopback interface's."""
    sought = ipaddress.ip_address(address)
    interfaces: dict[str, list[Any]] = psutil.net_if_addrs()
    for name, found in interfaces.items():
        for one in found:
            if one.family not in (socket.AF_INET, socket.AF_INET6):
                continue
            its = ipaddress.ip_address(one.address.partition("%")[0])
            if its == sought or (its.is_loopback and sought.is_loopback):
                return name
    return None
