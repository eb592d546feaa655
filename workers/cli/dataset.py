"""The group of commands about sets to learn from: vinbatch dataset …"""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Sets to learn from.")
