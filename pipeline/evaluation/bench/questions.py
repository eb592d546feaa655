"""What a benchmark asks: a picture, a question about it, and the answers that people gave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Question:
    """`answers` has at least one. `picture` gives the image file's bytes; raises Coded where they cannot be
    had. `place` names the image for people.
    """

    id: str
    text: str
    answers: tuple[str, ...]
    place: str
    picture: Callable[[], bytes] = field(repr=False, compare=False)
