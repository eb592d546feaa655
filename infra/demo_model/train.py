"""Training of the demo model: `python -m infra.demo_model.train --run NAME --seconds 240`.

The same command goes on where the run stopped. A run lies in infra/demo_model/runs/NAME: `state.pt` (to go
on), `log.jsonl` (losses and held-out scores) and `curve.png`. Processes of their own draw samples all the
while; the training shows what has been drawn, each several times if it is the quicker of the two. The
learning rate falls to nothing in the last part of the time, which `--decay` says.
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
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from infra.demo_model import alphabet, curve, heldout
from infra.demo_model.drawing import Drawing
from infra.demo_model.learning import learn_crops, learn_pages
from infra.demo_model.optimise import Optimiser
from infra.demo_model.pool import Pool
from infra.demo_model.reader import Reader, write_config
from pipeline import vintern

HERE = Path(__file__).parent
SAVE_SECONDS = 60
LOG_SECONDS = 10
PATIENCE = 120  # seconds without a sample after which a run gives up


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--run", required=True, help="name of the run, new or to be gone on with")
    options.add_argument("--seconds", type=float, help="for which to learn this time")
    options.add_argument(
        "--decay", type=float, default=0.4, help="part of the seconds in which the rate falls"
    )
    options.add_argument("--steps", type=int, help="end after so many steps in all")
    options.add_argument("--curriculum", type=Path, default=HERE / "curriculum.toml")
    options.add_argument("--runs", type=Path, default=HERE / "runs")
    options.add_argument(
        "--init", help="checkpoint to begin a new run with, at the last stage of the curriculum"
    )
    options.add_argument("--threads", type=int, default=os.cpu_count())
    options.add_argument("--workers", type=int, default=1, help="processes that draw samples")
    options.add_argument("--pool", type=float, default=2.0, help="GB of samples to keep, on the device")
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    plan = tomllib.loads(given.curriculum.read_text(encoding="utf-8"))
    run = Run(given.runs / given.run, plan, given.device, given.workers, given.pool, given.init, given.seed)
    run.train(given.seconds, given.decay, given.steps)


class Run:
    """One training run and its directory. SIGTERM and SIGINT end it after the step, saved."""

    def __init__(
        self,
        directory: Path,
        plan: dict[str, Any],
        device: str,
        workers: int = 1,
        pool: float = 2.0,
        init: str | None = None,
        seed: int = 1,
    ) -> None:
        """`workers` processes draw; `pool` GB of what they draw are kept. Raises UsageError for an `init`
        that is no checkpoint of the same sizes.
        """
        self.directory, self.plan, self.device = directory, plan, device
        directory.mkdir(parents=True, exist_ok=True)
        if not (directory / "config.json").is_file():
            write_config(directory, alphabet.write(directory))
        self.drawing = Drawing(plan, directory, workers, seed + random.randrange(10**6))
        self.reader = Reader(directory)
        self.step = self.skipped = 0  # steps; those of stages that were left out
        self.seconds = 0.0
        self.seen: dict[str, int] = defaultdict(int)  # samples that were drawn, by kind
        self.shown: dict[str, int] = defaultdict(int)  # and how often they were shown, by form
        if init is not None and not (directory / "state.pt").is_file():
            self._begin_with(init)
        self.reader.to(device=device, dtype=torch.bfloat16)
        rates = plan["rates"]
        self.optimiser = Optimiser(
            self.reader, rates["adamw"], rates["muon"], rates["vision"], rates["mean_keeps"]
        )
        self.stopped = False
        if (directory / "state.pt").is_file():
            self._restore()
        self.drawing.at_stage(self._stage())
        self.pool = Pool(self.drawing, device, pool, plan["heldout"]["pages"])
        self.rng = random.Random(seed + self.step)

    def train(self, seconds: float | None, decay: float, steps: int | None) -> None:
        """Learns for so many seconds or until so many steps in all, saving on the way."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self._fill()
        began = saved = logged = scored = learned = time.time()
        first, ends = self.step, began + (seconds or float("inf"))
        sums: dict[str, list[Tensor]] = defaultdict(list)
        while not self.stopped and time.time() < ends and (steps is None or self.step < steps):
            share = min(1.0, (self.step - first + 1) / self.plan["rates"]["warm_up"])
            if seconds is not None:
                share *= min(1.0, max(0.02, (ends - time.time()) / (decay * seconds)))
            self.pool.take()
            self.drawing.at_stage(self._stage())
            told = self._learn()
            if not told:  # nothing of this stage has been drawn yet
                if time.time() - learned > PATIENCE:
                    raise SystemExit(self._nothing_drawn())
                time.sleep(0.02)
                continue
            learned = time.time()
            for name, value in told.items():
                sums[name].append(value)
            sums["gradient"].append(self.optimiser.step(share))
            self.step += 1
            now = time.time()
            if now - logged > LOG_SECONDS:
                means = {name: round(float(torch.stack(tensors).mean()), 4) for name, tensors in sums.items()}
                self._log(time.time() - began, rate=round(share, 3), **means)
                sums.clear()
                logged = now
            if now - saved > SAVE_SECONDS:
                self.seconds += now - began
                began = saved = now
                self.save()
            if now - scored > self.plan["heldout"]["seconds"]:
                scored = now
                self._log(now - began, heldout=self._score())
        self.drawing.end()
        self.seconds += time.time() - began
        self.save()
        if not self.stopped:
            self._log(0.0, heldout=self._score())

    def _learn(self) -> dict[str, Tensor]:
        """The gradients of one step: of crops, or of pages of each form."""
        sizes, weights = self.plan["batch"], self.plan["weights"]
        shelves = self.pool.shelves
        if self.rng.random() < self.plan["stage"][self._stage()]["crops"] and shelves["crop"].count:
            batch = shelves["crop"].any(self.rng, sizes["crop"])
            self.shown["crop"] += len(batch.ids)
            return learn_crops(self.reader, batch)
        logged: dict[str, Tensor] = {}
        for name in ("one", "seven"):
            if not shelves[name].count:
                continue
            batch = shelves[name].any(self.rng, sizes[name])
            self.shown[name] += len(batch.ids)
            apart = self.skipped > 0 and self.step < self.plan["rates"]["auxiliary_apart"]
            logged |= learn_pages(self.reader, batch, weights, name, apart=apart)
        return logged

    def _stage(self) -> int:
        """Number of the stage that is learned now."""
        step = self.step + self.skipped
        stages = self.plan["stage"]
        for number, stage in enumerate(stages[:-1]):
            if step < stage["steps"]:
                return number
            step -= stage["steps"]
        return len(stages) - 1

    def _fill(self) -> None:
        """Waits for the held-out pages and the first samples of what the stage shows."""
        began = moved = time.time()
        sizes, before = self.plan["batch"], 0
        stage = self.plan["stage"][self._stage()]
        pages = [self.pool.shelves[name] for name in ("one", "seven")]
        while True:
            self.pool.take()
            there = sum(shelf.count for shelf in self.pool.shelves.values())
            if there != before:
                before, moved = there, time.time()
            enough = stage["crops"] == 1.0 or sum(shelf.count for shelf in pages) >= sizes["one"]
            enough = enough and (stage["crops"] == 0.0 or self.pool.shelves["crop"].count > 0)
            told = sum(shelf.count for shelf in self.pool.heldout.values())
            if enough and told >= len(heldout.SETS) * self.plan["heldout"]["pages"]:
                break
            if self.stopped or time.time() - moved > PATIENCE or not self.drawing.alive():
                raise SystemExit(self._nothing_drawn())
            time.sleep(0.05)
        print(f"first samples after {time.time() - began:.1f} s: {there}", flush=True)

    def _nothing_drawn(self) -> str:
        drawing = f"{self.drawing.alive()} processes draw, {self.pool.failures} could not be drawn"
        return f"no samples for {PATIENCE:g} s: {drawing}"

    def _score(self) -> dict[str, dict[str, float]]:
        return heldout.score(self.averaged(), self.pool.heldout)

    def _stop(self, number: int, frame: object) -> None:  # noqa: ARG002
        self.stopped = True

    def averaged(self) -> Reader:
        """A reader with the running mean of the weights."""
        reader = Reader(self.directory)
        reader.load_state_dict(self.optimiser.averaged())
        return reader.to(device=self.device, dtype=torch.bfloat16).eval()

    def save(self) -> None:
        state = {
            "optimiser": self.optimiser.state(),
            "step": self.step,
            "skipped": self.skipped,
            "seconds": self.seconds,
            "seen": self._seen(),
            "shown": dict(self.shown),
        }
        new = self.directory / "state.new"
        torch.save(state, new)
        new.replace(self.directory / "state.pt")

    def _seen(self) -> dict[str, int]:
        now = self.pool.seen
        return {kind: self.seen[kind] + now[kind] for kind in sorted({*self.seen, *now})}

    def _restore(self) -> None:
        state = torch.load(self.directory / "state.pt", map_location="cpu", weights_only=True)
        self.optimiser.restore(state["optimiser"])
        self.step, self.skipped, self.seconds = state["step"], state["skipped"], state["seconds"]
        self.seen.update(state["seen"])
        self.shown.update(state["shown"])

    def _begin_with(self, checkpoint: str) -> None:
        """Takes a checkpoint's weights, and leaves out the stages in which a reader learns to read at all."""
        network = vintern.load(checkpoint, dtype="float32", device="cpu").network
        self.reader.network.load_state_dict(network.state_dict())
        self.skipped = sum(stage["steps"] for stage in self.plan["stage"][:-1])

    def _log(self, seconds: float, **what: Any) -> None:
        entry = {
            "time": datetime.now().strftime("%H:%M:%S"),
            "seconds": round(self.seconds + seconds),
            "stage": self.plan["stage"][self._stage()]["name"],
            "step": self.step,
            "seen": self._seen(),
            "shown": dict(self.shown),
            "drawing": self.drawing.alive(),
            "failures": self.pool.failures,
            **what,
        }
        with (self.directory / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        print(_brief(entry), flush=True)
        curve.draw(self.directory / "log.jsonl", self.directory / "curve.png")


def _brief(entry: dict[str, Any]) -> str:
    """A line of the log for a person: of held-out sets the share of right fields, of kinds their number."""
    seen, scores = sum(entry["seen"].values()), entry.get("heldout", {})
    brief = {name: value for name, value in entry.items() if name not in ("seen", "heldout", "stage")}
    for name, fields in scores.items():  # a set without a value to read has its nulls alone
        brief[name] = fields["absent"] if set(fields) == {"all", "absent"} else round(fields["all"], 3)
    return json.dumps({**brief, "seen": seen}, ensure_ascii=False)


if __name__ == "__main__":
    main()
