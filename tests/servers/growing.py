"""A head without CPUs, whose autoscaler starts raylets on this machine, as Ray's own tests have them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from tests.servers.cluster import RayHead, free_port, started_head

_HEAD = "ray.head.default"  # as the provider names it
_COMMANDS = (
    "initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands",
    "head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files", "rsync_exclude",
    "rsync_filter",
)  # fmt: skip


@contextmanager
def growing_head(machines: int) -> Iterator[RayHead]:
    """Machines with one GPU by name come, at most so many, and go when they are idle."""
    port = free_port()
    head_id = "f" * 51 + "00000"
    config = {
        "cluster_name": "growing",
        "max_workers": machines,
        "idle_timeout_minutes": 0.15,
        "upscaling_speed": 10.0,
        "provider": {
            "type": "external",  # for the wheel lacks the defaults of "fake_multinode"
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "gcs_address": f"127.0.0.2:{port}",
            "launch_multiple": True,
            "head_node_id": head_id,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "auth": {},
        "docker": {},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        **{name: [] for name in _COMMANDS},
        "head_node_type": _HEAD,
        "available_node_types": {
            _HEAD: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "gpu": {
                "resources": {"CPU": 2, "GPU": 1, "object_store_memory": 150 * 2**20},
                "node_config": {},
                "min_workers": 0,
                "max_workers": machines,
            },
        },
    }
    environment = {
        "RAY_enable_autoscaler_v2": "1",
        "RAY_FAKE_CLUSTER": "1",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_CLOUD_INSTANCE_ID": head_id,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": head_id,
        "RAY_NODE_TYPE_NAME": _HEAD,  # as KubeRay has it
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(config, file)
        file.flush()
        with started_head(0, port=port, autoscaling=file.name, environment=environment) as head:
            yield head
