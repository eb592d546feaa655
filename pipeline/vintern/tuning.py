"""LoRA fine-tuning: steps of the optimiser over conversations about pages, and the weights that come of them.

The base stays in its data type and is frozen; adapters are float32, and so are the masters of whatever else
is trained. While the vision tower is frozen, what it says of a page is computed once and kept on disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pipeline.records import Pixels
from pipeline.vintern import adapters, growing
from pipeline.vintern.adapters import Lora
from pipeline.vintern.config import Config
from pipeline.vintern.language import Attend, Language, causal, rotary
from pipeline.vintern.model import Network, Vintern
from pipeline.vintern.ranks import ALONE, Ranks
from pipeline.vintern.sequences import Tokens
from pipeline.vintern.tokenizer import Tokenizer
from pipeline.vintern.tune_settings import TuneSettings
from pipeline.vintern.vision import normalise

_TILES_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Example:
    """Tokens, and the picture by its key and its tiles: uint8 [n, 448, 448, 3], or None where it was seen."""

    tokens: Tokens
    picture: str | None
    tiles: Pixels | None


class Tuner:
    """A model that learns, here or in several processes. `visual` is the folder, one for all of them, where
    what the vision tower says is kept.
    """

    def __init__(self, model: Vintern, settings: TuneSettings, visual: Path, ranks: Ranks = ALONE) -> None:
        self.model, self.settings, self.ranks = model, settings, ranks
        self.network = model.network
        self.device, self.dtype = model.device, model.dtype
        self.lora = Lora(settings.rank, settings.alpha, settings.dropout)
        torch.manual_seed(settings.seed)
        adapters.add(self.network, self.lora)
        if settings.train != "language":
            whole = self.network.vision.mlp1 if settings.train == "projector" else self.network.vision
            whole.requires_grad_(True)
        self.masters = _Masters(self.network, settings)
        self._visual = visual
        visual.mkdir(parents=True, exist_ok=True)
        self._attend: Attend = causal if self.device.type == "cuda" else _plain

    @property
    def trained(self) -> int:
        """Numbers that are learned."""
        return sum(weight.numel() for weight in self.masters.weights)

    def see(self, key: str, tiles: Pixels) -> None:
        """Keeps what the frozen part of the vision side says of a page, unless it is kept already."""
        path = self._kept(key)
        if self.settings.train == "vision" or path.is_file():
            return
        said = []
        with torch.no_grad():
            for start in range(0, len(tiles), _TILES_AT_ONCE):
                said.append(self._features(torch.from_numpy(tiles[start : start + _TILES_AT_ONCE])))
        new = path.with_suffix(f".new{self.ranks.rank}")  # two ranks may see the same page
        save_file({"visual": torch.cat(said).cpu().contiguous()}, new)
        new.replace(path)

    def step(self, examples: Sequence[Example], share: float) -> float:
        """One step at `share` of the full rates; returns the mean loss of what was to be said.

        The batch, the same for all ranks, is shared out among them and passes in parts, `at_once`
        conversations each; the gradient is that of the whole.
        """
        total = sum(sum(example.tokens.weights) for example in examples)
        mine = examples[self.ranks.rank :: self.ranks.world]
        said = 0.0
        for start in range(0, len(mine), self.settings.at_once):
            loss = self._loss(mine[start : start + self.settings.at_once]) / total
            loss.backward()
            said += float(loss.detach())
        self.masters.take_gradients()
        said = self.ranks.add_up(self.masters.masters, said)
        self.masters.step(share)
        return said

    @torch.no_grad()
    def loss(self, examples: Sequence[Example]) -> float:
        """The mean loss over conversations, of which nothing is learned."""
        total = sum(sum(example.tokens.weights) for example in examples)
        size = self.settings.at_once
        parts = [self._loss(examples[start : start + size]) for start in range(0, len(examples), size)]
        return float(sum(float(part) for part in parts) / total)

    def _loss(self, examples: Sequence[Example]) -> Tensor:
        """Sum of the weighted losses of all tokens that are to be said."""
        language = self.network.language
        longest = max(len(example.tokens.ids) for example in examples)
        ids = torch.zeros(len(examples), longest, dtype=torch.int64)
        weights = torch.zeros(len(examples), longest)
        for row, example in enumerate(examples):
            ids[row, : len(example.tokens.ids)] = torch.tensor(example.tokens.ids)
            weights[row, : len(example.tokens.weights)] = torch.tensor(example.tokens.weights)
        embeds = language.embed(ids.to(self.device))
        places = (ids == self.model.tokenizer.image).to(self.device)
        seen = [self._said(example) for example in examples if example.picture is not None]
        if seen:
            embeds = embeds.masked_scatter(places[..., None], torch.cat(seen).to(embeds.dtype))
        hidden = self._hidden(language, embeds)[:, :-1]  # padding is behind, and seen by nothing
        counted = weights[:, 1:].to(self.device)
        said = counted > 0
        logits = language.head(hidden[said]).float()
        losses = F.cross_entropy(logits, ids.to(self.device)[:, 1:][said], reduction="none")
        return (losses * counted[said]).sum()

    def _hidden(self, language: Language, embeds: Tensor) -> Tensor:
        positions = torch.arange(embeds.shape[1], device=self.device)[None]
        rotation = rotary(positions, language.config.head_dim, language.config.rope_theta, embeds.dtype)
        hidden, mixed = embeds, None
        for number, layer in enumerate(language.layers):
            given = number, hidden, mixed, rotation, self._attend
            if self.settings.remember or not torch.is_grad_enabled():
                hidden, mixed = layer(*given)
            else:
                hidden, mixed = checkpoint(layer, *given, use_reentrant=False)
        return language.norm.added(hidden, mixed)[1]

    def _said(self, example: Example) -> Tensor:
        """Visual tokens [n · 256, hidden] of a page."""
        assert example.picture is not None
        vision = self.network.vision
        if self.settings.train == "vision":
            assert example.tiles is not None
            features = self._features(torch.from_numpy(example.tiles))
        else:
            features = load_file(self._kept(example.picture))["visual"].to(self.device, self.dtype)
        said: Tensor = features if self.settings.train == "language" else vision.mlp1(features)
        return said.flatten(0, 1)

    def _features(self, tiles: Tensor) -> Tensor:
        """What the part of the vision side says that no adapter and no projector changes."""
        vision = self.network.vision
        pixels = normalise(tiles.to(self.device)).to(self.dtype)
        return vision.read(pixels) if self.settings.train == "language" else vision.features(pixels)

    def _kept(self, key: str) -> Path:
        kind = "tokens" if self.settings.train == "language" else "features"
        return self._visual / f"{key}.{kind}.safetensors"

    def learned(self) -> Vintern:
        """The model as it would be served now: weights merged, in a network of its own."""
        with torch.device("meta"):
            network = Network(self.model.config)
        # Copies: the engine packs what it is given.
        tensors = {name: tensor.clone() for name, tensor in adapters.merged(self.network).items()}
        network.load_state_dict(tensors, assign=True)
        network.requires_grad_(False).eval()
        return Vintern(network, self.model.config, self.model.tokenizer, "in training")

    def save(self, path: Path, **told: float) -> None:
        """Keeps what a run needs to go on, with the caller's figures, under its name only when complete."""
        new = path.with_suffix(".new")
        torch.save({"masters": self.masters.state(), "told": told}, new)
        new.replace(path)

    def load(self, path: Path) -> dict[str, float]:
        """Goes on with what `save` kept; returns the caller's figures."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.masters.restore(state["masters"])
        told: dict[str, float] = state["told"]
        return told


class _Masters:
    """AdamW over float32 copies of what is trained in a smaller type; adapters are float32 themselves."""

    def __init__(self, network: nn.Module, settings: TuneSettings) -> None:
        found = [(name, weight) for name, weight in network.named_parameters() if weight.requires_grad]
        self.names = [name for name, _ in found]
        self.weights = [weight for _, weight in found]
        self.masters = [
            weight if weight.dtype == torch.float32 else weight.detach().float().clone()
            for weight in self.weights
        ]
        self._clip = settings.clip
        groups = []
        for lora, full in ((True, settings.rate), (False, settings.whole_rate)):
            own = [
                master
                for name, master in zip(self.names, self.masters, strict=True)
                if (".lora_" in name) == lora
            ]
            if own:
                groups.append({"params": own, "full": full, "lr": full})
        self._optimiser = torch.optim.AdamW(groups, weight_decay=settings.weight_decay, betas=(0.9, 0.98))

    def take_gradients(self) -> None:
        """From the weights that are trained, in float32."""
        for weight, master in zip(self.weights, self.masters, strict=True):
            if master is not weight:
                master.grad = None if weight.grad is None else weight.grad.float()
                weight.grad = None

    def step(self, share: float) -> None:
        """By the masters' gradients, which are gone then."""
        given = [master for master in self.masters if master.grad is not None]
        nn.utils.clip_grad_norm_(given, self._clip)
        for group in self._optimiser.param_groups:
            group["lr"] = share * group["full"]
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        self._spread()

    def _spread(self) -> None:
        with torch.no_grad():
            for weight, master in zip(self.weights, self.masters, strict=True):
                if master is not weight:
                    weight.copy_(master)

    def state(self) -> dict[str, Any]:
        masters = {name: master.detach().cpu() for name, master in zip(self.names, self.masters, strict=True)}
        return {"masters": masters, "optimiser": self._optimiser.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        with torch.no_grad():
            for name, master in zip(self.names, self.masters, strict=True):
                master.copy_(state["masters"][name])
        self._optimiser.load_state_dict(state["optimiser"])
        self._spread()


def with_tokens(model: Vintern, config: Config, tokenizer: Tokenizer, new: Sequence[str]) -> Vintern:
    """The model with `config` and `tokenizer`, which has these tokens more, and a row for each of them."""
    tensors: dict[str, Tensor] = dict(model.network.named_parameters())
    if new:
        tensors = growing.with_rows(tensors, model.tokenizer, list(new))
    with torch.device("meta"):
        network = Network(config)
    network.load_state_dict({name: tensor.detach() for name, tensor in tensors.items()}, assign=True)
    network.requires_grad_(False).eval()
    return Vintern(network, config, tokenizer, model.checkpoint_hash)


def picture_key(checkpoint_hash: str, tiles: Pixels) -> str:
    """Names what one model says of one page."""
    digest = hashlib.sha256(checkpoint_hash.encode())
    digest.update(tiles.tobytes())
    return digest.hexdigest()


def _plain(layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:  # noqa: ARG001
    """Causal attention whose backward pass is quick on a CPU, where that of the fused one is slow."""
    length = query.shape[2]
    shared = query.unflatten(1, (key.shape[1], -1))  # the query heads of each key head
    scores = shared @ key[:, :, None].transpose(-1, -2) * query.shape[-1] ** -0.5
    hidden = torch.full((length, length), float("-inf"), dtype=query.dtype, device=query.device).triu(1)
    return (torch.softmax(scores + hidden, -1) @ value[:, :, None]).flatten(1, 2)
