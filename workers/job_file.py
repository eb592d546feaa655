"""A job as a file: what to read, as what, into which store, and where the rows go afterwards.

    sources = ["s3://bucket/cards/"]
    schema = "id_card@1"
    model = "5CD-AI/Vintern-1B-v3_5"
    job = "cards"
    targets = ["s3://bucket/rows/"]

    [lane]
    readers = 2

The first words are the arguments of `vinbatch run`, the tables are the settings of vinbatch.toml. What is
typed beside the file wins over it, and the file over VINBATCH_* and vinbatch.toml. Paths are those of the
folder where the command is typed. A password has no place in it: leave `store` out and set VINBATCH_STORE.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from pipeline import settings as all_settings
from pipeline.errors import UsageError
from pipeline.settings import Settings
from pipeline.store.export import format_of
from workers.job import JobRequest


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class JobFile:
    """What a file says, and what was typed beside it. None and nothing: neither says it."""

    sources: list[str] = field(default_factory=list)
    schema: str | None = None
    model: str | None = None
    job: str | None = None
    targets: list[str] = field(default_factory=list)  # files, folders and s3:// that get the rows
    replicas: Annotated[int | None, Field(ge=1)] = None
    gpus_per_replica: Annotated[float | None, Field(ge=0)] = None
    address: str | None = None
    limit: Annotated[int | None, Field(ge=1)] = None
    any_schema: bool = False
    accept_failures: bool = False  # documents that failed for good are no reason for another try
    on_finish: str | None = None
    shadow: str | None = None  # a candidate model, which reads a share of the documents too
    share: Annotated[float | None, Field(gt=0, le=1)] = None
    settings: dict[str, Any] = field(default_factory=dict)  # the file's tables and `store`

    def under(self, **typed: Any) -> JobFile:
        """With what was typed in place of what the file says."""
        return replace(
            self, **{name: value for name, value in typed.items() if value not in (None, [], False)}
        )

    def request(self, settings: Settings) -> JobRequest:
        """What is to be run. Raises UsageError where sources, schema or model are missing, or a target is of
        no format that rows can be written in.
        """
        for target in self.targets:
            format_of(target)
        return JobRequest(
            sources=tuple(self.sources or _missing("a SOURCE", "sources")),
            schema=self.schema or _missing("--schema", "a schema"),
            model=self.model or _missing("--model", "a model"),
            settings=settings,
            name=self.job,
            replicas=self.replicas,
            gpus_per_replica=self.gpus_per_replica,
            address=self.address,
            limit=self.limit,
            any_schema=self.any_schema,
        )


def _missing(flag: str, word: str) -> NoReturn:
    raise UsageError(f"run wants {flag}, or a --file with {word}")


def read(path: Path) -> JobFile:
    """Raises UsageError in one line, naming the file and the key."""
    try:
        said = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"the job file {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the job file {path} is not TOML: {error}") from None
    ours = {name for name in JobFile.__dataclass_fields__ if name != "settings"}
    known = ours | set(all_settings.names())
    for key in _keys(said, known):
        near = get_close_matches(key, sorted(known), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"the job file {path} has {key}, which is no word of a job and no setting{hint}")
    words = {name: value for name, value in said.items() if name in ours}
    settings = {name: value for name, value in said.items() if name not in ours}
    try:
        return TypeAdapter(JobFile).validate_python(words | {"settings": settings})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise UsageError(f"the job file {path}: {wrong}") from None


def _keys(said: Mapping[str, Any], known: set[str], prefix: str = "") -> Iterator[str]:
    """Every key that is not known, down to the settings' own values."""
    for name, value in said.items():
        key = prefix + name
        if key not in known:
            yield key
        elif isinstance(value, dict) and any(other.startswith(f"{key}.") for other in known):
            yield from _keys(value, known, f"{key}.")
