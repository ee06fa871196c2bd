"""Where in a TOML text each key stands: key path -> line number.

The standard library's reader (tomllib) gives values without places, and a message that names no line is of
little help. This scanner reads the same grammar (TOML 1.0.0) for places alone. It checks nothing: give it
only text that tomllib has accepted.
"""

from __future__ import annotations

import tomllib
from bisect import bisect_right
from collections.abc import Mapping

Path = tuple[str | int, ...]
"""A key path: table and key names, and the index in an array: `("policy", "rule", 2, "action")`."""


def find_lines(text: str) -> Mapping[Path, int]:
    """The line (from 1) on which each key, table header and array element of `text` starts.

    >>> find_lines('[resolver]\\ntimeout_s = 1\\n[[zone]]\\nname = "dnsbl.example"')[("zone", 0, "name")]
    4
    """
    return _Scanner(text.replace("\r\n", "\n")).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.starts = [0, *(at + 1 for at, char in enumerate(text) if char == "\n")]
        self.lines: dict[Path, int] = {}
        self.counts: dict[Path, int] = {}  # arrays of tables: how many elements so far

    def scan(self) -> Mapping[Path, int]:
        table: Path = ()
        while True:
            self.skip(" \t\n")
            if self.at >= len(self.text):
                return self.lines
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)

    def here(self) -> int:
        return bisect_right(self.starts, self.at)

    def skip(self, blanks: str) -> None:
        """Go past `blanks` and comments."""
        while self.at < len(self.text):
            if self.text[self.at] == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif self.text[self.at] in blanks:
                self.at += 1
            else:
                return

    def header(self) -> Path:
        """`[a.b]` or `[[a.b]]`; a name that is an array of tables means its last element."""
        line = self.here()
        is_array = self.text.startswith("[[", self.at)
        self.at += 2 if is_array else 1
        names = self.key()
        self.at += 2 if is_array else 1
        path: Path = ()
        for place, name in enumerate(names):
            path = (*path, name)
            if is_array and place == len(names) - 1:
                self.counts[path] = self.counts.get(path, 0) + 1
            if path in self.counts:
                self.lines.setdefault(path, line)
                path = (*path, self.counts[path] - 1)
            self.lines.setdefault(path, line)
        return path

    def pair(self, table: Path) -> None:
        """`a.b = value` inside `table`."""
        line = self.here()
        path = table
        for name in self.key():
            path = (*path, name)
            self.lines.setdefault(path, line)
        self.at += 1  # the equals sign
        self.skip(" \t")
        self.value(path)

    def key(self) -> list[str]:
        """A dotted key; leaves `at` on what follows it (`=` or `]`)."""
        names = []
        while True:
            self.skip(" \t")
            start = self.at
            if self.text[start] in "\"'":
                self.string()
                names.append(tomllib.loads("key = " + self.text[start : self.at])["key"])
            else:
                while self.text[self.at] not in " \t.=]":
                    self.at += 1
                names.append(self.text[start : self.at])
            self.skip(" \t")
            if self.text[self.at] != ".":
                return names
            self.at += 1

    def value(self, path: Path) -> None:
        first = self.text[self.at]
        if first in "\"'":
            self.string()
        elif first == "[":
            self.array(path)
        elif first == "{":
            self.inline_table(path)
        else:
            while self.at < len(self.text) and self.text[self.at] not in ",]}#\n":
                self.at += 1

    def array(self, path: Path) -> None:
        self.at += 1
        index = 0
        while True:
            self.skip(" \t\n")
            if self.text[self.at] == "]":
                self.at += 1
                return
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self.lines[(*path, index)] = self.here()
            self.value((*path, index))
            index += 1

    def inline_table(self, path: Path) -> None:
        self.at += 1
        while True:
            self.skip(" \t\n")
            if self.text[self.at] == "}":
                self.at += 1
                return
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self.pair(path)

    def string(self) -> None:
        """Go past one string of any of the four kinds."""
        quote = self.text[self.at]
        is_long = self.text.startswith(quote * 3, self.at)
        mark = quote * 3 if is_long else quote
        self.at += len(mark)
        while not self.text.startswith(mark, self.at):
            self.at += 2 if quote == '"' and self.text[self.at] == "\\" else 1
        self.at += len(mark)
        # Up to two quotes may stand right before the closing three (TOML 1.0.0, "String").
        while is_long and self.text.startswith(quote, self.at):
            self.at += 1
