"""From a name to a schema: "invoice@1", "invoice" (the newest), or a user's "path/to/file.py:Model".

A user's file needs no registration. Beside its fields a model may hold

    checks: ClassVar = (add_up,)             rules over the record, see schemas/checks.py
    evidence: ClassVar = (Evidence(…),)      what its QR codes say of its fields, see schemas/evidence.py
    sources_of_authority: ClassVar = ("xml",)    whose value is chosen where it differs from what was read
    identified_by: ClassVar = ("number", "date")     two documents in one file differ in two of them at least
    required: ClassVar = ("number",)         its fields without which it is not whole, see schemas/required.py
    expected: ClassVar = ("tax_code",)       its fields that it bears by law or custom
    equations: ClassVar = (add_up,)          those of its checks by which wrong values are found out, see
                                             schemas/suspects.py
    proofs: ClassVar = ("add_up",)           codes of its checks that, passed, bear out what they look at
    version: ClassVar = 2                    1 if left out; the views are called delivery_note_v2
    product: ClassVar = ("a", "b", "c")      its fields with a × b = c, which settles what 1.234 means
    unasked: ClassVar = ("rate",)            its fields that the model is not asked for
    paper: ClassVar = "card"                 a plastic card: more is then asked of a page's picture
    task: ClassVar = Task("…")               what its pages are asked instead of filling in a form, see
                                             schemas/task.py

Tasks (`schemas.tasks`) are found as schemas are: "ocr@1", "ask@1:Ai ký tờ này?".
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import get_args

from pydantic import BaseModel

from schemas import required, tasks
from schemas.evidence import Evidence
from schemas.fingerprint import fingerprints
from schemas.id_card import IdCard, IdCard2
from schemas.invoice import Invoice, Invoice2
from schemas.law import Law
from schemas.receipt import Receipt, Receipt2
from schemas.shape import Group, shape_of, snake, title_of
from schemas.shape import SchemaError as SchemaError
from schemas.spec import Paper, class_var
from schemas.spec import SchemaSpec as SchemaSpec
from schemas.task import Free, Task

BUILT_IN: Mapping[str, Mapping[int, type[BaseModel]]] = {
    "invoice": {1: Invoice, 2: Invoice2},
    "id_card": {1: IdCard, 2: IdCard2},
    "receipt": {1: Receipt, 2: Receipt2},
}
_ALL = {**BUILT_IN, **tasks.BUILT_IN}


def resolve(name: str, law: Law | None = None) -> SchemaSpec:
    """The schema of that name. `law` has the periods that a user adds to those of `law.toml`.

    Raises SchemaError with one line that says what is wrong and what to do.
    """
    if tasks.is_asked(name):
        return under(_asked(name), law)
    path, colon, model_name = name.rpartition(":")
    return under(_from_file(path, model_name) if colon else _built_in(name), law)


def of_model(model: type[BaseModel], law: Law | None = None) -> SchemaSpec:
    """The schema that a pydantic model is, without a file. Raises SchemaError as `resolve` does."""
    return under(_of_model(model, getattr(model, "__qualname__", repr(model))), law)


def under(spec: SchemaSpec, law: Law | None) -> SchemaSpec:
    """The schema with this law added: its rules are others, and so is its hash."""
    if law is None or law == Law():
        return spec
    changed = hashlib.sha256(f"{spec.hash}\n{law.model_dump_json()}".encode()).hexdigest()
    return replace(spec, law=spec.law.extended(law), hash=changed)


def _of_model(model: type[BaseModel], reference: str) -> SchemaSpec:
    if not isinstance(model, type) or not issubclass(model, BaseModel):
        raise SchemaError(f"{reference} is no pydantic model; derive it from pydantic.BaseModel")
    for name, versions in _ALL.items():
        for number, known in versions.items():
            if known is model:
                return _spec(f"{name}@{number}", name, number, model)
    version = vars(model).get("version", 1) if "version" in model.__class_vars__ else 1
    if not isinstance(version, int) or version < 1:
        raise SchemaError(f"{reference}.version is {version!r}; it must be 1, 2, 3 …")
    name = snake(model.__name__)
    if version in _ALL.get(name, ()):
        raise SchemaError(
            f"{reference} would be {name}@{version}, which is built in; "
            f"rename the class, or give it `version: ClassVar = {max(_ALL[name]) + 1}`"
        )
    if tasks.is_asked(name):
        raise SchemaError(f"{reference} would be {name}, the name of questions; rename the class")
    return _spec(reference, name, version, model)


def _built_in(name: str) -> SchemaSpec:
    base, at, version = name.partition("@")
    versions = _ALL.get(base)
    if versions is None:
        known = ", ".join(f"{base}@{max(versions)}" for base, versions in _ALL.items())
        hint = f"a file's model is {name}:Model" if name.endswith(".py") else "your own is FILE.py:Model"
        raise SchemaError(f"no schema {name!r}: there are {known}; {hint}")
    if not at:
        version = str(max(versions))
    model = {str(number): model for number, model in versions.items()}.get(version)
    if model is None:
        raise SchemaError(f"no schema {name!r}: {base} has version {', '.join(map(str, versions))}")
    return _spec(f"{base}@{version}", base, int(version), model)


def _asked(name: str) -> SchemaSpec:
    kind, model = tasks.asked(name)
    question: Task = vars(model)["task"]
    return _spec(f"{kind}@1:{question.question}", kind, 1, model)


def _from_file(path: str, model_name: str) -> SchemaSpec:
    file = Path(path)
    if not file.is_file():
        raise SchemaError(f"no schema file {path!r}; a schema is FILE.py:Model")
    module = _load(file)
    model = vars(module).get(model_name)
    if model is None:
        own = (
            key for key, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__
        )
        raise SchemaError(f"{path} has no {model_name!r}; it has {', '.join(own) or 'nothing'}")
    return _of_model(model, f"{path}:{model_name}")


def _load(file: Path) -> ModuleType:
    """The file as a module of its own. Its name holds its content, so an edited file is never mistaken."""
    content = file.read_bytes()
    name = f"vinbatch_schema_{hashlib.sha256(bytes(file.resolve()) + content).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    if file.suffix != ".py":
        raise SchemaError(f"{file} is no Python file; a schema is FILE.py:Model")
    module = ModuleType(name)
    module.__file__ = str(file)
    sys.modules[name] = module  # pydantic looks up annotations there while the classes are made
    try:
        # What was read, not what an import might take instead: bytecode is told from a newer file by its
        # second and size alone.
        exec(compile(content, file, "exec"), vars(module))
    except Exception as error:
        del sys.modules[name]
        where = f"{file}, line {error.lineno}" if isinstance(error, SyntaxError) else str(file)
        message = error.msg if isinstance(error, SyntaxError) else f"{type(error).__name__}: {error}"
        raise SchemaError(f"{where}: {' '.join(str(message).split())}") from error
    return module


def _spec(reference: str, name: str, version: int, model: type[BaseModel]) -> SchemaSpec:
    shape = shape_of(model)
    for rule in class_var(model, "checks"):
        if not callable(rule):
            raise SchemaError(f"{reference}: {rule!r} among its checks is no function")
    _look_at_evidence(reference, model, shape)
    for inner in required.models(model):
        required.look_at(inner)  # raises SchemaError
    for field in class_var(model, "identified_by"):
        if field not in model.model_fields:
            raise SchemaError(f"{reference}: its identified_by names {field!r}, which is no field")
    _look_at_task(reference, model)
    whole, on_page = fingerprints(model, shape)
    spec = SchemaSpec(name, version, title_of(model), model, shape, whole, on_page, reference)
    if spec.paper not in (None, *get_args(Paper)):
        raise SchemaError(f"{reference}: its paper is {spec.paper!r}; it can be {', '.join(get_args(Paper))}")
    return spec


def _look_at_task(reference: str, model: type[BaseModel]) -> None:
    """Raises SchemaError for a task that asks nothing, or a free answer to no task."""
    task = getattr(model, "task", None) if "task" in model.__class_vars__ else None
    if task is None and issubclass(model, Free):
        raise SchemaError(f'{reference} is answered in free text, and lacks `task: ClassVar = Task("…")`')
    if task is not None and (not isinstance(task, Task) or not task.question.strip()):
        raise SchemaError(f'{reference}: its task is {task!r}; write Task("what is asked")')
    if issubclass(model, Free) and list(model.model_fields) != list(Free.model_fields):
        raise SchemaError(f"{reference}: what is answered in free text has no fields of its own")


def _look_at_evidence(reference: str, model: type[BaseModel], shape: Group) -> None:
    """Raises SchemaError for evidence that could never be heard."""
    if "code_checks" in model.__class_vars__:
        raise SchemaError(
            f"{reference}: code_checks is now evidence; schemas/evidence.py says how to write it"
        )
    fields = {path for path, _ in shape.leaves()}
    for item in class_var(model, "evidence"):
        if not isinstance(item, Evidence) or not callable(item.says):
            raise SchemaError(
                f"{reference}: {item!r} in its evidence is none; write Evidence(source, function)"
            )
        if item.path is not None and item.path not in fields:
            raise SchemaError(
                f"{reference}: its evidence {item.source!r} is in {item.path!r}, which is no field"
            )
