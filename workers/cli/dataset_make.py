"""The command that makes data with a teacher: dataset make."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.errors import UsageError
from pipeline.printable import as_json as dumps
from workers import screen
from workers.cli import options
from workers.cli.options import Exclude, Group, Include, JsonToo, S3Endpoint, SecondReader, Sources
from workers.cli.reporting import check_sandbox, stop_on_signal

if TYPE_CHECKING:
    from pipeline.teacher.asking import Teacher
    from pipeline.teacher.making import Made, Plan

_KEY = "VINBATCH_TEACHER_KEY"
_TOLD_SECONDS = 5.0


def make(
    sources: Sources,
    out: Annotated[
        Path,
        typer.Option(metavar="FOLDER", help="For pictures, rows and the ledger; the same folder goes on."),
    ],
    teacher: Annotated[
        str, typer.Option(metavar="URL", help="Of its API: https://HOST/v1, http://127.0.0.1:8000/v1 …")
    ],
    teacher_model: Annotated[str, typer.Option(metavar="NAME", help="As the server calls it.")],
    tasks: Annotated[
        str,
        typer.Option(help="What is asked, comma-separated: general, ocr, handwriting, describe, extraction."),
    ] = "general,ocr",
    schema: Annotated[
        list[str] | None, typer.Option(help="For extraction, as in run; may be repeated.")
    ] = None,
    protocol: Annotated[str, typer.Option(help="openai (most servers speak it) or gemini.")] = "openai",
    send_to_teacher: Annotated[
        bool, typer.Option("--send-to-teacher", help="Pictures of pages may leave this machine, to that URL.")
    ] = False,
    key_env: Annotated[
        str, typer.Option(metavar="NAME", help="The environment's variable with the key, if it wants one.")
    ] = _KEY,
    max_cost: Annotated[
        float | None, typer.Option(min=0, help="Of all runs into this folder, in the money of the prices.")
    ] = None,
    price_in: Annotated[
        float | None, typer.Option(min=0, help="Of a million tokens of pages and questions.")
    ] = None,
    price_out: Annotated[float | None, typer.Option(min=0, help="Of a million tokens of answers.")] = None,
    requests_per_minute: Annotated[
        float | None, typer.Option(min=0.01, help="At most, tries included. [default: as it comes]")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Requests under way at once.")] = 8,
    max_tokens: Annotated[int, typer.Option(min=16, help="Of an answer; longer ones are refused.")] = 2048,
    temperature: Annotated[
        float | None, typer.Option(min=0, max=2, help="[default: as the teacher has it]")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="For teachers that take one.")] = None,
    evaluation: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="A folder or JSONL that models are measured by: nothing in it is learnt from.",
        ),
    ] = None,
    licence: Annotated[
        str, typer.Option(help="What may be done with these pages and answers; goes into each row.")
    ] = "not stated",
    pages: Annotated[int | None, typer.Option(min=1, help="Only the first so many.")] = None,
    second_reader: SecondReader = False,
    s3_endpoint: S3Endpoint = None,
    include: Include = None,
    exclude: Exclude = None,
    group: Group = None,
    as_json: JsonToo = False,
) -> None:
    """Have a larger model ask and answer about your pages, and keep what nothing speaks against.

    Rows are InternVL's JSONL, with where each comes from beside them. Nothing is sent to another machine
    without --send-to-teacher. The same command goes on: what was answered is never asked again.
    """
    with options.extra("teacher"):
        from pipeline.teacher.asking import Purse, Teacher
        from pipeline.teacher.making import STOPPED, Plan
    from pipeline.teacher import prompts
    from pipeline.teacher.protocols import Decoding

    settings = options.settings(
        s3_endpoint=s3_endpoint, include=include, exclude=exclude, group=group, second_reader=second_reader
    )
    if max_cost is not None and (price_in is None or price_out is None):
        raise UsageError("--max-cost wants --price-in and --price-out: without them no cost is known")
    asked = prompts.chosen(
        [name.strip() for name in tasks.split(",") if name.strip()],
        [options.schema(name) for name in schema or ()],
    )
    who = Teacher(teacher, teacher_model, protocol, os.environ.get(key_env) or None, key_env)
    who.check()
    _allowed(who, sources, send=send_to_teacher)
    check_sandbox(settings)
    plan = Plan(tuple(sources), asked, licence, concurrency, pages)
    purse = Purse(max_cost, price_in or 0.0, price_out or 0.0)
    decoding = Decoding(max_tokens, temperature, seed)
    made = _made(out, plan, who, decoding, purse, requests_per_minute, evaluation or (), settings)
    code = 130 if made.stopped == STOPPED else 3 if made.problems or made.waiting or made.stopped else 0
    if as_json:
        screen.say_lines(dumps(_record(made, code), indent=2))
    else:
        _say(made, out)
    raise typer.Exit(code)


def _allowed(who: Teacher, sources: Sequence[str], *, send: bool) -> None:
    """Says what is sent where. Raises UsageError where that is another machine, and nobody allowed it."""
    what = f"pictures of the pages of {', '.join(sources)}, each with a question, and no file names"
    if who.is_here:
        return screen.say(f"sent to {who.host}, on this machine: {what}", err=True)
    if not send:
        raise UsageError(
            f"{who.host} is another machine, and would be sent {what}; they may show personal data. "
            "Where that is allowed, give --send-to-teacher"
        )
    open_to_all = "" if who.host.startswith("https:") else ", UNENCRYPTED"
    return screen.say(f"sent to {who.host}, another machine{open_to_all}: {what}", err=True)


def _made(
    out: Path,
    plan: Plan,
    who: Teacher,
    decoding: Any,
    purse: Any,
    per_minute: float | None,
    evaluation: Sequence[Path],
    settings: Any,
) -> Made:
    from pipeline.teacher import held_out
    from pipeline.teacher.asking import Asking
    from pipeline.teacher.making import Making

    measured_by = held_out.load(evaluation)
    stop = stop_on_signal()
    began = last = time.monotonic()

    def told(made: Made) -> None:
        nonlocal last
        if time.monotonic() - last >= _TOLD_SECONDS:
            last = time.monotonic()
            pace = 3600 * made.asked / (last - began)
            screen.say(
                f"{made.pages} pages, {made.asked} asked ({pace:.0f} an hour), {made.known} known before, "
                f"{purse.spent:.4f} spent",
                err=True,
            )

    async def work() -> Made:
        asking = Asking(who, decoding, per_minute=per_minute)
        making = Making(out, plan, asking, purse, settings, measured_by, stop.is_set, told)
        return await making.run()

    import asyncio

    return asyncio.run(work())


def _say(made: Made, out: Path) -> None:
    screen.say(f"{made.pages} pages: {made.asked} requests, {made.known} answered before")
    screen.say(f"{out / 'train.jsonl'}: {made.rows} rows of {made.turns} answers; spent {made.spent:.4f}")
    if made.refused:
        reasons = ", ".join(f"{code} {number}" for code, number in made.refused.most_common())
        screen.say(f"refused {made.refused.total()} answers: {reasons}; why is in {out / 'refused.jsonl'}")
    if made.refused_by_teacher:
        screen.say(f"{made.refused_by_teacher} requests were refused by the server; they are not asked again")
    if made.waiting:
        screen.say(f"{made.waiting} requests got no answer; the same command asks again")
    for uri, why in made.problems[:20]:
        screen.say(f"{uri}: {why}", err=True)
    if len(made.problems) > 20:
        screen.say(f"… and {len(made.problems) - 20} more files without pages", err=True)
    if made.stopped is not None:
        screen.say(f"not everything was asked: {made.stopped}")


def _record(made: Made, code: int) -> dict[str, Any]:
    return {
        "exit_code": code,
        "pages": made.pages,
        "asked": made.asked,
        "known_before": made.known,
        "waiting": made.waiting,
        "refused_by_teacher": made.refused_by_teacher,
        "rows": made.rows,
        "turns": made.turns,
        "refused": dict(made.refused),
        "spent": made.spent,
        "stopped": made.stopped,
        "problems": [{"uri": uri, "why": why} for uri, why in made.problems],
    }


COMMANDS = (make,)
