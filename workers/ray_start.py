"""What `ray start` runs first in the process of a Ray of our own (RAY_START_HOOK)."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import psutil

from pipeline.sandbox.limits import end_with_parent

_PAUSE = 0.2  # seconds between two looks whether the node has registered


def prepare(parameters: Any, _head: bool) -> None:
    """End with the run; no server for Ray clients; more patience than Ray's own."""
    end_with_parent(int(os.environ["VINBATCH_RAY_PARENT"]))  # as Ray's own processes end with this one
    parameters.ray_client_server_port = None  # the command line knows no "off"
    be_patient(parameters, float(os.environ["VINBATCH_RAY_PATIENCE"]))


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
