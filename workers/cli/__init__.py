"""The command line: `vinbatch`, also `python -m workers.cli`.

Exit codes: 0 all is done, 2 wrong use, 3 some documents are quarantined or in error, 130 interrupted. What a
person did wrong is one line on standard error, never a traceback. Ray and the databases are imported by the
commands that need them, so that `--help` is quick.
"""

from __future__ import annotations

import typer

from workers import screen
from workers.cli import books, documents, results, secrecy

app = typer.Typer(
    name="vinbatch",
    help="A bucket of Vietnamese invoices and ID cards becomes rows one can query with SQL.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (documents, books, results):
    for command in module.COMMANDS:
        app.command()(command)


def main() -> None:
    """Run the command of `sys.argv` and leave with its exit code."""
    from pipeline.errors import UsageError, VinbatchError

    secrecy.hide_password()
    screen.guard()
    try:
        app(prog_name="vinbatch")
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except VinbatchError as error:
        screen.say(f"vinbatch: {error.message}", err=True)
        raise SystemExit(2 if isinstance(error, UsageError) else 3) from None
