"""Checks the pinned packages against the known vulnerabilities of OSV (https://osv.dev), in one question.

    python -m infra.audit          `make audit`

It asks about the locks, torch, and what torch's build brought into this environment. Exit codes (make turns
each but 0 into its own 2): 0 nothing is known, 1 something is, each a line; 2 the data could not be had, so
that nothing was checked. OSV_URL names another server that speaks OSV's interface, such as a mirror behind
a firewall.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from infra import lock

_PUBLIC = "https://api.osv.dev"
_SECONDS = 30.0  # for the answer
_PAGES = 20  # of one answer, at most


class NoData(Exception):
    """What is known of vulnerabilities could not be had."""


def wanted() -> list[tuple[str, str]]:
    """Name and version of every package that is pinned here or follows the installed torch."""
    pinned = {
        (name, version)
        for path in (*lock.LOCKS, lock.VOCABULARY_LOCK, lock.CONSTRAINTS)
        for name, versions in lock.pins(path.read_text(encoding="utf-8")).items()
        for version in versions
    }
    installed = {(lock.normalised(one.metadata["Name"]), one.version) for one in metadata.distributions()}
    of_torch = {(name, version.partition("+")[0]) for name, version in installed if lock.of_torch(name)}
    return sorted(pinned | of_torch)


def known(packages: Sequence[tuple[str, str]], url: str) -> list[tuple[str, str, str]]:
    """Name, version and vulnerability, for each that OSV knows. Raises NoData."""
    found: list[tuple[str, str, str]] = []
    asked = [(name, version, "") for name, version in packages]
    for _ in range(_PAGES):
        queries = [_query(*one) for one in asked]
        results = _ask(f"{url.rstrip('/')}/v1/querybatch", {"queries": queries}).get("results")
        if not isinstance(results, list) or len(results) != len(asked):
            raise NoData(f"{url} gave no answer to each of {len(asked)} questions")
        more = []
        for (name, version, _), result in zip(asked, results, strict=True):
            found += [(name, version, one["id"]) for one in result.get("vulns", ())]
            if token := result.get("next_page_token"):
                more.append((name, version, token))
        if not more:
            return found
        asked = more
    raise NoData(f"{url} gave more than {_PAGES} pages")


def _query(name: str, version: str, token: str) -> dict[str, Any]:
    query: dict[str, Any] = {"package": {"name": name, "ecosystem": "PyPI"}, "version": version}
    return query | ({"page_token": token} if token else {})


def _ask(url: str, question: dict[str, Any]) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "User-Agent": "vinbatch-audit"}
    try:
        request = urllib.request.Request(url, json.dumps(question).encode(), headers)
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            found = json.load(answer)
    except (OSError, ValueError) as error:  # ValueError: a garbled answer, or no URL
        raise NoData(f"{url}: {error}") from None
    if not isinstance(found, dict):
        raise NoData(f"{url} did not answer with an object")
    return found


def main() -> int:
    url = os.environ.get("OSV_URL", _PUBLIC)
    packages = wanted()
    try:
        found = known(packages, url)
    except NoData as error:
        print(
            f"audit: NOT CHECKED, what is known of vulnerabilities could not be had: {error}", file=sys.stderr
        )
        return 2
    for name, version, vulnerability in found:
        print(f"{name} {version}: {vulnerability}  https://osv.dev/{vulnerability}")
    print(f"audit: {len(packages)} packages, {len(found)} known vulnerabilities", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
