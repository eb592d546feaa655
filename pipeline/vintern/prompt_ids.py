"""The tokens of a prompt, without torch: whoever only counts them need not load it."""

from __future__ import annotations

from collections import OrderedDict

from pipeline.vintern.config import Config
from pipeline.vintern.tokenizer import Tokenizer


def prompt_ids(tokenizer: Tokenizer, config: Config, question: str, n_tiles: int) -> list[int]:
    """System message, image, question, and the opening of the answer, as the checkpoint's template has them.

    `question` is plain text: what looks like a special token in it is not taken for one.
    """
    close = config.separator
    image = [tokenizer.image] * (config.tokens_per_tile * n_tiles)
    return [
        *tokenizer.encode(f"<|im_start|>system\n{config.system}{close}<|im_start|>user\n"),
        *([tokenizer.image_start, *image, tokenizer.image_end] if n_tiles else []),
        *tokenizer.encode_plain(f"\n{question}" if n_tiles else question),
        *tokenizer.encode(f"{close}<|im_start|>assistant\n"),
    ]


class Prompts:
    """Remembers prompts: the pages of a job ask the same questions over the same numbers of tiles."""

    KEPT = 256

    def __init__(self, tokenizer: Tokenizer, config: Config) -> None:
        self._tokenizer = tokenizer
        self._config = config
        self._known: OrderedDict[tuple[str, int], list[int]] = OrderedDict()

    def of(self, question: str, n_tiles: int) -> list[int]:
        """As `prompt_ids`; not to be changed."""
        found = self._known.get((question, n_tiles))
        if found is None:
            found = prompt_ids(self._tokenizer, self._config, question, n_tiles)
            self._known[question, n_tiles] = found
            if len(self._known) > self.KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end((question, n_tiles))
        return found
