"""Our modules against transformers' own InternVL on the same random weights, in every layout."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from pipeline import vintern
from pipeline.vintern import onednn
from pipeline.vintern.config import Config, read
from pipeline.vintern.model import Network, Vintern
from pipeline.vintern.vision import normalise
from tests.vintern import checkpoints

KINDS = ("v2", "v3_5", "native")


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory):
    """(ours, transformers') from one checkpoint."""
    directory = tmp_path_factory.mktemp(request.param)
    theirs = checkpoints.write(directory, request.param, seed=3)
    return vintern.load(directory, dtype="float32", device="cpu"), theirs


def inputs(model: Vintern, tiles: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (tiles, 448, 448, 3), dtype=torch.uint8, generator=generator)
    return model.prompt_ids("Số tiền là bao nhiêu?", tiles)[None], pixels


def test_logits_are_equal_in_float32(pair):
    ours, theirs = pair
    ids, tiles = inputs(ours, 3)
    with torch.no_grad():
        expected = theirs(input_ids=ids, pixel_values=normalise(tiles)).logits
    found = ours.logits(ids, tiles)
    assert found.shape == (1, ids.shape[1], ours.config.language.vocab)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_bfloat16_is_no_further_from_float32_than_transformers_is(pair):
    ours, theirs = pair
    ids, tiles = inputs(ours, 1)
    exact = ours.logits(ids, tiles)
    half = Vintern(copy.deepcopy(ours.network).to(torch.bfloat16), ours.config, ours.tokenizer, "")
    found = half.logits(ids, tiles)
    with torch.no_grad():
        other = copy.deepcopy(theirs).to(torch.bfloat16)(
            input_ids=ids, pixel_values=normalise(tiles).bfloat16()
        )
    assert found.dtype == torch.bfloat16
    linears = sum(isinstance(part, nn.Linear) for part in half.network.modules())
    onednn.pack(half.network)
    packed = half.logits(ids, tiles)
    assert sum(isinstance(part, onednn.PackedLinear) for part in half.network.modules()) in (0, linears)
    errors = [(logits.float() - exact).square().mean().sqrt() for logits in (other.logits, found, packed)]
    assert errors[1] <= 1.2 * errors[0] and errors[2] <= 1.2 * errors[0]


@pytest.mark.medium
@pytest.mark.parametrize("kind", KINDS)
def test_greedy_tokens_equal_generate_from_embeddings(tmp_path, kind):
    theirs = checkpoints.write(tmp_path, kind, seed=5)
    ours = vintern.load(tmp_path, dtype="float32", device="cpu")
    ids, tiles = inputs(ours, 1, seed=1)
    with torch.no_grad():
        embeds = theirs.get_input_embeddings()(ids)
        visual = theirs.model.get_image_features(pixel_values=normalise(tiles)).pooler_output
        embeds[ids == ours.tokenizer.image] = visual.flatten(0, 1)
        expected = theirs.generate(inputs_embeds=embeds, max_new_tokens=12, do_sample=False)[0].tolist()
    found = []
    for _ in expected:
        token = int(ours.logits(ids, tiles)[0, -1].argmax())
        found.append(token)
        ids = torch.cat([ids, torch.tensor([[token]])], 1)
    assert found == expected


@pytest.mark.medium
def test_tiles_of_several_pages_together_equal_one_by_one(pair):
    ours, _ = pair
    pages = [inputs(ours, count, seed=count)[1] for count in (3, 1, 2)]
    together = ours.vision(torch.cat(pages)).split([3, 1, 2])
    for page, found in zip(pages, together, strict=True):
        torch.testing.assert_close(found, ours.vision(page), rtol=1e-5, atol=1e-5)


def test_rows_of_several_lengths_together_equal_one_by_one(pair):
    ours, _ = pair
    rows = [ours.embed(ids[0], ours.vision(tiles)) for ids, tiles in (inputs(ours, 1), inputs(ours, 2))]
    longest = max(len(row) for row in rows)
    padded = torch.stack([torch.cat([row, row.new_zeros(longest - len(row), row.shape[1])]) for row in rows])
    together = ours.language(padded, torch.arange(longest).expand(2, -1))
    for row, found in zip(rows, together, strict=True):
        alone = ours.language(row[None], torch.arange(len(row))[None])[0]
        torch.testing.assert_close(found[: len(row)], alone, rtol=1e-5, atol=1e-5)


def test_a_part_of_a_tile_keeps_its_place(pair):
    """A crop given with its offset gets the positions that it has in the whole tile."""
    ours, _ = pair
    pixels = normalise(inputs(ours, 1)[1])
    whole = ours.vision.embeddings(pixels, None, 2)[:, 1:].view(1, 32, 32, -1)
    part = ours.vision.embeddings(pixels[:, :, 28:140, 56:448], torch.tensor([[1, 2]]), 2)[:, 1:]
    torch.testing.assert_close(part.view(1, 8, 28, -1), whole[:, 2:10, 4:32])


def test_a_tied_head_reads_with_the_embeddings(tmp_path):
    theirs = checkpoints.write(tmp_path, "v2", seed=2, tied=True)
    ours = vintern.load(tmp_path, dtype="float32", device="cpu")
    ids, tiles = inputs(ours, 1)
    with torch.no_grad():
        expected = theirs(input_ids=ids, pixel_values=normalise(tiles)).logits
    assert (ours.logits(ids, tiles) - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_the_published_size(tmp_path):
    """Vintern-1B-v2's dimensions give its published number of parameters."""
    checkpoints.write(tmp_path, "v2")
    checkpoints.edit(
        tmp_path,
        vision_config={
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
        },
        llm_config={
            "vocab_size": 151655,
            "hidden_size": 896,
            "num_hidden_layers": 24,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
            "intermediate_size": 4864,
        },
    )
    config: Config = read(tmp_path)
    with torch.device("meta"):
        network = Network(config)
    assert sum(parameter.numel() for parameter in network.parameters()) == 938_158_976
    assert config.tokens_per_tile == 256
