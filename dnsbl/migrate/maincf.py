"""main.cf as Postfix reads it: logical lines, `$name` references, list items with their lines.

What the parameters mean is in dnsbl/migrate/postfix.py. Source: postconf(5), "main.cf configuration file
format" in postconf.5 and Postfix 3.11's readlline.c, mac_parse.c, mac_expand.c. Values of parameters that the
text does not set are not known here: a reference to one stays in the value as `${name}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

MAX_DEPTH: Final = 20
"""Deepest nesting of references (Postfix: 100)."""
MAX_VALUE: Final = 100_000
"""Longest value after expansion, in characters; what is beyond is cut off and named in `Value.problems`."""

_NAME: Final = re.compile(r"\s*([^\s=]+)\s*=[^\S\n]*")
_REFERENCE_NAME: Final = re.compile(r"[A-Za-z0-9_]+")
_SPACE: Final = " \t\r\n\v\f"
_COMPARE: Final = re.compile(r"(<=|>=|==|!=|<|>)")


class Parameter(NamedTuple):
    """`name = value`. line: where it starts, from 1. value: comments taken out, one newline per line kept."""

    name: str
    value: str
    line: int


class Item(NamedTuple):
    """One item of a list, and the line on which it (or the reference it came from) stands."""

    text: str
    line: int


def parse(text: str) -> tuple[list[Parameter], list[Item]]:
    """The parameters in the order of the text, and the lines that are none.

    >>> parse("a = b\\n# note\\n  c\\n")[0]
    [Parameter(name='a', value='b\\n\\n  c', line=1)]
    """
    found, wrong = [], []
    for line, value in _logical_lines(text):
        named = _NAME.match(value)
        if named is None:
            wrong.append(Item(value.strip(), line))
        else:
            found.append(Parameter(named[1], value[named.end() :].rstrip(), line))
    return found, wrong


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """A line that begins with white space continues the one before, over comments and empty lines too."""
    start = 0
    parts: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        is_blank = not line.strip() or line.lstrip().startswith("#")
        if not is_blank and line[0] not in _SPACE:
            if start:
                yield start, "\n".join(parts).rstrip()
            start, parts = number, [line]
        elif start:
            parts.append("" if is_blank else line)
        elif not is_blank:
            yield number, line  # continues nothing: Postfix warns and skips it
    if start:
        yield start, "\n".join(parts).rstrip()


class Value:
    """A value with its references replaced, in `text`. Newlines are those of the value itself.

    problems: what could not be expanded, one text each. used: the names that were referred to.
    """

    def __init__(self, value: str, values: Mapping[str, str]) -> None:
        self.values = values
        self.problems: list[str] = []
        self.used: set[str] = set()
        self.size = 0
        self.text = self._expand(value, 0)

    def _expand(self, text: str, depth: int) -> str:
        if depth > MAX_DEPTH:
            self._problem(f"references nested deeper than {MAX_DEPTH}, or in a circle")
            return ""
        if self.size > MAX_VALUE:
            return ""
        parts: list[str] = []
        at = 0
        while at < len(text):
            dollar = text.find("$", at)
            end = len(text) if dollar < 0 else dollar
            parts.append(self._counted(text[at:end]))
            if dollar < 0:
                break
            expanded, at = self._reference(text, dollar, depth)
            parts.append(expanded)
        return "".join(parts)

    def _counted(self, text: str) -> str:
        self.size += len(text) + 1  # so that references to nothing are bounded too
        if self.size > MAX_VALUE:
            self._problem(f"longer than {MAX_VALUE} characters after expansion")
            return ""
        return text

    def _problem(self, what: str) -> None:
        if what not in self.problems:
            self.problems.append(what)

    def _reference(self, text: str, dollar: int, depth: int) -> tuple[str, int]:
        """What the reference at `dollar` stands for, and where the text goes on."""
        after = text[dollar + 1 : dollar + 2]
        if after == "$":
            return self._counted("$"), dollar + 2
        if after and after in "({":
            inner, end = _enclosed(text, dollar + 1)
            if inner is None:
                self._problem(f"{text[dollar:][:40]}: the bracket is not closed")
                return "", len(text)
            # The lines of what follows stay countable: an expression keeps its newlines, and adds none.
            expanded = self._expression(inner, depth).replace("\n", " ")
            return expanded + "\n" * text.count("\n", dollar, end), end
        name = _REFERENCE_NAME.match(text, dollar + 1)
        if name is None:
            self._problem(f"{text[dollar:][:40]}: a name is needed after $")
            return "", dollar + 1
        return self._named(name[0], depth).replace("\n", " "), name.end()

    def _expression(self, inner: str, depth: int) -> str:
        """`name`, `name?text`, `name:text`, `name?{text}:{text}`, or `{a} == {b} ? {text} : {text}`."""
        bare = inner.strip(_SPACE)
        if bare.startswith("{"):
            return self._comparison(bare, depth)
        name = _REFERENCE_NAME.match(bare)
        rest = bare[name.end() :].lstrip(_SPACE) if name else ""
        if name is None or (rest and rest[0] not in "?:"):
            self._problem(f"${{{inner[:40]}}}: not an expression of Postfix")
            return ""
        if not rest:
            return self._named(name[0], depth)
        self.used.add(name[0])
        if name[0] not in self.values:
            self._problem(f"${{{inner[:40]}}}: this text does not set {name[0]}; it is taken as empty")
        return self._choice(bool(self.values.get(name[0], "").strip()), rest, depth)

    def _named(self, name: str, depth: int) -> str:
        self.used.add(name)
        if name not in self.values:
            return f"${{{name}}}"
        return self._expand(self.values[name], depth + 1)

    def _choice(self, is_true: bool, rest: str, depth: int) -> str:
        """`?text`, `:text`, `?{text}`, `:{text}`, `?{text}:{text}` or `?{text}:text`."""
        body = rest[1:].lstrip(_SPACE)
        if rest[0] == ":":
            chosen = "" if is_true else _unbraced(body)
        elif not body.startswith("{"):
            chosen = rest[1:] if is_true else ""
        else:
            first, end = _enclosed(body, 0)
            tail = body[end:].lstrip(_SPACE)
            if first is None or (tail and tail[0] != ":"):
                self._problem(f"{body[:40]}: not {{text}}:{{text}}")
                return ""
            chosen = first if is_true else _unbraced(tail[1:].lstrip(_SPACE))
        return self._expand(chosen, depth + 1)

    def _comparison(self, text: str, depth: int) -> str:
        left, end = _enclosed(text, 0)
        operator = _COMPARE.match(text[end:].lstrip(_SPACE))
        rest = text[end:].lstrip(_SPACE)[operator.end() :].lstrip(_SPACE) if operator else ""
        right, end = _enclosed(rest, 0) if rest.startswith("{") else (None, 0)
        tail = rest[end:].lstrip(_SPACE)
        if left is None or operator is None or right is None or (tail and tail[0] not in "?:"):
            self._problem(f"${{{text[:40]}}}: not a comparison of Postfix")
            return ""
        operands = self._expand(left, depth + 1), self._expand(right, depth + 1)
        if "${" in "".join(operands):
            self._problem(f"${{{text[:40]}}}: compares a parameter that this text does not set")
            return ""
        is_true = _compare(operator[0], *operands)
        return self._choice(is_true, tail, depth) if tail else "true" if is_true else ""


def _enclosed(text: str, at: int) -> tuple[str | None, int]:
    """What stands between the bracket at `at` and its partner, and the place after it; None: not closed."""
    opening = text[at]
    closing = ")" if opening == "(" else "}"
    level = 0
    for place in range(at, len(text)):
        level += (text[place] == opening) - (text[place] == closing)
        if level == 0:
            return text[at + 1 : place], place + 1
    return None, len(text)


def _unbraced(text: str) -> str:
    inner, end = _enclosed(text, 0) if text.startswith("{") else (None, 0)
    return text if inner is None or text[end:].strip(_SPACE) else inner


def _compare(operator: str, left: str, right: str) -> bool:
    """Numbers where both are all digits, else text (mac_expand(3))."""
    is_number = left.isdecimal() and right.isdecimal() and left.isascii() and right.isascii()
    if is_number:
        left, right = left.rjust(len(right), "0"), right.rjust(len(left), "0")
    order = (left > right) - (left < right)
    return {
        "==": order == 0,
        "!=": order != 0,
        "<": order < 0,
        "<=": order <= 0,
        ">": order > 0,
        ">=": order >= 0,
    }[operator]


def items(text: str, line: int) -> Iterator[Item]:
    """The items of a list: between white space and commas, `{ ... }` whole. `line`: where the text starts.

    >>> [item.text for item in items("a, b\\n c", 1)]
    ['a', 'b', 'c']
    """
    at = 0
    while at < len(text):
        if text[at] in _SPACE or text[at] == ",":
            line += text[at] == "\n"
            at += 1
            continue
        end = at
        while end < len(text) and text[end] not in _SPACE and text[end] != ",":
            end = _enclosed(text, end)[1] if text[end] == "{" else end + 1
        yield Item(text[at:end], line)
        line += text.count("\n", at, end)
        at = end
