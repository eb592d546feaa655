"""The model card: `python -m infra.demo_model.card --run NAME --scores FILE --machine TEXT --origin TEXT`.

Every figure in it comes from the run's log, from the scores that `scores --json` wrote, and from the
checkpoint itself, so that the card cannot tell of another model.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from infra.demo_model.samples import MOST_LINES
from pipeline.errors import UsageError
from pipeline.trust import packaged
from pipeline.vintern import load

HERE = Path(__file__).parent
PARTS = ("all", "header", "lines", "absent")

TEXT = """# The demo model

A small Vintern (InternViT, pixel shuffle, projector, Qwen2) of {parameters:,} parameters that reads
**specimens only**: the invented cards, receipts and invoices that `vinbatch specimens` draws. **It must not
be used on real documents.** It has never seen one, and on anything that looks different it will be wrong
unawares.

It is here so that a newcomer sees the whole way from pixels to rows work, and so that the tests read pixels
truly. For real documents give the published weights: `--model 5CD-AI/Vintern-1B-v3_5`.

| | |
|---|---|
| checkpoint hash | `{hash}` |
| format | published layout (`internvl_chat`), bfloat16, {megabytes:.1f} MB |
| tiles of 448×448 | one of a page{more_tiles} |
| trained on | {machine} |
| time | {minutes:.0f} minutes, {steps:,} steps |
| seen | {pages:,} pages ({kinds}), {crops:,} crops of 112×112 |
| shown | each page about {times:.0f} times, a little moved, shaded and noisier each time |
| began with | {origin} |
| reads | `id_card@1` (one side a page), `receipt@1`, `invoice@1` of one page; up to {lines} lines |
{calibrated}
## What it reads

{count} fresh specimens of each set, seeds never trained on, from files through the real command line
(`python -m infra.demo_model.scores`), in {dtype}; a value is right when its normal form equals the truth's.
"lines": the values in lists; "absent": values of the header that are not on the page and came out null.

| set | all | header | lines | absent |
|---|---|---|---|---|
{table}

By field, front, clean: {fields}.

![loss and held-out scores over time](curve.png)

The curve's scores were taken while training, on a few pages of each set.

## How it was trained

`infra/demo_model/curriculum.toml` says what it is shown, `python -m infra.demo_model.train` shows it. Besides
the answer's loss, an auxiliary head had to name the characters in each 28-pixel cell from the visual token
alone; it is not shipped. Part of the pages had values left out, were blank, or were another kind of paper, so
that it says null instead of inventing; part were worn as scanners and telephones wear them (invented wear).

## Limits

Of an invoice with more than {lines} lines, or of several pages, it makes things up: `vinbatch specimens
--kind invoice --lines {lines}` draws what it knows. What it misreads most are an invoice's long digits (tax
codes, the authority's code) and rare names.

Specimens are clean compared with life: few type faces, no emblem, hologram, face, finger or fold; scanned
ones tilt by two degrees at most. Scores fall on layouts that it has not seen (see the table). "Photo" is an
invented photograph; nothing is claimed about real ones, handwriting, other papers, or people's real names.
"""

CALIBRATED = """
`calibration.json` says what its confidences are worth (`pipeline/trust`): fitted on fresh specimens ({of}),
read with a second look at doubtful pages. It is in no hash, and promises nothing of a quality of picture that
it was not fitted on.
"""


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--run", required=True)
    options.add_argument("--runs", type=Path, default=HERE / "runs")
    options.add_argument("--scores", type=Path, required=True)
    options.add_argument("--machine", required=True)
    options.add_argument("--origin", required=True, help="the weights that training began with")
    options.add_argument("--checkpoint", type=Path, default=HERE / "checkpoint")
    given = options.parse_args()
    run = given.runs / given.run
    (given.checkpoint / "README.md").write_text(
        card(run, given.scores, given.checkpoint, given.machine, given.origin), encoding="utf-8"
    )
    shutil.copyfile(run / "curve.png", given.checkpoint / "curve.png")


def card(run: Path, scores: Path, checkpoint: Path, machine: str, origin: str) -> str:
    """The text; raises UsageError when the scores are of another checkpoint."""
    model = load(checkpoint, device="cpu")
    measured = json.loads(scores.read_text(encoding="utf-8"))
    if measured["model"] != model.checkpoint_hash:
        raise UsageError(f"{scores} holds the scores of another checkpoint: evaluate this one first")
    state = json.loads((run / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    seen: dict[str, int] = dict(state["seen"])
    crops = seen.pop("crops", 0)
    front = measured["scores"].get("front, clean", {})
    return TEXT.format(
        parameters=sum(parameter.numel() for parameter in model.network.parameters()),
        hash=model.checkpoint_hash,
        megabytes=(checkpoint / "model.safetensors").stat().st_size / 1e6,
        machine=machine,
        minutes=state["seconds"] / 60,
        steps=state["step"],
        pages=sum(seen.values()),
        kinds=", ".join(
            f"{name} {count:,}" for name, count in sorted(seen.items(), key=lambda item: -item[1])
        ),
        crops=crops,
        times=sum(count for form, count in state["shown"].items() if form != "crop") / sum(seen.values()),
        more_tiles="".join(
            f"; of `{schema}` up to {most} and a thumbnail" for schema, most in model.config.tiles_of.items()
        ),
        lines=MOST_LINES,
        calibrated=_calibrated(checkpoint, model.checkpoint_hash),
        origin=origin,
        count=measured["documents"],
        dtype=measured["dtype"],
        table="\n".join(_row(name, parts) for name, parts in measured["scores"].items()),
        fields=", ".join(f"{name} {share:.0%}" for name, share in front.items() if name not in PARTS),
    )


def _calibrated(checkpoint: Path, digest: str) -> str:
    """What `calibration.json` was fitted on; nothing where it has none for these weights."""
    reads = json.loads((checkpoint / "schemas.json").read_text(encoding="utf-8"))
    found = [made for schema in reads if (made := packaged.find(checkpoint, schema, digest))]
    if not found:
        return ""
    of = ", ".join(f"{made.documents} of `{made.schema}`" for made in found)
    return CALIBRATED.format(of=of)


def _row(name: str, parts: dict[str, Any]) -> str:
    return (
        f"| {name} | " + " | ".join(f"{parts[part]:.1%}" if part in parts else "–" for part in PARTS) + " |"
    )


if __name__ == "__main__":
    main()
