"""rbldnsd's special entries: $SOA, $NS, $TTL, $TIMESTAMP, $MAXRANGE4, $0 to $9 and $=."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from dnsbl.lists.context import ListError, Reading
from dnsbl.lists.record import BASE, Substitutions

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_STAMP: Final = re.compile(
    r"([0-9]{4})[:-]?([0-9]{1,2})[:-]?([0-9]{1,2})"
    r"(?:[:-]?([0-9]{1,2}))?(?:[:-]?([0-9]{1,2}))?(?:[:-]?([0-9]{1,2}))?",
    re.ASCII,
)
_RELATIVE: Final = re.compile(r"\+([0-9]{1,9})([smhdw]?)", re.ASCII)
_IGNORED: Final = ("soa", "ns", "nameserver", "ttl")
"""What only a nameserver needs: names and times of its answers."""


class Specials:
    """What the special entries of a file say. `common` is what stands before the first data set of a combined
    file; each data set starts with a copy of it."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.max_range4 = 0
        self.common: Substitutions = {}
        self.substitutions = self.common

    def enter(self) -> None:
        """A data set of a combined file begins; what it defines is its own."""
        self.substitutions = {}

    def take(self, text: str) -> bool:
        """Read what stands after the dollar sign; False where it is not understood."""
        word, _, rest = text.replace("\t", " ").partition(" ")
        word, rest = word.lower(), rest.strip()
        if not rest:
            return False
        if word in _IGNORED:
            return True
        if word == "maxrange4":
            return self._take_max_range(rest)
        if word == "timestamp":
            return self._take_timestamp(rest)
        if word == BASE or (len(word) == 1 and word in "0123456789"):
            self.substitutions.setdefault(word, text[1:].strip(" \t"))
            return True
        return False

    def _take_max_range(self, text: str) -> bool:
        number = text.removeprefix("/")
        if not (number.isascii() and number.isdecimal() and len(number) <= 10) or int(number) == 0:
            return False
        size = int(number)
        if number != text:
            if size > 32:
                return False
            size = 1 << (32 - size)
        if self.max_range4 and size > self.max_range4:
            self.reading.warn(f"$MAXRANGE4 can only be lowered; it stays at {self.max_range4}")
        else:
            self.max_range4 = size
        return True

    def _take_timestamp(self, text: str) -> bool:
        words = text.split()
        stamp = _stamp(words[0])
        if stamp is None or len(words) > 2:
            return False
        if stamp > self.reading.now:
            when = datetime.fromtimestamp(stamp, UTC)
            raise ListError(
                f"line {self.reading.line}: $TIMESTAMP {when:%Y-%m-%d %H:%M:%S} is in the future; compare "
                "the clocks of this host and of where the file was made",
                text[:60],
            )
        if len(words) == 2:
            relative = _RELATIVE.fullmatch(words[1])
            if relative:
                expires: float | None = stamp + int(relative[1]) * _UNITS[relative[2]] if stamp else None
            else:
                expires = _stamp(words[1])
            if expires is None:
                return False
            if expires:
                self.reading.expire(expires)
        return True


def _stamp(text: str) -> float | None:
    """A time in seconds of the epoch, in UTC; 0.0 for `0` and `-`; None where it is none."""
    if text in ("0", "-", ":"):
        return 0.0
    found = _STAMP.fullmatch(text)
    if found is None:
        return None
    try:
        return datetime(*(int(part or 0) for part in found.groups()), tzinfo=UTC).timestamp()  # type: ignore[misc,arg-type]
    except ValueError:
        return None
