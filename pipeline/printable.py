"""Text of others on its way to people and shells: file names, messages, values that were read.

A terminal obeys control characters, and a bidirectional override makes a line read as what it is not. Here
they become visible escapes; what is exact data (JSON, CSV in a file) keeps its meaning.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable
from typing import Any

# C0 and C1 controls, invisible formats (soft hyphen, zero width, bidirectional, tags), line separators, and
# lone surrogates: Unicode's categories Cc, Cf, Cs, Zl and Zp less what only other scripts write with.
HIDDEN = (
    r"\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\ud800-\udfff\U000e0000-\U000e007f"
)
_HIDDEN = re.compile(f"[{HIDDEN}]")
_HIDDEN_BUT_LINES = re.compile(f"(?![\n\t])[{HIDDEN}]")
_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def printable(text: object) -> str:
    """`text` in one line that no terminal obeys: a control is shown as `\\x1b`, `\\n`, `\\u202e`."""
    return _HIDDEN.sub(_shown, str(text))


def printable_lines(text: str) -> str:
    """The same for a whole page of text, whose line ends and tabs are meant."""
    return _HIDDEN_BUT_LINES.sub(_shown, text)


def as_json(value: Any, indent: int | None = None) -> str:
    """JSON of exactly `value`, readable as Unicode, in which everything hidden is a `\\u` escape."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _HIDDEN_BUT_LINES.sub(lambda found: json.dumps(found[0])[1:-1], text)


def command(words: Iterable[str]) -> str:
    """What to type in bash or zsh for these words, in one line without control characters."""
    return " ".join(map(_word, words))


def _word(word: str) -> str:
    if not _HIDDEN.search(word):
        return shlex.quote(word)
    plain = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{_HIDDEN.sub(_bytes, plain)}'"


def _bytes(found: re.Match[str]) -> str:
    """As bash and zsh read it in any locale; an undecodable byte of a file name comes back as that byte."""
    return "".join(f"\\{byte:03o}" for byte in found[0].encode("utf-8", "surrogateescape"))


def _shown(found: re.Match[str]) -> str:
    code = ord(found[0])
    if found[0] in _NAMED:
        return _NAMED[found[0]]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
