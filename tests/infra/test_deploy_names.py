"""Every command, variable and figure that infra/deploy names is one that somebody reads or emits."""

from __future__ import annotations

import json
import re
import shlex
from functools import cache
from pathlib import Path

import promql_parser
import pytest
import ray

from infra import lock
from pipeline import settings
from tests.infra import kuberay
from tests.infra.deployed import COMPOSE, DEPLOY, OVERLAYS, of_kuberay, options_of, rendered
from workers import metrics

# Variables of programs that are no part of what is installed here.
OF_IMAGES = {
    "postgres": {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD"},
    "versity/versitygw": {"ROOT_ACCESS_KEY", "ROOT_SECRET_KEY"},
    "grafana/grafana": {
        "GF_SECURITY_ADMIN_PASSWORD",
        "GF_ANALYTICS_REPORTING_ENABLED",
        "GF_ANALYTICS_CHECK_FOR_UPDATES",
    },
}


def test_every_command_of_ours_in_the_page_and_the_files_is_one() -> None:
    page = (DEPLOY / "README.md").read_text("utf-8")
    blocks = "\n".join(re.findall(r"^```.*?\n(.*?)^```$", page, re.M | re.S))
    typed = re.findall(r"(?:vinbatch|vinbatch:\S+|workers\.cli) (run [^)\n]*)", blocks)
    job = COMPOSE["services"]["job"]["command"]
    typed.append(shlex.join(job[job.index("run") :]))
    assert len(typed) == 5
    for words in typed:
        parsed = options_of("vinbatch run", shlex.split(words)[1:])
        assert parsed["file"] or parsed["sources"]
    for line in re.findall(r"^ray job submit (.*)$", blocks, re.M):
        assert options_of("ray job submit", shlex.split(line))["entrypoint"]


@pytest.mark.medium
def test_every_variable_is_read_by_somebody() -> None:
    ours = "\n".join(
        path.read_text("utf-8")
        for folder in ("workers", "pipeline")
        for path in (lock.ROOT / folder).rglob("*.py")
    )
    for name in named():
        if name.startswith("VINBATCH_"):
            setting = name.removeprefix("VINBATCH_").lower().replace("__", ".")
            assert setting in set(settings.names()) or f'"{name}"' in ours, name
        elif name.startswith("RAY_"):
            assert name in of_ray(), name
        else:
            assert name.startswith("AWS_") and name.lower() in of_botocore(), name


def named() -> set[str]:
    """Every variable of our own containers."""
    found = set()
    for service in COMPOSE["services"].values():
        theirs = OF_IMAGES.get(service["image"].partition(":")[0])
        if theirs is None:
            found |= set(service.get("environment", {}))
        else:
            assert set(service["environment"]) == theirs
    for overlay in OVERLAYS:
        for template in kuberay.templates(of_kuberay(overlay)):
            for container in template["spec"]["containers"]:
                found |= {variable["name"] for variable in container.get("env", ())}
    launcher = (DEPLOY / "aws-spot.yaml").read_text("utf-8")
    page = (DEPLOY / "README.md").read_text("utf-8")
    everywhere = launcher + page + json.dumps(COMPOSE) + json.dumps([rendered(one) for one in OVERLAYS])
    found |= set(re.findall(r"\b(?:RAY|VINBATCH|AWS)_[A-Za-z0-9_]+\b", everywhere))
    return found - {"RAY_HEAD_IP"}  # which the launcher puts there itself


@cache
def of_ray() -> str:
    root = Path(ray.__file__).parent
    files = [*(root / "_private").rglob("*.py"), *(root / "dashboard/modules/job").glob("*.py")]
    constants = b"".join(re.findall(rb"RAY_AUTH_\w+", (root / "_raylet.so").read_bytes()))
    return "\n".join(path.read_text("utf-8") for path in files) + constants.decode()


@cache
def of_botocore() -> str:
    import botocore

    root = Path(botocore.__file__).parent
    texts = [
        (root / name).read_text("utf-8") for name in ("configprovider.py", "credentials.py", "session.py")
    ]
    return "\n".join(texts).lower()


# The dashboard

EXPORTED = {figure.exported: figure for figure in metrics.FIGURES}


def queries() -> list[str]:
    board = json.loads((DEPLOY / "grafana" / "vinbatch.json").read_text("utf-8"))
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def test_every_query_is_promql_and_names_what_the_code_emits() -> None:
    seen = set()
    for query in queries():
        promql_parser.parse(query.replace("$__rate_interval", "5m"))
        names = re.findall(r"\bray_\w+", query)
        assert names and set(names) <= EXPORTED.keys(), query
        seen |= set(names)
        labels = {label for name in names for label in (*EXPORTED[name].labels, "job", "lane")}
        used = re.findall(r"(\w+)=~?\"", query) + re.findall(r"by \((\w+)\)", query)
        assert set(used) <= labels, query
        for name in names:
            counter = EXPORTED[name].kind == "counter"
            assert (f"rate({name}" in query or "/ sum(" in query) == counter, query
    assert seen == EXPORTED.keys()  # and what is emitted is shown
    variable = json.loads((DEPLOY / "grafana" / "vinbatch.json").read_text("utf-8"))["templating"]["list"][1]
    assert set(re.findall(r"\bray_\w+", variable["query"]["query"])) <= EXPORTED.keys()
