"""A document as one HTML file that holds all it shows.

What stands on a page may have been put there to do harm: every text is escaped, what is hidden in it is
shown, and the file's own policy lets a browser run nothing but the script that is in it, and fetch nothing.
"""

from __future__ import annotations

import base64
import hashlib
import io
from typing import Any

from jinja2 import Environment
from markupsafe import Markup
from PIL import Image

from pipeline import templates
from pipeline.onefile.document import Shown, sureness
from pipeline.records import Box, Pixels
from pipeline.review import words
from pipeline.review.sheet import Cell, Heading, Listing
from pipeline.trust import InForce
from pipeline.trust.words import line

_LONGEST, _QUALITY = 1800, 82  # of a page's picture: pixels of its longer side, and of JPEG


_ROOM = 2.0  # thousandths of the page around a box


def html(shown: Shown, trust: InForce | None) -> str:
    """The whole file as text. `trust` says what scores are worth; None: nothing was calibrated."""
    environment = templates.environment(__package__, ".", hidden_shown=True)
    environment.filters |= {
        "percent": lambda sure: f"{sure:.1%}",
        "sureness": sureness,
        "jpeg": _jpeg,
        "sides": _sides,
    }
    environment.tests |= {
        "cell": lambda part: isinstance(part, Cell),
        "heading": lambda part: isinstance(part, Heading),
        "listing": lambda part: isinstance(part, Listing),
    }
    style, script = _file(environment, "show.css"), _file(environment, "show.js")
    extraction = None if shown.stored is None else shown.stored.extraction
    values: dict[str, Any] = {
        "shown": shown,
        "sheet": shown.sheet,
        "extraction": extraction,
        "trust": line(trust, shown.job.name),
        "words": words,
        "style": Markup(style),  # our own files
        "script": Markup(script),
        "policy": f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src "
        f"'{_digest(script)}'; base-uri 'none'; form-action 'none'",
    }
    return environment.get_template("show.html").render(values)


def _file(environment: Environment, name: str) -> str:
    loader = environment.loader
    if loader is None:
        raise RuntimeError("an environment without a loader")
    return loader.get_source(environment, name)[0]


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _sides(box: Box) -> Markup:
    """A box with a little room around the letters as a rectangle's attributes, in thousandths of the page."""
    left, top, right, bottom = (1000 * side for side in box)
    return Markup('x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"').format(
        left - _ROOM, top - _ROOM, right - left + 2 * _ROOM, bottom - top + 2 * _ROOM
    )


def _jpeg(pixels: Pixels) -> str:
    """A page's picture as a data: URI."""
    image = Image.fromarray(pixels)
    image.thumbnail((_LONGEST, _LONGEST))
    held = io.BytesIO()
    image.save(held, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(held.getvalue()).decode()}"
