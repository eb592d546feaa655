"""What a lane gets by itself, where the settings leave a bound to the machine.

A GPU holds hundreds of pages at once, and is fed by as many readers as its share of the cores allows; on a
CPU the model is what is slow, and one reader is more than enough. How many requests are decoded together is
the engine's own choice, by the memory that is free (`vintern.engine`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.settings import LaneSettings, ServerSettings, Settings
from pipeline.vintern.config import TILE

# A reader draws 6 to 13 pages a second (infra/benchmarks/prepare.py), the best card answers some 60.
_MOST_READERS = 8
_PAGE_BYTES = 7 * TILE * TILE * 3  # of six tiles and a thumbnail, as the model was trained
_ON_GPU = 384  # pages: 256 that are decoded together, and the next ones
_ON_CPU = 64
_CPU_BYTES = 512 * 2**20
_GPUS = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True, slots=True)
class Sizes:
    """readers of a lane; prepared pages that it may hold; bytes of documents, and as many of pages."""

    readers: int
    pages_in_flight: int
    bytes_in_flight: int


def sizes(lane: LaneSettings, *, gpu: bool, cores: float, served: ServerSettings | None = None) -> Sizes:
    """Of a lane with a GPU or without, and its share of its machine's cores; `served`: a server reads."""
    quick = gpu or served is not None  # a model that several readers feed
    readers = max(1, min(_MOST_READERS, int(cores) - 1)) if quick else 1
    pages = lane.pages_in_flight or (_ON_GPU if gpu else _ON_CPU)
    if served is not None:
        pages = lane.pages_in_flight or max(_ON_CPU, 2 * served.requests)
    return Sizes(
        lane.readers or readers,
        pages,
        lane.bytes_in_flight or (2 * pages * _PAGE_BYTES if gpu else _CPU_BYTES),
    )


def words(settings: Settings) -> str:
    """What a lane on this machine would get, for people."""
    served = settings.server if settings.server.url is not None else None
    gpus = 0 if served is not None else gpus_here()
    cores = len(os.sched_getaffinity(0)) / max(gpus, 1)
    chosen = sizes(settings.lane, gpu=gpus > 0, cores=cores, served=served)
    batch = settings.engine.max_batch or ("up to 256, as memory allows," if gpus else 16)
    together = f"{batch} pages decoded together"
    on = f"one of {gpus} GPUs" if gpus else "a CPU"
    if served is not None:
        on, together = "a server elsewhere", f"{served.requests} pages asked at once"
    return (
        f"on {on}, {cores:g} cores: {together}, {chosen.pages_in_flight} in flight, "
        f"{chosen.readers} readers, {chosen.bytes_in_flight / 2**20:.0f} MiB of documents and pages"
    )


def lane_bytes_here(lane: LaneSettings) -> int:
    """Of a lane on this machine, before anybody has counted its GPUs."""
    return sizes(lane, gpu=gpus_here() > 0, cores=1).bytes_in_flight


def gpus_here() -> int:
    """As NVIDIA's driver names them; Ray counts those that this process may use."""
    return len(list(_GPUS.iterdir())) if _GPUS.is_dir() else 0
