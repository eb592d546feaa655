"""Fixtures that several folders of tests share: real servers, started once and only when a test asks."""

import os

from hypothesis import HealthCheck, settings

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Those of the shell are not for the tests: tests/servers/cluster.py makes its own.
os.environ.pop("RAY_AUTH_MODE", None)
os.environ.pop("RAY_AUTH_TOKEN", None)
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# How long an example takes says more about what else the machine does than about the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# Each of these modules owns one kind of server.
pytest_plugins = [
    "tests.servers.s3",
    "tests.servers.postgres",
    "tests.servers.pgbouncer",
    "tests.servers.cluster",
    "tests.servers.hosts",
]
