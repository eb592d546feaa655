"""Where a checkpoint's files are, and which of them decide what the model says.

A checkpoint is named by a directory, by a Hugging Face hub id, or by `demo` (the small model in the
checkout). Code and pickles in it are never read.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pipeline.errors import Unavailable, UsageError

DEMO = Path(__file__).resolve().parents[2] / "infra" / "demo_model" / "checkpoint"
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
TEXT_FILES = (  # read where they exist; together with the weights they decide every result
    "config.json",
    "profile.json",
    INDEX,
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
    "tokenizer.json",
)


def locate(name: str | Path) -> Path:
    """The directory of `name`; a hub id is downloaded (or found in the cache).

    Raises UsageError, and Unavailable when the hub does not give it.
    """
    if str(name) == "demo":
        if not (DEMO / "config.json").is_file():
            raise UsageError(f"the demo model is not in this checkout ({DEMO})")
        return DEMO
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    parts = str(name).split("/")
    if len(parts) != 2 or not all(parts) or str(name).startswith((".", "/", "~")):
        raise UsageError(f"model {str(name)!r} is neither a directory, nor a hub id (owner/name), nor 'demo'")
    return _from_hub(str(name))


def weight_files(directory: Path) -> list[Path]:
    """The safetensors files, in the order of their names. Raises UsageError where there are none."""
    index = directory / INDEX
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise UsageError(f"{index} is no index of safetensors shards: {error!r}") from None
        bad = [name for name in names if not isinstance(name, str) or Path(name).name != name]
        if bad:
            raise UsageError(f"{index}: shard {bad[0]!r} is not a file beside it")
        missing = [name for name in names if not (directory / name).is_file()]
        if missing:
            raise UsageError(
                f"{directory / missing[0]} is missing (named by {INDEX}); fetch the checkpoint again"
            )
        return [directory / name for name in names]
    if (directory / SINGLE).is_file():
        return [directory / SINGLE]
    pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in directory.glob(pattern))
    if pickles:
        raise UsageError(
            f"{directory}: only {pickles[0]}, a pickle, which could run code while loading; "
            f"convert it to {SINGLE} where you trust it"
        )
    raise UsageError(f"{directory}: no {SINGLE} and no {INDEX}")


def digest(directory: Path) -> str:
    """sha256 (hex) over names and contents of all files that decide what the model says; 1 s a gigabyte."""
    total = hashlib.sha256()
    texts = [directory / name for name in TEXT_FILES if (directory / name).is_file()]
    for path in texts + weight_files(directory):
        with path.open("rb") as file:
            total.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def _from_hub(repository: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, allow_patterns=[*TEXT_FILES, "*.safetensors"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise Unavailable(
            f"cannot fetch {repository} from the Hugging Face hub ({type(error).__name__}: {reason}). By "
            f"hand: where there is a network, run `hf download {repository} --local-dir DIR --include "
            f"'*.json' '*.txt' '*.safetensors'`, copy DIR here, and give DIR as the model"
        ) from None
