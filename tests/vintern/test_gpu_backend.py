"""The GPU back end without a GPU: its shapes and its graphs, on a CPU's tensors.

`cuda` stands in for what `torch.cuda` gives the back end. Its graphs do what CUDA's do: a replay runs the
operations that were recorded, on the same memory, and no line of Python. So what a pass takes from Python, or
puts into fresh memory, is stale in a replay, here as there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.records import Generation, Request
from pipeline.settings import EngineSettings
from pipeline.vintern import Vintern, fused, kv_cache, language, load, probe, sampler, slots, vision
from pipeline.vintern.checkpoint import DEMO
from pipeline.vintern.engine import Engine
from pipeline.vintern.gpu import GpuBackend
from tests.vintern.pages import GRAMMARS, long_page, of_context, page, same
from tests.vintern.test_engine import model, pages, run  # noqa: F401  (fixtures)


class Graph(TorchDispatchMode):
    """A CUDA graph by recorded operations."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, Any]] = []
        self.replays = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        self.operations.append((function, args, kwargs or {}, result))
        return result

    def replay(self) -> None:
        self.replays += 1
        with torch.inference_mode():
            for function, args, kwargs, result in self.operations:
                fresh = function(*args, **kwargs)
                made, kept = (part if isinstance(part, tuple | list) else [part] for part in (fresh, result))
                for new, old in zip(made, kept, strict=True):
                    if isinstance(old, torch.Tensor) and new.data_ptr() != old.data_ptr():
                        old.copy_(new)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The stand-in; `gpu` may be changed, `graphs` are those that were recorded."""
    stand_in = SimpleNamespace(
        gpu=SimpleNamespace(major=9, minor=0, multi_processor_count=132), graphs=list[Graph]()
    )

    @contextmanager
    def recording(graph: Graph, pool: object) -> Iterator[None]:
        stand_in.graphs.append(graph)
        with graph:
            yield

    stream = SimpleNamespace(wait_stream=lambda other: None)
    for name, value in {
        "CUDAGraph": Graph,
        "graph": recording,
        "graph_pool_handle": lambda: None,
        "Stream": lambda: stream,
        "current_stream": lambda: stream,
        "stream": nullcontext,
        "mem_get_info": lambda device: (2**30, 2**31),
        "get_device_properties": lambda device: stand_in.gpu,
        "device": lambda device: nullcontext(),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    return stand_in


@pytest.fixture(params=["rectangle", "slots"])
def layout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    over_slots = request.param == "slots"
    monkeypatch.setattr("pipeline.vintern.gpu.sound", lambda _: over_slots)
    # What our kernels stand for, by plain operations.
    monkeypatch.setattr(fused, "install", lambda _: None)
    monkeypatch.setattr(fused, "write", kv_cache.put)
    monkeypatch.setattr(fused, "choose", sampler.choose)
    monkeypatch.setattr("pipeline.vintern.gpu.HALVES", 3)
    monkeypatch.setattr(slots, "attend", attend)
    monkeypatch.setattr(slots, "look", look)
    return str(request.param)


def attend(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, rows: slots.Rows
) -> tuple[torch.Tensor, torch.Tensor]:
    """`slots.attend` by plain operations, each token over a whole slot, what is beyond it left out."""
    n, counts = torch.arange(len(query)), rows.starts.diff()
    owner = torch.searchsorted(rows.starts[1:].contiguous(), n, right=True).clamp(max=len(counts) - 1)
    last = rows.filled[owner] - counts[owner] + n - rows.starts[owner]
    # A decode step's is the same in each replay: a whole slot.
    decoding = rows.most == slots.CHUNK
    reach = torch.arange(len(keys) // (len(rows.filled) + 1) if decoding else int(rows.filled.max()))
    places = (rows.slots[owner][:, None] + reach).clamp(max=len(keys) - 1)
    grouped = query.unflatten(1, (keys.shape[1], -1))
    scores = torch.einsum("nksd,nlkd->nksl", grouped, keys[places]) / query.shape[2] ** 0.5
    scores = scores.masked_fill(reach > last[:, None, None, None], -torch.inf)
    mixed = torch.einsum("nksl,nlkd->nksd", scores.softmax(-1), values[places])
    return mixed.flatten(1, 2), scores.logsumexp(-1).flatten(1, 2)


def look(
    query: torch.Tensor, sums: torch.Tensor, keys: torch.Tensor, owners: torch.Tensor, page: slice
) -> torch.Tensor:
    """`slots.look` by plain operations."""
    grouped = query.unflatten(1, (keys.shape[2], -1))
    scores = torch.einsum("nksd,nlkd->nksl", grouped, keys[owners, page]) / query.shape[2] ** 0.5
    found = (scores.flatten(1, 2) - sums[:, :, None]).exp().mean(1)
    return torch.nn.functional.pad(found, (0, page.stop - page.start - found.shape[1]))


def gpu(model: Vintern, **settings: Any) -> Engine:  # noqa: F811
    chosen = EngineSettings(**settings)
    return Engine(model, chosen, GpuBackend(model, chosen))


def agrees(answers: dict[str, Generation], expected: dict[str, Generation]) -> None:
    for name, answer in answers.items():
        assert (answer.text, answer.seams) == (expected[name].text, expected[name].seams)
        np.testing.assert_allclose(answer.probability, expected[name].probability, rtol=1e-4)
        if answer.place is not None:
            np.testing.assert_allclose(answer.place, expected[name].place, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_decoding_as_on_a_gpu_says_the_same(model, pages, cuda, layout) -> None:  # noqa: F811
    model, work = of_context(model), [*pages, long_page(model, 50, 110)]
    settings = {"max_batch": 4, "place": True}
    by_token = run(Engine(model, EngineSettings(**settings)), work)
    agrees(run(gpu(model, **settings), work), by_token)
    assert by_token["page 50"].passes > 2


@pytest.mark.medium
def test_empty_paper_is_seen_once(model, cuda, monkeypatch) -> None:  # noqa: F811
    """Tiles of one colour, in one pass and in later ones; a speck makes a tile a page of its own."""
    seen, vision_of = [], model.vision.forward

    def counted(tiles: torch.Tensor) -> torch.Tensor:
        seen.append(tiles)
        return vision_of(tiles)

    monkeypatch.setattr(model.vision, "forward", counted)
    engine = gpu(model, max_batch=4, warmup="none")
    for number, tiles in enumerate((3, 3)):
        asked = page(number, tiles, None, 8)
        asked.tiles[0], asked.tiles[2] = 255, 255
        asked.tiles[2, 17, 30, 1] = 254 - 100 * number
        (answer,) = run(engine, [asked]).values()
        (alone,) = run(Engine(model, EngineSettings(max_batch=4)), [asked]).values()
        assert answer.text == alone.text
    ours = [tiles for tiles in seen if len(tiles) == 8]  # a bucket: the last tiles are padding
    empty = [sum(bool((tile == 255).all()) for tile in tiles) for tiles in ours]
    assert empty == [1, 0]


@pytest.mark.slow
def test_what_a_gpu_compiles_is_one_graph_a_shape(model, pages, cuda, monkeypatch) -> None:  # noqa: F811
    """Without a compiler behind it: only that all of a pass can be traced, and still says the same."""
    expected = run(Engine(model, EngineSettings(max_batch=2)), pages[:2])
    compile, traced = torch.compile, []

    def eager(module: Any, **how: Any) -> Any:
        traced.append(module)
        return compile(module, **how, backend="eager")

    monkeypatch.setattr(torch, "compile", eager)
    monkeypatch.setattr(
        "pipeline.vintern.graphs.Graphs.run", lambda self, key, function, given: function(given)
    )
    answers = run(gpu(model, max_batch=2, warmup="compile"), pages[:2])
    assert traced == [model.vision, model.language]
    assert all(answers[name].text == answer.text for name, answer in expected.items())


@pytest.mark.slow
def test_a_replayed_pass_is_the_pass(model, pages, cuda, layout) -> None:  # noqa: F811
    """Bit for bit, while requests come and go and share passes of one shape."""
    settings = {"max_batch": 3, "place": True, "max_waiting": 4}
    work: list[Request] = [*pages[:5], *(page(20 + n, n % 2, GRAMMARS[n % 3], 20) for n in range(3))]
    model, work = of_context(model), [*work, long_page(model, 50, 110)]
    eager = run(gpu(model, **settings, warmup="none"), work)
    assert not cuda.graphs
    replayed = run(gpu(model, **settings, warmup="graphs"), work)
    assert all(same(replayed[name], answer) for name, answer in eager.items())
    assert sum(graph.replays for graph in cuda.graphs) > 2 * len(cuda.graphs) >= 8


def test_own_kernels_are_tried_out_before_they_are_used(monkeypatch, caplog) -> None:
    """One that computes something else, or cannot be compiled, is named, and PyTorch's take their place."""
    half = load(DEMO, dtype="bfloat16", device="cpu")
    assert not probe.sound(half)  # none for a CPU
    assert not caplog.records
    for name, plain in {
        "available": lambda _: True,
        "norm": language.norm,
        "add_norm": lambda hidden, added, *more: (hidden + added, language.norm(hidden + added, *more)),
        "rotate": language.rotate,
        "gate": language.gate,
        "gelu": torch.nn.functional.gelu,
        "scale_add_norm": vision.add_norm,
        "choose": sampler.choose,
    }.items():
        monkeypatch.setattr(fused, name, plain)
    monkeypatch.setattr(slots, "attend", attend)
    monkeypatch.setattr(slots, "look", look)
    assert probe.sound(half)
    assert not caplog.records
    with monkeypatch.context() as undone:
        undone.setattr(slots, "attend", lambda *given: [1.2 * found for found in attend(*given)])
        assert not probe.sound(half)
    with monkeypatch.context() as undone:
        undone.setattr(fused, "gelu", lambda given: 1 / 0)
        assert not probe.sound(half)
    told = [record.getMessage() for record in caplog.records]
    assert "attend: it computes something else" in told[0] and "gelu: ZeroDivisionError" in told[1]


def test_its_numerics_name_the_gpu_the_dtype_and_whether_it_compiles(model, cuda, monkeypatch) -> None:  # noqa: F811
    monkeypatch.setattr(torch, "compile", lambda module, **_: module)
    monkeypatch.setattr("pipeline.vintern.graphs.Graphs.run", lambda *_: None)  # nothing is to be computed

    def numerics(**settings: Any) -> str:
        return GpuBackend(model, EngineSettings(max_batch=2, **settings)).numerics

    usual = numerics()
    assert usual.startswith("cuda float32 sm_90, 132 multiprocessors, ")
    assert usual == numerics() == numerics(threads=3, kernels=False)
    assert numerics(warmup="graphs") == usual  # a graph replays the very kernels that it recorded
    assert numerics(warmup="compile") != usual
    cuda.gpu.multi_processor_count = 114
    assert numerics() != usual
