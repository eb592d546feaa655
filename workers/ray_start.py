"""What `ray start` runs first in the process of a Ray of our own (RAY_START_HOOK)."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PAUSE = 0.2  # seconds between two looks whether the node has registered


def prepare(parameters: Any, _head: bool) -> None:
    """End with the run; no server for Ray clients; more patience than Ray's own."""
    _end_with(int(os.environ["VINBATCH_RAY_PARENT"]))
    parameters.ray_client_server_port = None  # the command line knows no "off"
    be_patient(parameters, float(os.environ["VINBATCH_RAY_PATIENCE"]))


def _end_with(parent: int) -> None:
    """SIGKILL comes to this process when the thread that started it is gone, even if that was killed.

    Ray binds its own processes to this one in the same way.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it was gone before
        os.kill(os.getpid(), signal.SIGKILL)


def be_patient(parameters: Any, seconds: float) -> None:
    """Give a node so long to start, whose ports for its agents are all chosen already.

    Two limits of Ray are fixed in its code and too short on a busy machine. A node has 30 s to register
    (`Node.__init__`): the question that Ray asks meanwhile is answered when there is an answer. And its
    raylet gives each agent 15 s to write down its port (`NodeManager::WaitForDashboardAgentPorts`): as the
    ports are known, they are written down here.
    """
    from ray._private import services

    ask: Any = services.get_node
    deadline = time.monotonic() + seconds

    def patiently(gcs_address: str, node_id: str) -> Any:
        _write_ports(parameters, node_id)
        while True:
            try:
                return ask(gcs_address, node_id)
            except RuntimeError:  # not registered yet
                if time.monotonic() > deadline:
                    raise
                if not _raylet_runs():
                    raise ChildProcessError("Ray's raylet ended while it was starting") from None
            time.sleep(_PAUSE)

    services.get_node = patiently


def _write_ports(parameters: Any, node_id: str) -> None:
    from ray import _raylet

    core: Any = _raylet  # compiled, without stubs
    session = Path(parameters.temp_dir) / "session_latest"
    for name, port in (
        (core.METRICS_AGENT_PORT_NAME, parameters.metrics_agent_port),
        (core.METRICS_EXPORT_PORT_NAME, parameters.metrics_export_port),
        (core.DASHBOARD_AGENT_LISTEN_PORT_NAME, parameters.dashboard_agent_listen_port),
        (core.RUNTIME_ENV_AGENT_PORT_NAME, parameters.runtime_env_agent_port),
    ):
        core.persist_port(str(session), node_id, name, port)


def _raylet_runs() -> bool:
    """Ray itself looks after its processes only when all of them have started."""
    mine = psutil.Process().children()
    return any(child.name() == "raylet" and child.status() != psutil.STATUS_ZOMBIE for child in mine)
