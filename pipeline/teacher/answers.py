"""A teacher's text becomes turns of a conversation, or is said to be none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline import grammar
from pipeline.normal import normal
from pipeline.teacher.prompts import NOTHING, Prompt
from schemas.shape import Group, Leaf, Node, Repeated
from schemas.task import free_text
from schemas.text import unaccented

if TYPE_CHECKING:
    from schemas.registry import SchemaSpec

_FENCE = re.compile(r"\A\s*```\w*\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)
_MOST_PAIRS = 20
_LONGEST_QUESTION = 400  # characters


@dataclass(frozen=True, slots=True)
class Turn:
    """What the student is asked and is to answer.

    values   of an extraction, as printed
    failed   codes of the schema's rules that these values break
    """

    question: str
    answer: str
    values: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


class NoTurns(ValueError):
    """`code` says why a text is no answer: malformed, or nothing_there."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code


def turns(prompt: Prompt, text: str, *, whole: bool) -> list[Turn]:
    """At least one. `whole`: the page is all of its document, so that the schema's rules hold for it.

    Raises NoTurns.
    """
    fenced = _FENCE.match(text)
    text = free_text(fenced[1] if fenced else text)
    match prompt.kind:
        case "general":
            return _pairs(text)
        case "extraction":
            return [_filled_in(prompt, text, whole=whole)]
    if _plain(text) == _plain(NOTHING):
        raise NoTurns("nothing_there", "the page has nothing of the kind, as the teacher says")
    return [Turn(prompt.student or "", text)]


def _plain(text: str) -> str:
    return re.sub(r"\W+", " ", unaccented(text)).strip().casefold()


def _pairs(text: str) -> list[Turn]:
    said = _json(text)
    if isinstance(said, dict) and len(said) == 1:  # {"questions": […]}
        [said] = said.values()
    if not isinstance(said, list) or not said:
        raise NoTurns("malformed", "it is no list of questions and answers")
    found = []
    for pair in said[:_MOST_PAIRS]:
        both = [pair.get(name) if isinstance(pair, dict) else None for name in ("question", "answer")]
        question, answer = (free_text(one) if isinstance(one, str) else "" for one in both)
        if not question or not answer or len(question) > _LONGEST_QUESTION or "<image>" in question + answer:
            raise NoTurns("malformed", "a pair of it lacks its question or its answer")
        found.append(Turn(question, answer))
    return found


def _filled_in(prompt: Prompt, text: str, *, whole: bool) -> Turn:
    """In the form in which the student is to write it."""
    if prompt.spec is None:
        raise TypeError(f"{prompt.id} has no schema")
    shape = prompt.spec.shape.of_pages
    values = _values(shape, _json(text))
    printed = tuple(_texts(values))
    if not printed:
        raise NoTurns("nothing_there", "not one of the schema's values is on the page, as the teacher says")
    failed = tuple(_failed(prompt.spec, values, whole=whole))
    return Turn(prompt.student or "", grammar.answer(shape, values), printed, failed)


def _failed(spec: SchemaSpec, values: dict[str, Any], *, whole: bool) -> Iterator[str]:
    """Rules of the schema that the values break; that something is missing breaks none."""
    try:
        record = _read(spec.shape.of_pages, values)
    except ValueError:
        yield "field_invalid"
        return
    if not whole:  # sums are of all pages
        return
    codes = (check.code for check in spec.checks(record) if not check.passed and check.severity == "error")
    yield from dict.fromkeys(codes)


def _read(node: Node, value: Any) -> Any:
    """The normalised values. Raises ValueError for a text that cannot be read."""
    if isinstance(node, Group):
        return {field.name: _read(field, (value or {}).get(field.name)) for field in node.fields}
    if isinstance(node, Repeated):
        return [_read(node.item, item) for item in value or ()]
    if value is None:
        return None
    found, problem = normal(node, value)
    if problem is not None:
        raise ValueError(problem)
    return found


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise NoTurns("malformed", "it is no JSON") from None


def _values(node: Node, said: Any) -> Any:
    """Printed texts by the schema's own names. Raises NoTurns for what the student could never write."""
    if isinstance(node, Group):
        labels = {grammar.key(field): field for field in node.fields}
        if not isinstance(said, dict) or not said.keys() <= labels.keys():
            raise NoTurns("malformed", "its keys are not those that were asked for")
        return {field.name: _values(field, said.get(label)) for label, field in labels.items()}
    if isinstance(node, Repeated):
        if said is None:
            return []
        if not isinstance(said, list) or len(said) > node.max_items:
            raise NoTurns("malformed", f"{node.name} is no list of at most {node.max_items}")
        return [_values(node.item, item) for item in said]
    return _text(node, said)


def _text(leaf: Leaf, said: Any) -> str | None:
    if said is None or said == "":
        return None
    if isinstance(said, bool) or not isinstance(said, str | int | float):
        raise NoTurns("malformed", f"{leaf.name} is no text")
    text = grammar.canonical(str(said))
    if len(text) > leaf.printed.max_chars or not re.fullmatch(leaf.printed.pattern, text):
        raise NoTurns("malformed", f"{leaf.name} does not look as it is printed")
    return text


def _texts(values: Any) -> Iterator[str]:
    if isinstance(values, dict):
        values = list(values.values())
    if isinstance(values, list):
        for value in values:
            yield from _texts(value)
    elif values is not None:
        yield values
