"""The images, the compose files and the cluster launcher's file are what their tools accept."""

from __future__ import annotations

import re
import shlex
import tomllib

import pytest
import yaml

from infra import lock
from tests.infra.deployed import COMPOSE, DEPLOY, DOCKERFILE, VERSION, options_of, tool

FOR_OTHERS = {"wget", "rsync"}  # system packages that KubeRay and Ray's cluster launcher ask for
SECRET = re.compile(r"PASSWORD|TOKEN|SECRET|KEY", re.IGNORECASE)


def test_the_dockerfile_is_accepted_and_its_targets_are_nobody_elses_root() -> None:
    tool("hadolint", DEPLOY / "Dockerfile")
    bases = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.M)
    stages = {name for _, name in bases}
    outside = [base for base, _ in bases if base not in stages]
    assert outside and all(
        re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+[\w.-]*(@sha256:\w{64})?", one) for one in outside
    )
    assert not re.search(r"^ADD |latest|curl|--build-arg|^ARG .*(?:KEY|TOKEN|PASSWORD)", DOCKERFILE, re.M)
    assert "rm -rf /var/lib/apt/lists/*" in DOCKERFILE
    for target in ("cuda", "cpu"):
        stage = re.split(rf"^FROM \S+ AS {target}$", DOCKERFILE, flags=re.M)[1].split("\nFROM ")[0]
        assert "USER 1000:1000" in stage and 'ENTRYPOINT ["vinbatch"]' in stage
        assert stage.index("USER") < stage.index("ENTRYPOINT")


def test_the_dockerfile_installs_what_the_setup_does() -> None:
    setup = (lock.ROOT / "infra" / "setup.sh").read_text("utf-8")
    wanted = re.search(r"^job_packages=\((.*?)^\)", setup, re.M | re.S)
    apt = re.search(r"--no-install-recommends((?:.|\n)*?)&&", DOCKERFILE)
    assert wanted and apt
    assert set(apt[1].replace("\\", " ").split()) == set(re.sub("#.*", "", wanted[1]).split()) | FOR_OTHERS
    for words in (
        "--no-deps --require-hashes",
        "-c infra/constraints.txt torch",
        "--no-deps --no-build-isolation -e .",
    ):
        assert words in setup and words in DOCKERFILE
    project = tomllib.loads((lock.ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    python = re.search(r"FROM python:(\d+\.\d+)", DOCKERFILE)
    assert python and f"Programming :: {python[1]}" and project["requires-python"] == ">=3.11,<3.13"
    assert python[1] in ("3.11", "3.12")


def test_what_is_copied_is_there_and_nothing_else_is_sent() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    kept = [line[1:] for line in ignored if line.startswith("!")]
    assert ignored[1] == "*" and all((lock.ROOT / path).exists() for path in kept)
    packages = {path.parent.name for path in lock.ROOT.glob("*/__init__.py")} - {"tests", "infra"}
    assert packages <= set(kept)
    for line in re.findall(r"^COPY (infra.*) \S+$", DOCKERFILE, re.M):
        assert set(line.split()) <= set(kept)


# Compose


@pytest.mark.medium
def test_the_compose_files_are_compose_files() -> None:
    files = (DEPLOY / "compose.yaml", DEPLOY / "compose.gpu.yaml")
    tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", *files)
    for service in COMPOSE["services"].values():
        assert re.fullmatch(r"[\w/]+:v?\d+\.\d+(\.\d+)?(-\w+)?", service["image"])
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or source.startswith("${") or (DEPLOY / source).exists()
        for name, value in service.get("environment", {}).items():
            assert not SECRET.search(name) or re.fullmatch(r"\$\{\w+(:\?[^}]*)?\}", value), name
    assert f"vinbatch:{VERSION}-cpu" == COMPOSE["services"]["worker"]["image"]
    variables = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text("utf-8"))) - {
        "DOCUMENTS",
        "ROWS",
    }
    assert variables == set(re.findall(r"^(\w+)=$", (DEPLOY / ".env.example").read_text("utf-8"), re.M))
    assert ".env" in (lock.ROOT / ".gitignore").read_text("utf-8").splitlines()


@pytest.mark.medium
def test_the_compose_services_find_each_other() -> None:
    services = COMPOSE["services"]
    start = options_of("ray start", services["worker"]["command"])
    scraped = yaml.safe_load((DEPLOY / "prometheus.yml").read_text("utf-8"))["scrape_configs"][0]
    assert scraped["static_configs"] == [{"targets": [f"worker:{start['metrics_export_port']}"]}]
    assert scraped["honor_labels"]  # else Prometheus renames our label `job`
    submit = options_of("ray job submit", services["job"]["command"])
    assert submit["address"] == f"http://worker:{start['dashboard_port']}"
    environment = services["worker"]["environment"]
    assert environment["VINBATCH_SOURCE__S3_ENDPOINT"] == f"http://s3{services['s3']['command'][1]}"
    provisioned = yaml.safe_load(
        (DEPLOY / "grafana/provisioning/dashboards/vinbatch.yaml").read_text("utf-8")
    )
    shown = next(volume for volume in services["grafana"]["volumes"] if "vinbatch.json" in volume)
    assert shown.split(":")[1].startswith(provisioned["providers"][0]["options"]["path"])
    mounted = next(volume for volume in services["worker"]["volumes"] if "job.toml" in volume)
    assert mounted.split(":")[1] in services["job"]["command"]


# Ray's cluster launcher


def test_rays_own_reader_takes_the_launchers_file() -> None:
    from ray.autoscaler._private.util import fillout_defaults, validate_config

    given = yaml.safe_load((DEPLOY / "aws-spot.yaml").read_text("utf-8"))
    config = fillout_defaults(given)
    validate_config(config)
    spot = config["available_node_types"]["l4-spot"]
    assert spot["labels"] == {"ray.io/accelerator-type": "L4", "ray.io/market-type": "spot"}
    for kind in config["available_node_types"].values():
        assert "instance-profile" in kind["node_config"]["IamInstanceProfile"]["Arn"]
    for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        start = commands[-1].split("ray start ")[1].replace("$RAY_HEAD_IP", "10.0.0.1")
        options_of("ray start", shlex.split(start))
        assert "RAY_AUTH_MODE=token" in commands[-1]
    assert config["docker"]["image"].endswith(f":{VERSION}-cpu")
