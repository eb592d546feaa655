"""From logits to the next token and its two probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pipeline.vintern.constrain import unpack
from pipeline.vintern.transfer import up

FORBIDDEN = 1e30  # taken from the logit of a token that the mask forbids


def choose(logits: Tensor, masks: Tensor | None, penalties: Penalties | None = None) -> Tensor:
    """The likeliest allowed token of each row; of equal ones the lowest id.

    logits [rows, vocabulary], masks int32 [rows, words] (`constrain.Grammars.fill`) or None. Returns float64
    [3, rows] on the device: token, probability, unmasked. A probability that is not finite says that the
    logits were not, or that nothing was allowed.
    """
    scores = plain = logits.float()
    if penalties is not None:
        scores = penalties.apply(plain)
    if masks is not None:
        # Added, not filled in: on a CPU that is several times quicker for a large vocabulary.
        forbidden = unpack(masks, scores.shape[1]).float().sub_(1)
        scores = torch.add(scores, forbidden, alpha=FORBIDDEN)
    best, token = scores.max(-1)
    probability, unmasked = (
        kind.softmax(-1).gather(1, token[:, None])[:, 0].double() for kind in (scores, plain)
    )
    probability = torch.where(best > -FORBIDDEN / 2, probability, torch.nan)
    return torch.stack([token.double(), probability, unmasked])


class Penalties:
    """Repetition penalty over generated tokens only, as the model card's generation from embeddings has it.

    A logit of a token that was already generated is divided by the penalty where positive, else multiplied.
    """

    def __init__(self, penalties: Sequence[float], generated: Sequence[Sequence[int]]) -> None:
        """One entry a row; a row without generated tokens, or with penalty 1, is left as it is."""
        longest = max((len(tokens) for tokens in generated), default=0) or 1
        # Short rows are padded with a token of their own, or token 0 at penalty 1.
        self._tokens = np.array(
            [[*tokens, *[tokens[0] if tokens else 0] * (longest - len(tokens))] for tokens in generated],
            dtype=np.int64,
        )
        self._factor = np.array(
            [p if tokens else 1.0 for p, tokens in zip(penalties, generated, strict=True)], dtype=np.float32
        )

    def apply(self, logits: Tensor) -> Tensor:
        tokens, factor = up(self._tokens, logits.device), up(self._factor, logits.device)[:, None]
        found = logits.gather(1, tokens)
        return logits.scatter(1, tokens, torch.where(found > 0, found / factor, found * factor))
