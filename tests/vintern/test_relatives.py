"""The models that people hold: each is read as printed, and says what transformers' own InternVL says."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from pipeline import vintern
from pipeline.errors import UsageError
from pipeline.settings import EngineSettings
from pipeline.vintern import config as configs
from pipeline.vintern.engine import Engine
from pipeline.vintern.model import Network, Vintern
from pipeline.vintern.vision import normalise
from tests.vintern import checkpoints, relatives
from tests.vintern.pages import GRAMMARS, answer_slowly, page, same, text_of
from tests.vintern.test_engine import run
from tests.vintern.test_equal_to_transformers import inputs
from tests.vintern.test_gpu_backend import agrees, cuda, gpu  # noqa: F401  (a fixture)

READ = [name for name in relatives.NAMES if "refused" not in relatives.printed(name)]
QWEN3 = "InternVL3_5-1B"


def given(directory: Path, name: str) -> None:
    """The printed files of `name`, in full size."""
    found = relatives.printed(name)
    (directory / "config.json").write_text(json.dumps(found["config"]), encoding="utf-8")
    limit = {"model_max_length": found.get("model_max_length", 1e30)}
    (directory / "tokenizer_config.json").write_text(json.dumps(limit), encoding="utf-8")


def parameters(name: str, directory: Path) -> int:
    given(directory, name)
    config = configs.read(directory)
    with torch.device("meta"):
        return sum(part.numel() for part in Network(config).parameters())


@pytest.mark.medium
@pytest.mark.parametrize("name", READ)
def test_its_printed_config_is_read(tmp_path, name):
    """The sizes are those of the published weights: exactly, or to the precision of a list of files."""
    found, said = parameters(name, tmp_path), relatives.printed(name)
    assert "parameters" in said or "stored_bytes" in said
    assert found == said.get("parameters", found)
    assert 2 * found == pytest.approx(said.get("stored_bytes", 2 * found), rel=2e-3)
    assert configs.read(tmp_path).context_length == said["context"]


@pytest.mark.parametrize("name", sorted(set(relatives.NAMES) - set(READ)))
def test_what_is_not_supported_is_named_by_what_it_is(tmp_path, name):
    given(tmp_path, name)
    with pytest.raises(UsageError) as caught:
        configs.read(tmp_path)
    assert relatives.printed(name)["refused"] in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(("name", "size"), [(QWEN3, 128), ("InternVL3-1B", 64)])
def test_a_head_size_that_is_not_written_is_that_of_its_software(tmp_path, name, size):
    """Qwen3's is 128 whatever the width; Qwen2's divides the width."""
    given(tmp_path, name)
    checkpoints.edit(tmp_path, llm_config={"head_dim": None})
    assert configs.read(tmp_path).language.head_dim == size


@pytest.mark.medium
@pytest.mark.parametrize("number", range(len(READ)), ids=READ)
def test_logits_are_equal_in_float32(tmp_path, number):
    """Stored in each data type, in one file and in shards, with the tokenizer in parts and in one file."""
    theirs = relatives.write(
        tmp_path,
        READ[number],
        stored=(torch.bfloat16, torch.float16, torch.float32)[number % 3],
        shards=1 + 2 * (number % 2),
        tokenizer_json=number % 4 > 1,
        seed=number,
    )
    equal(vintern.load(tmp_path, dtype="float32", device="cpu"), theirs)


@pytest.mark.parametrize("name", ["InternVL2_5-4B", QWEN3, "InternVL3_5-1B-HF"])
def test_a_tied_head_reads_with_the_embeddings(tmp_path, name):
    theirs = relatives.write(tmp_path, name, tied=True, seed=2)
    ours = vintern.load(tmp_path, dtype="float32", device="cpu")
    assert ours.language.lm_head is None
    equal(ours, theirs)


def equal(ours: Vintern, theirs: nn.Module) -> None:
    ids, tiles = inputs(ours, 1)
    with torch.no_grad():
        expected = theirs(input_ids=ids, pixel_values=normalise(tiles)).logits
    assert (ours.logits(ids, tiles) - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.medium
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_no_further_from_float32_than_transformers_is(tmp_path, dtype):
    theirs = relatives.write(tmp_path, QWEN3, stored=dtype, seed=3)
    exact = vintern.load(tmp_path, dtype="float32", device="cpu")
    ids, tiles = inputs(exact, 1)
    with torch.no_grad():
        other = copy.deepcopy(theirs).to(dtype)(input_ids=ids, pixel_values=normalise(tiles).to(dtype)).logits
    found = vintern.load(tmp_path, dtype=dtype, device="cpu").logits(ids, tiles)
    assert found.dtype == dtype
    errors = [(logits.float() - exact.logits(ids, tiles)).square().mean().sqrt() for logits in (other, found)]
    assert errors[1] <= 1.2 * errors[0]


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory) -> Vintern:
    directory = tmp_path_factory.mktemp("qwen3")
    relatives.write(directory, QWEN3, seed=1)
    return vintern.load(directory, dtype="float32", device="cpu")


@pytest.mark.medium
def test_the_engine_says_with_qwen3_what_one_at_a_time_decoding_says(qwen3):
    """Its heads are wider than what divides the width, and it pads the vocabulary."""
    requests = [page(number, 1 - number, GRAMMARS[number], 12) for number in range(2)]
    answers = run(Engine(qwen3, EngineSettings(max_batch=2)), requests)
    for request in requests:
        assert answers[request.id].text == text_of(qwen3, answer_slowly(qwen3, request).tokens)


@pytest.mark.slow
def test_a_gpu_says_with_qwen3_what_a_cpu_says(qwen3, cuda):  # noqa: F811
    requests = [page(number, 1 - number, GRAMMARS[number], 12) for number in range(2)]
    expected = run(Engine(qwen3, EngineSettings(max_batch=2, place=True)), requests)
    agrees(run(gpu(qwen3, max_batch=2, place=True), requests), expected)


@pytest.mark.slow
def test_the_engine_computes_in_float16(tmp_path):
    """Alone or in company to the last bit, and the data type is in the page's key."""
    relatives.write(tmp_path, "InternVL3-1B", stored=torch.float16, seed=4)
    model = vintern.load(tmp_path, dtype="float16", device="cpu")
    requests = [page(number, number % 2, GRAMMARS[number], 12) for number in range(2)]
    engine = Engine(model, EngineSettings(max_batch=2))
    assert "without own kernels: they are for bfloat16" in engine.backend.about
    assert engine.backend.numerics.startswith("cpu float16 ")
    together = run(engine, requests)
    for request in requests:
        assert together[request.id].finish != "error"
        assert same(run(engine, [request])[request.id], together[request.id])
