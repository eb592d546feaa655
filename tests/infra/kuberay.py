"""Schemas of KubeRay's objects, of the fields that our files use: written from the reference of KubeRay 1.6.

Any other field is an error, so that a wrong name is found. With the folder of KubeRay's own definitions in
KUBERAY_CRDS (`ray-operator/config/crd/bases` in its repository), these are asked too.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import jsonschema
import yaml

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
COUNT: Schema = {"type": "integer", "minimum": 0}
ANY: Schema = {"type": "object"}  # a part of a pod, which Kubernetes' own schema judges


def record(*required: str, **fields: Schema) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": fields,
    }


HEAD = record("rayStartParams", "template", rayStartParams=TEXTS, template=ANY, resources=TEXTS, labels=TEXTS)
WORKERS = record(
    "groupName",
    "minReplicas",
    "maxReplicas",
    "rayStartParams",
    "template",
    groupName=TEXT,
    replicas=COUNT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    idleTimeoutSeconds=COUNT,
    rayStartParams=TEXTS,
    template=ANY,
    resources=TEXTS,
    labels=TEXTS,
)
AUTOSCALER = record(
    version={"enum": ["v1", "v2"]},
    idleTimeoutSeconds=COUNT,
    upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
    resources=ANY,
)
CLUSTER = record(
    "headGroupSpec",
    rayVersion=TEXT,
    enableInTreeAutoscaling={"type": "boolean"},
    autoscalerOptions=AUTOSCALER,
    authOptions=record(mode={"enum": ["disabled", "token"]}, secretName=TEXT),
    headGroupSpec=HEAD,
    workerGroupSpecs={"type": "array", "items": WORKERS},
)
JOB = record(
    "entrypoint",
    "rayClusterSpec",
    entrypoint=TEXT,
    runtimeEnvYAML=TEXT,
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
    backoffLimit=COUNT,
    activeDeadlineSeconds=COUNT,
    shutdownAfterJobFinishes={"type": "boolean"},
    ttlSecondsAfterFinished=COUNT,
    rayClusterSpec=CLUSTER,
)
CRON = record("schedule", "jobTemplate", schedule=TEXT, jobTemplate=JOB)
SPECS = {"RayCluster": CLUSTER, "RayJob": JOB, "RayCronJob": CRON}


def check(thing: Schema) -> None:
    """Raises what is wrong with an object of KubeRay's."""
    head = record("name", name=TEXT, labels=TEXTS, annotations=TEXTS)
    whole = record(
        "apiVersion",
        "kind",
        "metadata",
        "spec",
        apiVersion={"const": "ray.io/v1"},
        kind=TEXT,
        metadata=head,
        spec=SPECS[thing["kind"]],
    )
    jsonschema.validate(thing, whole)
    folder = os.environ.get("KUBERAY_CRDS")
    if folder is not None:
        crd = yaml.safe_load((Path(folder) / f"ray.io_{thing['kind'].lower()}s.yaml").read_text("utf-8"))
        version = next(one for one in crd["spec"]["versions"] if one["name"] == "v1")
        jsonschema.validate(thing, closed(version["schema"]["openAPIV3Schema"]))


def closed(schema: Any) -> Any:
    """The same schema, for which a field that it does not name is an error, as for kubectl."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    if found.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
    if isinstance(found.get("properties"), dict) and "additionalProperties" not in found and "type" in found:
        found["additionalProperties"] = False
    return found


def job_of(thing: Schema) -> Schema | None:
    """The job of an object of KubeRay's; None of a cluster."""
    spec: Schema = thing["spec"]
    return {"RayJob": spec, "RayCronJob": spec.get("jobTemplate"), "RayCluster": None}[thing["kind"]]


def cluster_of(thing: Schema) -> Schema:
    job = job_of(thing)
    found: Schema = thing["spec"] if job is None else job["rayClusterSpec"]
    return found


def templates(thing: Schema) -> list[Schema]:
    """The pods of an object of KubeRay's, the head's first."""
    cluster = cluster_of(thing)
    return [cluster["headGroupSpec"]["template"], *(one["template"] for one in cluster["workerGroupSpecs"])]
