"""The tokens of a prompt, without torch: whoever only counts them need not load it."""

from __future__ import annotations

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
