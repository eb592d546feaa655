"""What a schema's results depend on, as two hashes. Comments, layout and docstrings change neither."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from schemas import law
from schemas.shape import Group, Printed, plain_type
from schemas.spec import class_var

# Our files between a printed text and its value.
_READING = "dates fields in_xml numbers printed shape task text words"


def fingerprints(model: type[BaseModel], shape: Group) -> tuple[str, str]:
    """Two sha256 in hex: of all that can change a document's result, and a page's.

    A page's: labels, hints, patterns, limits and the code that parses printed text. A document's: the same,
    the files of the model, its bases and its rules, and this package. What these files import from others is
    not followed, so a schema's file should stand alone.
    """
    outline = repr(asdict(shape, dict_factory=_without_functions))
    if "task" in model.__class_vars__:
        outline += repr(getattr(model, "task", None))
    on_page = _digest(outline, _own_code(_READING), _code_of(_parsers(model)))
    rules = (_own_code("*"), law.built_in().model_dump_json(), _code_of(_makers(model)))
    return _digest(on_page, *rules), on_page


def _without_functions(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: value for key, value in items if not callable(value)}


def _makers(model: type[BaseModel]) -> Iterator[object]:
    """The model, its bases and its rules, and the same of the models in it."""
    yield from model.__mro__
    yield from class_var(model, "checks")
    yield from (item.says for item in class_var(model, "evidence"))
    for kind, _ in _types(model):
        if issubclass(kind, BaseModel):
            yield from _makers(kind)
        yield kind


def _parsers(model: type[BaseModel]) -> Iterator[object]:
    """What turns printed text into the model's values, at any depth."""
    for kind, metadata in _types(model):
        if issubclass(kind, BaseModel):
            yield from _parsers(kind)
        yield from (item.parse for item in metadata if isinstance(item, Printed))


def _types(model: type[BaseModel]) -> Iterator[tuple[type, tuple[Any, ...]]]:
    for info in model.model_fields.values():
        kind, metadata = plain_type(info.annotation, tuple(info.metadata))
        if get_origin(kind) is list:
            kind, metadata = plain_type(get_args(kind)[0])
        yield (kind if isinstance(kind, type) else str), metadata


def _code_of(makers: Iterable[object]) -> str:
    """The code of the files that define the makers, but for this package's and those of installed ones."""
    modules = (sys.modules.get(getattr(maker, "__module__", "")) for maker in makers)
    files = {file for module in modules if (file := getattr(module, "__file__", None)) and _is_a_users(file)}
    return "\n".join(sorted(_meaning(Path(file)) for file in files))


def _is_a_users(file: str) -> bool:
    path = Path(file)
    installed = "site-packages" in path.parts or path.is_relative_to(sys.base_prefix)
    return path.suffix == ".py" and not installed and path.parent != Path(__file__).parent


@cache
def _own_code(names: str) -> str:
    files = Path(__file__).parent.glob("*.py")
    return "\n".join(_meaning(file) for file in sorted(files) if names == "*" or file.stem in names.split())


def _meaning(source: Path) -> str:
    """The file's code without comments, layout and docstrings: what stays equal when only these change."""
    tree = ast.parse(source.read_bytes())
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
