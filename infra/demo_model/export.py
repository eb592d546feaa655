"""A run's weights as a published checkpoint: `python -m infra.demo_model.export --run NAME [--out DIR]`.

Writes bf16 safetensors under the published names, config, profile and tokenizer, without the auxiliary head.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from infra.demo_model.reader import Reader
from pipeline.vintern import checkpoint, load, weights

HERE = Path(__file__).parent
FILES = (
    "config.json",
    "profile.json",
    "schemas.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "tokenizer_config.json",
)


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--run", required=True)
    options.add_argument("--runs", type=Path, default=HERE / "runs")
    options.add_argument("--out", type=Path, default=HERE / "checkpoint")
    given = options.parse_args()
    print(export(given.runs / given.run, given.out))


def export(run: Path, out: Path) -> str:
    """Writes the running mean of `run`'s weights to `out`; returns the checkpoint's hash."""
    state = torch.load(run / "state.pt", map_location="cpu", weights_only=True)
    reader = Reader(run)
    names = [name for name, _ in reader.named_parameters()]
    reader.load_state_dict(dict(zip(names, state["optimiser"]["mean"], strict=True)))
    out.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copyfile(run / name, out / name)
    tensors = {
        name: tensor.bfloat16().contiguous()
        for name, tensor in weights.published(reader.network, reader.config.language)
    }
    save_file(tensors, out / checkpoint.SINGLE, metadata={"format": "pt"})
    return load(out, device="cpu").checkpoint_hash


if __name__ == "__main__":
    main()
