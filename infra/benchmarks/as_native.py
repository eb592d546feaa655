"""A checkpoint in transformers' native layout, for software that reads no other, such as vLLM.

    python -m infra.benchmarks.as_native demo FOLDER

Weights, tokenizer and prompt stay as they are. `vinbatch merge --layout native` does the same to what it
merges.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.vintern import checkpoint, load, saving


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="demo, a hub id or a directory")
    parser.add_argument("out", type=Path, help="a new folder")
    given = parser.parse_args()
    base = checkpoint.locate(given.model)
    found = load(given.model, device="cpu")
    tensors = {name: weight.detach() for name, weight in found.network.named_parameters()}
    print(saving.save(given.out, tensors, found.config, base, found.tokenizer, layout="native"))


if __name__ == "__main__":
    main()
