"""The configuration language of rspamd (UCL), as far as its module files use it, with lines.

Objects keep their keys in order, repeated ones too. Left as they stand: variables (`$X`), numbers and their
suffixes. Skipped: `.include` and other macros, `{= ... =}` and `{% ... %}` templates. Pure.

Source: the README of libucl in rspamd's tree.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from dnsbl.errors import ConfigError

MAX_DEPTH: Final = 30

_TEMPLATE: Final = re.compile(r"\{=[^\n]{0,300}?=\}|\{%[^\n]{0,300}?%\}")
_BLANK: Final = re.compile(r"(?:\s|#[^\n]*)+")
_SEPARATORS: Final = re.compile(r"(?:\s|#[^\n]*|[;,])+")
_KEY: Final = re.compile(r"[A-Za-z0-9_/.*%$-]+")
_BARE: Final = re.compile(r"""[^;,\n\]}#{\["'][^;,\n\]}#{\[]*""")
_BRACE: Final = re.compile(r"[ \t]*\{")
_STRING: Final = re.compile(r'"((?:\\.|[^"\\])*)"|\'((?:\\.|[^\'\\])*)\'', re.DOTALL)
_HEREDOC: Final = re.compile(r"<<([A-Z]+)\n")
_MACRO: Final = re.compile(r"\.[a-z_]+[^\n]*")
_TOKEN: Final = re.compile(r"/\*|\*/|\n|#[^\n]*|[^/*\"\n#]+|.")
_QUOTED_OR_TOKEN: Final = re.compile(rf'"(?:\\.|[^"\\\n])*"|{_TOKEN.pattern}')


@dataclass(frozen=True)
class Value:
    """One value. text: of a scalar, as written, without quotes. line: where it starts, from 1.

    fields: of an object, key and value in order. items: of an array.
    """

    line: int
    text: str = ""
    fields: tuple[tuple[str, Value], ...] = ()
    items: tuple[Value, ...] = ()
    macros: tuple[tuple[int, str], ...] = field(default=(), repr=False)

    @cached_property
    def _by_key(self) -> Mapping[str, Sequence[Value]]:
        found: dict[str, list[Value]] = {}
        for name, value in self.fields:
            found.setdefault(name, []).append(value)
        return found

    def each(self, key: str) -> Sequence[Value]:
        """Every value of a key of this object, in order."""
        return self._by_key.get(key, ())

    def get(self, key: str) -> Value | None:
        """The last value of a key, as rspamd takes it; None where the object has none."""
        values = self.each(key)
        return values[-1] if values else None

    def all(self, key: str) -> Iterator[Value]:
        """Every value of a key, at any depth."""
        for name, value in self.fields:
            if name == key:
                yield value
            yield from value.all(key)
        for item in self.items:
            yield from item.all(key)

    @property
    def texts(self) -> tuple[str, ...]:
        """A scalar, or an array of scalars, as texts."""
        if self.items:
            return tuple(item.text for item in self.items)
        return (self.text,) if self.text else ()

    def flag(self, key: str, default: bool = False) -> bool:
        value = self.get(key)
        return default if value is None else value.text.lower() in ("true", "yes", "on", "1")


def parse(text: str) -> Value:
    """The object a text stands for; `macros` has the lines that were skipped.

    Raises ConfigError with the line where the text is not UCL, or nested deeper than 30.

    >>> parse('a { b = ["1", 2]; }').get("a").get("b").texts
    ('1', '2')
    """
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        # Templates are rspamd's, and go before UCL is read: they may hold quotes.
        self.text = _TEMPLATE.sub("", _without_comments(text))
        self.starts = [0, *(match.end() for match in re.finditer("\n", self.text))]
        self.at = 0
        self.macros: list[tuple[int, str]] = []

    def parse(self) -> Value:
        self.skip(_BLANK)
        if self.text.startswith("{", self.at):
            self.at += 1
            found = self.fields(1, 0, "}")
        else:
            found = self.fields(1, 0, "")
        return Value(1, fields=found.fields, macros=tuple(self.macros))

    def line(self) -> int:
        return bisect_right(self.starts, self.at)

    def fail(self, what: str) -> ConfigError:
        here = self.text[self.at : self.at + 40].split("\n")[0]
        return ConfigError(f"line {self.line()}: not UCL: {what}", here)

    def skip(self, pattern: re.Pattern[str]) -> None:
        if found := pattern.match(self.text, self.at):
            self.at = found.end()

    def fields(self, line: int, depth: int, closing: str) -> Value:
        """An object up to `closing`, or to the end of the text where that is empty."""
        if depth > MAX_DEPTH:
            raise self.fail(f"nested deeper than {MAX_DEPTH}")
        found: list[tuple[str, Value]] = []
        while True:
            self.skip(_SEPARATORS)
            if self.at >= len(self.text):
                if closing:
                    raise self.fail(f"{closing} is missing for the bracket on line {line}")
                return Value(line, fields=tuple(found))
            if closing and self.text.startswith(closing, self.at):
                self.at += 1
                return Value(line, fields=tuple(found))
            if macro := _MACRO.match(self.text, self.at):
                self.macros.append((self.line(), macro[0]))
                self.at = macro.end()
                continue
            found.append(self.field(depth))

    def field(self, depth: int) -> tuple[str, Value]:
        """`key = value`, `key value`, `key { }`, or `key name { }`, which is `key { name { } }`."""
        line, key = self.line(), self.key()
        self.skip(_BLANK)
        if self.text[self.at : self.at + 1] in ("=", ":"):
            self.at += 1
            self.skip(_BLANK)
            return key, self.value(depth)
        if self.is_named_object():
            inner = self.field(depth + 1)
            return key, Value(line, fields=(inner,))
        return key, self.value(depth)

    def key(self) -> str:
        found = _STRING.match(self.text, self.at) or _KEY.match(self.text, self.at)
        if found is None:
            raise self.fail("a key is needed here")
        self.at = found.end()
        return _unquoted(found) if found.re is _STRING else found[0]

    def is_named_object(self) -> bool:
        """Whether a second key and a brace follow, on one line."""
        found = _STRING.match(self.text, self.at) or _KEY.match(self.text, self.at)
        return found is not None and _BRACE.match(self.text, found.end()) is not None

    def value(self, depth: int) -> Value:
        line = self.line()
        first = self.text[self.at : self.at + 1]
        if first == "{":
            self.at += 1
            return self.fields(line, depth + 1, "}")
        if first == "[":
            self.at += 1
            return self.array(line, depth + 1)
        if found := _STRING.match(self.text, self.at):
            self.at = found.end()
            return Value(line, _unquoted(found))
        if found := _HEREDOC.match(self.text, self.at):
            end = self.text.find(f"\n{found[1]}\n", found.end() - 1)
            if end < 0:
                raise self.fail(f"{found[1]} is missing at the end of this text")
            self.at = end + len(found[1]) + 2
            return Value(line, self.text[found.end() : end])
        if found := _BARE.match(self.text, self.at):
            self.at = found.end()
            return Value(line, found[0].strip())
        raise self.fail("a value is needed here")

    def array(self, line: int, depth: int) -> Value:
        if depth > MAX_DEPTH:
            raise self.fail(f"nested deeper than {MAX_DEPTH}")
        items: list[Value] = []
        while True:
            self.skip(_SEPARATORS)
            if self.at >= len(self.text):
                raise self.fail(f"] is missing for the bracket on line {line}")
            if self.text[self.at] == "]":
                self.at += 1
                return Value(line, items=tuple(items))
            items.append(self.value(depth))


def _unquoted(found: re.Match[str]) -> str:
    """A string without quotes; a backslash before a quote or a backslash goes."""
    return re.sub(r"\\([\"'\\/])", r"\1", found[1] if found[1] is not None else found[2])


def _without_comments(text: str) -> str:
    """`/* ... */`, which may stand inside each other, made blank; newlines stay, and quoted text too."""
    parts: list[str] = []
    depth = at = unquoted_to = 0
    while at < len(text):
        # Where a quote is not closed on its line, none after it there is: looked for once, not from each.
        token = (_TOKEN if at < unquoted_to else _QUOTED_OR_TOKEN).match(text, at)
        assert token is not None
        piece, at = token[0], token.end()
        if piece == '"' and at > unquoted_to:
            end = text.find("\n", at)
            unquoted_to = len(text) if end < 0 else end
        if piece == "/*":
            depth += 1
        elif piece == "*/" and depth:
            depth -= 1
        elif not depth or piece == "\n":
            parts.append(piece)
    return "".join(parts)
