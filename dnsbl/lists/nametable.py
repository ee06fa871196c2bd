"""The names of a list in little memory: one run of bytes and a hash table of their numbers.

A dict of strings takes some 125 bytes a name, this about half; a look-up costs a third more.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Final

_ABSENT: Final = 0xFFFFFFFF


class NameTable:
    """Names that answer for themselves (`exact`), for all below them (`below`), or for both."""

    __slots__ = ("_below", "_exact", "_mask", "_offsets", "_slots", "_text", "has_below")

    def __init__(self, exact: Mapping[str, int], below: Mapping[str, int]) -> None:
        names = dict.fromkeys(exact)
        names |= dict.fromkeys(below)
        self.has_below = bool(below)
        size = 1 << (len(names) * 3 // 2).bit_length()  # at most two thirds are taken
        self._mask = mask = size - 1
        self._slots = slots = array("I", (0,)) * size
        self._offsets = offsets = array("I", (0, 0))
        self._exact = array("I", (_ABSENT, *(exact.get(name, _ABSENT) for name in names)))
        self._below = array("I", (_ABSENT, *(below.get(name, _ABSENT) for name in names)))
        end, parts = 0, []
        for number, name in enumerate(names, 1):
            at = hash(name) & mask
            while slots[at]:
                at = (at + 1) & mask
            slots[at] = number
            data = name.encode("utf-8", "surrogateescape")
            end += len(data)
            offsets.append(end)
            parts.append(data)
        self._text = b"".join(parts)

    def _number(self, name: str) -> int:
        """The number of a name, from 1; 0 where it is none of the list's."""
        slots, offsets, at = self._slots, self._offsets, hash(name) & self._mask
        while number := slots[at]:
            if self._text[offsets[number] : offsets[number + 1]] == name.encode("utf-8", "surrogateescape"):
                return number
            at = (at + 1) & self._mask
        return 0

    def exact(self, name: str) -> int | None:
        """The value of a name for itself."""
        value = self._exact[self._number(name)]
        return None if value == _ABSENT else value

    def below(self, name: str) -> int | None:
        """The value of a name for all names below it."""
        value = self._below[self._number(name)]
        return None if value == _ABSENT else value

    @property
    def nbytes(self) -> int:
        """The memory of the table, in bytes."""
        tables = self._slots, self._offsets, self._exact, self._below
        return len(self._text) + sum(len(table) * table.itemsize for table in tables)
