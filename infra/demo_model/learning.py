"""Gradients of one batch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from infra.demo_model.pool import Batch
from infra.demo_model.reader import Reader

SHIFT = 2  # pixels by which a sample is moved at most when it is shown
GREY = 5.0  # standard deviation of the noise in the noisiest


def learn_crops(reader: Reader, batch: Batch) -> dict[str, Tensor]:
    """Adds the gradients of crops to the reader's weights; returns what is logged."""
    visual = reader.look(varied(batch.pixels).flatten(0, 1), batch.offsets)
    loss, right = reader.aux_loss(visual, batch.cells.flatten(0, 1))
    loss.backward()
    return {"crop_loss": loss.detach(), "crop_right": right}


def learn_pages(
    reader: Reader, batch: Batch, weights: Mapping[str, float], name: str, *, apart: bool = False
) -> dict[str, Tensor]:
    """The same of pages. `apart`: the auxiliary head learns by itself, from visual tokens as they are.

    The logged names end with `name`.
    """
    visual = reader.look(varied(batch.pixels).flatten(0, 1), None)
    aux, right = reader.aux_loss(visual.detach() if apart else visual, batch.cells.flatten(0, 1))
    told = reader.answer_loss(visual, batch.ids, batch.kinds, weights)
    (told["loss"] + weights["auxiliary"] * aux).backward()
    logged = {"page_cells_right": right} | {part: told[part] for part in told if part != "loss"}
    return {f"{part} {name}": value.detach() for part, value in logged.items()}


def varied(pixels: Tensor) -> Tensor:
    """Samples, uint8 [n, tiles, side, side, 3], a little moved, lighter or darker, and noisier.

    A page is shown several times; nothing about it but its letters should be known again.
    """
    n = len(pixels)
    device = pixels.device
    down, across = torch.randint(-SHIFT, SHIFT + 1, (2,)).tolist()
    moved = pixels.roll((down, across), (2, 3)).float()
    size = (n, 1, 1, 1, 1)
    gain = torch.empty(size, device=device).uniform_(0.9, 1.05)
    lift = torch.empty(size, device=device).uniform_(-12, 12)
    noise = torch.empty(size, device=device).uniform_(-GREY, GREY).clamp_min(0)  # half of them have none
    grain = torch.randn(moved.shape[:-1], device=device)[..., None]
    return (moved * gain + lift + noise * grain).clamp_(0, 255).to(torch.uint8)
