"""Fixtures that several folders of tests share: real servers, started once and only when a test asks."""

import os

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# Each of these modules owns one kind of server.
pytest_plugins = [
    "tests.servers.s3",
    "tests.servers.postgres",
    "tests.servers.pgbouncer",
    "tests.servers.cluster",
]
