"""Steps of the optimiser: weights in bfloat16, masters in float32, Muon for matrices, AdamW for the rest.

A running mean of the masters (`mean`) is what is evaluated and shipped: it reads better than the last step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from infra.demo_model.reader import Reader

CLIP = 1.0
WEIGHT_DECAY = 0.05


class Optimiser:
    def __init__(
        self, reader: Reader, rate: float, muon_rate: float, vision_share: float, keep: float
    ) -> None:
        """`vision_share` scales the rates of the vision tower; `keep` is the running mean's memory."""
        self.keep = keep
        self.names, self.weights = zip(*reader.named_parameters(), strict=True)
        self.masters = [weight.detach().float().clone() for weight in self.weights]
        self.mean = [master.clone() for master in self.masters]
        matrices: dict[float, list[Tensor]] = {}
        others: dict[tuple[float, float], list[Tensor]] = {}
        for name, master in zip(self.names, self.masters, strict=True):
            share = vision_share if ".vision." in name else 1.0
            hidden = master.ndim == 2 and (".layers." in name or "mlp1" in name)
            if hidden:
                matrices.setdefault(share, []).append(master)
            else:
                decay = WEIGHT_DECAY if master.ndim >= 2 and "embed" not in name else 0.0
                others.setdefault((share, decay), []).append(master)
        self.parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                [
                    {"params": group, "weight_decay": decay, "full": share * rate}
                    for (share, decay), group in others.items()
                ],
                lr=rate,
                betas=(0.9, 0.98),
                fused=True,
            ),
            torch.optim.Muon(
                [{"params": group, "full": share * muon_rate} for share, group in matrices.items()],
                lr=muon_rate,
                weight_decay=WEIGHT_DECAY,
                momentum=0.95,
                nesterov=True,
                adjust_lr_fn="match_rms_adamw",
            ),
        ]

    def step(self, share: float) -> Tensor:
        """One step at `share` of the full rates, from the gradients of the weights; returns their norm."""
        for weight, master in zip(self.weights, self.masters, strict=True):
            master.grad = None if weight.grad is None else weight.grad.float()
            weight.grad = None
        given = [master for master in self.masters if master.grad is not None]
        norm = nn.utils.clip_grad_norm_(given, CLIP)
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = share * group["full"]
            part.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.mean, self.masters, 1 - self.keep)
            for weight, master in zip(self.weights, self.masters, strict=True):
                weight.copy_(master)
        return norm

    def averaged(self) -> dict[str, Tensor]:
        """The running mean, by parameter name."""
        return dict(zip(self.names, self.mean, strict=True))

    def state(self) -> dict[str, Any]:
        return {
            "masters": self.masters,
            "mean": self.mean,
            "parts": [part.state_dict() for part in self.parts],
        }

    def restore(self, state: dict[str, Any]) -> None:
        rates = [[group["full"] for group in part.param_groups] for part in self.parts]
        with torch.no_grad():
            for old, new in zip(
                [*self.masters, *self.mean], [*state["masters"], *state["mean"]], strict=True
            ):
                old.copy_(new)
            for weight, master in zip(self.weights, self.masters, strict=True):
                weight.copy_(master)
        for part, saved, full in zip(self.parts, state["parts"], rates, strict=True):
            part.load_state_dict(saved)
            for group, rate in zip(part.param_groups, full, strict=True):
                group["full"] = rate  # today's setting, not that of the saved run
