"""A conversation about a picture as tokens, laid out as the engine asks, with their weights in the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.vintern.config import Config
from pipeline.vintern.prompt_ids import prompt_ids
from pipeline.vintern.token_kinds import FORCED, kinds
from pipeline.vintern.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Tokens:
    """`weights` has for each token what it counts as something to be said: nothing in questions."""

    ids: tuple[int, ...]
    weights: tuple[float, ...]


def tokens(
    tokenizer: Tokenizer,
    config: Config,
    turns: Sequence[tuple[str, str]],
    tiles: int,
    *,
    skeleton: float | None = None,
) -> Tokens:
    """`skeleton`: the weight of what the grammar forces in an answer; None: the answers are free text.

    The loss is on answers alone, and on the end of each turn.
    """
    ids: list[int] = []
    weights: list[float] = []
    for number, (question, answer) in enumerate(turns):
        if number == 0:
            asked = prompt_ids(tokenizer, config, question, tiles)
        else:
            # The end of the turn before is there already; what the template has behind it is not.
            behind = config.separator.removeprefix("<|im_end|>")
            asked = [
                *tokenizer.encode(f"{behind}<|im_start|>user\n"),
                *tokenizer.encode_plain(question),
                *tokenizer.encode(f"{config.separator}<|im_start|>assistant\n"),
            ]
        if skeleton is None:
            said = [*tokenizer.encode_plain(answer), tokenizer.end_of_turn]
            counted = [1.0] * len(said)
        else:
            said, of_tokens = kinds(tokenizer, answer)
            counted = [skeleton if kind == FORCED else 1.0 for kind in of_tokens]
        ids += [*asked, *said]
        weights += [*[0.0] * len(asked), *counted]
    return Tokens(tuple(ids), tuple(weights))
