"""Machines made of Linux namespaces: each has its own address, host name, processes and shared memory.

They hang on a switch, and so does this machine, at `Network.gateway`. Nothing of them is anywhere else: they
end with the processes that hold their namespaces, which the kernel ends with the process that made them, and
their cables and mounts end with them. What they share with this machine is its files.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

import psutil
import pytest

from tests.servers.starting import PATIENCE

_PROGRAMS = ("ip", "unshare", "nsenter", "setpriv", "mount")
_UNSHARED = (
    "unshare",
    "--net",
    "--mount",
    "--pid",
    "--uts",
    "--ipc",
    "--fork",
    "--kill-child",
    "--mount-proc",
)
# The first process of a machine. It waits for ever, and takes in those whose parents have ended.
_FIRST = """
set -e
echo "$1" > /proc/sys/kernel/hostname
mount -t tmpfs -o size=512m tmpfs /dev/shm
mount -t tmpfs -o size=512m tmpfs "$2"
ip link set lo up
echo up
exec > /dev/null 2>&1
sleep infinity &
wait
"""


class NoNamespaces(RuntimeError):
    """This machine does not let other machines be made on it; the message says what was refused."""


@dataclass(frozen=True)
class Host:
    """A machine. `own` is a folder that no other machine sees, empty at first."""

    name: str
    address: str
    own: Path
    first: psutil.Process  # of its own processes
    _outer: subprocess.Popen[str]
    _port: Sequence[str]  # the command that changes its port at the switch
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def inside(self, folder: Path) -> tuple[str, ...]:
        """What is put before a command to run it on this machine, in a folder."""
        into = ("--net", "--mount", "--pid", "--uts", "--ipc", f"--wdns={folder}")
        return ("nsenter", f"--target={self.first.pid}", *into)

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> subprocess.Popen[bytes]:
        """The process waits here for the one on the machine, and ends as that does. What it says is added to
        `log`.
        """
        with log.open("ab") as said:
            process = subprocess.Popen(
                [*self.inside(self.own), *command],
                stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=dict(environment),
            )  # fmt: skip
        self._started.append(process)
        return process

    def processes(self) -> list[psutil.Process]:
        """Those that live on it, without its first one and what that waits with."""
        world = _pid_namespace(self.first.pid)
        waiting = {self.first.pid, *(child.pid for child in self.first.children() if child.name() == "sleep")}
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                alive = process.status() != psutil.STATUS_ZOMBIE
                if alive and process.pid not in waiting and _pid_namespace(process.pid) == world:
                    found.append(process)
        return found

    def cut_off(self) -> None:
        """From now on nothing that it sends arrives, and nothing reaches it. It does not see that: its own
        cable stays where it is, as when a switch farther away fails.
        """
        _do([*self._port, "nomaster"])

    def reconnect(self) -> None:
        _do([*self._port, "master", "hub"])

    def lose_power(self) -> None:
        """All of its processes end at once, and nobody is told. Nothing happens when it has none."""
        if self._outer.poll() is None:
            with suppress(NoNamespaces):  # the switch may be gone
                self.cut_off()
        _end(self._outer, self.first)
        for process in self._started:
            process.wait()


class Network:
    """A switch, this machine, and the machines that are plugged in. Raises NoNamespaces on entering."""

    def __init__(self) -> None:
        self.subnet = IPv4Network(f"10.214.{os.getpid() % 250}.0/24")
        self.gateway = str(self.subnet[1])  # this machine's address
        self._hosts: list[Host] = []
        self._cable = f"vin{os.getpid()}"

    def __enter__(self) -> Network:
        missing = [name for name in _PROGRAMS if shutil.which(name) is None]
        if missing:
            raise NoNamespaces(f"{', '.join(missing)} not found")
        self._own = Path(tempfile.mkdtemp(prefix="net"))  # short: Ray's sockets lie below it
        try:
            self._switch, first = self._machine("switch")
            self._first = first
            _do(["ip", *f"link add {self._cable} type veth peer name uplink netns {first.pid}".split()])
            _do(["ip", *f"addr add {self.gateway}/{self.subnet.prefixlen} dev {self._cable}".split()])
            _do(["ip", *f"link set {self._cable} up".split()])
            self._on_switch("link add name hub type bridge")
            self._on_switch("link set hub up")
            self._on_switch("link set uplink master hub up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for host in self._hosts:
            host.lose_power()
        if hasattr(self, "_first"):
            _end(self._switch, self._first)
        # The kernel takes the cable away with the switch, in its own time.
        _until(lambda: not Path(f"/sys/class/net/{self._cable}").exists(), f"the cable {self._cable} is gone")
        shutil.rmtree(self._own)

    def host(self, name: str) -> Host:
        """One more machine, plugged in. It ends with the network."""
        address, port = str(self.subnet[2 + len(self._hosts)]), f"port-{name}"
        outer, first = self._machine(name)
        command = (*_in_net(self._first.pid), "ip", "link", "set", port)
        host = Host(name, address, self._own, first, outer, command)
        self._hosts.append(host)
        self._on_switch(f"link add {port} type veth peer name eth0 netns {first.pid}")
        self._on_switch(f"link set {port} up")
        host.reconnect()
        there = (*_in_net(first.pid), "ip")
        _do([*there, *f"addr add {address}/{self.subnet.prefixlen} dev eth0".split()])
        _do([*there, "link", "set", "eth0", "up"])
        return host

    def _machine(self, name: str) -> tuple[subprocess.Popen[str], psutil.Process]:
        """Its outer process, with which it ends, and its first own one."""
        outer = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *_UNSHARED, "sh", "-c", _FIRST, "sh", name, str(self._own)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert outer.stdout is not None and outer.stderr is not None
        with outer.stdout, outer.stderr:
            if outer.stdout.readline().strip() != "up":
                said = outer.stderr.read().strip()
                outer.kill()
                outer.wait()
                raise NoNamespaces(said or f"{' '.join(_UNSHARED)} ended without a word")
        [first] = psutil.Process(outer.pid).children()
        return outer, first

    def _on_switch(self, what: str) -> None:
        _do([*_in_net(self._first.pid), "ip", *what.split()])


@pytest.fixture
def network() -> Iterator[Network]:
    """For machines of one test."""
    with ExitStack() as stack:
        try:
            made = stack.enter_context(Network())
        except NoNamespaces as why:
            pytest.skip(f"this machine does not let machines be made of namespaces (as root it may): {why}")
        yield made


def _in_net(pid: int) -> tuple[str, ...]:
    return ("nsenter", f"--target={pid}", "--net")


def _pid_namespace(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/pid").readlink())


def _end(outer: subprocess.Popen[str], first: psutil.Process) -> None:
    """Kill the process that holds the namespaces; the kernel ends all others in them with the first one."""
    outer.kill()
    outer.wait()
    with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
        first.wait(PATIENCE)


def _until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain until {what}")
        time.sleep(0.05)


def _do(command: Sequence[str]) -> None:
    done = subprocess.run(list(command), capture_output=True, text=True)
    if done.returncode:
        raise NoNamespaces(f"{' '.join(command)}: {done.stderr.strip()}")
