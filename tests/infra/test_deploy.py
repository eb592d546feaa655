"""What infra/deploy holds is what its tools accept, and names nothing that the code does not read."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import promql_parser
import pytest
import ray
import typer
import yaml

from infra import lock
from pipeline import settings
from tests.infra import kuberay
from workers import cli, job_file, metrics

DEPLOY = lock.ROOT / "infra" / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
OVERLAYS = sorted(path.parent.name for path in KUBERNETES.glob("overlays/*/kustomization.yaml"))
DOCKERFILE = (DEPLOY / "Dockerfile").read_text("utf-8")
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
VERSION = metadata.version("vinbatch")
FOR_OTHERS = {"wget", "rsync"}  # system packages that KubeRay and Ray's cluster launcher ask for
SECRET = re.compile(r"PASSWORD|TOKEN|SECRET|KEY", re.IGNORECASE)
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


def tool(name: str, *arguments: object) -> str:
    """What a tool beside the interpreter says; fails unless it is content."""
    command = [str(Path(sys.executable).with_name(name)), *map(str, arguments)]
    done = subprocess.run(command, cwd=lock.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@cache
def rendered(overlay: str) -> tuple[Any, ...]:
    return tuple(yaml.safe_load_all(tool("kubectl", "kustomize", KUBERNETES / "overlays" / overlay)))


def of_kuberay(overlay: str) -> Any:
    (found,) = (thing for thing in rendered(overlay) if thing["apiVersion"] == "ray.io/v1")
    return found


# The image


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


# Kubernetes


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_what_kubernetes_and_kuberay_take(overlay: str) -> None:
    for thing in rendered(overlay):
        if thing["apiVersion"] != "ray.io/v1":
            kubernetes_validate.validate(thing, kubernetes_validate.latest_version(), strict=True)
            assert thing["kind"] != "Secret"
    found = of_kuberay(overlay)
    kuberay.check(found)
    for template in kuberay.templates(found):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {**template["metadata"], "name": "x"}}
        kubernetes_validate.validate(
            pod | {"spec": template["spec"]}, kubernetes_validate.latest_version(), strict=True
        )
        assert "restartPolicy" not in template["spec"]  # the second autoscaler replaces pods itself
        assert template["spec"]["securityContext"]["runAsNonRoot"]
        for container in template["spec"]["containers"]:
            assert re.fullmatch(rf"registry\.example\.com/vinbatch:{VERSION}-(cuda|cpu)", container["image"])
            assert container["securityContext"]["readOnlyRootFilesystem"]
            for variable in container.get("env", ()):
                assert "secretKeyRef" in variable["valueFrom"]
    cluster = kuberay.cluster_of(found)
    assert {cluster["rayVersion"]} == lock.pins(lock.LOCK.read_text("utf-8"))["ray"]
    assert cluster["authOptions"]["mode"] == "token" and cluster["autoscalerOptions"]["version"] == "v2"
    assert cluster["headGroupSpec"]["resources"] == {"CPU": "0"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlays_pods_can_do_their_job(overlay: str, tmp_path: Path) -> None:
    """The job file is one, is where the command looks for it, and asks for machines that there are."""
    things = {thing["kind"]: thing for thing in rendered(overlay)}
    found = of_kuberay(overlay)
    head, workers = kuberay.templates(found)[0], kuberay.cluster_of(found)["workerGroupSpecs"][0]
    (volume,) = (one for one in head["spec"]["volumes"] if "configMap" in one)
    assert volume["configMap"]["name"] == things["ConfigMap"]["metadata"]["name"]
    (mount,) = (one for one in head["spec"]["containers"][0]["volumeMounts"] if one["name"] == volume["name"])
    (tmp_path / "job.toml").write_text(things["ConfigMap"]["data"]["job.toml"], "utf-8")
    asked = job_file.read(tmp_path / "job.toml")
    loaded = settings.load(**asked.settings)
    asked.request(loaded)
    selector = loaded.lane.label_selector
    assert selector == workers.get("labels", {})
    if "spot" in overlay:
        assert selector["ray.io/market-type"] == "spot" and "ray.io/accelerator-type" in selector
    gpus = workers["template"]["spec"]["containers"][0]["resources"]["limits"].get("nvidia.com/gpu", "0")
    assert float(gpus) == asked.gpus_per_replica and (asked.replicas or 0) <= workers["maxReplicas"]
    grace = loaded.lane.grace_seconds
    for template in kuberay.templates(found):
        assert template["spec"]["terminationGracePeriodSeconds"] > grace + 10
    job = kuberay.job_of(found)
    if job is not None:
        typed = options_of("vinbatch run", shlex.split(job["entrypoint"])[2:])
        assert typed["file"] == Path(mount["mountPath"]) / "job.toml" and typed["accept_failures"]
        waits = yaml.safe_load(job["runtimeEnvYAML"])["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"]
        assert float(waits) > grace + 10


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlays_ports_are_those_of_its_processes(overlay: str) -> None:
    (policy,) = (thing for thing in rendered(overlay) if thing["kind"] == "NetworkPolicy")
    let_in = {port["port"] for rule in policy["spec"]["ingress"] for port in rule.get("ports", ())}
    cluster = kuberay.cluster_of(of_kuberay(overlay))
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        start = {f"--{name}={value}" for name, value in group["rayStartParams"].items()}
        metrics_port = options_of("ray start", sorted(start))["metrics_export_port"]
        named = {
            one["name"]: one["containerPort"] for one in group["template"]["spec"]["containers"][0]["ports"]
        }
        assert named["metrics"] == metrics_port and metrics_port in let_in
        assert group["template"]["metadata"]["annotations"]["prometheus.io/port"] == str(metrics_port)
        if group is groups[0]:
            assert named["dashboard"] == options_of("ray start", [])["dashboard_port"]
    assert let_in == {8265, 8080}


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


# What they name


def options_of(command: str, arguments: list[str]) -> dict[str, Any]:
    """The options as the program itself parses them. Raises where it would not."""
    program, *names = command.split()
    if program == "vinbatch":
        found: Any = typer.main.get_command(cli.app)
    else:
        from ray.scripts import scripts

        found = scripts.cli
    for name in names:
        found = found.commands[name]
    given = arguments[1:] if arguments[:1] == names[-1:] else arguments
    context = found.make_context(command, [*given])
    assert isinstance(context, click.Context) or context.params
    parsed: dict[str, Any] = context.params
    return parsed


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
