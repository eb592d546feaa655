"""Vinbatch as a library: documents read in this process, without Ray and without a store.

    from pipeline.api import Reader

    with Reader(schema="id_card@1", model="demo") as reader:
        card = reader.read("card.jpg")          # or bytes, or s3://BUCKET/KEY
        print(card.state, card.record["number"], card.fields[0].confidence)

For a notebook, a task of Airflow, or a service of one's own. The way of a page is that of a job; untrusted
bytes are decoded in the same confined child process. What was written by jobs is asked with `pipeline.store`.
"""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import ExitStack
from dataclasses import replace
from os import PathLike, fspath
from types import TracebackType
from typing import TYPE_CHECKING

from pydantic import BaseModel

from pipeline import grammar, prompt, run
from pipeline.errors import Permanent, Reason, Transient, UsageError
from pipeline.recipe import Recipe
from pipeline.records import Document, DocumentRef, Extraction, Failure
from pipeline.remote.facts import KEY, ServedModel, followed
from pipeline.settings import Settings, load
from pipeline.trust import packaged
from pipeline.vintern import checkpoint  # brings no torch
from schemas import registry

if TYPE_CHECKING:
    from schemas.registry import SchemaSpec

_LOG = logging.getLogger(__name__)


class Reader:
    """A model that is loaded once, and reads one document after the other. For one thread at a time.

    `schema` is a pydantic model, or what the command line takes: "invoice@2", "FILE.py:Model". `model` is
    "demo", a hub id or a folder. A task ("ocr@1", "ask@1:…") that the model does not say it knows is refused
    unless `any_schema`. `settings` are those of a run; without them vinbatch.toml and the
    environment count as they do there; with `server.url` in them a server has the `model`, by its name there.
    Raises UsageError for what cannot be used, in one line.
    """

    def __init__(
        self,
        schema: str | type[BaseModel],
        model: str = "demo",
        *,
        settings: Settings | None = None,
        any_schema: bool = False,
    ) -> None:
        settings = settings or load()
        self._spec = _spec(schema, settings)
        self._open = ExitStack()
        served = ServedModel.of(model, settings)
        if served is None:
            self._load(model, settings, any_schema=any_schema)
        else:
            self._greet(served, settings)
        self._renderer = self._open.enter_context(run.renderer_for(self._recipe))

    def _load(self, model: str, settings: Settings, *, any_schema: bool) -> None:
        """The model in this process."""
        from pipeline.vintern.engine import Engine  # brings torch
        from pipeline.vintern.facts import model_facts
        from pipeline.vintern.model import load as load_model

        if self._spec.task is not None and not any_schema:
            task = f"{self._spec.name}@{self._spec.version}"
            checkpoint.check_schema(model, checkpoint.locate(model, weights=False), task)
        chosen = settings.engine
        engine = Engine(
            load_model(
                model, dtype=chosen.computed_in, device=chosen.device, context_length=chosen.context_length
            ),
            chosen,
        )
        rules = grammar.of(self._spec, engine.model.config.answer_form)
        if rules is not None:
            engine.learn(rules)
        facts = model_facts(engine, self._spec)
        name = f"{self._spec.name}@{self._spec.version}"
        trust = packaged.in_force(checkpoint.locate(model), name, facts.checkpoint_hash, settings.accept_at)
        self._recipe = replace(Recipe.of(self._spec, settings, facts), trust=trust)
        self._generate: run.Generate = engine.generate

    def _greet(self, served: ServedModel, settings: Settings) -> None:
        """The model at a server."""
        from pipeline.remote.server import Server

        patience, key = settings.lane.patience_seconds, os.environ.get(KEY) or None
        server = Server(served, settings.server, key, patience=patience, notify=_LOG.warning)
        self._open.callback(server.close)
        facts = server.greet(prompt.build(self._spec), grammar.of(self._spec))
        self._recipe = Recipe.of(self._spec, followed(settings), facts)
        self._generate = server.generate

    def read(self, document: str | PathLike[str] | bytes) -> Extraction:
        """What a document says: a file by its path or URI, or its bytes.

        Doubt is in the result: its state is "review" where a check failed or a value is unsure, "partial"
        where some pages could not be read. Raises Permanent with the reason where nothing could be read, and
        Transient where another try may help.
        """
        outcome = self._result(document).outcome
        if isinstance(outcome, Failure):
            kind = Transient if outcome.retryable else Permanent
            raise kind(outcome.reason, outcome.message)
        return outcome

    def result(self, ref: DocumentRef) -> run.DocumentResult:
        """How a document ends that a listing named, of one file or several, with all of its pages."""
        return run.document(
            ref.uri, self._recipe, self._generate, ref.etag, parts=ref.parts, renderer=self._renderer
        )

    def _result(self, document: str | PathLike[str] | bytes) -> run.DocumentResult:
        if not isinstance(document, bytes):
            uri = fspath(document)
            return run.document(uri, self._recipe, self._generate, renderer=self._renderer)
        if not document:
            raise Permanent(Reason.empty_file, "the document has no bytes")
        sha256 = hashlib.sha256(document).hexdigest()
        given = Document(f"bytes {sha256[:12]}", document, sha256, None)
        return run.document_at_hand(given, self._recipe, self._generate, self._renderer)

    def close(self) -> None:
        """End the child process that decodes documents, and give back connections."""
        self._open.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _spec(schema: str | type[BaseModel], settings: Settings) -> SchemaSpec:
    try:
        if isinstance(schema, str):
            return registry.resolve(schema, settings.law)
        return registry.of_model(schema, law=settings.law)
    except registry.SchemaError as error:
        raise UsageError(str(error)) from error
