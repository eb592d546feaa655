"""Our own kernels against PyTorch's operations in float32, and an engine that uses them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.settings import EngineSettings
from pipeline.vintern import Vintern, attention, cpu, kernels, language, load, onednn, sampler
from pipeline.vintern.compiling import KernelsMissing
from pipeline.vintern.engine import Engine
from pipeline.vintern.kernels import Kernels, Row, Span
from tests.vintern import checkpoints, relatives
from tests.vintern.pages import GRAMMARS, page, same
from tests.vintern.test_engine import changes_no_bit, run
from tests.vintern.test_equal_to_transformers import inputs

suits = torch.cpu.get_capabilities().get("avx512_bf16", False)
needs_them = pytest.mark.skipif(not suits, reason="this processor has no AVX-512 BF16")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Vintern:
    """Heads of 32, in bfloat16."""
    directory = tmp_path_factory.mktemp("half")
    checkpoints.write(directory, "v2", seed=1, hidden=128)
    return load(directory, dtype="bfloat16", device="cpu")


@pytest.fixture(scope="module")
def ours(model: Vintern) -> Kernels:
    return kernels.load(model.config, model.dtype)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


def exact(query: Tensor, keys: Tensor, values: Tensor, span: Span) -> Tensor:
    """float32 [rows, heads, d] of one span."""
    rows = query[span.query : span.query + span.rows].float().transpose(0, 1)
    seen = span.seen + span.step * torch.arange(span.rows)
    some = slice(span.key, span.key + int(seen[-1]))
    k, v = (part[some].float().transpose(0, 1) for part in (keys, values))
    mask = torch.arange(k.shape[1]) < seen[:, None]
    return F.scaled_dot_product_attention(rows[None], k[None], v[None], mask, enable_gqa=True)[0].transpose(
        0, 1
    )


spans = st.tuples(st.integers(1, 150), st.integers(0, 40), st.integers(1, 700), st.sampled_from([0, 1, 3]))


@pytest.mark.medium
@needs_them
@settings(max_examples=60, derandomize=True)
@given(
    shapes=st.lists(spans, min_size=1, max_size=4),
    heads=st.sampled_from([(1, 1), (7, 1), (4, 2), (14, 2)]),
    dim=st.sampled_from([16, 32, 48, 64, 96, 128, 256]),
)
def test_attention_is_that_of_float32_within_bfloat16s_rounding(
    ours: Kernels, shapes: list[tuple[int, int, int, int]], heads: tuple[int, int], dim: int
) -> None:
    query = random(sum(count for count, *_ in shapes), heads[0], dim, seed=1)
    keys, values = random(1400, heads[1], 2 * dim, seed=2).split(dim, -1)  # neither lies in one piece
    keys[1350:] = values[1350:] = torch.nan  # which nobody sees
    start, given_spans = 0, []
    for count, key, seen, step in shapes:
        given_spans.append(Span(start, count, key, min(seen, 1300 - key - step * count), step))
        start += count
    mixed = ours.attend(query, keys, values, given_spans)
    expected = torch.cat([exact(query, keys, values, span) for span in given_spans])
    torch.testing.assert_close(mixed.float(), expected, rtol=0.01, atol=0.02)
    for span in given_spans:  # a row's bits are its own, whoever else is there
        alone = ours.attend(query, keys, values, [span._replace(query=span.query + span.rows - 1, rows=1,
                            seen=span.seen + span.step * (span.rows - 1))])  # fmt: skip
        assert torch.equal(alone[span.query + span.rows - 1], mixed[span.query + span.rows - 1])


@needs_them
@pytest.mark.parametrize("seen", [1, 15, 16, 17, 63, 64, 65, 255, 256, 257, 512, 1025])
def test_attention_at_the_edges_of_blocks(ours: Kernels, seen: int) -> None:
    query, keys, values = (random(n, 2, 64, seed=n) for n in (3, 1025, 1026))
    span = Span(0, 3, 0, seen, 0)
    torch.testing.assert_close(
        ours.attend(query, keys, values, [span]).float(),
        exact(query, keys, values, span),
        rtol=0.01,
        atol=0.02,
    )


@needs_them
def test_what_is_no_number_stays_none(ours: Kernels) -> None:
    query, keys, values = (random(40, 2, 64, seed=n) for n in range(3))
    query[3, 0, 5] = keys[7, 1, 0] = torch.nan
    broken = ours.attend(query, keys, values, [Span(0, 40, 0, 1, 1)]).isnan()
    expected = torch.zeros(40, 2, 64, dtype=torch.bool)
    expected[3, 0] = expected[7:, 1] = True
    assert torch.equal(broken, expected)
    states = random(4, 64)
    states[1, 2] = torch.nan
    assert ours.rms_norm(states, torch.ones(64).bfloat16(), 1e-6).isnan().all(1).tolist() == [
        False,
        True,
        False,
        False,
    ]
    assert ours.gate(states).isnan().sum() == 1


@needs_them
def test_the_vision_towers_attention(ours: Kernels) -> None:
    query, key, value = random(2, 1025, 3, 4, 64).unbind(2)
    parts = [part.transpose(1, 2) for part in (query, key, value)]
    expected = F.scaled_dot_product_attention(*(part.float() for part in parts))
    torch.testing.assert_close(ours.full(*parts).float(), expected, rtol=0.01, atol=0.02)


@needs_them
@pytest.mark.parametrize(("heads", "kv_heads", "dim"), [(3, 1, 64), (14, 2, 64), (4, 4, 32)])
def test_what_tokens_see_of_a_page(ours: Kernels, heads: int, kv_heads: int, dim: int) -> None:
    query, keys = random(4, heads, dim), random(900, kv_heads, dim)
    page = slice(30, 30 + 512)
    rows = [Row(0, 0, 900), Row(3, 17, 100), Row(1, 400, 31), Row(2, 5, 20)]  # the last sees nothing of it
    found = ours.page_weights(query, keys, rows, page)
    for weights, row in zip(found, rows, strict=True):
        seen = keys[row.key : row.key + row.seen].transpose(0, 1)[None]
        asked, at = query[row.query][None, :, None], torch.tensor([[row.seen - 1]])
        expected = attention.page_weights(asked, seen, at, page)[0, 0]
        torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-6)
        assert torch.equal(ours.page_weights(query, keys, [row], page)[0], weights)  # whoever is beside it
    assert not found[3].any() and found[0].sum() > 0


@pytest.mark.medium
@needs_them
def test_where_tokens_looked_changes_no_bit_of_an_answer(model: Vintern) -> None:
    changes_no_bit(model)


@needs_them
@pytest.mark.parametrize("rows", [1, 5, 700])
def test_small_operations_round_where_pytorch_does(ours: Kernels, rows: int) -> None:
    """Equal but for a few last bits, where float32 sums are added in another order."""
    norm = language.RMSNorm(128, 1e-6).bfloat16()
    norm.weight.data = 1 + random(128) / 4
    states, both = 3 * random(1, rows, 128), 3 * random(1, rows, 192)
    angles = language.rotary(torch.arange(rows)[None], 32, 1e6, torch.bfloat16)
    heads = random(1, rows, 6 * 32).unflatten(-1, (6, 32)).transpose(1, 2)
    pairs = [
        (ours.rms_norm(states, norm.weight, 1e-6), norm(states)),
        (ours.gate(both), language.gate(both)),
        (
            ours.rotate(heads[:, :4].clone(memory_format=torch.preserve_format), angles),
            language.rotate(heads[:, :4], angles),
        ),
    ]
    for found, expected in pairs:
        assert found.shape == expected.shape
        torch.testing.assert_close(found, expected, rtol=2**-6, atol=1e-6)
        assert (found == expected).float().mean() > 0.97


@needs_them
@pytest.mark.parametrize("vocabulary", [16, 100, 4096, 151_655])
def test_the_next_token_is_that_of_the_sampler(ours: Kernels, vocabulary: int) -> None:
    words = (vocabulary + 31) // 32
    logits = 4 * random(9, vocabulary)
    masks = torch.from_numpy(np.random.default_rng(0).integers(-(2**31), 2**31, (9, words), dtype=np.int32))
    masks[0], masks[1] = -1, 0
    masks[2] = 0
    masks[2, 0] = 1 << 5  # one token
    logits[3] = 1.5  # all are equal
    logits[4, 7] = torch.nan
    logits[5, 9] = torch.inf
    masks[6] = 0
    masks[6, -1] = int(np.int64(1 << (vocabulary - 1) % 32).astype(np.int32))  # the last one
    for given_masks in (masks, None):
        found, expected = ours.choose(logits, given_masks), sampler.choose(logits, given_masks)
        finite = expected.isfinite().all(0)
        assert torch.equal(found.isfinite().all(0), finite)
        assert torch.equal(found[0, finite], expected[0, finite])
        torch.testing.assert_close(found[1:, finite], expected[1:, finite], rtol=2e-5, atol=0)


@needs_them
@pytest.mark.slow
@pytest.mark.parametrize("amx", [False, True])
def test_an_engine_with_them_says_the_same_alone_and_in_company(
    model: Vintern, monkeypatch: pytest.MonkeyPatch, amx: bool
) -> None:
    """Bit for bit; also as where there is AMX: prompts by PyTorch's attention, products padded."""
    found = kernels.load(model.config, model.dtype)
    monkeypatch.setattr(cpu, "load_kernels", lambda *_: found)
    if amx:
        found.long_queries = False
        monkeypatch.setattr(onednn, "any_rows", lambda *_: False)
    pages = [page(number, (1, 2, 0, 1, 3)[number % 5], GRAMMARS[number % 5], 30) for number in range(8)]
    engine = Engine(model, EngineSettings(max_batch=4))
    assert engine.backend.about.endswith("own kernels")
    together = run(engine, pages)
    for request in pages:
        assert same(run(engine, [request])[request.id], together[request.id])


@needs_them
@pytest.mark.slow
def test_an_engine_with_them_says_what_pytorchs_operations_say(model: Vintern, tmp_path: Path) -> None:
    """Where bfloat16's rounding does not decide otherwise; probabilities and places then agree."""
    checkpoints.write(tmp_path, "v2", seed=1, hidden=128)
    settings_of = {on: EngineSettings(max_batch=4, place=True, kernels=on) for on in (True, False)}
    plain = load(tmp_path, dtype="bfloat16", device="cpu")  # the other model has our kernels in it
    pages = [page(number, 1 + number % 3, GRAMMARS[number % 5], 30) for number in range(8)]
    ours, theirs = run(Engine(model, settings_of[True]), pages), run(Engine(plain, settings_of[False]), pages)
    alike = 0
    for name, answer in ours.items():
        other = theirs[name]
        if answer.text == other.text:
            alike += 1
            np.testing.assert_allclose(answer.probability, other.probability, atol=0.15)
            chosen = ~answer.forced
            np.testing.assert_allclose(answer.place[chosen, 0], other.place[chosen, 0], rtol=0.2, atol=0.01)
    assert alike >= len(pages) / 2


def test_they_are_put_into_all_norms_of_qwen3(tmp_path: Path) -> None:
    """Those of queries and keys too, on whatever processor."""
    relatives.write(tmp_path, "InternVL3_5-1B")
    network = load(tmp_path, dtype="float32", device="cpu").network
    norms = [part for part in network.modules() if isinstance(part, language.RMSNorm)]
    assert len(norms) == 2 * 4 + 1
    stand_in = SimpleNamespace(
        long_queries=False, rotate=language.rotate, gate=language.gate, rms_norm=object()
    )
    Kernels.put_into(stand_in, network)  # type: ignore[arg-type]
    assert all(norm.norm is stand_in.rms_norm for norm in norms)


@pytest.mark.medium
@needs_them
def test_with_them_qwen3_is_no_further_from_float32_than_without(tmp_path: Path) -> None:
    relatives.write(tmp_path, "InternVL3_5-1B", head_dim=32)
    exact = load(tmp_path, dtype="float32", device="cpu")
    plain, fast = (load(tmp_path, dtype="bfloat16", device="cpu") for _ in range(2))
    kernels.load(fast.config, fast.dtype).put_into(fast.network)
    ids, tiles = inputs(exact, 1)
    expected = exact.logits(ids, tiles)
    errors = [(model.logits(ids, tiles).float() - expected).square().mean().sqrt() for model in (plain, fast)]
    assert errors[1] <= 1.2 * errors[0]


def test_an_engine_says_why_it_has_none(tmp_path: Path) -> None:
    checkpoints.write(tmp_path, "v2")
    model = load(tmp_path, dtype="float32", device="cpu")
    assert "without own kernels: they are for bfloat16" in Engine(model, EngineSettings()).backend.about
    assert Engine(model, EngineSettings(kernels=False)).backend.about.endswith(
        "without own kernels: engine.kernels is off"
    )


@needs_them
@pytest.mark.parametrize(
    ("compiler", "said"),
    [
        (None, "there is no C++ compiler: install g++, or set CXX"),
        ("/bin/false", "/bin/false ended with 1 and said: nothing"),
        ("/nowhere/c++", "they cannot be compiled in"),
    ],
)
def test_without_a_compiler_one_line_says_so(
    model: Vintern, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: str | None, said: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    if compiler is None:
        monkeypatch.delenv("CXX", raising=False)
    else:
        monkeypatch.setenv("CXX", compiler)
    with pytest.raises(KernelsMissing, match=said.replace("+", r"\+")) as error:
        kernels.load(model.config, model.dtype)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.rglob("*.so"))


@needs_them
@pytest.mark.slow
def test_they_are_compiled_once_whoever_comes_first(tmp_path: Path) -> None:
    """Three processes at once find an empty cache; one library is left, and is not compiled again."""
    code = (
        "from pipeline.vintern import compiling, kernels; "
        "compiling.library(kernels.SOURCE, kernels.INSTRUCTIONS)"
    )
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    processes = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    (library,) = (tmp_path / "vinbatch").iterdir()
    again = subprocess.run([sys.executable, "-c", code], env=environment | {"CXX": "/bin/false"})
    assert again.returncode == 0 and library.suffix == ".so"
