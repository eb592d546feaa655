"""`vinbatch review`: a page in the browser where people decide on what is doubtful."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer

from pipeline.addresses import REVIEW_PORT, is_loopback
from pipeline.errors import UsageError
from workers import screen
from workers.cli import options
from workers.cli.options import S3Endpoint, StoreUrl

_WORDS = {"reviews": "to decide", "reads": "only to look"}


def review(
    job: Annotated[str | None, typer.Option("--job", help="[default: every job of the store]")] = None,
    url: StoreUrl = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = REVIEW_PORT,
    host: Annotated[
        str, typer.Option(help="Where to listen; other than this machine alone needs --token-file.")
    ] = "127.0.0.1",
    name: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="HOST", help="A name under which browsers ask; may be repeated."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="People, a line each of NAME ROLE TOKEN; a role is reads or reviews."
        ),
    ] = None,
    reviewer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Your name beside decisions. [default: your login]")
    ] = None,
    sample: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of the documents that passed by themselves to look at too."),
    ] = 0.02,
    schema: Annotated[
        str | None, typer.Option(help="Where the job's schema file is now. [default: where it was]")
    ] = None,
    s3_endpoint: S3Endpoint = None,
) -> None:
    """Look at doubtful documents in the browser: the page beside its values, by keyboard alone.

    It listens on this machine alone, and prints a link with a token of chance. What people decide stands
    beside what was read, with who and when, and is in all views and exports.
    """
    with options.extra("review"):
        from pipeline.review import access, serving
        from pipeline.review.app import application
        from pipeline.review.desk import Desk
        from pipeline.review.pictures import Pictures
    from pipeline.store import Job
    from schemas.registry import SchemaSpec

    if token_file is None and not is_loopback(host):
        raise UsageError(f"others could come to {host}: give --token-file with a token for each person")
    if token_file is not None and reviewer is not None:
        raise UsageError("--token-file has the names of all; --reviewer goes without it")
    people = access.from_file(token_file) if token_file else access.fresh(reviewer or getpass.getuser())

    def spec_of(one: Job) -> SchemaSpec:
        return options.schema(schema or one.schema_reference)

    with options.opened(url) as store:
        only = store.jobs.find(job) if job is not None else None
        if only is not None:
            store.jobs.rules(only.id, spec_of(only))  # raises UsageError before anybody comes
        listening = serving.bound(host, port)
        at = listening.getsockname()[1]
        hosts = [f"{known}:{at}" for known in _names(host, name or [])]
        pictures = Pictures(store, options.settings(url, s3_endpoint))

        def started() -> None:
            screen.say(f"review page of {store.url}; Ctrl-C ends it")
            if token_file is not None:
                screen.say(f"http://{hosts[0]}/ for the people of {token_file}")
                return
            for token, person in people.items():
                screen.say(f"{_WORDS[person.role]}: http://{hosts[0]}/?token={token}")

        try:
            desk = Desk(store, pictures, spec_of, only=only, share=sample)
            serving.serve(application(desk, access.Access(people, hosts)), listening, started)
        finally:
            pictures.close()


def _names(host: str, others: list[str]) -> list[str]:
    """What a browser may call us, the name for the link first."""
    if is_loopback(host):
        own = [f"[{host}]" if ":" in host else host, "localhost", "127.0.0.1", "[::1]"]
    else:
        own = [f"[{host}]" if ":" in host else host]
    return list(dict.fromkeys([*others, *own]))


COMMANDS = (review,)
