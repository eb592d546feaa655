"""How well a checkpoint reads fresh specimens: `python -m infra.demo_model.evaluate [--model DIR]`.

The product's own tiler, prompt, grammar, engine and parser; a field is right when its normalised value is the
truth's. The seeds are never those of the training. `vinbatch eval` measures the same from files.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from PIL import Image

from infra.demo_model.samples import MOST_LINES, spec
from pipeline import grammar, parse, prompt, tiles
from pipeline.errors import Permanent
from pipeline.records import Request
from pipeline.settings import EngineSettings
from pipeline.specimens import Specimen, make
from pipeline.vintern import load
from pipeline.vintern.engine import Engine

LONGEST = 1280  # tokens of an answer
FIRST_SEED = 10**15  # the training's seeds are below 2**48

UNSEEN_TYPE = {"preset": "clean", "fonts": "held-out", "layouts": "standard"}
UNSEEN = {"preset": "clean", "fonts": "held-out", "layouts": "held-out"}
LEFT_OUT = {"preset": "clean", "blank": 0.25}
FEW_LINES = {"most_lines": MOST_LINES}
SETS: Mapping[str, tuple[str, dict[str, Any]]] = {  # name: (schema, how it is made)
    "front, clean": ("id_card", {"kind": "id_card_front", "preset": "clean"}),
    "front, worn": ("id_card", {"kind": "id_card_front", "preset": "worn"}),
    "front, held-out fonts": ("id_card", {"kind": "id_card_front", **UNSEEN_TYPE}),
    "front, held-out fonts and layouts": ("id_card", {"kind": "id_card_front", **UNSEEN}),
    "front, values left out": ("id_card", {"kind": "id_card_front", **LEFT_OUT}),
    "back, clean": ("id_card", {"kind": "id_card_back", "preset": "clean"}),
    "back, worn": ("id_card", {"kind": "id_card_back", "preset": "worn"}),
    "back, values left out": ("id_card", {"kind": "id_card_back", **LEFT_OUT}),
    "receipt, clean": ("receipt", {"kind": "receipt", "preset": "clean"}),
    "receipt, worn": ("receipt", {"kind": "receipt", "preset": "worn"}),
    "receipt, held-out fonts": ("receipt", {"kind": "receipt", **UNSEEN_TYPE}),
    "receipt, values left out": ("receipt", {"kind": "receipt", **LEFT_OUT}),
    "invoice, clean": ("invoice", {"kind": "invoice", "preset": "clean", **FEW_LINES}),
    "invoice, worn": ("invoice", {"kind": "invoice", "preset": "worn", **FEW_LINES}),
    "invoice, held-out fonts": ("invoice", {"kind": "invoice", **UNSEEN_TYPE, **FEW_LINES}),
    "invoice, values left out": ("invoice", {"kind": "invoice", **LEFT_OUT, **FEW_LINES}),
    "blank page, asked for a card": ("id_card", {"kind": "blank"}),
    "letter, asked for a card": ("id_card", {"kind": "other"}),
    "receipt, asked for a card": ("id_card", {"kind": "receipt"}),
    "letter, asked for a receipt": ("receipt", {"kind": "other", "schema": "receipt"}),
    "card, asked for a receipt": ("receipt", {"kind": "id_card_front"}),
    "card, asked for an invoice": ("invoice", {"kind": "id_card_front"}),
    "receipt, asked for an invoice": ("invoice", {"kind": "receipt"}),
    "invoice, asked for a receipt": ("receipt", {"kind": "invoice", **FEW_LINES}),
}


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--model", default="demo")
    options.add_argument("--pages", type=int, default=32, help="of each set")
    options.add_argument("--set", action="append", help="only sets whose names begin so")
    options.add_argument("--dtype", default="auto")
    options.add_argument("--weights", default="auto", choices=["auto", "bfloat16", "int8"])
    options.add_argument("--threads", type=int)
    options.add_argument("--misses", type=int, default=0, help="wrong values to print of each set")
    options.add_argument("--json", help="file for the scores")
    given = options.parse_args()
    settings = EngineSettings.model_validate(
        {"dtype": given.dtype, "weights": given.weights, "threads": given.threads}
        | {"max_batch": 16, "max_new_tokens": LONGEST}
    )
    model = load(given.model, dtype=settings.computed_in)
    engine = Engine(model, settings)
    scores = {}
    for name, (schema, options_of_set) in SETS.items():
        if given.set and not name.startswith(tuple(given.set)):
            continue
        began = time.time()
        specimens = [make(seed=FIRST_SEED + number, **options_of_set) for number in range(given.pages)]
        scores[name] = result = score(list(read(engine, specimens, schema)), given.misses)
        print(f"{name}: {json.dumps(result, ensure_ascii=False)} ({time.time() - began:.0f} s)", flush=True)
    if given.json:
        with open(given.json, "w", encoding="utf-8") as file:  # noqa: PTH123
            dtype = str(model.dtype).removeprefix("torch.")
            facts = {"model": model.checkpoint_hash, "dtype": dtype, "engine": engine.backend.about}
            json.dump({**facts, "pages": given.pages, "scores": scores}, file, indent=1)


def read(
    engine: Engine, specimens: list[Specimen], schema: str
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(truth, what was read) of each first page: normalised values by path, None where absent."""
    shape = spec(schema)
    question, rules = prompt.build(shape), grammar.compile(shape)
    most = engine.model.config.most_tiles(shape.reference)

    def requests() -> Iterator[Request]:
        for number, specimen in enumerate(specimens):
            image = Image.fromarray(specimen.pages[0].pixels)
            yield Request(str(number), tiles.split(image, most), question, rules, LONGEST)

    for generation in engine.generate(requests()):
        specimen = specimens[int(generation.request_id)]
        own = specimen.schema.split("@")[0] == schema
        truth = dict(_flat(specimen.truth["record"])) if own else {}
        try:
            record = parse.page_record(generation, shape, 1)
        except Permanent as error:
            print(f"  {specimen.kind} {generation.request_id}: {error.message}")
            yield truth, {}
            continue
        values = {field.path: field.value for field in record.fields}
        header = dict.fromkeys(path for path in values if not path.startswith("lines["))
        yield {**header, **truth}, values


def score(pages: list[tuple[dict[str, Any], dict[str, Any]]], misses: int = 0) -> dict[str, float]:
    """Share of present values that are right: all, by part, by field; share of absent ones left null.

    "rows": share of pages with as many lines as there are. A line that is not there is no absent value.
    """
    right: dict[str, list[bool]] = defaultdict(list)
    for truth, found in pages:
        rows = [
            len({path.split("]")[0] for path in paths if path.startswith("lines[")})
            for paths in (truth, found)
        ]
        if any(rows):
            right["rows"].append(rows[0] == rows[1])
        for path, value in truth.items():
            if path == "lines":
                continue
            hit = found.get(path) == value
            if value is None:
                right["absent"].append(hit)
                continue
            in_line = path.startswith("lines[")
            for name in (
                "all",
                "lines" if in_line else "header",
                path.partition("].")[2] if in_line else path,
            ):
                right[name].append(hit)
            if not hit and misses > 0:
                misses -= 1
                print(f"  {path}: {value!r} read as {found.get(path)!r}")
    return {name: round(sum(hits) / len(hits), 3) for name, hits in right.items()}


def _flat(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, list):
            for number, line in enumerate(value):
                for inner, content in line.items():
                    yield f"{name}[{number}].{inner}", content
        else:
            yield name, value


if __name__ == "__main__":
    main()
