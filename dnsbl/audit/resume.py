"""Which items of an input have a row already, in little memory."""

from __future__ import annotations


class Places:
    """A set of item numbers from 1, most of which lie without a gap from the first on.

    >>> places = Places()
    >>> for number in (1, 2, 4): places.add(number)
    >>> 2 in places, 3 in places, 4 in places, len(places)
    (True, False, True, 3)
    """

    def __init__(self) -> None:
        self._all_to = 0  # every number up to it is in
        self._beyond: set[int] = set()

    def add(self, number: int) -> None:
        """Take a number in."""
        if number > self._all_to:
            self._beyond.add(number)
        while self._all_to + 1 in self._beyond:
            self._all_to += 1
            self._beyond.remove(self._all_to)

    def __contains__(self, number: int) -> bool:
        return number <= self._all_to or number in self._beyond

    def __len__(self) -> int:
        return self._all_to + len(self._beyond)
