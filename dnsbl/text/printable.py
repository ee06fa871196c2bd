"""Text made safe to print. Knows nothing of what it prints."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""The text on one line, whatever a terminal could act upon written as an escape.

    That is every character Unicode does not call printable: control characters, line breaks, surrogates,
    marks that change the direction of writing.

    >>> printable("a\x1b[2J\nb")
    'a\\x1b[2J\\nb'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
