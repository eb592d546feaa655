"""Is a tuned model one model in every form? `python -m infra.benchmarks.tuned_equal RUN SET`.

RUN is a folder of `vinbatch tune` over the demo model, SET the data set. Along the true answer of each page
the greedy token of the adapter applied to the base (peft on our modules, float32) is held against that of:
weights merged in memory, transformers' own classes with the adapter loaded by peft, the stored checkpoint
(bfloat16) read by us and by transformers. Prints how many tokens are equal, and the largest difference of
logits.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from collections import Counter
from pathlib import Path

import torch
from peft import PeftModel
from PIL import Image
from torch import Tensor
from transformers import InternVLForConditionalGeneration

from pipeline import tiles as tiling
from pipeline import vintern
from pipeline.render import Renderer
from pipeline.settings import RenderSettings
from pipeline.tuning import dataset
from pipeline.tuning.prepare import drawn
from pipeline.vintern import adapters, growing, weights
from pipeline.vintern import tokenizer as tokenizers
from pipeline.vintern.config import resized
from pipeline.vintern.merging import merge
from pipeline.vintern.model import Network, Vintern
from pipeline.vintern.tuning import with_tokens
from pipeline.vintern.vision import normalise


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("run", type=Path)
    options.add_argument("set", type=Path)
    options.add_argument("--pages", type=int, default=200)
    given = options.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(measure(given.run, given.set, given.pages, Path(scratch)), indent=1))


@torch.no_grad()
def measure(run: Path, data: Path, count: int, scratch: Path) -> dict[str, object]:
    base = _base(run)
    in_memory = _merged(base, run / "adapter")
    applied = _applied(base, run / "adapter")
    stored = vintern.load(run / "model", dtype="float32", device="cpu")
    merge(run / "adapter", "demo", scratch / "native", "native", base.max_tiles)
    theirs = InternVLForConditionalGeneration.from_pretrained(scratch / "native", dtype=torch.float32).eval()
    fresh = InternVLForConditionalGeneration.from_pretrained(scratch / "native", dtype=torch.float32)
    with_peft = PeftModel.from_pretrained(_as_base(fresh, base), str(run / "adapter")).eval()
    equal: Counter[str] = Counter()
    apart: dict[str, float] = {}
    total = pages = 0
    items = [*dataset.items(data, dataset.HELDOUT), *dataset.items(data, dataset.TRAIN)][:count]
    with Renderer(RenderSettings()) as renderer:
        for item in items:
            assert isinstance(item, dataset.Item)
            tiles = torch.from_numpy(tiling.split(Image.fromarray(drawn(item, renderer)), 1))
            prompt = applied.prompt_ids(item.question, len(tiles))[None]
            answer = [*applied.tokenizer.encode_plain(item.answer), applied.tokenizer.end_of_turn]
            said, start = torch.cat([prompt, torch.tensor([answer])], 1), prompt.shape[1]
            wanted = applied.logits(said, tiles)
            chosen = wanted[0, start - 1 : -1].argmax(-1)
            pages, total = pages + 1, total + len(chosen)
            found: dict[str, Tensor] = {
                "merged in memory": in_memory.logits(said, tiles),
                "transformers with the adapter": with_peft(
                    input_ids=said, pixel_values=normalise(tiles)
                ).logits,
                "stored in bfloat16, ours": stored.logits(said, tiles),
                "stored in bfloat16, transformers": theirs(
                    input_ids=said, pixel_values=normalise(tiles)
                ).logits,
            }
            for name, logits in found.items():
                equal[name] += int((logits[0, start - 1 : -1].argmax(-1) == chosen).sum())
                apart[name] = max(apart.get(name, 0.0), float((logits - wanted).abs().max()))
    return {
        "pages": pages,
        "tokens": total,
        "equal": dict(equal),
        "largest_difference_of_logits": {name: round(value, 6) for name, value in apart.items()},
        "largest_logit_about": round(float(wanted.abs().max()), 1),
    }


def _base(run: Path) -> Vintern:
    """The demo model with the tokens that were added, nothing learned."""
    model = vintern.load("demo", dtype="float32", device="cpu")
    grown = tokenizers.load(run / "model")
    new = growing.added(model.tokenizer, grown)
    return with_tokens(model, resized(model.config, grown.size, model.max_tiles), grown, new)


def _weights(model: Vintern) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in model.network.named_parameters()}


def _with(model: Vintern, tensors: dict[str, Tensor]) -> Vintern:
    with torch.device("meta"):
        network = Network(model.config)
    network.load_state_dict(tensors, assign=True)
    return Vintern(network, model.config, model.tokenizer, "")


def _merged(base: Vintern, adapter: Path) -> Vintern:
    return _with(base, adapters.into(_weights(base), adapter, base.config.language))


def _applied(base: Vintern, adapter: Path) -> Vintern:
    """The base with peft's modules on it, which hold the adapter of the file: nothing is merged."""
    told = json.loads((adapter / adapters.CONFIG).read_text(encoding="utf-8"))
    model = _with(base, _weights(base))
    adapters.add(model.network, adapters.Lora(told["r"], told["lora_alpha"]))
    adapters.restore(model.network, adapter)
    return model


def _as_base(theirs: InternVLForConditionalGeneration, base: Vintern) -> InternVLForConditionalGeneration:
    """transformers' model with the base's weights."""
    named = weights.named(_weights(base), base.config.language, "native")
    state = {weights.in_memory(name): tensor.contiguous().clone() for name, tensor in named}
    theirs.load_state_dict(state, strict=True)
    return theirs


if __name__ == "__main__":
    main()
