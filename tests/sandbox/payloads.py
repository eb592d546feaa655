"""What a decoder that a file has taken over might try: a table of payloads.

Each function gets the `World` that an actor has laid out for it, and returns when it got what it wanted. What
stops it raises. Standard library only: an unprivileged user's interpreter runs this.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import platform
import resource
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_LIBRARY = ctypes.CDLL(None, use_errno=True)
_COLUMN = {"x86_64": 0, "aarch64": 1}[platform.machine()]


@dataclass(frozen=True)
class World:
    """What lies about a decoder: the actor that started it, and its user's files, sockets and processes."""

    actor: int  # process number, and so on
    victim: int  # another process of the user
    address: int  # of SECRET in the actor's memory
    connection: int  # file number of a pipe in the actor with SECRET in it
    home: str  # with .aws/credentials, .bashrc, store.db and code.py
    port: int  # where the actor listens on TCP
    abstract: str  # name of a listening abstract unix socket

    @property
    def at(self) -> Path:
        return Path(self.home)


SECRET = b"s3cret-0123456789abcdef"
Payload = Callable[[World], object]
PAYLOADS: dict[str, Payload] = {}
ROOT_ONLY: set[str] = set()  # nobody else gets far enough for a sandbox to matter


def tried(payload: Payload) -> Payload:
    PAYLOADS[payload.__name__] = payload
    return payload


def tried_by_root(payload: Payload) -> Payload:
    ROOT_ONLY.add(payload.__name__)
    return tried(payload)


def call(numbers: tuple[int, int], *arguments: object) -> int:
    """A system call by its numbers on x86_64 and aarch64."""
    words = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in arguments]
    _LIBRARY.syscall.restype = ctypes.c_long
    result: int = _LIBRARY.syscall(ctypes.c_long(numbers[_COLUMN]), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def wanted(truth: object) -> None:
    if not truth:
        raise RuntimeError("it had no effect")


# --- what the user and the actor know


@tried
def read_credentials(world: World) -> None:
    wanted(SECRET in (world.at / ".aws/credentials").read_bytes())


@tried
def read_the_store(world: World) -> None:
    wanted((world.at / "store.db").read_bytes())


@tried
def read_a_system_file(world: World) -> None:
    wanted(Path("/etc/passwd").read_bytes())


@tried
def list_the_home(world: World) -> None:
    wanted(os.listdir(world.home))  # noqa: PTH208


@tried
def watch_the_home(world: World) -> None:
    watch = call((294, 26), 0)  # inotify_init1
    call((254, 27), watch, world.home.encode(), 0xFFF)  # inotify_add_watch


@tried
def read_the_actors_environment(world: World) -> None:
    wanted(SECRET in Path(f"/proc/{world.actor}/environ").read_bytes())


@tried
def read_the_actors_map(world: World) -> None:
    wanted(Path(f"/proc/{world.actor}/maps").read_bytes())


@tried
def read_the_actors_memory(world: World) -> None:
    with open(f"/proc/{world.actor}/mem", "rb", buffering=0) as memory:  # noqa: PTH123
        memory.seek(world.address)
        wanted(memory.read(len(SECRET)) == SECRET)


@tried
def write_the_actors_memory(world: World) -> None:
    with open(f"/proc/{world.actor}/mem", "r+b", buffering=0) as memory:  # noqa: PTH123
        memory.seek(world.address)
        memory.write(b"X")


def _across(numbers: tuple[int, int], world: World, mine: ctypes.Array[ctypes.c_char]) -> None:
    here = struct.pack("PN", ctypes.addressof(mine), len(SECRET))
    there = struct.pack("PN", world.address, len(SECRET))
    call(numbers, world.actor, here, 1, there, 1, 0)


@tried
def read_memory_across_processes(world: World) -> None:
    mine = ctypes.create_string_buffer(len(SECRET))
    _across((310, 270), world, mine)  # process_vm_readv
    wanted(mine.raw == SECRET)


@tried
def write_memory_across_processes(world: World) -> None:
    _across((311, 271), world, ctypes.create_string_buffer(b"X" * len(SECRET)))  # process_vm_writev


@tried
def trace_the_actor(world: World) -> None:
    call((101, 117), 0x4206, world.actor, 0, 0)  # PTRACE_SEIZE


@tried
def take_the_actors_connection(world: World) -> None:
    actor = call((434, 434), world.actor, 0)  # pidfd_open
    wanted(os.read(call((438, 438), actor, world.connection, 0), 99) == SECRET)  # pidfd_getfd


@tried
def open_the_actors_connection(world: World) -> None:
    with open(f"/proc/{world.actor}/fd/{world.connection}", "rb", buffering=0) as pipe:  # noqa: PTH123
        wanted(pipe.read(99) == SECRET)


# --- files


@tried
def write_a_start_up_file(world: World) -> None:
    with (world.at / ".bashrc").open("a") as file:
        file.write("evil\n")


@tried
def write_sitecustomize(world: World) -> None:
    (world.at / "sitecustomize.py").write_text("evil\n")


@tried
def write_code(world: World) -> None:
    (world.at / "code.py").write_text("evil\n")


@tried
def write_where_everybody_may(world: World) -> None:
    place = Path(f"/dev/shm/vinbatch-test-{os.getpid()}")
    place.write_text("x")
    place.unlink()


@tried
def delete_the_store(world: World) -> None:
    (world.at / "store.db").unlink()


@tried
def cut_the_store(world: World) -> None:
    os.truncate(world.at / "store.db", 0)


@tried
def move_the_store(world: World) -> None:
    (world.at / "store.db").rename(world.at / "elsewhere")


@tried
def open_the_store_to_all(world: World) -> None:
    (world.at / "store.db").chmod(0o777)


@tried
def age_the_store(world: World) -> None:
    os.utime(world.at / "store.db", (0, 0))


@tried
def mark_the_store(world: World) -> None:
    os.setxattr(world.at / "store.db", "user.evil", b"1")


@tried
def link_the_store(world: World) -> None:
    (world.at / "another").hardlink_to(world.at / "store.db")


@tried
def lay_a_symbolic_link(world: World) -> None:
    (world.at / "trap").symlink_to("/etc/passwd")


@tried
def make_a_folder(world: World) -> None:
    (world.at / "folder").mkdir()


@tried
def make_a_pipe(world: World) -> None:
    os.mkfifo(world.at / "pipe")


@tried
def fill_the_disk_with_small_files(world: World) -> None:
    for number in range(300):
        (world.at / f"small-{number}").write_bytes(b"x")


@tried
def fill_the_disk_with_one(world: World) -> None:
    with (world.at / "large").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 8 * 2**20)


@tried
def fill_memory_with_files(world: World) -> None:
    for number in range(20):
        os.ftruncate(os.memfd_create(str(number)), 2**20)


@tried_by_root
def open_a_file_by_its_handle(world: World) -> None:
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
    mount = ctypes.c_int()
    call((303, 264), 2**64 - 100, world.home.encode() + b"/store.db", handle, ctypes.byref(mount), 0)
    where = os.open("/", os.O_RDONLY)
    os.read(call((304, 265), where, handle, os.O_RDONLY), 1)


# --- processes


@tried
def start_a_program(world: World) -> None:
    wanted(subprocess.run(["/bin/echo", "x"], stdout=subprocess.PIPE, check=True).stdout)


@tried
def start_a_program_from_memory(world: World) -> None:
    file = os.memfd_create("program", 0)
    os.write(file, Path("/bin/echo").read_bytes())
    call((322, 281), file, b"", struct.pack("PPP", *_words(b"echo", b'"worked"')), None, 0x1000)  # execveat


_KEPT: list[ctypes.Array[ctypes.c_char]] = []


def _words(*words: bytes) -> tuple[int, ...]:
    _KEPT.extend(ctypes.create_string_buffer(word) for word in words)
    return (*(ctypes.addressof(word) for word in _KEPT[-len(words) :]), 0)


@tried
def become_a_program(world: World) -> None:
    os.execv("/bin/echo", ["echo", '"worked"'])


def _end_all(started: list[int]) -> None:
    for pid in started:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@tried
def fork_300_times(world: World) -> None:
    started = []
    try:
        for _ in range(300):
            pid = os.fork()
            if pid == 0:
                time.sleep(60)
            started.append(pid)
    finally:
        _end_all(started)


@tried
def fork_by_a_younger_call(world: World) -> None:
    pid = call((435, 435), struct.pack("QQQQQQQQ", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0), 64)  # clone3
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


@tried
def leave_a_process_behind(world: World) -> None:
    pid = os.fork()
    if pid == 0:
        os.setsid()
        time.sleep(60)
    _end_all([pid])


@tried
def outlive_the_actor(world: World) -> None:
    wanted(_LIBRARY.prctl(1, 0, 0, 0, 0) == 0)  # PR_SET_PDEATHSIG


@tried
def kill_the_users_processes(world: World) -> None:
    os.kill(world.victim, signal.SIGKILL)


@tried
def kill_by_a_thread(world: World) -> None:
    call((234, 131), world.victim, world.victim, signal.SIGKILL)  # tgkill


@tried
def kill_by_a_queued_signal(world: World) -> None:
    call((129, 138), world.victim, signal.SIGKILL, struct.pack("iii", 9, 0, -1) + bytes(116))


@tried
def kill_by_a_pidfd(world: World) -> None:
    signal.pidfd_send_signal(os.pidfd_open(world.victim), signal.SIGKILL)


@tried
def signal_the_actor(world: World) -> None:
    os.kill(world.actor, signal.SIGCONT)


@tried
def signal_by_a_file(world: World) -> None:
    reading, _ = os.pipe()
    fcntl.fcntl(reading, fcntl.F_SETOWN, world.actor)


@tried
def slow_the_actor_down(world: World) -> None:
    os.setpriority(os.PRIO_PROCESS, world.actor, 5)


@tried
def pin_the_actor(world: World) -> None:
    os.sched_setaffinity(world.actor, os.sched_getaffinity(0))


@tried
def limit_the_actor(world: World) -> None:
    resource.prlimit(world.actor, resource.RLIMIT_CORE, (0, 0))


@tried
def lift_its_cpu_limit(world: World) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (min(soft + 1, hard) if hard > 0 else soft, hard))


@tried
def change_its_memory_limit(world: World) -> None:
    resource.setrlimit(resource.RLIMIT_AS, resource.getrlimit(resource.RLIMIT_AS))


# --- the network


@tried
def connect_by_tcp(world: World) -> None:
    socket.create_connection(("127.0.0.1", world.port), timeout=5)


@tried
def listen_on_tcp(world: World) -> None:
    socket.create_server(("127.0.0.1", 0))


@tried
def send_by_udp(world: World) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", world.port))


@tried
def connect_to_a_unix_socket(world: World) -> None:
    socket.socket(socket.AF_UNIX).connect(f"{world.home}/socket")


@tried
def connect_to_an_abstract_socket(world: World) -> None:
    socket.socket(socket.AF_UNIX).connect(f"\0{world.abstract}")


@tried
def ask_the_kernel_by_netlink(world: World) -> None:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)


@tried
def a_pair_of_sockets(world: World) -> None:
    socket.socketpair()


# --- the kernel's less travelled doors


@tried
def submit_by_io_uring(world: World) -> None:
    call((425, 425), 4, bytes(120))


@tried_by_root
def load_bpf(world: World) -> None:
    call((321, 280), 0, struct.pack("IIII", 2, 4, 8, 1) + bytes(112), 128)  # BPF_MAP_CREATE, an array


@tried
def handle_page_faults(world: World) -> None:
    call((323, 282), 1)  # userfaultfd, user mode only


@tried
def add_a_key(world: World) -> None:
    call((248, 217), b"user", b"evil", b"x", 1, 2**64 - 2)  # add_key, to the process keyring


@tried_by_root
def mount_over_the_home(world: World) -> None:
    call((272, 97), 0x00020000)  # unshare: a mount namespace
    call((165, 40), b"none", b"/", None, 0x44000, None)  # private
    call((165, 40), b"none", world.home.encode(), b"tmpfs", 0, None)


@tried
def become_root_of_a_namespace(world: World) -> None:
    call((272, 97), 0x10000000)


@tried_by_root
def change_the_root(world: World) -> None:
    os.chroot(world.home)


@tried_by_root
def become_somebody_else(world: World) -> None:
    os.setuid(65534)


@tried_by_root
def give_the_store_away(world: World) -> None:
    os.chown(world.at / "store.db", 65534, 65534)


@tried_by_root
def make_a_device(world: World) -> None:
    os.mknod(world.at / "memory", 0o20600, os.makedev(1, 1))


@tried_by_root
def count_events(world: World) -> None:
    call((298, 241), struct.pack("IIQ", 1, 112, 0) + bytes(96), 0, -1 % 2**64, -1 % 2**64, 0)


@tried
def share_memory_for_ever(world: World) -> None:
    place = call((29, 194), 0, 4096, 0o1600)  # shmget
    call((31, 195), place, 0, None)  # shmctl: IPC_RMID


@tried
def change_its_personality(world: World) -> None:
    call((135, 92), 0x0040000)


@tried
def lock_memory(world: World) -> None:
    pages = mmap.mmap(-1, 4096)
    call((149, 228), ctypes.addressof(ctypes.c_char.from_buffer(pages)), 4096)
