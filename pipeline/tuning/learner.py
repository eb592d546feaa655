"""The model that is to learn, with tokens for the words of a new paper where its tokenizer is a small one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.settings import RenderSettings
from pipeline.tuning.dataset import Item
from pipeline.tuning.folder import RunFolder
from pipeline.tuning.prepare import Preparer, Resolve, schemas_of
from pipeline.tuning.wish import Wish, must_share
from pipeline.vintern import checkpoint
from pipeline.vintern import tokenizer as tokenizers
from pipeline.vintern.config import limited, resized
from pipeline.vintern.ranks import Ranks

if TYPE_CHECKING:
    from pipeline.vintern.model import Vintern
    from pipeline.vintern.tuning import Tuner


@dataclass(frozen=True, slots=True)
class Learner:
    """`base`: the folder of the checkpoint that it was; `words`: one with the tokenizer's files, where tokens
    were added.
    """

    base: Path
    tuner: Tuner
    preparer: Preparer
    new_words: Sequence[str]
    words: Path | None

    @property
    def model(self) -> Vintern:
        return self.tuner.model


def load(
    wish: Wish,
    items: Sequence[Item],
    folder: RunFolder,
    render: RenderSettings,
    resolve: Resolve,
    ranks: Ranks,
) -> Learner:
    """`items` are those of the new paper. Raises UsageError."""
    from pipeline.vintern import growing
    from pipeline.vintern import model as models
    from pipeline.vintern.tuning import Tuner, with_tokens

    base = checkpoint.locate(wish.model_at or wish.model)
    model = models.load(base, dtype=wish.dtype, device=wish.device)
    how = wish.settings(sum(weight.numel() for weight in model.network.parameters()))
    must_share(how.batch, ranks.world)
    small = model.tokenizer.size < growing.SMALL
    specs = [resolve(name) for name in schemas_of(items)]
    wanted = [word for spec in specs for word in growing.words(spec, model.config.answer_form)]
    new_words = growing.missing(model.tokenizer, wanted) if small else []
    words = folder.words if new_words else None
    tokenizer, vocab = model.tokenizer, model.config.language.vocab
    if words is not None:
        if ranks.first:
            growing.grow(base, model.tokenizer, new_words, words)
        ranks.wait()
        tokenizer = tokenizers.load(words)
        vocab = tokenizer.size
    limit = limited(model.config, how.max_tiles)
    config = resized(limit, vocab, limit.max_tiles)
    context = min(how.context, config.context_length)
    return Learner(
        base,
        Tuner(with_tokens(model, config, tokenizer, new_words), how, folder.visual, ranks),
        Preparer(config, tokenizer, context, how.skeleton, resolve, render),
        new_words,
        words,
    )
