"""A job whose pages a server reads: what is settled and said before lanes ask it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline import grammar, prompt
from pipeline.errors import UsageError
from pipeline.remote import facts
from pipeline.remote.facts import ServedModel

if TYPE_CHECKING:
    from schemas.registry import SchemaSpec
    from workers.job import JobRequest


def followed(request: JobRequest) -> JobRequest:
    """The request as far as a server can follow it. Raises UsageError for what it cannot."""
    if request.settings.server.url is None:
        return request
    if request.gpus_per_replica:
        raise UsageError("--gpus-per-replica is for our own engine: a server has GPUs of its own")
    return replace(request, settings=facts.followed(request.settings), gpus_per_replica=0)


def key() -> str | None:
    """From the environment alone."""
    return os.environ.get(facts.KEY) or None


def greet(
    request: JobRequest,
    schema: SchemaSpec,
    say: Callable[[str], None],
    stop: threading.Event,
    *,
    only_say: bool,
) -> None:
    """Say where pages go and, unless lanes elsewhere or a run before have seen to it, see whether the server
    can read them. Raises UsageError where it cannot, and Unavailable where it stays away.
    """
    model = ServedModel.of(request.model, request.settings)
    if model is None:
        return
    say(model.leaving)
    if only_say or request.address is not None:
        return
    from pipeline.remote.server import Server

    server = Server(
        model,
        request.settings.server,
        key(),
        patience=request.settings.lane.patience_seconds,
        notify=say,
        interrupt=stop,
    )
    with closing(server):
        server.greet(prompt.build(schema), grammar.of(schema))
    if not server.tells_confidence:
        say("the server tells no probabilities (logprobs): values have no confidence, and all go to review")
