"""Which items of an input have a row already, in little memory; and whether it is the input of those rows."""

from __future__ import annotations

from collections.abc import Iterator

from dnsbl.audit.items import Item
from dnsbl.audit.rows import one_line
from dnsbl.errors import InputError


class Places:
    """A set of item numbers from 1, most of which lie without a gap from the first on, with their texts.

    >>> places = Places()
    >>> for number in (1, 2, 4): places.add(number, "192.0.2.1")
    >>> 2 in places, 3 in places, 4 in places, len(places)
    (True, False, True, 3)
    """

    def __init__(self) -> None:
        self._all_to = 0  # every number up to it is in
        self._beyond: set[int] = set()
        self._last = self._sum = 0

    def add(self, number: int, given: str) -> None:
        """Take an item in that has a row."""
        if number in self:
            return
        self._last = max(self._last, number)
        self._sum ^= _fingerprint(number, given)
        self._beyond.add(number)
        while self._all_to + 1 in self._beyond:
            self._all_to += 1
            self._beyond.remove(self._all_to)

    def __contains__(self, number: int) -> bool:
        return number <= self._all_to or number in self._beyond

    def __len__(self) -> int:
        return self._all_to + len(self._beyond)

    def left(self, items: Iterator[Item], output: str) -> Iterator[Item]:
        """The items that have no row. Raises InputError, before the first of them, where it is another input.

        Items have no row in the midst of others only while they are under way, so few are held back here.
        """
        read, held = 0, []
        if self._last:
            for item in items:
                if item.number in self:
                    read ^= _fingerprint(item.number, item.given)
                else:
                    held.append(item)
                if item.number == self._last:
                    break
        if read != self._sum:
            raise InputError(
                f"{output}: its rows are of another input: give the one it was made from, or another --output",
                output,
            )
        yield from held
        yield from items


def _fingerprint(number: int, given: str) -> int:
    return hash((number, one_line(given)))
