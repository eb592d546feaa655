"""What each token of an answer is: forced by the grammar, a decision, or a part of a value."""

from __future__ import annotations

import re

from pipeline.vintern.tokenizer import Tokenizer

FORCED, DECIDED, VALUE = 0, 1, 2

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"(:?)')  # in compact JSON; followed by a colon it is a key


def kinds(tokenizer: Tokenizer, answer: str) -> tuple[list[int], list[int]]:
    """Token ids of an answer in compact JSON with the end of the turn, and the kind of each.

    Decided are null or the opening and closing quote of a value, and whether a list goes on.
    """
    of_character = [FORCED] * len(answer)
    for string in _STRING.finditer(answer):
        if not string[1]:
            start, end = string.span()
            of_character[start:end] = [DECIDED, *[VALUE] * (end - start - 2), DECIDED]
    tokenizer.backend.encode_special_tokens = True  # what looks like a special token is text
    try:
        encoding = tokenizer.backend.encode(answer, add_special_tokens=False)
    finally:
        tokenizer.backend.encode_special_tokens = False
    found = []
    for token, (start, _) in zip(encoding.tokens, encoding.offsets, strict=True):
        more = token in ("[", "]") or (token in ("{", ",") and start > 0 and answer[start - 1] in "[}")
        decided = of_character[start] == FORCED and (token == "null" or more)
        found.append(DECIDED if decided else of_character[start])
    return [*encoding.ids, tokenizer.end_of_turn], [*found, FORCED]
