"""What a tuned checkpoint is, in words and figures: the README.md beside its weights."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_LIBRARIES = ("torch", "peft", "safetensors", "tokenizers")


def text(facts: Mapping[str, Any]) -> str:
    """The card, Markdown with the metadata that model hubs read. `facts` as `run.tune` gathers them."""
    rows = "\n".join(f"| {name} | {_cell(value)} |" for name, value in facts["about"].items())
    scores = "\n".join(
        f"| {name} | {_share(before)} | {_share(after)} | {_between(after)} "
        f"| {after['pages']} | {after['values']} |"
        for name, (before, after) in facts["scores"].items()
    )
    table = (
        "| set | F1 before | F1 after | recall after, 95% | pages | values |\n|---|---|---|---|---|---|\n"
        + scores
        if scores
        else "No page was held out whose values are known: nothing is known of what it reads."
    )
    return f"""---
library_name: peft
base_model: {json.dumps(facts["base"], ensure_ascii=False)}
pipeline_tag: image-text-to-text
language: [vi]
---
# {facts["name"]}

Made by `vinbatch tune` out of `{facts["base"]}`. Its scores hold for pages like those that were held out,
and for no others; a calibration of the base does not hold for it.

| | |
|---|---|
{rows}

## What it reads

{table}

Values are compared in their normal form, read by the product's own engine, prompt and grammar.

## Settings

```json
{json.dumps(facts["settings"], indent=1)}
```
"""


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _share(score: Mapping[str, Any] | None) -> str:
    return "–" if score is None else f"{score['f1']:.3f}"


def _between(score: Mapping[str, Any]) -> str:
    between = score["recall_95"]
    return "–" if between is None else f"{between[0]:.3f} to {between[1]:.3f}"


def software() -> dict[str, str]:
    """This program with its commit, where it is a checkout, and what it stands on."""
    found = {"Vinbatch": _version("vinbatch"), "commit": commit() or "not known"}
    return found | {name: _version(name) for name in _LIBRARIES}


def commit() -> str | None:
    """Of the checkout that this program is, with + where it was changed since; None where it is none."""
    home = Path(__file__).resolve().parents[2]
    if not (home / ".git").exists():
        return None
    try:
        told = [
            subprocess.run(
                ["git", "-C", str(home), *words], capture_output=True, text=True, timeout=20, check=True
            )
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    return told[0].stdout.strip() + ("+" if told[1].stdout.strip() else "")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
