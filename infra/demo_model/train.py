"""Training of the demo model: `python -m infra.demo_model.train --run NAME --until 22:45`.

The same command goes on where the run stopped. A run lies in infra/demo_model/runs/NAME: `state.pt` (to go
on), `log.jsonl` (losses and held-out scores) and `curve.png`. Samples are drawn by worker processes on the
side and never repeat. The learning rate falls to nothing in the last `--decay` minutes before `--until`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
import tomllib
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from infra.demo_model import alphabet, curve, heldout
from infra.demo_model.batches import stream
from infra.demo_model.learning import Aside, learn
from infra.demo_model.optimise import Optimiser
from infra.demo_model.reader import Reader, write_config

HERE = Path(__file__).parent
SAVE_SECONDS = 180
LOG_SECONDS = 30


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
    options.add_argument("--learners", type=int, choices=(1, 2), default=1, help="processes that learn (CPU)")
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    plan = tomllib.loads(given.curriculum.read_text(encoding="utf-8"))
    run = Run(given.runs / given.run, plan, given.device, given.init)
    run.train(_moment(given.until), given.decay * 60, given.steps, given.workers, given.learners, given.seed)


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
        self,
        until: float | None,
        decay_seconds: float,
        steps: int | None,
        workers: int = 1,
        learners: int = 1,
        seed: int = 1,
    ) -> None:
        """Steps until the moment `until` or `steps` in all, saving on the way."""
        weights = self.plan["weights"]
        aside = Aside(self.reader, self.directory, weights) if learners > 1 else None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        began = saved = logged = scored = time.time()
        first = self.step
        sums: dict[str, list[float]] = defaultdict(list)
        source = stream(self.plan, self.step, workers, seed + self.step)
        for batch in source:
            now = time.time()
            late = until is not None and now >= until
            if self.stopped or late or (steps is not None and self.step >= steps):
                break
            share = min(1.0, (self.step - first + 1) / self.plan["rates"]["warm_up"])
            if until is not None:
                share *= min(1.0, max(0.02, (until - now) / decay_seconds))
            other = next(source) if aside else None
            if aside and other:
                aside.begin(other)
            logs = [learn(self.reader, batch, weights)]
            if aside:
                logs.append(aside.finish())
            for name, value in (entry for log in logs for entry in log.items()):
                sums[name].append(value)
            sums["gradient"].append(self.optimiser.step(share))
            self.step += 1
            for done in (batch, other) if other else (batch,):
                self.seen[done["kind"]] += len(done["pixels"])
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
        source.close()
        if aside:
            aside.end()
        self.seconds += time.time() - began
        self.save()
        if not self.stopped:
            self._log(0.0, heldout=self._score())

    def _score(self) -> dict[str, dict[str, float]]:
        return heldout.score(self.averaged(), self.plan["heldout"]["pages"])

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


def _moment(clock: str | None) -> float | None:
    if clock is None:
        return None
    now = datetime.now()
    hour, minute = map(int, clock.split(":"))
    then = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return (then if then > now else then + timedelta(days=1)).timestamp()


if __name__ == "__main__":
    main()
