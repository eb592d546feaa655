"""A schema ready for a job: its printed shape, its rules, and a hash of all that can change a result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from schemas import reading_day, required
from schemas.checks import CheckResult, Rule, guarded
from schemas.evidence import Claim, Evidence
from schemas.law import Law, applied, built_in
from schemas.settle import Settled, settle
from schemas.shape import Group
from schemas.suspects import pointed
from schemas.task import Free, Task
from schemas.typed import Typed, instance, typed

Paper = Literal["card"]  # a kind of paper whose size and look are known


@dataclass(frozen=True, slots=True)
class SchemaSpec:
    """A schema ready for a job.

    name       "invoice"; the views are named after it
    version    1
    title      what kind of paper, in Vietnamese
    shape      labels and printed patterns
    hash       sha256, hex, of everything in the schema that can change a result
    page_hash  sha256, hex, of what can change the record of a page: as `hash`, but without the rules
    reference  what `resolve` finds it by again: "invoice@1" or "path/to/file.py:Model"
    law        dated rates and forms that its rules go by
    """

    name: str
    version: int
    title: str
    model: type[BaseModel]
    shape: Group
    hash: str
    page_hash: str = ""
    reference: str = ""
    law: Law = field(default_factory=built_in)

    def validate(self, record: Mapping[str, Any]) -> list[CheckResult]:
        """What pydantic says of the record: the model's own types, constraints and validators.

        Failed checks only. A value that a validator would change stays as it was read.
        """
        return list(guarded(_complaints, self.model, record))

    def checks(self, record: Mapping[str, Any], read_on: date | None = None) -> list[CheckResult]:
        """All rules of the schema, its `checks`, over a record of normalised JSON-ready values.

        `read_on` is the day on which it was read; None: rules about that day say nothing.
        """
        return self._ruled(instance(self.model, record), read_on)

    def _ruled(self, subject: BaseModel, read_on: date | None) -> list[CheckResult]:
        rules: Sequence[Rule] = class_var(self.model, "checks")
        equations: Sequence[Rule] = class_var(self.model, "equations")
        with applied(self.law), reading_day.being(read_on):
            said = {id(rule): list(guarded(rule, subject)) for rule in rules}
            found = [result for rule in rules for result in said[id(rule)]]
            if all(result.passed for result in found) or not equations:
                return found
            return pointed(subject, found, equations, getattr(self.model, "mends", None), said)

    def run_checks(
        self, record: Mapping[str, Any], read_on: date | None = None, *, expected: bool = True
    ) -> tuple[CheckResult, ...]:
        """Every check of the schema over a document's record of normalised, JSON-ready values.

        Nothing that a rule does stops the others: a rule that raises becomes a failed check that says so.
        `read_on`: as in `checks`. Without `expected`, what a paper bears by custom is not said to be missing.
        """
        subject = instance(self.model, record)
        kinds = tuple(kind for kind in required.SEVERITY if expected or kind != "expected")
        with applied(self.law):
            missing = list(guarded(required.missing, self.model, record, subject, kinds))
        return (*self.validate(record), *missing, *self._ruled(subject, read_on))

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The machine-readable parts that the schema knows, its `evidence`."""
        return class_var(self.model, "evidence")

    @property
    def paper(self) -> Paper | None:
        """What kind of paper its documents are, where the model says so: its `paper`."""
        return getattr(self.model, "paper", None) if "paper" in self.model.__class_vars__ else None

    @property
    def task(self) -> Task | None:
        """What its pages are asked instead of filling in a form: its `task`."""
        return getattr(self.model, "task", None) if "task" in self.model.__class_vars__ else None

    @property
    def free(self) -> bool:
        """Whether pages are answered in free text, without a grammar."""
        return issubclass(self.model, Free)

    @property
    def sources_of_authority(self) -> tuple[str, ...]:
        """The sources whose values are chosen before what was read, first things first."""
        return class_var(self.model, "sources_of_authority")

    @property
    def proofs(self) -> tuple[str, ...]:
        """Codes of those of its checks that bear out the values they look at, where they pass."""
        return class_var(self.model, "proofs")

    @property
    def identified_by(self) -> tuple[str, ...]:
        """The fields by which a document is known: pages that differ in two of them are of two documents."""
        return class_var(self.model, "identified_by")

    def claims(
        self, evidence: Evidence, record: Mapping[str, Any], text: str
    ) -> Iterator[Claim | CheckResult]:
        """What one part of a document says of the record's fields, and what is wrong with the part itself."""
        return guarded(evidence.says, instance(self.model, record), text)

    def settle(self, printed: Mapping[str, str]) -> Settled:
        """What ambiguous numbers of a document mean: `printed` holds each printed text by its path."""
        return settle(self.shape, printed)


def _complaints(model: type[BaseModel], record: Mapping[str, Any]) -> Iterator[CheckResult]:
    try:
        model.model_validate(_present(model, record), by_name=True, by_alias=False)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            path = _path(item["loc"])
            absent = item["type"] == "missing" or item["input"] is None
            message = "the schema requires it, and the paper does not show it" if absent else item["msg"]
            yield CheckResult(
                "schema",
                False,
                "error",
                f"{path or model.__name__}: {message}",
                (path,) if path else (),
                None,
                None if absent or not path else str(item["input"]),
            )


def _present(model: type[BaseModel], record: Mapping[str, Any]) -> dict[str, Any]:
    """The values for validation. An absent one is left out where the model has a default for it."""
    values: dict[str, Any] = {}
    for one in typed(model):
        value = record.get(one.name)
        if value is None:
            if one.required:
                values[one.name] = None
        elif one.listed:
            values[one.name] = [_validated(one, item) for item in value]
        else:
            values[one.name] = value if one.plain else _validated(one, value)
    return values


def _validated(typed: Typed, value: Any) -> Any:
    return _present(typed.model, value) if typed.model and value is not None else typed.value(value)


def _path(location: Sequence[int | str]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def class_var(model: type[BaseModel], name: str) -> tuple[Any, ...]:
    """A tuple that the model declares as `name: ClassVar`, empty where it declares none."""
    return tuple(getattr(model, name)) if name in model.__class_vars__ else ()
