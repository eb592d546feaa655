"""What an engine holds in memory, in a process that imports what a replica's engine does and nothing else.

    python -m infra.benchmarks.resident DIRECTORY int8 [--tiles 7] [--tokens 40]

Bytes, as JSON: `imports`; what loading the model made it hold beside them; `ready`; `after a page`; of that
`idle`, once the C library hands back what it keeps for the next page; and of `idle` `own`, which no other
process can share (programs and libraries are files that every process maps).
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import psutil
from llguidance import LLMatcher

from pipeline.records import Request
from pipeline.settings import EngineSettings
from pipeline.vintern import load, loops, memory
from pipeline.vintern.engine import Engine


def main() -> None:
    options = _options()
    loops.SHORTEST = 10**6  # random weights say the same thing again and again
    process = psutil.Process()
    imports = process.memory_info().rss
    settings = EngineSettings.model_validate({"weights": options.weights, "max_batch": 1, "threads": 1})
    engine = Engine(load(options.directory, dtype=settings.computed_in, device="cpu"), settings)
    ready = process.memory_info().rss
    tiles = np.random.default_rng(0).integers(0, 256, (options.tiles, 448, 448, 3), dtype=np.uint8)
    anything = LLMatcher.grammar_from_regex(r'[^"]{1000}')
    list(engine.generate([Request("page", tiles, "Đọc các giá trị. " * 40, anything, options.tokens)]))
    after = process.memory_info().rss
    memory.give_back()
    found = process.memory_full_info()
    print(
        json.dumps(
            {
                "imports": imports,
                "loaded": ready - imports,
                "ready": ready,
                "after a page": after,
                "idle": found.rss,
                "own": found.uss,
            }
        )
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory")
    parser.add_argument("weights", choices=("bfloat16", "int8"))
    parser.add_argument("--tiles", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=40)
    return parser.parse_args()


if __name__ == "__main__":
    main()
