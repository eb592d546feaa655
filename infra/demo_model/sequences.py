"""Questions and answers as tokens, each of its kind."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pipeline.vintern import config as configs
from pipeline.vintern import tokenizer as tokenizers
from pipeline.vintern.prompt_ids import prompt_ids
from pipeline.vintern.token_kinds import kinds


class Words:
    """The tokenizer in `directory`, and where the picture stands in its prompts."""

    ASKED = -1  # the kind of a token that is not to be learned: the question, and what fills a row

    def __init__(self, directory: Path) -> None:
        self.config = configs.read(directory)
        self.tokenizer = tokenizers.load(directory)
        self._asked = lru_cache(self._split)

    def before(self) -> list[int]:
        """What stands before the picture: the same for every question."""
        return self._asked("")[0]

    def asked_and_answered(self, question: str, answer: str) -> tuple[list[int], list[int]]:
        """All that stands behind the picture, and the kind of each token: ASKED or one of `token_kinds`."""
        _, after = self._asked(question)
        ids, of_ids = kinds(self.tokenizer, answer)
        return [*after, *ids], [*[self.ASKED] * len(after), *of_ids]

    def _split(self, question: str) -> tuple[list[int], list[int]]:
        ids = prompt_ids(self.tokenizer, self.config, question, 1)
        first = ids.index(self.tokenizer.image)
        return ids[:first], ids[first + self.config.tokens_per_tile :]
