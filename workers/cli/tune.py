"""The command that teaches a model new papers: tune."""

from __future__ import annotations

import signal
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from pipeline.errors import UsageError
from pipeline.printable import as_json, command
from workers import screen
from workers.cli import options
from workers.cli.options import JsonToo

if TYPE_CHECKING:
    from pipeline.vintern.config import Layout

_INTERRUPTED = 130


def tune(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="SET", help="Folder of `dataset export`, or a meta .json, .jsonl or .parquet."
        ),
    ],
    model: Annotated[str, typer.Option(help="The base: as in `run`.")],
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder of this run; the same goes on with it.")
    ],
    replay: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="SET",
            help="Pages that the model reads already, mixed in so that it still does; repeatable.",
        ),
    ] = None,
    share: Annotated[
        float | None, typer.Option("--replay-share", min=0, max=0.9, help="Their share. [default: 0.2]")
    ] = None,
    train: Annotated[
        str,
        typer.Option(help="language (LoRA alone), projector (and the projector), vision (and the tower)."),
    ] = "language",
    rank: Annotated[int | None, typer.Option(min=1, max=512, help="Of LoRA. [default: 16]")] = None,
    alpha: Annotated[int | None, typer.Option(min=1, help="Of LoRA. [default: 32]")] = None,
    rate: Annotated[
        float | None, typer.Option("--lr", help="Learning rate. [default: 4e-5; 3e-3 for a demo-size model]")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="[default: 1; 15 for a demo-size model]")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Conversations a step. [default: 16; 8]")] = None,
    at_once: Annotated[
        int | None, typer.Option(min=1, help="Of them together in memory; the gradient is the same.")
    ] = None,
    max_tiles: Annotated[int | None, typer.Option(min=1, max=40, help="Of a page. [default: 6]")] = None,
    looks: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=16,
            help="Pictures of a page by turns, all but the first moved by a little. [default: 1; 3]",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the order and of the first weights.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="End after so many steps.")] = None,
    evaluations: Annotated[
        int, typer.Option(min=0, help="How often some held-out pages are read on the way.")
    ] = 3,
    schema: Annotated[
        str | None, typer.Option(help="Where the schema file of the set is now. [default: as the set says]")
    ] = None,
    dtype: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    workers: Annotated[
        int,
        typer.Option(
            min=1,
            help="Ray actors that share each batch, with a GPU each or a share of the cores; their machines "
            "must all see SET, --replay and --out under the same names.",
        ),
    ] = 1,
    address: Annotated[
        str | None,
        typer.Option(help="Ray cluster to learn on [default: this machine; a Ray of its own for several]"),
    ] = None,
    json: JsonToo = False,
) -> None:
    """Teach a model a new paper with LoRA, and write an adapter and a checkpoint that jobs can serve.

    What goes in and comes out is the product's own: its tiles, its question, its answers. Killed or stopped,
    the same command goes on. Needs the extra `tuning`.
    """
    if train not in ("language", "projector", "vision"):
        raise UsageError(f"--train {train}: choose language, projector or vision")
    with options.extra("tuning"):
        import peft  # noqa: F401

    from pipeline.tuning.wish import Wish

    if not replay:
        screen.say(
            "no --replay: nothing that the model reads now is mixed in. A model that learned a new paper so "
            "lost 62 points on another in a trial; with a fifth of old pages it lost 11",
            err=True,
        )
    changes = {
        "train": train,
        "rank": rank,
        "alpha": alpha,
        "rate": rate,
        "epochs": epochs,
        "batch": batch,
        "at_once": at_once,
        "max_tiles": max_tiles,
        "looks": looks,
        "replay": share,
        "seed": seed,
    }
    wish = Wish(data, model, out, tuple(replay or ()), changes, dtype, device, evaluations, steps)
    stop = _signals()
    settings = options.settings()
    tell = partial(screen.say, err=True)
    if workers > 1 or address is not None:
        from workers import tuning

        made = tuning.tune(wish, settings, schema, workers, address, tell, stop)
    else:
        from pipeline.tuning import run

        made = run.tune(wish, settings, options.moved(schema), tell, stop.is_set)
    if made.too_long:
        screen.say(f"{made.too_long} items do not fit into the model's context and were left out", err=True)
    if made.checkpoint_hash is None:
        when = f"after step {made.steps} of {made.of}" if made.of else "before any step of this sitting"
        screen.say(f"stopped {when}; the same command goes on", err=True)
        raise typer.Exit(_INTERRUPTED)
    if json:
        scores = {
            name: {"before": None if before is None else before.as_json(), "after": after.as_json()}
            for name, (before, after) in made.scores.items()
        }
        told = {
            "steps": made.steps,
            "seconds": round(made.seconds, 1),
            "checkpoint": str(out / "model"),
            "checkpoint_hash": made.checkpoint_hash,
            "adapter": str(out / "adapter"),
            "scores": scores,
        }
        screen.say_lines(as_json(told, indent=2))
        return
    for name, (before, after) in made.scores.items():
        was = "" if before is None else f" (before: {before.f1:.3f})"
        screen.say(f"{name}: F1 {after.f1:.3f}{was} of {after.printed} values on {after.pages} pages")
    screen.say(f"{made.steps} steps in {made.seconds:.0f} s; checkpoint {made.checkpoint_hash[:12]}")
    reading = command(["vinbatch", "run", "SOURCE", "--schema", "SCHEMA", "--model", str(out / "model")])
    screen.say(f"read with it: {reading}")


def merge(
    adapter: Annotated[Path, typer.Argument(metavar="FOLDER", help="An adapter in peft's format.")],
    model: Annotated[str, typer.Option(help="The base that it was made for, as in `run`.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the checkpoint.")],
    layout: Annotated[
        str | None,
        typer.Option(
            help="published (internvl_chat) or native (transformers' InternVL classes). [default: the base's]"
        ),
    ] = None,
    max_tiles: Annotated[
        int | None, typer.Option(min=1, max=40, help="Of a page, as it was learned. [default: the base's]")
    ] = None,
) -> None:
    """Merge a LoRA adapter into its base: a checkpoint that jobs, transformers and others load.

    Also one that was made elsewhere, for transformers' InternVL classes or the published code. Needs the
    extra `tuning`.
    """
    if layout not in (None, "published", "native"):
        raise UsageError(f"--layout {layout}: choose published or native")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not empty: choose a new folder")
    with options.extra("tuning"):
        import peft  # noqa: F401

    from pipeline.vintern.merging import merge as merged

    digest = merged(adapter, model, out, cast("Layout | None", layout), max_tiles)
    screen.say(f"{out}: checkpoint {digest[:12]}")


def _signals() -> threading.Event:
    """Set by the first SIGINT or SIGTERM; a second SIGINT ends at once."""
    stop = threading.Event()

    def asked(number: int, frame: object) -> None:  # noqa: ARG001
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, asked)
    return stop


COMMANDS = (tune, merge)
