"""Adapter applied, merged, saved, reloaded, and transformers' own: one model, to the token, in float32."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from pipeline import vintern
from pipeline.errors import UsageError
from pipeline.vintern import adapters, saving
from pipeline.vintern.model import Network, Vintern
from pipeline.vintern.vision import normalise
from tests.vintern import checkpoints

KINDS = ("v2", "native")
LORA = adapters.Lora(rank=4, alpha=16)
pytestmark = pytest.mark.filterwarnings("ignore")  # of transformers and peft among themselves


def learned(directory, projector: bool = False) -> Vintern:
    """A base with an adapter that has learned something: its B is no longer zero."""
    model = vintern.load(directory, dtype="float32", device="cpu")
    adapters.add(model.network, LORA)
    if projector:
        model.vision.mlp1.requires_grad_(True)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in model.network.named_parameters():
            if "lora_B" in name or (weight.requires_grad and "mlp1" in name):
                weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    return model


def merged(model: Vintern) -> Vintern:
    with torch.device("meta"):
        network = Network(model.config)
    network.load_state_dict(adapters.merged(model.network), assign=True)
    return Vintern(network, model.config, model.tokenizer, "")


def pages(model: Vintern, count: int = 3):
    for seed in range(count):
        generator = torch.Generator().manual_seed(seed)
        yield (
            model.prompt_ids(f"Trang {seed} ghi gì?", 1)[None],
            torch.randint(0, 256, (1, 448, 448, 3), dtype=torch.uint8, generator=generator),
        )


def greedy(model: Vintern, ids: torch.Tensor, tiles: torch.Tensor, count: int = 8) -> torch.Tensor:
    """The prompt and what the model says next."""
    for _ in range(count):
        ids = torch.cat([ids, model.logits(ids, tiles)[:, -1].argmax(-1)[None]], 1)
    return ids


def agrees(logits: torch.Tensor, said: torch.Tensor, prompt: int) -> bool:
    """Every token behind the prompt is the likeliest one after those before it: what greedy decoding says."""
    return bool((logits[0, prompt - 1 : -1].argmax(-1) == said[0, prompt:]).all())


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_form_of_the_tuned_model_says_the_same(tmp_path, kind):
    from transformers import InternVLForConditionalGeneration

    theirs = checkpoints.write(tmp_path / "base", kind, seed=3)
    model = learned(tmp_path / "base", projector=kind != "v2")
    adapters.save(tmp_path / "adapter", model.network, model.config.language, LORA, "base")
    weights = adapters.merged(model.network)
    again = learned(tmp_path / "base", projector=kind != "v2")
    for _, weight in again.network.named_parameters():
        if weight.requires_grad:
            torch.nn.init.zeros_(weight)
    adapters.restore(again.network, tmp_path / "adapter")
    forms = {"merged": merged(model), "read back": merged(again)}
    hashes = set()
    for layout in ("published", "native"):
        out = tmp_path / layout
        hashes.add(saving.save(out, weights, model.config, tmp_path / "base", model.tokenizer, layout=layout))
        forms[layout] = vintern.load(out, dtype="float32", device="cpu")
        assert forms[layout].checkpoint_hash in hashes
    assert len(hashes) == 2 and model.checkpoint_hash not in hashes
    with_peft = PeftModel.from_pretrained(theirs, str(tmp_path / "adapter")).eval()
    reloaded = InternVLForConditionalGeneration.from_pretrained(tmp_path / "native").eval()
    plain = vintern.load(tmp_path / "base", dtype="float32", device="cpu")
    changed = 0
    for ids, tiles in pages(model):
        said, prompt = greedy(model, ids, tiles), ids.shape[1]
        changed += not agrees(plain.logits(said, tiles), said, prompt)
        for form, found in forms.items():
            assert agrees(found.logits(said, tiles), said, prompt), form
        for other in (with_peft, reloaded):
            with torch.no_grad():
                assert agrees(other(input_ids=said, pixel_values=normalise(tiles)).logits, said, prompt)
    assert changed  # the adapter matters


@pytest.mark.medium
def test_an_adapter_made_by_others_is_merged_with_an_a_for_each_part(tmp_path):
    theirs = checkpoints.write(tmp_path / "base", "v3_5", seed=4)
    names = r".*language_model\.layers\.\d+\.(self_attn\.(q|v)_proj|mlp\.(gate|up|down)_proj)"
    other = get_peft_model(theirs, LoraConfig(r=4, lora_alpha=8, target_modules=names))
    with torch.no_grad():
        for name, weight in other.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.2)
    other.save_pretrained(str(tmp_path / "adapter"))
    base = vintern.load(tmp_path / "base", dtype="float32", device="cpu")
    weights = adapters.into(dict(base.network.named_parameters()), tmp_path / "adapter", base.config.language)
    with torch.device("meta"):
        network = Network(base.config)
    network.load_state_dict({name: weight.detach() for name, weight in weights.items()}, assign=True)
    found = Vintern(network, base.config, base.tokenizer, "")
    for ids, tiles in pages(base, 3):
        with torch.no_grad():
            expected = other.eval()(input_ids=ids, pixel_values=normalise(tiles)).logits
        assert (found.logits(ids, tiles) - expected).abs().max() <= 1e-4 * expected.abs().max()
    with pytest.raises(UsageError, match="another model"):
        small = replace(base.config.language, heads=2, kv_heads=2)
        cut = {name: weight.detach() for name, weight in base.network.named_parameters()}
        cut = {
            name: weight[: len(weight) // 2] if "down_proj" in name else weight
            for name, weight in cut.items()
        }
        adapters.into(cut, tmp_path / "adapter", small)
    config = tmp_path / "adapter" / adapters.CONFIG
    told = json.loads(config.read_text())
    config.write_text(json.dumps({**told, "use_dora": True}))
    with pytest.raises(UsageError, match="use_dora"):
        adapters.into(dict(base.network.named_parameters()), tmp_path / "adapter", base.config.language)
