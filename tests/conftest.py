"""Fixtures that several folders of tests share: real servers, started once and only when a test asks."""

import os
import secrets

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# The token of whoever types the commands; clusters of the tests ask for it.
os.environ["RAY_AUTH_MODE"] = "token"
os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# Each of these modules owns one kind of server.
pytest_plugins = [
    "tests.servers.s3",
    "tests.servers.postgres",
    "tests.servers.pgbouncer",
    "tests.servers.cluster",
]
