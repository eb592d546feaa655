"""How texts are made comparable.

`plain`: NFC, lower case, each mark of punctuation and each symbol (Unicode's P and S) a blank, blanks as one.
Diacritics stay: they are letters. Of English, "a", "an" and "the" stay too, which SQuAD's own normalisation
drops: "an" is a word of Vietnamese ("an toàn"), and dropping it would make a wrong answer right.
`folded` is milder, as ANLS and MTVQA's accuracy have it: NFC, lower case, blanks as one.
"""

from __future__ import annotations

import unicodedata


def plain(text: str) -> str:
    """Words with single blanks between them."""
    lower = unicodedata.normalize("NFC", text).lower()
    return " ".join("".join(" " if unicodedata.category(c)[0] in "PS" else c for c in lower).split())


def folded(text: str) -> str:
    """Only letter case, composition and blanks are made one."""
    return " ".join(unicodedata.normalize("NFC", text).lower().split())
