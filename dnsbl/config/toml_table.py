"""TOML tables read strictly: every value's type and range checked, every complaint with file and line.

A complaint is a ConfigError of one line, `FILE:LINE: what is wrong; what to do`. What the keys mean is for
those who use this (dnsbl/config/file.py, dnsbl/policy/rules.py); no file is read here.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path as FilePath
from typing import Any, Final

from dnsbl.config.limits import RANGES
from dnsbl.config.toml_lines import Path, find_lines
from dnsbl.errors import ConfigError, InputError
from dnsbl.text.toml import find_big_integer, loads
from dnsbl.zones.secret import MASK, mask_keys

MAX_TEXT: Final = 2000
"""Longest text taken as a value, in characters."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where values come from: the file's name as messages show it, and the line of each key."""

    name: str
    lines: Mapping[Path, int] = field(default_factory=dict, repr=False)

    def where(self, path: Path) -> str:
        """`FILE:LINE` of a key path, or of the nearest table around it that stands in the file.

        >>> Source("dnsbl.toml", {("zone", 0): 7}).where(("zone", 0, "weight"))
        'dnsbl.toml:7'
        """
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.name}:{self.lines[path]}" if path else self.name

    def error(self, path: Path, message: str, text: object = "") -> ConfigError:
        """A ConfigError for the value at `path`; `text` is what offends. A key in a zone's name is masked."""
        shown = mask_keys(message[:MAX_TEXT])
        return ConfigError(f"{self.where(path)}: {shown}", mask_keys(str(text)[:MAX_TEXT]))


def parse_toml(text: str, name: str) -> tuple[dict[str, Any], Source]:
    """The values of a TOML text, and where they stand. `name` is how messages call the file.

    Raises ConfigError with the line where `text` is not TOML.
    """
    try:
        values = loads(text)
        source = Source(name, find_lines(text))
    except tomllib.TOMLDecodeError as error:
        message, line = str(error), len(text.splitlines()) or 1
        if found := re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", message):
            message, line = message[: found.start()], int(found[1] or line)
        raise ConfigError(f"{name}:{line}: not TOML: {message}", mask_keys(_line_of(text, line))) from None
    except ValueError as error:
        raise ConfigError(f"{name}: {error}", "") from None
    if path := find_big_integer(values):
        raise source.error(path, "an integer of more than 64 bits")
    return values, source


def _line_of(text: str, line: int) -> str:
    lines = text.splitlines()
    found = lines[line - 1].strip()[:200] if line <= len(lines) else ""
    return re.sub(r"^(key\w*\s*=).*", rf"\1 {MASK}", found)  # a key without its quotes, say


def check_keys(table: Mapping[str, object], known: Iterable[str], path: Path, source: Source) -> None:
    """Raise ConfigError for the first key of `table` (which stands at `path`) that is not in `known`.

    The message names the key, its line and the nearest known key.
    """
    names = sorted(known)
    for key in table:
        if key not in names:
            nearest = get_close_matches(key[:100], names, n=1, cutoff=0.0)
            place = f" in {format_path(path)}" if path else ""
            hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
            raise source.error((*path, key), f"unknown key {key!r}{place}{hint}", key)


def format_path(path: Path) -> str:
    """A table's path as its header is written: `[[policy.rule]]`, `[resolver]`."""
    header = ".".join(str(part) for part in path if isinstance(part, str))
    return f"[[{header}]]" if isinstance(path[-1], int) else f"[{header}]"


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a TOML file with its place. Each reader returns None where the key is not there.

    Each raises ConfigError where the value is of another type or out of range.
    """

    values: Mapping[str, Any]
    path: Path
    source: Source

    def check_keys(self, known: Iterable[str]) -> None:
        check_keys(self.values, known, self.path, self.source)

    def error(self, key: str, message: str, text: object = "") -> ConfigError:
        return self.source.error((*self.path, key), f"{key}: {message}", text)

    def number(self, key: str, low: float, high: float) -> float | None:
        """A float or integer from `low` to `high`, both included."""
        value = self._take(key, (int, float), "a number")
        if value is not None and not low <= value <= high:  # nor NaN
            raise self.error(key, f"{value} is out of range; give {low:g} to {high:g}", value)
        return None if value is None else float(value)

    def integer(self, key: str, low: int, high: int) -> int | None:
        """An integer from `low` to `high`, both included."""
        value: int | None = self._take(key, int, "a whole number")
        if value is not None and not low <= value <= high:
            raise self.error(key, f"{value} is out of range; give {low} to {high}", value)
        return value

    def within(self, key: str) -> float | None:
        """A number of the range that dnsbl/config/limits.py gives the key; an `int` where only these are taken."""
        found = RANGES[key]
        if found.is_whole:
            return self.integer(key, int(found.low), int(found.high))
        return self.number(key, found.low, found.high)

    def ranged(self, key: str) -> float:
        """As `within`, and the key's default where it is not there."""
        value, default = self.within(key), RANGES[key].default
        return value if value is not None else default or 0.0

    def text(self, key: str) -> str | None:
        """A text that is not empty, of at most 2,000 characters."""
        value: str | None = self._take(key, str, "a text")
        if value is not None and len(value) > MAX_TEXT:
            raise self.error(key, f"a text of {len(value)} characters; at most {MAX_TEXT}", value)
        if value is not None and not value.strip():
            raise self.error(key, "is empty; give a text or leave the key out", value)
        return value

    def choice(self, key: str, choices: Iterable[str]) -> str | None:
        """One of the texts in `choices`."""
        value, names = self.text(key), list(choices)
        if value is not None and value not in names:
            raise self.error(key, f"{value!r} is not valid: use one of {', '.join(names)}", value)
        return value

    def flag(self, key: str) -> bool | None:
        value: bool | None = self._take(key, bool, "true or false")
        return value

    def path_from(self, folder: FilePath, key: str) -> FilePath | None:
        """A path, from `folder` where it is relative; None where the key is not given."""
        text = self.text(key)
        return None if text is None else folder / text

    def texts(self, key: str) -> tuple[str, ...] | None:
        """An array of texts, none of them empty or of more than 2,000 characters."""
        values = self._take(key, list, 'an array of texts, as in ["a", "b"]')
        if values is None:
            return None
        for index, value in enumerate(values):
            path = (*self.path, key, index)
            if not isinstance(value, str) or not value.strip():
                message = f"{key}: {_shown(value)} is not a text; give texts in quotes"
                raise self.source.error(path, message, value)
            if len(value) > MAX_TEXT:
                message = f"{key}: a text of {len(value)} characters; at most {MAX_TEXT}"
                raise self.source.error(path, message, value)
        return tuple(values)

    def table(self, key: str) -> Table | None:
        values = self._take(key, dict, f"a table; write it as {format_path((*self.path, key))}")
        return None if values is None else Table(values, (*self.path, key), self.source)

    def tables(self, key: str) -> tuple[Table, ...]:
        """An array of tables, `[[key]]` or inline; empty where the key is not there."""
        path = (*self.path, key)
        values = self._take(key, list, f"an array of tables; write each as {format_path((*path, 0))}") or []
        for index, value in enumerate(values):
            if not isinstance(value, dict):
                raise self.source.error((*path, index), f"{key}: {value!r} is not a table", value)
        return tuple(Table(value, (*path, index), self.source) for index, value in enumerate(values))

    def _take(self, key: str, kind: type | tuple[type, ...], what: str) -> Any:
        value = self.values.get(key)
        if value is None:
            return None
        # bool is an int in Python, and not one here.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.error(key, f"{_shown(value)} is not {what}", value)
        return value


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def each_text(table: Table, key: str, parse_one: Callable[[str], str]) -> tuple[str, ...] | None:
    """An array of texts, each read by `parse_one`, whose complaint gets its element's line."""
    texts = table.texts(key)
    if texts is None:
        return None
    if not texts:
        raise table.error(key, "an empty array; name at least one, or leave the key out")
    found = []
    for index, text in enumerate(texts):
        with placed(table, key, index):
            found.append(parse_one(text))
    return tuple(found)


@contextmanager
def placed(table: Table, *key: str | int) -> Iterator[None]:
    """Turns what the parts of a zone complain of into a ConfigError with the line of `key`."""
    try:
        yield
    except ConfigError:
        raise
    except InputError as error:
        raise table.source.error((*table.path, *key), str(error), error.text) from None
