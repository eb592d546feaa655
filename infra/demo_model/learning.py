"""Gradients of one batch, here or in a second process beside us.

Two processes of one thread each use two cores better than one process of two threads when other programs want
the cores too: they wait for one another once a step, not once an operation.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing as processes
from torch import Tensor

from infra.demo_model.reader import Reader, targets


def learn(reader: Reader, batch: dict[str, Any], weights: dict[str, float]) -> dict[str, float]:
    """Adds the gradients of `batch` to the reader's weights; returns what is logged."""
    device = reader.network.language.embed_tokens.weight.device
    pixels = torch.from_numpy(batch["pixels"]).to(device)
    cells = torch.from_numpy(batch["cells"]).long().to(device)
    if batch["kind"] == "crops":
        visual = reader.look(pixels, torch.from_numpy(batch["offsets"]).to(device))
        loss, right = reader.aux_loss(visual, cells)
        loss.backward()
        return {"crop_loss": loss.item(), "crop_right": right.item()}
    visual = reader.look(pixels, None)
    aux, right = reader.aux_loss(visual, cells)
    by_kind = torch.tensor([weights["forced"], weights["decided"], weights["value"]], device=device)
    wanted = targets(reader.tokenizer, batch["answers"]).to(device)
    told = reader.answer_loss(visual, batch["question"], wanted, by_kind)
    (told["loss"] + weights["auxiliary"] * aux).backward()
    logged = {name: told[name].item() for name in ("decided_loss", "skeleton_loss")}
    if not right.isnan():  # some text on these pages
        logged["page_cells_right"] = right.item()
    if not told["value_loss"].isnan():
        logged[f"value_loss {batch['kind']}"] = told["value_loss"].item()
        logged[f"value_right {batch['kind']}"] = told["value_right"].item()
    return logged


class Aside:
    """A process that learns from a batch of its own while we learn from ours, with the same weights."""

    def __init__(self, reader: Reader, directory: Path, weights: dict[str, float]) -> None:
        reader.share_memory()
        self.shared = [weight.data for weight in reader.parameters()]
        self.gradients = [torch.zeros_like(weight).share_memory_() for weight in self.shared]
        self.reader = reader
        context = processes.get_context("spawn")
        self.pipe, there = context.Pipe()
        self.process = context.Process(
            target=_work, args=(directory, self.shared, self.gradients, weights, there), daemon=True
        )
        self.process.start()

    def begin(self, batch: dict[str, Any]) -> None:
        self.pipe.send(batch)

    def finish(self) -> dict[str, float]:
        """Waits, and leaves the mean of both gradients with the reader's weights; returns what is logged."""
        logged: dict[str, float] = self.pipe.recv()
        with torch.no_grad():
            for weight, other in zip(self.reader.parameters(), self.gradients, strict=True):
                own = torch.zeros_like(weight) if weight.grad is None else weight.grad
                weight.grad = (own + other) / 2
        return logged

    def end(self) -> None:
        self.process.terminate()


def _work(
    directory: Path, shared: list[Tensor], gradients: list[Tensor], weights: dict[str, float], pipe: Any
) -> None:
    torch.set_num_threads(1)
    os.setsid()  # Linux may share the cores out by session: a learner is a job of its own
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run ends us
    reader = Reader(directory).bfloat16()
    for weight, given in zip(reader.parameters(), shared, strict=True):
        weight.data = given
    parent = os.getppid()
    while os.getppid() == parent:
        if not pipe.poll(5):
            continue
        logged = learn(reader, pipe.recv(), weights)
        for weight, gradient in zip(reader.parameters(), gradients, strict=True):
            if weight.grad is None:
                gradient.zero_()
            else:
                gradient.copy_(weight.grad)
            weight.grad = None
        pipe.send(logged)
