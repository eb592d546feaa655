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
from contextlib import ExitStack
from dataclasses import replace
from os import PathLike, fspath
from types import TracebackType
from typing import TYPE_CHECKING

from pydantic import BaseModel

from pipeline import grammar, run
from pipeline.errors import Permanent, Reason, Transient, UsageError
from pipeline.recipe import Recipe
from pipeline.records import Document, Extraction, Failure
from pipeline.render import Renderer
from pipeline.settings import Settings, load
from pipeline.trust import packaged
from pipeline.vintern import checkpoint  # brings no torch
from schemas import registry

if TYPE_CHECKING:
    from schemas.registry import SchemaSpec


class Reader:
    """A model that is loaded once, and reads one document after the other. For one thread at a time.

    `schema` is a pydantic model, or what the command line takes: "invoice@2", "FILE.py:Model". `model` is
    "demo", a hub id or a folder. `settings` are those of a run; without them vinbatch.toml and the
    environment count as they do there. Raises UsageError for what cannot be used, in one line.
    """

    def __init__(
        self, schema: str | type[BaseModel], model: str = "demo", *, settings: Settings | None = None
    ) -> None:
        from pipeline.vintern.engine import Engine  # brings torch
        from pipeline.vintern.facts import model_facts
        from pipeline.vintern.model import load as load_model

        settings = settings or load()
        self._spec = _spec(schema, settings)
        engine = settings.engine
        self._engine = Engine(
            load_model(
                model, dtype=engine.computed_in, device=engine.device, context_length=engine.context_length
            ),
            engine,
        )
        self._engine.learn(grammar.compile(self._spec, self._engine.model.config.answer_form))
        facts = model_facts(self._engine, self._spec)
        name = f"{self._spec.name}@{self._spec.version}"
        trust = packaged.in_force(checkpoint.locate(model), name, facts.checkpoint_hash, settings.accept_at)
        self._recipe = replace(Recipe.of(self._spec, settings, facts), trust=trust)
        self._open = ExitStack()
        self._renderer = self._open.enter_context(Renderer(settings.render, settings.second_reader))

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

    def _result(self, document: str | PathLike[str] | bytes) -> run.DocumentResult:
        if not isinstance(document, bytes):
            uri = fspath(document)
            return run.document(uri, self._recipe, self._engine.generate, renderer=self._renderer)
        if not document:
            raise Permanent(Reason.empty_file, "the document has no bytes")
        sha256 = hashlib.sha256(document).hexdigest()
        given = Document(f"bytes {sha256[:12]}", document, sha256, None)
        return run.document_at_hand(given, self._recipe, self._engine.generate, self._renderer)

    def close(self) -> None:
        """End the child process that decodes documents."""
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
