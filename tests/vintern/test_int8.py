"""Products in 8 bits against what they are by definition, and engines that use them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.errors import UsageError
from pipeline.settings import EngineSettings
from pipeline.settings import load as load_settings
from pipeline.vintern import int8, load
from pipeline.vintern.cpu import CpuBackend
from pipeline.vintern.engine import Engine
from pipeline.vintern.int8 import Int8Linear, Products, Weight
from tests.vintern import checkpoints
from tests.vintern.pages import GRAMMARS, page, same
from tests.vintern.test_engine import run
from tests.vintern.test_equal_to_transformers import inputs
from tests.vintern.test_numerics import key, opened

CAPABILITIES = torch.cpu.get_capabilities()
needs_them = pytest.mark.skipif(
    not all(CAPABILITIES.get(name) for name in int8.NEEDED), reason="this processor has no AVX-512 VNNI"
)
TYPES = (torch.bfloat16, torch.float32)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tiny")
    checkpoints.write(directory, "v2", seed=1, hidden=128)
    return directory


def products(dtype: torch.dtype) -> Products:
    return int8.load(nn.Linear(16, 16), dtype)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def rounded(numbers: Tensor) -> Tensor:
    """Each row to whole numbers of its own scale, float64."""
    scales = numbers.double().abs().amax(1, keepdim=True) / 127
    return (numbers.double() / scales).round() * scales


@needs_them
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    "shape",
    [
        (1, 896, 151),
        (12, 16, 32),
        (13, 64, 33),
        (25, 4864, 96),
        (110, 4864, 33),
        (520, 1024, 64),
        (700, 128, 384),
    ],
)
def test_a_product_is_that_of_the_rounded_numbers(dtype: torch.dtype, shape: tuple[int, int, int]) -> None:
    rows, inputs_, outputs = shape
    given, weight, bias = (
        drawn(rows, inputs_).to(dtype),
        drawn(outputs, inputs_, seed=1),
        drawn(outputs, seed=2),
    )
    given[0] *= 100  # one large row takes nothing from the others
    layer = Int8Linear(Weight(weight), bias, products(dtype))
    expected = rounded(given) @ rounded(weight).T + bias
    found = layer(given)
    assert found.dtype == dtype
    bound = 2**-8 if dtype == torch.bfloat16 else 2e-5
    # A number that lies between two whole ones may go to either: float32 divides otherwise than float64.
    torch.testing.assert_close(found.double(), expected, rtol=bound, atol=0.02 * float(expected.std()))
    assert float((found.double() - expected).norm() / expected.norm()) < 2 * bound
    for some in (slice(0, 1), slice(rows // 2, rows)):
        assert torch.equal(layer(given[some]), found[some])  # a row's bits are its own


@needs_them
@pytest.mark.parametrize("dtype", TYPES)
def test_what_is_no_number_stays_none_and_zero_stays_zero(dtype: torch.dtype) -> None:
    given = drawn(5, 32).to(dtype)
    given[1, 3], given[2, 31], given[4] = torch.nan, torch.inf, 0
    weight = drawn(40, 32)
    weight[7] = 0
    found = Int8Linear(Weight(weight), torch.ones(40), products(dtype))(given)
    assert found.isnan().all(1).tolist() == [False, True, True, False, False]
    assert (found[4] == 1).all() and (found[[0, 3], 7] == 1).all()


@needs_them
def test_an_embedding_is_the_heads_weight_and_stored_once(tmp_path: Path) -> None:
    checkpoints.write(tmp_path, "v2", tied=True)
    model = load(tmp_path, dtype="float32", device="cpu")
    table = model.language.embed_tokens.weight.detach().clone()
    assert model.language.lm_head is None
    int8.pack(model.network, model.dtype, int8.load(model.network, model.dtype))
    embedding, head = model.language.embed_tokens, model.language.lm_head
    assert embedding.weight is head.weight
    ids = torch.tensor([[0, 31, 32], [len(table) - 1, 5, 33]])
    torch.testing.assert_close(model.language.embed(ids), rounded(table)[ids].float())
    assert not any(isinstance(part, nn.Linear | nn.Embedding) for part in model.network.modules())
    assert model.device.type == "cpu" and model.dtype == torch.float32


@needs_them
@pytest.mark.medium
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_a_model_says_nearly_what_it_says_in_float32(checkpoint: Path, dtype: str) -> None:
    exact = load(checkpoint, dtype="float32", device="cpu")
    eight = load(checkpoint, dtype=dtype, device="cpu")
    CpuBackend(eight, EngineSettings(weights="int8", max_batch=2))
    ids, tiles = inputs(exact, 1)
    expected, found = exact.logits(ids, tiles), eight.logits(ids, tiles).float()
    error = float((found - expected).norm() / expected.norm())
    assert error < 0.15
    assert F.cosine_similarity(found, expected, -1).mean() > 0.99


@needs_them
@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_an_engine_says_the_same_alone_and_in_company(checkpoint: Path, dtype: str) -> None:
    # Where a token looked is PyTorch's to say in float32, and depends there on its company with any weights.
    settings = EngineSettings(max_batch=4, weights="int8", place=dtype == "bfloat16")
    engine = Engine(load(checkpoint, dtype=dtype, device="cpu"), settings)
    assert f"{dtype} with 8-bit weights and activations on cpu" in engine.backend.about
    pages = [page(number, (1, 2, 0, 3)[number % 4], GRAMMARS[number % 5], 30) for number in range(6)]
    together = run(engine, pages)
    for request in pages:
        assert same(run(engine, [request])[request.id], together[request.id])


@needs_them
def test_pages_read_with_8_bits_have_keys_of_their_own(checkpoint: Path) -> None:
    eight, plain = (opened(checkpoint, "bfloat16", weights=kind) for kind in ("int8", "auto"))
    assert eight.int8 is not None and eight.int8.version in eight.numerics
    assert "8-bit" in eight.numerics and "8-bit" not in plain.numerics + plain.about
    assert key(eight) != key(plain)
    assert key(eight) == key(opened(checkpoint, "bfloat16", weights="int8", max_batch=3))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, "this processor has no AVX-512 VNNI"),
        ({"architecture": "aarch64", "sve_bf16": True, "neon": True}, "this processor has no AVX-512 VNNI"),
        ({**dict.fromkeys(int8.NEEDED, True), "avx512_vnni": False}, "this processor has no AVX-512 VNNI"),
    ],
)
def test_a_processor_without_them_is_told_in_one_line_and_auto_does_without(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, found: dict[str, object], said: str
) -> None:
    """As on ARM, or on an older x86 processor."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    model = load(checkpoint, dtype="auto", device="cpu")
    with pytest.raises(UsageError, match=f"engine.weights is int8, and this machine cannot: {said}") as error:
        Engine(model, EngineSettings(weights="int8", max_batch=2))
    assert "\n" not in str(error.value)
    engine = Engine(model, EngineSettings(max_batch=2))
    assert engine.backend.about.startswith("float32 on cpu")
    assert run(engine, [page(1, 1, GRAMMARS[1], 12)])["page 1"].finish != "error"


@needs_them
def test_without_a_compiler_8_bits_are_refused(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(UsageError, match="there is no C\\+\\+ compiler: install g\\+\\+"):
        opened(checkpoint, "bfloat16", weights="int8")


@pytest.mark.parametrize(("weights", "dtype"), [("bfloat16", "float32"), ("int8", "float16")])
def test_settings_that_contradict_one_another_are_refused(weights: str, dtype: str) -> None:
    with pytest.raises(UsageError, match=f"weights are {weights} and dtype is {dtype}") as error:
        load_settings(engine={"weights": weights, "dtype": dtype})
    assert "\n" not in str(error.value)


@needs_them
@pytest.mark.parametrize("rows", [3, int8.BLOCK, 2 * int8.BLOCK + 7])
def test_an_mlp_in_blocks_gives_the_same_bits(checkpoint: Path, rows: int) -> None:
    model = load(checkpoint, dtype="bfloat16", device="cpu")
    CpuBackend(model, EngineSettings(weights="int8", max_batch=1))
    for tower in (model.vision, model.language):
        mlp = tower.layers[0].mlp
        assert isinstance(mlp, int8.InBlocks)
        hidden = drawn(1, rows, tower.config.hidden).to(model.dtype)
        with torch.inference_mode():
            assert torch.equal(mlp(hidden), mlp.mlp(hidden))
