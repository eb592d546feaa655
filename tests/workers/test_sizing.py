"""What a lane gets by itself: on a card of 80 GB, on one of 24 GB, and without any."""

from __future__ import annotations

import pytest

from pipeline.errors import UsageError
from pipeline.settings import EngineSettings, LaneSettings
from pipeline.vintern import cpu, gpu
from pipeline.vintern.kv_cache import fitting
from workers.sizing import sizes

GIB = 2**30
CONTEXT, TOKEN_BYTES = 4096, 2 * 24 * 2 * 64 * 2  # Vintern-1B's: 24 layers, 2 key heads of 64, bfloat16
PAGE_BYTES = 7 * 448 * 448 * 3


@pytest.mark.parametrize(
    ("free", "batch"), [(77 * GIB, 256), (21 * GIB, 224), (3 * GIB, 32)], ids=["80 GB", "24 GB", "4 GB"]
)
def test_a_card_decodes_as_many_together_as_half_of_its_memory_holds(free: int, batch: int) -> None:
    slots, length = fitting(EngineSettings(), CONTEXT, TOKEN_BYTES, free, gpu.BATCH)
    assert (slots, length) == (batch, CONTEXT)
    assert slots * length * TOKEN_BYTES <= free / 2


def test_a_cpu_decodes_sixteen() -> None:
    assert fitting(EngineSettings(), CONTEXT, TOKEN_BYTES, 16 * GIB, cpu.BATCH) == (16, CONTEXT)
    assert fitting(EngineSettings(max_batch=3), CONTEXT, TOKEN_BYTES, 16 * GIB, cpu.BATCH) == (3, CONTEXT)
    with pytest.raises(UsageError, match=r"needs 48 MiB.*of the 64 MiB"):
        fitting(EngineSettings(), CONTEXT, TOKEN_BYTES, 64 * 2**20, cpu.BATCH)


def test_a_lane_with_a_card_is_fed() -> None:
    """256 pages are decoded while the next ones wait, all of seven tiles, and no budget is in their way."""
    many = sizes(LaneSettings(), gpu=True, cores=16)
    assert many.readers == 8
    assert many.pages_in_flight >= 256 + 64
    assert many.bytes_in_flight // 2 >= many.pages_in_flight * PAGE_BYTES
    assert [sizes(LaneSettings(), gpu=True, cores=cores).readers for cores in (0.5, 2, 4, 8)] == [1, 1, 3, 7]


def test_a_lane_without_one_is_as_small_as_before() -> None:
    few = sizes(LaneSettings(), gpu=False, cores=16)
    assert (few.readers, few.pages_in_flight, few.bytes_in_flight) == (1, 64, 512 * 2**20)


def test_what_was_set_stays() -> None:
    lane = LaneSettings(readers=5, pages_in_flight=7, bytes_in_flight=11)
    for on_gpu in (True, False):
        chosen = sizes(lane, gpu=on_gpu, cores=2)
        assert (chosen.readers, chosen.pages_in_flight, chosen.bytes_in_flight) == (5, 7, 11)
