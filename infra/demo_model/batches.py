"""Batches for the training, drawn on the side by processes of their own."""

from __future__ import annotations

import random
import signal
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import torch
import torch.multiprocessing as processes

from infra.demo_model import samples

REPLAY_AFTER = 60  # pages of the kind drawn since
MOST_KEPT = 240
WITH_TEXT = (("id_card_front", "id_card"), ("id_card_back", "id_card"), ("receipt", "receipt"))


def stream(plan: dict[str, Any], step: int, workers: int, seed: int) -> Iterator[dict[str, Any]]:
    """Batches without end, drawn by `workers` processes that count the steps among themselves."""
    context = processes.get_context("spawn")
    queue: Any = context.Queue(3 * workers)
    running = [
        context.Process(
            target=_draw, args=(queue, plan, step + number, workers, seed * 1000 + number), daemon=True
        )
        for number in range(workers)
    ]
    for process in running:
        process.start()
    try:
        while True:
            yield queue.get()
    finally:
        for process in running:
            process.terminate()


def _draw(queue: Any, plan: dict[str, Any], step: int, stride: int, seed: int) -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run ends us
    rng = random.Random(seed)
    spare: list[samples.Crop] = []
    shown: dict[str, list[samples.PageSample]] = defaultdict(list)
    while True:
        queue.put(batch(plan, stage_at(plan, step), rng, spare, shown))
        step += stride


def stage_at(plan: dict[str, Any], step: int) -> dict[str, Any]:
    stages: list[dict[str, Any]] = plan["stage"]
    for stage in stages[:-1]:
        if step < stage["steps"]:
            return stage
        step -= stage["steps"]
    return stages[-1]


def batch(
    plan: dict[str, Any],
    stage: dict[str, Any],
    rng: random.Random,
    spare: list[samples.Crop],
    shown: dict[str, list[samples.PageSample]],
) -> dict[str, Any]:
    """One batch of a stage. `spare` holds crops of pages, `shown` pages by kind, all drawn before."""
    sizes = plan["batch"]
    if rng.random() < stage["crops"]:
        side, count = sizes["crop_side"], sizes["crops"]
        wanted = count // 3
        while len(spare) < wanted:
            kind, schema = rng.choice(WITH_TEXT)
            whole = samples.page(kind, schema, rng.getrandbits(48), blank=0.0).crop
            spare.extend(samples.cut(whole, side))
        rng.shuffle(spare)
        crops = [spare.pop() for _ in range(wanted)]
        crops += [samples.dense(rng, side) for _ in range(count - wanted)]
        pixels, cells, offsets = samples.stack(crops)
        return {"kind": "crops", "stage": stage["name"], "pixels": pixels, "cells": cells, "offsets": offsets}
    kinds = stage["pages"]
    pick = rng.choices(list(kinds), list(kinds.values()))[0]
    kind, _, schema = pick.partition("?")
    schema = schema or ("receipt" if kind == "receipt" else "id_card")
    old = shown[pick]
    pages = []
    if len(old) > REPLAY_AFTER:
        pages = [old.pop(0) for _ in range(round(sizes["replayed"] * sizes["pages"]))]
    for _ in range(sizes["pages"] - len(pages)):
        share, chance = stage["absent"]
        blank = chance if rng.random() < share else 0.0
        pages.append(samples.page(kind, schema, rng.getrandbits(48), blank=blank))
        old.append(pages[-1])
    del old[:-MOST_KEPT]
    side = sizes["crop_side"]
    if len(spare) < 400:
        for sample in pages:
            spare.extend(samples.cut(sample.crop, side))
    pixels, cells, _ = samples.stack([sample.crop for sample in pages])
    return {
        "kind": pick,
        "stage": stage["name"],
        "pixels": pixels,
        "cells": cells,
        "question": pages[0].question,
        "answers": [sample.answer for sample in pages],
    }
