"""What a CPU back end says of its bits: unlike where they may differ, the same in every run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline import keys
from pipeline.keys import ModelFacts
from pipeline.settings import EngineSettings, Settings
from pipeline.vintern import load, onednn
from pipeline.vintern.cpu import CpuBackend
from tests.vintern import checkpoints
from tests.vintern.test_kernels import needs_them


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Heads of 32, as our kernels want them."""
    directory = tmp_path_factory.mktemp("tiny")
    checkpoints.write(directory, "v2", seed=1, hidden=128)
    return directory


@pytest.fixture
def threads():
    """Numbers of threads may be set; those of before come back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def opened(checkpoint: Path, dtype: str, **settings: Any) -> CpuBackend:
    """On a freshly loaded model: an earlier back end would have left its kernels in it."""
    return CpuBackend(
        load(checkpoint, dtype=dtype, device="cpu"), EngineSettings(**{"max_batch": 2, **settings})
    )


def key(backend: CpuBackend) -> str:
    facts = ModelFacts("c" * 64, 6, backend.numerics)
    return keys.settings_key(Settings(), ["number"], "?", "{}", facts, {})


@needs_them
def test_own_kernels_on_and_off_give_pages_other_keys(checkpoint: Path) -> None:
    on, off = (opened(checkpoint, "bfloat16", kernels=wanted) for wanted in (True, False))
    assert on.kernels is not None and on.kernels.version in on.numerics
    assert off.kernels is None and "kernels" not in off.numerics
    assert key(on) != key(off)
    assert key(on) == key(opened(checkpoint, "bfloat16"))


@pytest.mark.medium
def test_numerics_tell_dtypes_and_threads_apart_but_not_how_much_is_done_at_once(
    checkpoint: Path, threads: None
) -> None:
    """In float32 some numbers of threads give other last bits, so each has a key of its own."""
    usual = opened(checkpoint, "float32", threads=1).numerics
    assert usual == opened(checkpoint, "float32", threads=1, max_batch=5, kv_tokens=4096).numerics
    assert usual != opened(checkpoint, "float32", threads=2).numerics
    assert usual != opened(checkpoint, "bfloat16", threads=1, kernels=False).numerics


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_another_process_says_the_same(checkpoint: Path, dtype: str, threads: None) -> None:
    code = (
        "import sys; from pipeline.settings import EngineSettings; from pipeline.vintern import load; "
        "from pipeline.vintern.cpu import CpuBackend; "
        "model = load(sys.argv[1], dtype=sys.argv[2], device='cpu'); "
        "print(CpuBackend(model, EngineSettings(max_batch=2, threads=1)).numerics)"
    )
    command = [sys.executable, "-c", code, str(checkpoint), dtype]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    assert said == opened(checkpoint, dtype, threads=1).numerics


@pytest.mark.parametrize("where", ["vision.layers.0.mlp", "language.layers.0.mlp", "language.norm"])
def test_bits_that_come_out_otherwise_are_seen(checkpoint: Path, where: str) -> None:
    """As when a library multiplies in another order on another processor: the last bits of one product."""
    before = opened(checkpoint, "float32").numerics
    backend = opened(checkpoint, "float32")

    def nudge(module: torch.nn.Module, given: object, found: torch.Tensor) -> torch.Tensor:
        return torch.nextafter(found, found + 1)

    backend.model.network.get_submodule(where).register_forward_hook(nudge)
    assert backend.numerics != before


@pytest.mark.medium
def test_what_the_processor_is_asked_for_is_named(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def numerics() -> str:
        return opened(checkpoint, "bfloat16", kernels=False).numerics

    found = set()
    for units in ({}, {"avx512_bf16": True}, {"avx512_bf16": True, "amx_bf16": True}):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda units=units: units)
        found.add(numerics())
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "another")
    found.add(numerics())
    assert len(found) == 4
    one = numerics()
    padded = onednn.any_rows(opened(checkpoint, "bfloat16", kernels=False).model, 16)
    monkeypatch.setattr(onednn, "any_rows", lambda *_: not padded)
    assert numerics() != one
