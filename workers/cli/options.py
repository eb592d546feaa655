"""Flags that several commands share, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pipeline.settings import Settings
    from pipeline.store import Store
    from schemas.registry import SchemaSpec

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE…", help="s3://BUCKET/PREFIX, folder, glob, file, manifest (JSONL, CSV), zip or tar."
    ),
]
JobName = Annotated[str, typer.Option("--job", help="Name of the job.")]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="FILE.db, sqlite:///FILE.db or postgresql://… [default: VINBATCH_STORE, else sqlite:///vinbatch.db]",
    ),
]
S3Endpoint = Annotated[
    str | None, typer.Option("--s3-endpoint", metavar="URL", help="An S3 server other than Amazon's.")
]
TrustManifests = Annotated[
    bool,
    typer.Option(
        "--trust-manifests", help="Manifests and links may name files and buckets other than their own."
    ),
]
AnySchema = Annotated[
    bool, typer.Option("--any-schema", help="Also a schema that the model does not say it reads.")
]
Include = Annotated[
    list[str] | None,
    typer.Option(
        "--include",
        metavar="GLOB",
        help="Only documents of such names (*.pdf), or paths below the source (2026/**); may be repeated.",
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="GLOB", help="Leave such names or paths out; may be repeated."),
]
TrustAnchors = Annotated[
    Path | None,
    typer.Option(
        "--trust-anchors",
        metavar="FOLDER",
        help="Certificates of the issuers whose signatures on e-invoices are trusted.",
    ),
]
Group = Annotated[
    list[str] | None,
    typer.Option(
        "--group",
        metavar="PATTERN",
        help="Files that are one document: {id}-front.jpg,{id}-back.jpg; archive: all of one zip or tar; "
        "none: not even a PDF and an XML of one name, which else always are. May be repeated.",
    ),
]
SecondReader = Annotated[
    bool,
    typer.Option(
        "--second-reader",
        help="Also read pages with RapidOCR and Tesseract, as evidence; takes seconds a page.",
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="openai:URL",
        help="A server that speaks OpenAI's protocol reads the pages (openai:http://HOST:8000/v1): they are "
        "sent there. --model: as it calls the model; its key: VINBATCH_SERVER_KEY. [default: our own engine]",
    ),
]
Weight = Annotated[
    float | None,
    typer.Option(
        "--weight",
        help="Share of the cluster's lanes beside other jobs of the store with its priority [default: 1]",
    ),
]
Priority = Annotated[
    int | None,
    typer.Option(
        "--priority", help="Jobs of a higher one get lanes first, lower ones yield them [default: 0]"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
JsonToo = Annotated[bool, typer.Option("--json", help="JSON instead of sentences.")]


def settings(
    store: str | None = None,
    s3_endpoint: str | None = None,
    *,
    trust_manifests: bool = False,
    include: list[str] | None = None,
    exclude: list[str] | None = None,
    trust_anchors: Path | None = None,
    group: list[str] | None = None,
    second_reader: bool = False,
    engine: str | None = None,
    weight: float | None = None,
    priority: int | None = None,
    under: Mapping[str, Any] | None = None,
) -> Settings:
    """Defaults < vinbatch.toml < VINBATCH_* < `under`, a job file's < these flags. Raises UsageError."""
    from pipeline.settings import load

    flags: dict[str, object] = {}
    if store is not None:
        flags["store"] = store
    source: dict[str, object] = {"s3_endpoint": s3_endpoint} if s3_endpoint is not None else {}
    if trust_manifests:
        source["trust_manifests"] = True
    given = (("include", include), ("exclude", exclude), ("group", group))
    source |= {name: globs for name, globs in given if globs}
    if source:
        flags["source"] = source
    if second_reader:
        flags["second_reader"] = {"on": True}
    if engine is not None:
        flags["server"] = {"url": _server(engine)}
    if trust_anchors is not None:
        flags["trust_anchors"] = trust_anchors
    share = {"weight": weight, "priority": priority}
    if any(given is not None for given in share.values()):
        flags["share"] = {name: given for name, given in share.items() if given is not None}
    return load(**_over(under or {}, flags))


def _server(engine: str) -> str:
    """The URL of `openai:URL`. Raises UsageError."""
    from pipeline.errors import UsageError

    protocol, colon, url = engine.partition(":")
    if protocol != "openai" or not colon or not url:
        raise UsageError(
            "--engine is openai:URL, like openai:http://127.0.0.1:8000/v1; leave it out for our own"
        )
    return url


def _over(under: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """Both, and the flags' values where both have one."""
    both = {**under, **flags}
    for name in under.keys() & flags.keys():
        if isinstance(under[name], Mapping) and isinstance(flags[name], Mapping):
            both[name] = _over(under[name], flags[name])
    return both


def opened(store: str | None) -> Store:
    """The store as it is, for commands that read what a run has made."""
    from pipeline import store as stores

    return stores.open(settings(store).store, create=False)


def schema(name: str) -> SchemaSpec:
    """The schema under the law of the settings. Raises UsageError."""
    from pipeline.errors import UsageError
    from schemas import registry

    try:
        return registry.resolve(name, settings().law)
    except registry.SchemaError as error:
        raise UsageError(str(error)) from error


def moved(to: str | None) -> Callable[[str], SchemaSpec]:
    """Finds schemas by the names that a data set has for them; those of a file at `to`, if that is given."""
    return lambda name: schema(to if to is not None and ":" in name else name)


@contextmanager
def extra(name: str) -> Iterator[None]:
    """For imports that need an extra of the distribution. Raises Unavailable, saying what to install."""
    from pipeline.errors import Unavailable

    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "pipeline", "schemas", "workers"):
            raise
        raise Unavailable(
            f"{package} is not installed: pip install 'vinbatch[{name}]'; in a checkout infra/setup.sh app"
        ) from error
