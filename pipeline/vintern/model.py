"""The whole model: load a checkpoint, lay out a prompt, compute logits."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.errors import UsageError
from pipeline.vintern import checkpoint, memory, weights
from pipeline.vintern import config as configs
from pipeline.vintern import tokenizer as tokenizers
from pipeline.vintern.config import Config, Profile
from pipeline.vintern.language import Language, causal
from pipeline.vintern.prompt_ids import prompt_ids
from pipeline.vintern.tokenizer import Tokenizer
from pipeline.vintern.vision import Vision


class Network(nn.Module):
    """Vision and language, without files or text."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.vision = Vision(config.vision, config.shuffle, config.language.hidden)
        self.language = Language(config.language)


class Vintern:
    """A loaded checkpoint. `checkpoint_hash` names everything in it that decides a result."""

    def __init__(self, network: Network, config: Config, tokenizer: Tokenizer, checkpoint_hash: str) -> None:
        self.network = network
        self.vision = network.vision
        self.language = network.language
        self.config = config
        self.tokenizer = tokenizer
        self.checkpoint_hash = checkpoint_hash
        self.max_tiles = config.max_tiles
        self.context_length = config.context_length

    @property
    def device(self) -> torch.device:
        return self.language.norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.language.norm.weight.dtype

    def prompt_ids(self, question: str, n_tiles: int) -> Tensor:
        """int64 [seq] on the CPU: system message, image, question, and the opening of the answer.

        `question` is plain text: what looks like a special token in it is not taken for one.
        """
        return torch.tensor(prompt_ids(self.tokenizer, self.config, question, n_tiles), dtype=torch.int64)

    @torch.inference_mode()
    def embed(self, input_ids: Tensor, visual: Tensor | None) -> Tensor:
        """int64 [seq] and visual tokens [n, 256, hidden] → [seq, hidden], image places filled in order."""
        embedded = self.language.embed(input_ids.to(self.device))
        places = (input_ids == self.tokenizer.image).to(self.device)
        given = 0 if visual is None else visual.shape[0] * visual.shape[1]
        if int(places.sum()) != given:
            raise UsageError(f"the prompt has {int(places.sum())} image tokens, the tiles give {given}")
        if visual is not None:
            embedded[places] = visual.flatten(0, 1)
        return embedded

    @torch.inference_mode()
    def logits(self, input_ids: Tensor, tiles: Tensor) -> Tensor:
        """int64 [1, seq] and uint8 [n, 448, 448, 3] → logits [1, seq, vocab], in the model's dtype."""
        visual = self.vision(tiles.to(self.device)) if len(tiles) else None
        embedded = self.embed(input_ids[0], visual)[None]
        positions = torch.arange(embedded.shape[1], device=self.device)[None]
        return self.language.head(self.language(embedded, positions, causal))


def load(
    path_or_hub_id: str | Path,
    dtype: str | torch.dtype = "auto",
    device: str = "auto",
    profile: Profile | None = None,
    context_length: int | None = None,
) -> Vintern:
    """Load a checkpoint from a directory, a hub id or `demo`.

    dtype is what is computed in, whatever the weights are stored in: float32, bfloat16 or float16. "auto" is
    bfloat16 on a GPU and on a CPU that multiplies it in hardware, else float32; device "auto" is the GPU
    where there is one. `profile` replaces what the checkpoint's files leave open, such as the system message;
    `context_length` (tokens) goes before all that they say of it. Raises UsageError, one line, for everything
    that is not as it must be.
    """
    directory = checkpoint.locate(path_or_hub_id)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    config = configs.read(directory, profile, context_length)
    tokenizer = tokenizers.load(directory)
    _same_vocabulary(config, tokenizer, directory)
    files = checkpoint.weight_files(directory)
    config = weights.settled(config, files)
    with torch.device("meta"):
        network = Network(config)
    with memory.handed_back():
        weights.load_into(network, files, config, _dtype(dtype, device), device)
    network.requires_grad_(False).eval()
    return Vintern(network, config, tokenizer, checkpoint.digest(directory))


def _dtype(dtype: str | torch.dtype, device: str) -> torch.dtype:
    known = {
        "auto": torch.bfloat16 if not device.startswith("cpu") or _multiplies_bfloat16() else torch.float32,
        "float32": torch.float32,
        "bfloat16": torch.bfloat16,
        "float16": torch.float16,
    }
    if isinstance(dtype, str) and dtype in known:
        return known[dtype]
    if isinstance(dtype, torch.dtype) and dtype in known.values():
        return dtype
    raise UsageError(f"dtype {dtype!r} is not supported; choose one of {', '.join(known)}")


def _multiplies_bfloat16() -> bool:
    """This CPU has matrix or vector units for bfloat16 (AMX, AVX-512 BF16); emulated, it would be slower."""
    if not hasattr(torch.cpu, "get_capabilities"):
        return False
    found = torch.cpu.get_capabilities()
    return bool(found.get("amx_bf16") or found.get("avx512_bf16"))


def _same_vocabulary(config: Config, tokenizer: Tokenizer, directory: Path) -> None:
    # transformers' conversion gives the tokenizer a token for videos and the model no row. No prompt has it.
    rows_needed = tokenizer.size - (tokenizer.backend.token_to_id("<video>") == tokenizer.size - 1)
    if rows_needed > config.language.vocab:
        raise UsageError(
            f"{directory}: the tokenizer has {tokenizer.size} tokens, config.json's vocab_size is "
            f"{config.language.vocab}: these files are not from one checkpoint"
        )
    if config.image_token_id not in (None, tokenizer.image):
        raise UsageError(
            f"{directory / 'config.json'}: image_token_id is {config.image_token_id}, but the tokenizer's "
            f"<IMG_CONTEXT> is {tokenizer.image}"
        )
