"""What a schema takes of a checkpoint's context: tokens are counted, answers are made up.

No torch: who plans a job need not load it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline import grammar, prompt
from pipeline.room import Room
from pipeline.vintern.config import Config
from pipeline.vintern.prompt_ids import prompt_ids
from pipeline.vintern.tokenizer import Tokenizer
from schemas.shape import Group, Node, Repeated

if TYPE_CHECKING:
    from schemas.registry import SchemaSpec

# Running text as it stands on papers, cut where a usual one ends.
_PROSE = "Công ty TNHH Thương mại Dịch vụ Hưng Thịnh Phát, phường Tân Phong, Thành phố Hồ Chí Minh"


@dataclass(frozen=True, slots=True)
class _Usual:
    """Characters of running text and of a code; a number."""

    prose: int
    code: int
    number: str


_ALONE = _Usual(prose=40, code=16, number="1.234.567")  # names and addresses; tax codes; totals
_IN_A_LINE = _Usual(prose=10, code=3, number="123.456")  # goods and units; rates; quantities and amounts
_CODED = 40  # characters: what may have no more is no running text
_OTHERS = {
    "integer": "12",
    "date": "31/12/2026",
    "datetime": "31/12/2026 23:59",
    "boolean": "Không",
}


def room(config: Config, tokenizer: Tokenizer, spec: SchemaSpec, context: int) -> Room:
    """`context` tokens, and what questions and usual answers of this schema take of them.

    A usual answer has every value, none of them remarkably long. Of several lists the one whose items take
    the most counts.
    """
    form = config.answer_form
    asked = len(prompt_ids(tokenizer, config, prompt.build(spec, form), 1)) - config.tokens_per_tile
    if spec.free:  # how much it will be is not known: a page is cut as trained, and what is cut off is told
        return Room(context, config.tokens_per_tile, asked, len(tokenizer.encode_plain(_PROSE)))
    shape = spec.shape.of_pages
    empty = _group(shape, _ALONE)
    lists = [field for field in shape.fields if isinstance(field, Repeated)]

    without_lines = grammar.answer(shape, empty, form)

    def tokens(**given: Any) -> int:
        return len(tokenizer.encode_plain(grammar.answer(shape, {**empty, **given}, form)))

    def each(found: Repeated) -> float:
        item = _value(found.item, _IN_A_LINE)
        return (tokens(**{found.name: [item] * 11}) - tokens(**{found.name: [item]})) / 10

    longest = max(lists, key=each, default=None)
    start = without_lines.index(f'"{grammar.key(longest, form)}":[') if longest else 0
    return Room(
        context=context,
        tile=config.tokens_per_tile,
        prompt=asked,
        header=tokens(),
        before=len(tokenizer.encode_plain(without_lines[:start])),
        line=round(each(longest)) if longest else 0,
        most_lines=sum(found.max_items for found in lists),
    )


def _group(group: Group, usual: _Usual) -> dict[str, Any]:
    """Values as they usually are, lists empty."""
    return {field.name: _value(field, usual) for field in group.fields}


def _value(node: Node, usual: _Usual) -> Any:
    if isinstance(node, Group):
        return _group(node, usual)
    if isinstance(node, Repeated):
        return []
    printed = node.printed
    if printed.sql in ("decimal", "real"):
        return usual.number
    if printed.sql != "text":
        return _OTHERS[printed.sql]
    if printed.max_chars <= _CODED:
        return ("0123456789" * 4)[: min(printed.max_chars, usual.code)]
    return _PROSE[: min(printed.max_chars, usual.prose)].strip()
