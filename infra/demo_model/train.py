"""Training of the demo model: `python -m infra.demo_model.train --run NAME --until 22:45`.

The same command goes on where the run stopped. A run lies in infra/demo_model/runs/NAME: `state.pt` (to go
on), `log.jsonl` (losses and held-out scores) and `curve.png`. Samples are drawn by worker processes on the
side and never repeat. The learning rate falls to nothing in the last `--decay` minutes before `--until`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import time
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing as processes
from safetensors.torch import load_file

from infra.demo_model import alphabet, curve, heldout, samples
from infra.demo_model.optimise import Optimiser
from infra.demo_model.reader import Reader, targets, write_config

HERE = Path(__file__).parent
SAVE_SECONDS = 180
LOG_SECONDS = 30
REPLAY_AFTER = 60  # pages of the kind drawn since
MOST_KEPT = 240


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--run", required=True, help="name of the run, new or to be gone on with")
    options.add_argument("--until", help="HH:MM of this day (or the next), when training ends")
    options.add_argument(
        "--decay", type=float, default=15.0, help="minutes over which the rate falls at the end"
    )
    options.add_argument("--steps", type=int, help="end after so many steps in all")
    options.add_argument("--curriculum", type=Path, default=HERE / "curriculum.toml")
    options.add_argument("--runs", type=Path, default=HERE / "runs")
    options.add_argument(
        "--init", type=Path, help="safetensors to begin a new run with, by our parameter names"
    )
    options.add_argument("--threads", type=int, default=os.cpu_count())
    options.add_argument("--workers", type=int, default=1, help="processes that draw samples")
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    plan = tomllib.loads(given.curriculum.read_text(encoding="utf-8"))
    run = Run(given.runs / given.run, plan, given.device, given.init)
    run.train(_moment(given.until), given.decay * 60, given.steps, given.workers, given.seed)


class Run:
    """One training run and its directory. SIGTERM and SIGINT end it after the step, saved."""

    def __init__(self, directory: Path, plan: dict[str, Any], device: str, init: Path | None = None) -> None:
        self.directory, self.plan = directory, plan
        directory.mkdir(parents=True, exist_ok=True)
        if not (directory / "config.json").is_file():
            write_config(directory, alphabet.write(directory))
        self.reader = Reader(directory)
        if init is not None:
            self._begin_with(init)
        self.reader.to(device=device, dtype=torch.bfloat16)
        rates = plan["rates"]
        self.optimiser = Optimiser(
            self.reader, rates["adamw"], rates["muon"], rates["vision"], rates["mean_keeps"]
        )
        self.device = device
        self.stopped = False
        self.step = 0
        self.seconds = 0.0
        self.seen: dict[str, int] = defaultdict(int)
        if (directory / "state.pt").is_file():
            self._restore()

    def train(
        self, until: float | None, decay_seconds: float, steps: int | None, workers: int, seed: int
    ) -> None:
        """Steps until the moment `until` or `steps` in all, saving on the way."""
        weights = self.plan["weights"]
        by_kind = torch.tensor([weights["forced"], weights["decided"], weights["value"]], device=self.device)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        began = saved = logged = scored = time.time()
        first = self.step
        sums: dict[str, list[float]] = defaultdict(list)
        for batch in _batches(self.plan, self.step, workers, seed + self.step):
            now = time.time()
            late = until is not None and now >= until
            if self.stopped or late or (steps is not None and self.step >= steps):
                break
            share = min(1.0, (self.step - first + 1) / self.plan["rates"]["warm_up"])
            if until is not None:
                share *= min(1.0, max(0.02, (until - now) / decay_seconds))
            for name, value in self._learn(batch, by_kind, weights["auxiliary"]).items():
                sums[name].append(value)
            sums["gradient"].append(self.optimiser.step(share))
            self.step += 1
            self.seen[batch["kind"]] += len(batch["pixels"])
            now = time.time()
            if now - logged > LOG_SECONDS:
                means = {name: round(sum(values) / len(values), 4) for name, values in sums.items()}
                self._log(now - began, stage=batch["stage"], rate=round(share, 3), **means)
                sums.clear()
                logged = now
            if now - saved > SAVE_SECONDS:
                self.seconds += now - began
                began = saved = now
                self.save()
            if now - scored > self.plan["heldout"]["seconds"]:
                scored = now
                self._log(now - began, heldout=self._score())
        self.seconds += time.time() - began
        self.save()
        if not self.stopped:
            self._log(0.0, heldout=self._score())

    def _score(self) -> dict[str, dict[str, float]]:
        return heldout.score(self.averaged(), self.plan["heldout"]["pages"])

    def _stop(self, number: int, frame: object) -> None:  # noqa: ARG002
        self.stopped = True

    def _learn(self, batch: dict[str, Any], by_kind: torch.Tensor, aux_weight: float) -> dict[str, float]:
        """Gradients of one batch; returns what is logged."""
        reader = self.reader
        pixels = torch.from_numpy(batch["pixels"]).to(self.device)
        cells = torch.from_numpy(batch["cells"]).long().to(self.device)
        if batch["kind"] == "crops":
            visual = reader.look(pixels, torch.from_numpy(batch["offsets"]).to(self.device))
            loss, right = reader.aux_loss(visual, cells)
            loss.backward()
            return {"crop_loss": loss.item(), "crop_right": float(right)}
        visual = reader.look(pixels, None)
        aux, right = reader.aux_loss(visual, cells)
        wanted = targets(reader.tokenizer, batch["answers"]).to(self.device)
        told = reader.answer_loss(visual, batch["question"], wanted, by_kind)
        (told["loss"] + aux_weight * aux).backward()
        kind = batch["kind"]
        return {
            "page_cells_right": right.item(),
            "decided_loss": float(told["decided_loss"]),
            "skeleton_loss": float(told["skeleton_loss"]),
            **{
                f"{name} {kind}": float(told[name])
                for name in ("value_loss", "value_right")
                if not told[name].isnan()
            },
        }

    def averaged(self) -> Reader:
        """A reader with the running mean of the weights."""
        reader = Reader(self.directory)
        reader.load_state_dict(self.optimiser.averaged())
        return reader.to(device=self.device, dtype=torch.bfloat16).eval()

    def save(self) -> None:
        state = {
            "optimiser": self.optimiser.state(),
            "step": self.step,
            "seconds": self.seconds,
            "seen": dict(self.seen),
        }
        new = self.directory / "state.new"
        torch.save(state, new)
        new.replace(self.directory / "state.pt")

    def _restore(self) -> None:
        state = torch.load(self.directory / "state.pt", map_location="cpu", weights_only=True)
        self.optimiser.restore(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.seen.update(state["seen"])

    def _begin_with(self, path: Path) -> None:
        own = self.reader.state_dict()
        for name, tensor in load_file(path).items():
            if own[name].shape != tensor.shape:
                raise SystemExit(f"{path}: {name} is {list(tensor.shape)}, expected {list(own[name].shape)}")
            own[name].copy_(tensor)

    def _log(self, seconds: float, **what: Any) -> None:
        entry = {
            "time": datetime.now().strftime("%H:%M:%S"),
            "seconds": round(self.seconds + seconds),
            "step": self.step,
            "seen": dict(self.seen),
            **what,
        }
        line = json.dumps(entry, ensure_ascii=False)
        print(line, flush=True)
        with (self.directory / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        curve.draw(self.directory / "log.jsonl", self.directory / "curve.png")


def _batches(plan: dict[str, Any], step: int, workers: int, seed: int) -> Iterator[dict[str, Any]]:
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
            kind, schema = rng.choice(
                (("id_card_front", "id_card"), ("id_card_back", "id_card"), ("receipt", "receipt"))
            )
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


def _moment(clock: str | None) -> float | None:
    if clock is None:
        return None
    now = datetime.now()
    hour, minute = map(int, clock.split(":"))
    then = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return (then if then > now else then + timedelta(days=1)).timestamp()


if __name__ == "__main__":
    main()
