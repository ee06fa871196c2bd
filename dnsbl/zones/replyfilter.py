"""Reply filters in Postfix's grammar: which return codes an entry counts, as `127.0.0.[2..11]`.

Source: postconf(5), postscreen_dnsbl_sites, and the syntax comment in Postfix's ip_match.c:

    filter = field "." field "." field "." field
    field  = number | "[" member *( ";" member ) "]"
    member = number | number ".." number          (low to high; numbers 0 to 255)

The whole may stand in one more pair of brackets, as Postfix takes it: [127.0.0.2].

A filter only says which codes match. What a match is worth, and what is refused before any filter is
asked, is not decided here (see `interpret`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NoReturn

from dnsbl.errors import ZoneError
from dnsbl.zones.secret import mask_keys

MAX_TEXT: Final = 2000
"""Longest filter or zone text taken, in characters; every set of codes can be written in 1,378."""

_DIGITS: Final = frozenset("0123456789")
_OPEN: Final = (1 << 256) - 1
_EXAMPLE: Final = "as in 127.0.0.[2..11] or 127.0.[2;4].[1..3]"


@dataclass(frozen=True, slots=True)
class ReplyFilter:
    """One reply filter, compiled.

    text: the filter as it was written; `str()` gives it back.
    octets: per octet, first to last, the set of accepted values as a 256-bit number (bit n: value n).

    Make one with `parse_reply_filter`.
    """

    text: str
    octets: tuple[int, int, int, int] = field(repr=False)

    def matches(self, address: int) -> bool:
        """Whether the filter accepts `address`, a 32-bit number in host order (127.0.0.2 is 0x7F000002)."""
        first, second, third, last = self.octets
        return bool(
            last >> (address & 255) & 1
            and third >> (address >> 8 & 255) & 1
            and second >> (address >> 16 & 255) & 1
            and first >> (address >> 24) & 1
        )

    def names(self, address: int) -> bool:
        """Whether the filter accepts `address` and means it.

        A filter that leaves one of the first three octets wholly open, like 127.0.[0..255].[1..3], takes
        in 127.0.0.1 and 127.255.255.0/24 by the way; it gives them no meaning of their own.
        """
        return self.matches(address) and _OPEN not in self.octets[:3]

    def __str__(self) -> str:
        return self.text


def parse_reply_filter(text: str, start: int = 0, end: int | None = None) -> ReplyFilter:
    """Compile the reply filter in `text[start:end]`: four dotted fields, no white space.

    `start` and `end` say where the filter stands in a longer text (`zone=filter*weight`), which an error
    then shows whole.

    Raises ZoneError, one line: what was expected, and the text with the place marked by `>>>`.

    >>> parse_reply_filter("127.0.0.[2..11]").matches(0x7F00000B)
    True
    """
    if len(text) > MAX_TEXT:
        raise ZoneError(f"reply filter of {len(text)} characters: at most {MAX_TEXT}", mask_keys(text)[:80])
    return _Scanner(text, start, len(text) if end is None else end).filter()


class _Scanner:
    """Reads one filter from left to right. `at` is the place of the next character."""

    def __init__(self, text: str, start: int, end: int) -> None:
        self.text = text
        self.start = start
        self.at = start
        self.end = end

    def filter(self) -> ReplyFilter:
        wrapped = self.is_wrapped() and self.take("[")
        octets = [self.field()]
        while len(octets) < 4:
            if not self.take("."):
                self.fail(f'a "." and field {len(octets) + 1} of 4 are needed here')
            octets.append(self.field())
        if wrapped:
            self.take("]")
        if self.at < self.end:
            self.fail("nothing may follow the fourth field")
        first, second, third, last = octets
        return ReplyFilter(self.text[self.start : self.end], (first, second, third, last))

    def is_wrapped(self) -> bool:
        """Whether the bracket that opens the text, if one does, is closed by the one that ends it."""
        depth = 0
        for at in range(self.start, self.end):
            depth += (self.text[at] == "[") - (self.text[at] == "]")
            if depth < 1:
                return depth == 0 and at == self.end - 1
        return False

    def field(self) -> int:
        if not self.take("["):
            return 1 << self.number('a number 0 to 255 or "[" is needed here')
        accepted = self.member()
        while self.take(";"):
            accepted |= self.member()
        if not self.take("]"):
            self.fail('";", ".." or "]" is needed here')
        return accepted

    def member(self) -> int:
        low = self.number("a number 0 to 255 is needed here")
        if not self.take(".."):
            return 1 << low
        at = self.at
        high = self.number('a number 0 to 255 is needed after ".."')
        if high < low:
            self.at = at
            self.fail(f"a range runs from low to high, not from {low} to {high}")
        return (2 << high) - (1 << low)

    def number(self, otherwise: str) -> int:
        end = self.at
        while end < self.end and self.text[end] in _DIGITS:
            end += 1
        digits = self.text[self.at : end]
        if not digits or int(digits) > 255:
            self.fail(otherwise)
        self.at = end
        return int(digits)

    def take(self, token: str) -> bool:
        if not self.text.startswith(token, self.at, self.end):
            return False
        self.at += len(token)
        return True

    def fail(self, what: str) -> NoReturn:
        raise ZoneError(f"reply filter: {what}, {_EXAMPLE}: {mark(self.text, self.at)}", mask_keys(self.text))


def mark(text: str, at: int) -> str:
    """`text` with `>>>` before the character at `at`: `127.0.0.[4..>>>1]`.

    A key in it is masked, and what is not printable ASCII is escaped, so that it is one line.
    """
    shown = mask_keys(text)
    at = max(at + len(shown) - len(text), 0)
    return ascii(shown[:at])[1:-1] + ">>>" + ascii(shown[at:])[1:-1]
