"""What kubectl makes of the overlays is what Kubernetes and KubeRay take, and its parts fit each other."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from infra import lock
from pipeline import settings
from tests.infra import kuberay
from tests.infra.deployed import OVERLAYS, VERSION, of_kuberay, options_of, rendered
from workers import job_file

pytestmark = pytest.mark.medium


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
