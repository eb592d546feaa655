"""Where a checkpoint's files are, and which of them decide what the model says.

A checkpoint is named by a directory, by a Hugging Face hub id with or without `@` and a revision (a branch,
tag or commit), or by `demo` (the small model that comes along). Code and pickles in it are never read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO, cast

from pipeline.errors import Unavailable, UsageError
from pipeline.printable import command

# In a checkout a link to infra/demo_model/checkpoint, in a wheel its files.
DEMO = Path(__file__).with_name("demo")
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


SCHEMAS = "schemas.json"  # which schemas the model reads, a list; it decides no result and is in no hash
CALIBRATION = (
    "calibration.json"  # what scores are made by (`pipeline.trust`); no more than that one is it hashed
)
_WANTED = [*TEXT_FILES, SCHEMAS, CALIBRATION, "*.safetensors"]
_HUB_ID = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w.][\w./-]*))?", re.ASCII)
_TOLD_SECONDS = 10.0  # between two lines about a download
_COMMIT = re.compile(r"[0-9a-f]{40}")


def check(name: str | Path) -> None:
    """Raises UsageError where `name` names no checkpoint; asks nobody."""
    if str(name) == "demo":
        if not (DEMO / "config.json").is_file():
            raise UsageError(f"the demo model is not installed ({DEMO})")
    elif not Path(name).expanduser().is_dir() and not _HUB_ID.fullmatch(str(name)):
        raise UsageError(
            f"model {str(name)!r} is neither a directory, nor a hub id (owner/name or owner/name@revision), "
            "nor 'demo'"
        )


def locate(name: str | Path, *, weights: bool = True) -> Path:
    """The directory of `name`; a hub model is downloaded (or found in the cache), if need be without weights.

    Raises UsageError, and Unavailable when the hub does not give it.
    """
    check(name)
    if str(name) == "demo":
        return DEMO
    path = Path(name).expanduser()
    hub = None if path.is_dir() else _HUB_ID.fullmatch(str(name))
    return path if hub is None else _from_hub(hub[1], hub[2], _WANTED if weights else TEXT_FILES)


def check_schema(name: str, directory: Path, schema: str) -> None:
    """Raises UsageError where the checkpoint in `directory` names what it reads, but not `schema`."""
    path = directory / SCHEMAS
    if not path.is_file():
        return
    try:
        reads = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}") from None
    if not isinstance(reads, list) or not all(isinstance(one, str) for one in reads):
        raise UsageError(f'{path} must be a list of schemas like ["id_card@1"]')
    if schema not in reads:
        raise UsageError(
            f"model {name} reads {', '.join(reads) or 'nothing'}, not {schema}: it would write down what "
            "does not stand there. Give another --model, or insist with --any-schema"
        )


def pinned(name: str, directory: Path) -> str:
    """`name`, located at `directory`, so that it means the same for ever: a hub model with its commit."""
    hub = _HUB_ID.fullmatch(name)
    if hub is None or Path(name).expanduser().is_dir() or not _COMMIT.fullmatch(directory.name):
        return name
    return f"{hub[1]}@{directory.name}"


def begun_with(name: str, earlier: str | None) -> str:
    """What `name` means in a job begun with `earlier`: without a revision, the commit of that time."""
    if earlier is not None and "@" not in name and earlier.startswith(f"{name}@"):
        return earlier
    return name


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


def _from_hub(repository: str, revision: str | None, wanted: Sequence[str]) -> Path:
    """The snapshot's directory, which bears the name of its commit."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    # What the HTTP client raises: that of httpx or httpx2, by the version of the hub's package.
    client_errors = cast(type[Exception], HfHubHTTPError.__bases__[0])
    try:
        return Path(
            snapshot_download(
                repository, revision=revision, allow_patterns=list(wanted), tqdm_class=_progress_in_lines()
            )
        )
    except (OSError, ValueError, client_errors) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise Unavailable(
            f"cannot fetch {repository} from the Hugging Face hub ({type(error).__name__}: {reason}). The "
            "same command again fetches what is missing. By hand: where there is a network, run "
            f"`{_by_hand(repository, revision)}`, copy DIR here, and give DIR as the model"
        ) from None


def _by_hand(repository: str, revision: str | None) -> str:
    """What to type; `--include` takes one pattern, what stands behind a second word is a file's name."""
    at = ["--revision", revision] if revision else []
    patterns = [word for kind in ("json", "txt", "safetensors") for word in ("--include", f"*.{kind}")]
    return command(["hf", "download", repository, *at, *patterns, "--local-dir", "DIR"])


def _progress_in_lines() -> Any:
    """The hub's progress bar as a line now and then, on whatever standard error is: no cursor is moved."""
    from huggingface_hub.utils.tqdm import tqdm

    class Lines(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "mininterval": _TOLD_SECONDS})  # type: ignore[no-untyped-call]

        def moveto(self, n: int) -> None:
            pass

        @staticmethod
        def status_printer(file: TextIO) -> Callable[[str], None]:
            return lambda line: print(line, file=file, flush=True)

    return Lines
