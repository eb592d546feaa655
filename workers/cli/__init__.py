"""The command line: `vinbatch`, also `python -m workers.cli`.

Exit codes, and no others: 0 all is done, 2 wrong use, 3 some documents are quarantined or in error (or the
books do not balance), 4 it could not start or go on (no Ray, no model, no store, or a fault of ours), 130
interrupted. What went wrong is one line on standard error, never a traceback. Ray and the databases are
imported by the commands that need them, so that `--help` is quick.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer
from typer.main import get_command_name

from workers import screen
from workers.cli import (
    asking,
    books,
    corrections,
    dataset,
    dataset_make,
    documents,
    ending,
    evaluating,
    jobs,
    report,
    results,
    review,
    secrecy,
    show,
    trust,
    tune,
)

_INTERRUPTED = 130
_CODES = (0, 2, 3, 4, _INTERRUPTED)
_MODULES = (
    documents,
    asking,
    jobs,
    books,
    results,
    evaluating,
    trust,
    review,
    corrections,
    report,
    show,
    tune,
)


def _version(asked: bool) -> None:
    if asked:
        from importlib import metadata

        screen.say(f"vinbatch {metadata.version('vinbatch')}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say it and leave.")
    ] = False,
) -> None:
    """A bucket of Vietnamese invoices and ID cards becomes rows one can query with SQL."""


def _with(commands: Iterable[Callable[..., Any]]) -> typer.Typer:
    """The command line with these commands."""
    line = typer.Typer(
        name="vinbatch",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    line.callback()(_options)
    for command in commands:
        line.command()(command)
    return line


_commands = {
    get_command_name(command.__name__): command for module in _MODULES for command in module.COMMANDS
}
app = _with(_commands.values())
_sets = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Sets of documents whose values are known, to learn from.",
)
for module in (dataset, dataset_make):
    for command in module.COMMANDS:
        _sets.command()(command)
app.add_typer(_sets, name="dataset")


def main() -> None:
    """Run the command of `sys.argv` and leave with its exit code."""
    # At its end the process would look through all that it imported for garbage: a quarter of a query's time.
    atexit.register(gc.freeze)
    secrecy.hide_password()
    screen.guard()
    # Where the command stands first, the flags of the others, many hundreds, are not looked through for it.
    typed = _commands.get(next(iter(sys.argv[1:]), ""))
    line = app if typed is None else _with([typed])
    try:
        line(prog_name="vinbatch")
    except BaseException as error:  # noqa: BLE001  each has its exit code
        raise SystemExit(_exit_code(error)) from None


def _exit_code(error: BaseException) -> int:
    """Tells a person what went wrong, if anything did."""
    from pipeline.errors import VinbatchError

    if isinstance(error, KeyboardInterrupt):
        return _INTERRUPTED
    if isinstance(error, SystemExit):  # of typer
        # It leaves with 1 when it is interrupted, and when whoever reads its output has gone.
        return next((code for code in _CODES if code == error.code), _INTERRUPTED)
    if isinstance(error, VinbatchError):
        _say(error.message)
        return ending.code_of(error)
    # A fault of ours, or of what we stand on: its traceback is kept.
    what = f"{type(error).__name__}: {' '.join(str(error).split())}"
    _say(f"this should not have happened: {what}; its traceback is in {_kept(error)}")
    return 4


def _say(line: str) -> None:
    screen.say(f"vinbatch: {line}", err=True)


def _kept(error: BaseException) -> str:
    """A file with the traceback, which only this user can read: it may tell what was read."""
    descriptor, path = tempfile.mkstemp(prefix="vinbatch-traceback-", suffix=".txt")
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        traceback.print_exception(error, file=file)
    return path
