"""Text of others made harmless: a terminal acts upon escape sequences that are printed to it."""

from __future__ import annotations

import unicodedata

LAYOUT = "\n\t"
JOINERS = "\u200c\u200d"  # words of some languages need them
BLANK = "Zs"


def plain(text: str, keep: str = LAYOUT) -> str:
    """Return the text as long as it was, with a ``?`` for each character that cannot be seen.

    Such are the controls of terminals (C0, C1, ESC), marks that turn the direction of reading,
    and half surrogates. Blanks stay, and of the rest what is in `keep`.
    """
    if text.isprintable():
        return text
    return "".join(one if _harmless(one) or one in keep else "?" for one in text)


def _harmless(character: str) -> bool:
    if character.isprintable() or character in JOINERS:
        return True
    return unicodedata.category(character) == BLANK
