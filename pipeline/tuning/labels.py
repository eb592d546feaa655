"""Values that are known of a page become the answer that the model is to give, by the product's own code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from llguidance import LLMatcher, LLTokenizer

from pipeline import grammar, parse
from pipeline.errors import Permanent
from pipeline.grammar import Form
from pipeline.records import Generation
from schemas.shape import Group, Leaf, Node, Repeated
from schemas.spec import SchemaSpec

_INDEX = re.compile(r"\[(\d+)\]")


class Labels:
    """Answers of one schema in one form."""

    def __init__(self, spec: SchemaSpec, form: Form) -> None:
        self.spec, self.form = spec, form
        self._shape = spec.shape.of_pages
        self._matcher = LLMatcher(LLTokenizer("byte"), grammar.compile(spec, form))

    def answer(self, values: Mapping[str, str]) -> str:
        """`values`: printed texts by path; items of lists keep their order and are counted anew."""
        return grammar.answer(self.spec.shape, _group(self._shape, values, ""), self.form)

    def refused(self, answer: str) -> str | None:
        """Why the grammar would never let the model write this; None where it would."""
        letters = list(answer.encode())
        self._matcher.reset()
        taken = self._matcher.try_consume_tokens(letters)
        if taken == len(letters):
            return None if self._matcher.is_accepting() else "it is not whole"
        before = bytes(letters[:taken]).decode(errors="ignore")
        labels = re.findall(r'"([^"\\]*)":', before)
        return f"it leaves the schema's form in {labels[-1]!r}" if labels else "it is no answer of the schema"

    def values(self, answer: str) -> dict[str, Any] | None:
        """What an answer says, normal forms by path, as the product reads it; None where it is no answer."""
        count = len(answer)
        sure = np.ones(count, np.float32)
        spans = np.stack([np.arange(count), np.arange(1, count + 1)], 1).astype(np.int32)
        given = Generation("", answer, "stop", spans, sure, sure, np.zeros(count, np.bool_), 0)
        try:
            record = parse.page_record(given, self.spec, 1, form=self.form)
        except Permanent:
            return None
        leaves = {path for path, _ in self._shape.leaves()}
        return {
            field.path: field.raw if field.value is None else field.value
            for field in record.fields
            if _INDEX.sub("[]", field.path) in leaves and field.raw is not None
        }


def _group(group: Group, values: Mapping[str, str], prefix: str) -> dict[str, Any]:
    return {field.name: _node(field, values, f"{prefix}{field.name}") for field in group.fields}


def _node(node: Node, values: Mapping[str, str], path: str) -> Any:
    if isinstance(node, Leaf):
        return values.get(path)
    if isinstance(node, Group):
        return _group(node, values, f"{path}.")
    assert isinstance(node, Repeated)
    here = re.compile(rf"{re.escape(path)}\[(\d+)\]")
    numbers = sorted({int(found[1]) for name in values if (found := here.match(name))})
    items = (f"{path}[{number}]" for number in numbers)
    if isinstance(node.item, Leaf):
        return [values.get(item) for item in items]
    return [_group(node.item, values, f"{item}.") for item in items]
