"""How all pages of HTML are made: every value is escaped, and a name that is not there is an error."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.printable import printable


def environment(package: str, folder: str = "templates", *, hidden_shown: bool = False) -> Environment:
    """The templates in a folder of a package. `hidden_shown`: what is hidden in a text of others, such as a
    bidirectional override, is shown.
    """
    return Environment(
        loader=PackageLoader(package, folder),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible if hidden_shown else None,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _visible(value: Any) -> Any:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
