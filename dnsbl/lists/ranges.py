"""Which value a list has for an address: sorted boundaries and a binary search.

All entries are laid over each other once, when a list is loaded: at every address those with the highest
rank win (the longest prefix, or rbldnsd's octet level), and an exclusion among them lists nothing. What is
left are ranges that do not overlap: a look-up is one `bisect`, however the entries were nested.

Chosen by benchmarks/bench_lists.py, for 1,000,000 CIDRs: 19 bytes an entry and 0.9 us a look-up, against 152
bytes and 2.6 us of pytricia and 447 bytes and 3.7 us of py-radix, which want an address as text and know
neither ranges nor several values for one prefix. It loads in 2.1 s, text and all; pytricia alone in 0.3 s,
which a list that is loaded once a day does not need. numpy would be a heavy dependency for this.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Final, NamedTuple

NOT_LISTED: Final = 0
"""The number of the value that lists nothing."""
_SPLIT: Final = 0xFFFFFFFF
"""Stands in the place of a value where one /64 holds several."""
_LOW: Final = (1 << 64) - 1


class Entry(NamedTuple):
    """The addresses `first` to `last`, as numbers; `value` is a number, NOT_LISTED for an exclusion."""

    first: int
    last: int
    rank: int
    value: int


_Plain = tuple[int, int, int, int]
"""An Entry, or a tuple like one: cheaper to make a million times."""
Merge = Callable[[frozenset[int]], int]
"""Gives the value for entries of one rank that meet."""


class Ranges4:
    """Values by IPv4 address, from entries in any order."""

    __slots__ = ("_index", "_shift", "_starts", "_values")

    def __init__(self, entries: list[_Plain], merge: Merge) -> None:
        self._starts, self._values = array("I", [0]), array("I", [NOT_LISTED])
        entries.sort()
        put_start, put_value = self._starts.append, self._values.append
        before = NOT_LISTED
        for start, value in _changes(entries, merge):  # as `flat`, a third faster
            if value != before and start < 1 << 32:
                put_start(start)
                put_value(value)
                before = value
        # By its first bits an address is already known to lie between two close boundaries.
        bits = min(20, len(self._starts).bit_length())
        self._shift = 32 - bits
        self._index = array("I", (0,)) * ((1 << bits) + 1)
        self._fill()

    def _fill(self) -> None:
        """`_index[n]`: how many boundaries lie before the n-th block of addresses."""
        index, shift = self._index, self._shift
        for start in self._starts:
            index[(start >> shift) + 1] += 1
        for block, count in enumerate(accumulate(index)):
            index[block] = count

    def value_at(self, key: bytes) -> int:
        """The value's number for the 4 bytes of an address in network order."""
        number = int.from_bytes(key)
        block = number >> self._shift
        index = self._index
        return self._values[bisect_right(self._starts, number, index[block], index[block + 1]) - 1]

    @property
    def nbytes(self) -> int:
        """The memory of the tables, in bytes."""
        return sum(len(table) * table.itemsize for table in (self._starts, self._values, self._index))


class Ranges6:
    """Values by IPv6 address: by its first 64 bits, and where these do not decide, by all of it."""

    __slots__ = ("_inside", "_starts", "_values")

    def __init__(self, entries: list[_Plain], merge: Merge) -> None:
        self._starts, self._values = array("Q", [0]), array("I", [NOT_LISTED])
        self._inside: dict[int, tuple[array[int], array[int]]] = {}
        before = NOT_LISTED
        for start, value in flat(entries, merge, 1 << 128):
            high, low = start >> 64, start & _LOW
            if low:
                self._split(high, low, before, value)
            elif high == 0:
                self._values[0] = value
            else:
                self._close(before)
                self._put(high, value)
            before = value
        self._close(before)

    def _split(self, high: int, low: int, before: int, value: int) -> None:
        if high not in self._inside:
            self._close(before)
            first = self._values[-1] if self._starts[-1] == high else before
            if self._starts[-1] == high:
                self._values[-1] = _SPLIT
            else:
                self._put(high, _SPLIT)
            self._inside[high] = array("Q", [0]), array("I", [first])
        lows, values = self._inside[high]
        lows.append(low)
        values.append(value)

    def _close(self, value: int) -> None:
        """After a /64 that holds several values the last of them goes on."""
        if self._values[-1] == _SPLIT:
            self._put(self._starts[-1] + 1, value)

    def _put(self, high: int, value: int) -> None:
        if high >> 64:
            return
        if self._starts[-1] == high:
            self._values[-1] = value
        else:
            self._starts.append(high)
            self._values.append(value)

    def value_at(self, key: bytes) -> int:
        """The value's number for the 16 bytes of an address in network order."""
        high = int.from_bytes(key[:8])
        value = self._values[bisect_right(self._starts, high) - 1]
        if value != _SPLIT:
            return value
        lows, values = self._inside[high]
        return values[bisect_right(lows, int.from_bytes(key[8:])) - 1]

    @property
    def nbytes(self) -> int:
        """The memory of the tables, in bytes; of those inside a /64 without the dictionary around them."""
        tables = [self._starts, self._values, *(table for pair in self._inside.values() for table in pair)]
        return sum(len(table) * table.itemsize for table in tables)


def flat(entries: list[_Plain], merge: Merge, end: int) -> Iterator[tuple[int, int]]:
    """Where the value changes, ascending, and to what; `end` is the first number beyond all addresses.

    >>> list(flat([(0, 9, 1, 5), (4, 5, 2, NOT_LISTED)], max, 100))
    [(0, 5), (4, 0), (6, 5), (10, 0)]
    """
    value = NOT_LISTED
    for start, now in _changes(sorted(entries), merge):
        if now != value and start < end:
            yield start, now
            value = now


def _changes(entries: list[_Plain], merge: Merge) -> Iterator[tuple[int, int]]:
    """As `flat`, with changes that are none; entries that touch nothing else are passed on as they are."""
    at, count = 0, len(entries)
    while at < count:
        first, last, _, value = entries[at]
        stop = at + 1
        while stop < count and entries[stop][0] <= last:
            last = max(last, entries[stop][1])
            stop += 1
        if stop == at + 1:
            yield first, value
        else:
            yield from _overlaid(entries[at:stop], merge)
        if stop == count or entries[stop][0] > last + 1:
            yield last + 1, NOT_LISTED
        at = stop


def _overlaid(entries: list[_Plain], merge: Merge) -> Iterator[tuple[int, int]]:
    """The changes within entries that overlap, without the end of the last."""
    points = sorted({entry[0] for entry in entries} | {entry[1] + 1 for entry in entries})
    active: dict[int, list[_Plain]] = {}
    at = 0
    for point in points[:-1]:
        for rank in [rank for rank, held in active.items() if any(each[1] < point for each in held)]:
            active[rank] = [each for each in active[rank] if each[1] >= point]
            if not active[rank]:
                del active[rank]
        while at < len(entries) and entries[at][0] == point:
            active.setdefault(entries[at][2], []).append(entries[at])
            at += 1
        yield point, winner(active[max(active)], merge) if active else NOT_LISTED


def winner(entries: Iterable[_Plain], merge: Merge) -> int:
    """The value of entries of one rank that hold the same address: an exclusion wins."""
    numbers = frozenset(entry[3] for entry in entries)
    if NOT_LISTED in numbers:
        return NOT_LISTED
    return next(iter(numbers)) if len(numbers) == 1 else merge(numbers)
