"""TOML text -> values, by the standard library's reader, in bounded time and with bounded numbers.

tomllib takes time by the square of a dotted key's length, and integers of any size, which TOML 1.0.0
("Integer") has within 64 bits; elsewhere they would overflow, or could not even be shown. No I/O.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any, Final

MAX_NAMES: Final = 127
"""Most names in one dotted key. The configuration's have two; a DNS name in a comment has at most so many."""

_INTEGERS: Final = range(-(1 << 63), 1 << 63)
_LONG_KEY: Final = re.compile(
    rf"""(?<![A-Za-z0-9_-])(?:(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){{{MAX_NAMES}}}"""
)
_MANY_DIGITS: Final = re.compile(r"[0-9_]{4300,}")


def loads(text: str) -> dict[str, Any]:
    """The values of a TOML text. Raises ValueError; where a place is known, it ends `(at line N, column M)`.

    >>> loads('[resolver]\\ntries = 3')
    {'resolver': {'tries': 3}}
    """
    if long := _LONG_KEY.search(text):
        raise tomllib.TOMLDecodeError(f"a key of more than {MAX_NAMES} names{_place(text, long.start())}")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise ValueError("arrays or tables nested too deep") from None
    except ValueError as error:  # Python reads no more than 4,300 digits
        digits = _MANY_DIGITS.search(text)
        if digits is None:
            raise
        place = _place(text, digits.start())
        raise tomllib.TOMLDecodeError(f"an integer of more than 64 bits{place}") from error


def find_big_integer(values: Mapping[str, Any]) -> tuple[str | int, ...] | None:
    """The key path of an integer of more than 64 bits; None where there is none."""
    todo: list[tuple[tuple[str | int, ...], object]] = [((), values)]
    while todo:
        path, value = todo.pop()
        if isinstance(value, dict):
            todo += [((*path, key), item) for key, item in value.items()]
        elif isinstance(value, list):
            todo += [((*path, index), item) for index, item in enumerate(value)]
        elif isinstance(value, int) and value not in _INTEGERS:
            return path
    return None


def _place(text: str, at: int) -> str:
    line = text.count("\n", 0, at) + 1
    return f" (at line {line}, column {at - text.rfind(chr(10), 0, at)})"
