"""Text that came from a list (TXT records) made safe to show, log and send in an SMTP reply.

It bounds and cleans text; it neither asks for TXT records nor decides what is done with them.
"""

from __future__ import annotations

from typing import Final

MAX_INPUT_BYTES: Final = 65_535
"""More than a TXT record can hold (RFC 1035 section 3.2.1: RDLENGTH is 16 bits); the rest is dropped."""


def clean_text(value: bytes | str, limit: int = 500) -> str:
    r"""One printable line of at most `limit` characters.

    Bytes are read as UTF-8; a byte that is not UTF-8 becomes a backslash escape (`b"caf\xe9"` gives
    `caf\xe9` in seven characters), so nothing is lost and nothing raises: TXT holds arbitrary octets
    (RFC 1035 section 3.3.14). Every character that is not printable becomes one space: control
    characters (C0 with NUL, CR and LF; C1), line and paragraph separators, bidirectional and other format
    characters, surrogates, unassigned ones. White space at the ends goes. Longer text is cut and ends
    in `...` (with a limit below 4 it is only cut).

    >>> clean_text(b"ab\x00cd\r\nX: y")
    'ab cd  X: y'
    """
    if isinstance(value, bytes):
        text = value[:MAX_INPUT_BYTES].decode("utf-8", "backslashreplace")
    else:
        text = value[:MAX_INPUT_BYTES]
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    text = text.strip()
    if len(text) <= limit:
        return text
    return text[: limit - 3].rstrip() + "..." if limit > 3 else text[:limit].rstrip()
