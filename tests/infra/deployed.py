"""What infra/deploy holds, as the tools read it."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import typer
import yaml

from infra import lock
from workers import cli

DEPLOY = lock.ROOT / "infra" / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
OVERLAYS = sorted(path.parent.name for path in KUBERNETES.glob("overlays/*/kustomization.yaml"))
DOCKERFILE = (DEPLOY / "Dockerfile").read_text("utf-8")
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
VERSION = metadata.version("vinbatch")


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
    parsed: dict[str, Any] = found.make_context(command, [*given]).params
    return parsed
