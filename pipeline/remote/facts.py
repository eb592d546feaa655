"""What a job must know of a server: the name of its checkpoint, its numerics, which settings it follows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pipeline.errors import UsageError
from pipeline.keys import ModelFacts
from pipeline.numerics import REMOTE
from pipeline.printable import printable
from pipeline.remote.address import Address
from pipeline.remote.question import VERSION
from pipeline.settings import Settings

KEY = "VINBATCH_SERVER_KEY"  # the environment's variable with the server's key
ENGINE = "openai:"  # what stands before the URL on a command line
_MAX_TILES = 6  # as the models of the InternVL family were trained
_WITHOUT = ", without logprobs"


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model by its name on a server. Raises UsageError for a name or a URL that cannot be used.

    `system` is the message that comes before each question; None: what the server has for it.
    """

    url: str
    name: str
    system: str | None = None

    def __post_init__(self) -> None:
        if not self.name or not self.name.isprintable() or " " in self.name or ";" in self.name:
            raise UsageError(f"model {printable(self.name)!r}: give the name that the server has for it")
        self.address(None).check()

    @classmethod
    def of(cls, model: str, settings: Settings) -> ServedModel | None:
        """None where the settings name no server: `model` is a checkpoint then."""
        server = settings.server
        return None if server.url is None else cls(server.url.rstrip("/"), model, server.system)

    def address(self, key: str | None) -> Address:
        return Address(self.url, key, KEY)

    @property
    def checkpoint(self) -> str:
        """What stands for the hash of a checkpoint: which weights a server has, only its owner knows."""
        return hashlib.sha256(f"{REMOTE} openai {self.url} {self.name}".encode()).hexdigest()

    def numerics(self, *, logprobs: bool) -> str:
        told = ""
        if self.system is not None:
            told = f", system message {hashlib.sha256(self.system.encode()).hexdigest()[:16]}"
        how = f", asked by form {VERSION}{told}{'' if logprobs else _WITHOUT}"
        return f"{REMOTE} openai {self.url} model {self.name}{how}"

    def facts(self, numerics: str) -> ModelFacts:
        """Of pages that are read with these numerics. How much context a server has is not known."""
        return ModelFacts(self.checkpoint, _MAX_TILES, numerics)

    def earlier(self, numerics: str) -> ModelFacts | None:
        """The same of pages read before; None where this server was asked otherwise then."""
        now = [self.numerics(logprobs=told) for told in (True, False)]
        return self.facts(numerics) if numerics in now else None

    @property
    def about(self) -> str:
        """For people."""
        return f"{self.name} at {ENGINE}{self.url}"

    @property
    def leaving(self) -> str:
        """One line on where pages go."""
        address = self.address(None)
        if address.is_here:
            return f"pages are read by {self.name} at {address.host}, which is this machine"
        return (
            f"pages leave this machine: they are sent as pictures to {address.host} and read by {self.name}"
        )


def followed(settings: Settings) -> Settings:
    """The settings as far as a server can follow them: it tells neither where it looked nor what it was
    forced to, so there are no boxes of its own and no second look.
    """
    engine = settings.engine.model_copy(update={"place": False})
    return settings.model_copy(update={"engine": engine, "second_look": 0.0})
