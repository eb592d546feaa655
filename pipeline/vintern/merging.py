"""An adapter, ours or one made elsewhere, merged into its base: a checkpoint that jobs can serve."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from pipeline.vintern import adapters, checkpoint, growing, saving
from pipeline.vintern import tokenizer as tokenizers
from pipeline.vintern.config import Layout, resized
from pipeline.vintern.model import load


def merge(
    adapter: Path, model: str, out: Path, layout: Layout | None = None, max_tiles: int | None = None
) -> str:
    """Writes the checkpoint to `out`, in the layout of the base where none is said; returns its hash.

    Tokens that the adapter's own tokenizer has beside the base's are added as `tune` had added them.
    Weights are summed in float32 and stored as the base's are. Raises UsageError, one line, for an adapter
    that is not of this base.
    """
    base = checkpoint.locate(model)
    found = load(model, dtype="float32", device="cpu")
    tensors: dict[str, Tensor] = {name: weight.detach() for name, weight in found.network.named_parameters()}
    config, tokenizer, words = found.config, found.tokenizer, None
    if (adapter / "added_tokens.json").is_file():
        grown = tokenizers.load(adapter)
        if new := growing.added(tokenizer, grown):
            tensors = growing.with_rows(tensors, tokenizer, new)
            config = resized(config, grown.size, config.max_tiles)
            tokenizer, words = grown, adapter
    if max_tiles is not None:
        config = resized(config, config.language.vocab, max_tiles)
    tensors = adapters.into(tensors, adapter, config.language)
    return saving.save(out, tensors, config, base, tokenizer, layout=layout, tokenizer_files=words)
