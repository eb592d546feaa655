"""Addresses: which are this machine's, and where `vinbatch review` serves unless told otherwise."""

from __future__ import annotations

from ipaddress import ip_address

REVIEW_PORT = 8760  # workbooks link to it
REVIEW_URL = f"http://127.0.0.1:{REVIEW_PORT}"


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine: what is sent there does not leave it."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
