"""Collects the entries of a list while it is read, and makes the searchable list of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from dnsbl.lists.nametable import NameTable
from dnsbl.lists.ranges import NOT_LISTED, Ranges4, Ranges6
from dnsbl.lists.record import LISTED, Record, Substitutions, Value, texts_of
from dnsbl.names._qname import format_address

MAX_PROBLEMS: Final = 1000
"""Bad lines that are kept with their text; more are only counted."""


class Problem(NamedTuple):
    """A line that could not be used, or that a reader should know of. line: from 1; 0: the whole file."""

    line: int
    message: str


class Group:
    """The entries of one data set. Groups answer beside each other, as rbldnsd's data sets of a zone do."""

    def __init__(self) -> None:
        self.ip4: list[tuple[int, int, int, int]] = []
        self.ip6: list[tuple[int, int, int, int]] = []
        self.exact: dict[str, int] = {}
        self.below: dict[str, int] = {}
        self.values: list[Value] = [(), (LISTED,)]
        self._numbers: dict[tuple[int, str], int] = {}
        self._merged: dict[frozenset[int], int] = {}
        self.substitutions: Substitutions = {}
        self.prefixes: set[tuple[int, int]] | None = None
        """For the tries, the prefixes seen; the first of one that is given twice holds."""

    def value(self, address: int, template: str) -> int:
        """The number of the value with this one record."""
        key = address, template
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.values)
            self.values.append((Record(address, template, self.substitutions),))
        return number

    def merge(self, numbers: frozenset[int]) -> int:
        """The number of the value that several make together."""
        if numbers not in self._merged:
            records = dict.fromkeys(
                (record.address, record.template)
                for number in sorted(numbers)
                for record in self.values[number]
            )
            self._merged[numbers] = len(self.values)
            self.values.append(tuple(Record(*record, self.substitutions) for record in records))
        return self._merged[numbers]

    def add_name(self, names: dict[str, int], name: str, value: int) -> None:
        """Put a name into `exact` or `below`; given twice, both values answer, and an exclusion wins."""
        before = names.get(name, value)
        both = frozenset({before, value})
        names[name] = value if before == value else NOT_LISTED if NOT_LISTED in both else self.merge(both)


class DataSet:
    """A finished Group: what it answers."""

    __slots__ = ("_ip4", "_ip6", "_names", "_values")

    def __init__(self, group: Group) -> None:
        self._ip4 = Ranges4(group.ip4, group.merge) if group.ip4 else None
        self._ip6 = Ranges6(group.ip6, group.merge) if group.ip6 else None
        self._names = NameTable(group.exact, group.below) if group.exact or group.below else None
        self._values = group.values

    def find(self, key: bytes | str) -> tuple[Value, str]:
        """What is answered (empty: not listed), and the entry's name where a name was asked."""
        if isinstance(key, str):
            return self._find_name(key)
        ranges = self._ip4 if len(key) == 4 else self._ip6
        return (self._values[ranges.value_at(key)] if ranges is not None else ()), ""

    def _find_name(self, name: str) -> tuple[Value, str]:
        names = self._names
        if names is None:
            return (), ""
        if (value := names.exact(name)) is not None:
            return self._values[value], name
        if names.has_below:
            _, dot, rest = name.partition(".")
            while dot:
                if (value := names.below(rest)) is not None:
                    return self._values[value], rest
                _, dot, rest = rest.partition(".")
        return (), ""

    def values_at(self, length: int) -> Callable[[bytes], int] | None:
        """What finds the number of an address's value, by its length in bytes; None: there is no such entry."""
        ranges = self._ip4 if length == 4 else self._ip6
        return None if ranges is None else ranges.value_at

    @property
    def nbytes(self) -> int:
        """The memory of the tables, in bytes."""
        tables = self._ip4, self._ip6, self._names
        return sum(table.nbytes for table in tables if table is not None)


def inside(entries: list[tuple[int, int, int, int]]) -> int:
    """How many entries lie, whole or in part, in one that begins before them or at the same address."""
    count, reach = 0, -1
    for first, last, _, _ in sorted(entries):
        count += first <= reach
        reach = max(reach, last)
    return count


def _exclusions(group: Group) -> int:
    ranges = sum(entry[3] == NOT_LISTED for entries in (group.ip4, group.ip6) for entry in entries)
    return ranges + sum(
        value == NOT_LISTED for names in (group.exact, group.below) for value in names.values()
    )


class Answer(NamedTuple):
    """addresses: the A records in numeric order, as 32-bit numbers; empty: not listed. texts: TXT records."""

    addresses: tuple[int, ...]
    texts: tuple[bytes, ...]


NOTHING: Final = Answer((), ())


class ListData:
    """A list that was read. Immutable; its look-ups may run in any number of threads.

    format: what it was read as. entries: so many, exclusions among them; an ip4set's ranges are counted as
    the blocks rbldnsd divides them into. overlaps, exclusions: counted
    only with `survey`. lines: those with an entry, good or
    bad. bad: lines that could not be used; problems: these, the first thousand. warnings: what a reader
    should know, the data are used. expires: when it is out of date by its own word, in seconds of the epoch,
    or None.
    """

    def __init__(
        self,
        format: str,
        groups: list[Group],
        *,
        lines: int,
        bad: int,
        problems: tuple[Problem, ...],
        warnings: tuple[Problem, ...],
        expires: float | None,
        survey: bool = False,
    ) -> None:
        self.format = format
        self.ip4 = sum(len(group.ip4) for group in groups)
        self.ip6 = sum(len(group.ip6) for group in groups)
        self.names = sum(len(group.exact.keys() | group.below.keys()) for group in groups)
        self.exclusions = sum(map(_exclusions, groups)) if survey else 0
        self.overlaps = sum(inside(each) for group in groups for each in (group.ip4, group.ip6) if survey)
        self.lines, self.bad = lines, bad
        self.problems, self.warnings = problems, warnings
        self.expires = expires
        self._sets = tuple(map(DataSet, groups))
        self._of_length = {
            length: tuple(filter(None, (each.values_at(length) for each in self._sets))) for length in (4, 16)
        }

    @property
    def entries(self) -> int:
        """How many entries there are."""
        return self.ip4 + self.ip6 + self.names

    @property
    def nbytes(self) -> int:
        """The memory of the tables, in bytes."""
        return sum(each.nbytes for each in self._sets)

    def lists(self, key: bytes | str) -> bool:
        """Whether there is an answer for 4 or 16 bytes in network order, or a name in lower case."""
        if isinstance(key, bytes):
            return self.lists_address(key)
        return any(each.find(key)[0] for each in self._sets)

    def lists_address(self, key: bytes) -> bool:
        """As `lists`, for an address: the accept path, so without the value itself."""
        for value_at in self._of_length[len(key)]:  # noqa: SIM110 - a generator costs more
            if value_at(key) != NOT_LISTED:
                return True
        return False

    def answer(self, key: bytes | str) -> Answer:
        """What a nameserver with this list would answer to an A and a TXT query for `key`."""
        addresses: set[int] = set()
        texts: dict[bytes, None] = {}
        for each in self._sets:
            value, name = each.find(key)
            if value:
                addresses |= {record.address for record in value}
                entry = name or format_address(key)  # type: ignore[arg-type]
                texts |= dict.fromkeys(texts_of(value, entry))
        return Answer(tuple(sorted(addresses)), tuple(texts)) if addresses else NOTHING
