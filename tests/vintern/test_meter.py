"""What the GPU path launches, moves and waits for at Vintern-1B's size, counted on fake CUDA tensors.

A bar that is passed says that the engine became slower on a card; lower it when it became quicker.
"""

from __future__ import annotations

import pytest
import torch

from infra.meter.counting import Meter
from infra.meter.workload import answer, backend, passes, step


@pytest.fixture(scope="module")
def rectangle() -> Meter:
    return passes(slots=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phase", "kernels", "gigabytes"),
    [
        ("vision 32", 296, 63.7),
        ("prefill 7", 756, 63.7),
        ("decode 256", 939, 22.2),
        ("choose 256", 23, 3.1),
    ],
)
def test_a_pass_over_the_rectangle(rectangle: Meter, phase: str, kernels: int, gigabytes: float) -> None:
    counted = rectangle.phases[phase]
    assert 0.9 * kernels <= counted.launched <= kernels
    assert 0.9 * gigabytes <= counted.bytes / 1e9 <= gigabytes


@pytest.mark.medium
def test_nothing_waits_for_the_device_and_a_recording_reads_what_lasts() -> None:
    with backend(layers=2, max_batch=8, warmup="graphs") as (back, meter, _):
        back.prefill([answer(slot, 0, 300, prompt=294) for slot in range(3)])
        for counts in ([1, 1, 1], [8, 1, 1], [1, 1, 1]):
            with meter.phase("decode"):
                step(back, meter, 3, counts)
    assert not meter.problems
    assert not any(phase.waits for phase in meter.phases.values())
    assert meter.phases["decode"].replays == 3


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
