"""Which value a list has for an address: sorted boundaries and a binary search.

All entries are laid over each other once, when a list is loaded: at every address those with the highest
rank win (the longest prefix, or rbldnsd's octet level), and an exclusion among them lists nothing. What is
left are ranges that do not overlap: a look-up is one `bisect`, however the entries were nested.

Chosen by benchmarks/bench_lists.py, for 1,000,000 CIDRs: 19 bytes an entry and 0.9 us a look-up, against 152
bytes and 2.6 us of pytricia and 447 bytes and 3.7 us of py-radix, which want an address as text and know
neither ranges nor several values for one prefix. It loads in 2.1 s, text and all; pytricia alone in 0.3 s,
which a list that is loaded once a day does not need. IPv6 prefixes or addresses take 47 bytes an entry, and
1 us a look-up. numpy would be a heavy dependency for this.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Final, NamedTuple

NOT_LISTED: Final = 0
"""The number of the value that lists nothing."""
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
    """Values by IPv6 address: each boundary in two halves of 64 bits, the first of them indexed."""

    __slots__ = ("_base", "_index", "_lows", "_shift", "_starts", "_values")

    def __init__(self, entries: list[_Plain], merge: Merge) -> None:
        self._starts, self._lows, self._values = array("Q", [0]), array("Q", [0]), array("I", [NOT_LISTED])
        entries.sort()
        put_start, put_low, put_value = self._starts.append, self._lows.append, self._values.append
        before = NOT_LISTED
        for start, value in _changes(entries, merge):
            if value != before and start < 1 << 128:
                put_start(start >> 64)
                put_low(start & _LOW)
                put_value(value)
                before = value
        # Lists lie close together in this space, so what is indexed begins where they begin.
        starts = self._starts
        self._base = starts[min(1, len(starts) - 1)]
        blocks = 1 << min(20, len(starts).bit_length())
        self._shift = max(0, (starts[-1] - self._base).bit_length() - blocks.bit_length() + 1)
        self._index = array("I", (0,)) * (((starts[-1] - self._base) >> self._shift) + 2)
        self._fill()

    def _fill(self) -> None:
        """`_index[n]`: how many boundaries lie before the n-th block of addresses."""
        index, base, shift = self._index, self._base, self._shift
        for start in self._starts[1:]:
            index[((start - base) >> shift) + 1] += 1
        for block, count in enumerate(accumulate(index)):
            index[block] = count + 1

    def value_at(self, key: bytes) -> int:
        """The value's number for the 16 bytes of an address in network order."""
        high = int.from_bytes(key[:8])
        if high < self._base:
            return self._values[0]
        index, starts = self._index, self._starts
        block = (high - self._base) >> self._shift
        if block + 1 < len(index):
            at = bisect_right(starts, high, index[block], index[block + 1]) - 1
            if starts[at] == high:
                first = bisect_left(starts, high, index[block], at)
                at = bisect_right(self._lows, int.from_bytes(key[8:]), first, at + 1) - 1
            return self._values[at]
        return self._values[-1]

    @property
    def nbytes(self) -> int:
        """The memory of the tables, in bytes."""
        tables = self._starts, self._lows, self._values, self._index
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
