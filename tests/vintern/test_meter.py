"""What the GPU path launches, moves and waits for at Vintern-1B's size, counted on fake CUDA tensors.

A bar that is passed says that the engine became slower on a card; lower it when it became quicker.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from infra.meter.counting import Meter
from infra.meter.workload import SEEN, answer, backend, passes, step
from pipeline.vintern import config as configs
from pipeline.vintern.checkpoint import DEMO
from pipeline.vintern.kv_cache import KVCache
from pipeline.vintern.pointing import Pointer
from pipeline.vintern.slots import Slots


@pytest.fixture(scope="module")
def counted() -> dict[str, Meter]:
    return {"slots": passes(), "rectangle": passes(slots=False, only=("decode 256",))}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "phase", "kernels", "gigabytes"),
    [
        ("slots", "vision 32", 250, 60.5),
        ("slots", "prefill 7", 270, 32.7),
        ("slots", "decode 256", 265, 8.5),
        ("slots", "choose 256", 3, 0.45),
        ("rectangle", "decode 256", 940, 22.2),
    ],
)
def test_what_a_pass_launches_and_moves(
    counted: dict[str, Meter], layout: str, phase: str, kernels: int, gigabytes: float
) -> None:
    found = counted[layout].phases[phase]
    assert 0.9 * kernels <= found.launched <= kernels
    assert 0.9 * gigabytes <= found.bytes / 1e9 <= gigabytes


def test_a_step_of_any_number_of_tokens_has_one_of_eight_shapes() -> None:
    layout = Slots(SimpleNamespace(slots=256, keys=[torch.empty(0, 8, 2, 64)]), None)  # type: ignore[arg-type]
    assert len({layout.step(tokens) for tokens in range(1, 513)}) <= 8
    assert all(layout.step(tokens) >= tokens for tokens in range(1, 513))


@pytest.mark.medium
@pytest.mark.parametrize("slots", [True, False])
@pytest.mark.parametrize("place", [True, False])
def test_a_recording_is_of_its_own_device_and_reads_what_lasts(slots: bool, place: bool) -> None:
    settings = {"max_batch": 8, "warmup": "graphs", "place": place}
    with backend(layers=1, device="cuda:1", slots=slots, **settings) as (back, meter, device):
        back.prefill([answer(slot, 0, 300, prompt=294) for slot in range(3)])
        for counts in ([1, 1, 1], [8, 1, 1], [1, 1, 1]):
            with meter.phase("decode"):
                step(back, meter, 3, counts)
    assert not meter.problems
    assert not any(phase.waits for phase in meter.phases.values())
    assert meter.phases["decode"].replays == 3
    assert set(device.recorded_on) == set(device.replayed_on) == {1}


@pytest.mark.medium
def test_a_place_is_told_without_waiting() -> None:
    with backend(layers=1, max_batch=8, place=True) as (back, meter, _):
        pointer = Pointer.for_model(back.model, back.cache)
        fed = [(answer(slot, SEEN, 4), 1 + 3 * (slot == 1)) for slot in range(3)]
        step(back, meter, 3, [1, 4, 1])
        with meter.phase("look"):
            looks = pointer.look(fed, back.page_attention)
    assert looks.places.shape == (6 + 3, 4)
    assert not meter.phases["look"].waits


@pytest.mark.medium
def test_places_in_the_rectangle_copy_no_keys_to_float32() -> None:
    moved = {}
    for place in (False, True):
        with backend(layers=1, max_batch=64, slots=False, place=place, warmup="none") as (back, meter, _):
            with meter.phase("decode"):
                step(back, meter, 64)
            moved[place] = meter.phases["decode"].bytes
    assert moved[True] - moved[False] < 0.25e9  # 0.55e9 with them


def test_each_layer_has_memory_of_its_own() -> None:
    """Else what a compiler makes of a pass copies the keys and values of all layers, at each step."""
    config = replace(configs.read(DEMO, None).language, layers=3)
    cache = KVCache(config, 2, 64, torch.bfloat16, torch.device("cpu"))
    assert len({kept.untyped_storage().data_ptr() for kept in (*cache.keys, *cache.values)}) == 6


@pytest.mark.medium
def test_the_meter_sees_a_wait_and_a_stale_read() -> None:
    with backend(layers=1, max_batch=2) as (_, meter, _), meter.phase("wrong"):
        on_device = torch.zeros(3, device="cuda")
        torch.ones(3).to("cuda:0")
        on_device.cpu()
        with meter.recording():
            on_device + 1
    assert sum(meter.phases["wrong"].waits.values()) == 2
    assert len(meter.problems) == 1
