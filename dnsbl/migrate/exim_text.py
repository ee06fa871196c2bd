"""Exim's configuration as text: logical lines, macros, .ifdef, and the statements that ask lists. Pure.

Source: the Exim specification, chapters "The runtime configuration file" and "Access control lists".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from dnsbl.migrate.imported import Import

MAX_LINE: Final = 100_000
"""Longest line after macros are replaced, in characters; what is beyond is cut off and named."""

MAX_MACROS: Final = 1000
"""Most macros replaced; a line that defines one more is read as it stands."""

VERBS: Final = ("deny", "drop", "defer", "discard", "accept", "warn", "require")
_VERB: Final = re.compile(rf"\s*({'|'.join(VERBS)})(?=\s|$)\s*(.*)", re.DOTALL)
_CONDITION: Final = re.compile(r"\s*(!?)\s*([a-z_]+)\s*=\s*(.*)", re.DOTALL)
_LABEL: Final = re.compile(r"\s*([A-Za-z_0-9]+):\s*$|\s*begin\s")
_OTHER_CONDITIONS: Final = frozenset(
    {
        "acl", "condition", "decode", "domains", "encrypted", "hosts", "local_parts", "malware", "mime_regex",
        "ratelimit", "recipients", "regex", "seen", "sender_domains", "senders", "spam", "verify",
    }
)  # fmt: skip
"""All conditions but dnslists and authenticated (whose counterpart is the policy's first rule)."""
_MACRO: Final = re.compile(r"([A-Z][A-Za-z0-9_]*)\s*==?\s*(.*)", re.DOTALL)
_DIRECTIVE: Final = re.compile(r"\.(ifdef|ifndef|elifdef|elifndef|else|endif)\b\s*(\S*)")


class Condition(NamedTuple):
    """`name = text`, or `!name = text`, on a line of the text."""

    line: int
    is_negated: bool
    text: str


@dataclass(slots=True)
class Statement:
    """One verb of an access control list with its conditions. acl: the list's name."""

    verb: str
    acl: str = ""
    lists: list[Condition] = field(default_factory=list)
    others: list[Condition] = field(default_factory=list)

    @property
    def matters(self) -> bool:
        return bool(self.lists or (self.verb == "accept" and self.others))


def statements(into: Import, text: str) -> Iterator[Statement]:
    """The statements that have a dnslists condition, and those that accept by conditions of other kinds."""
    statement, acl = None, ""
    for line, content in _logical_lines(into, text):
        begun, label = _VERB.match(content), _LABEL.match(content)
        if begun or label:
            if statement and statement.matters:
                yield statement
            acl = (label[1] or "") if label and not begun else acl
            statement = Statement(begun[1], acl) if begun else None
        found = _CONDITION.match(begun[2] if begun else content)
        if found is None or statement is None:
            if found and found[2] == "dnslists":
                into.note(line, content, "left out: it stands under no accept, deny, drop, defer or warn")
            continue
        condition = Condition(line, bool(found[1]), found[3].strip())
        if found[2] == "dnslists":
            statement.lists.append(condition)
        elif found[2] in _OTHER_CONDITIONS:
            statement.others.append(Condition(line, bool(found[1]), content.strip()))
    if statement and statement.matters:
        yield statement


class _Branches:
    """Which lines .ifdef and its kin leave standing."""

    def __init__(self) -> None:
        self._open: list[tuple[bool, bool]] = []
        """For each .ifdef that is open: whether its lines stand now, and whether any of its have stood."""

    @property
    def stand(self) -> bool:
        return all(now for now, _ in self._open)

    def take(self, content: str, macros: dict[str, str]) -> bool:
        """Whether `content` is such a line; then it is obeyed."""
        found = _DIRECTIVE.match(content)
        if found is None:
            return False
        word, name = found.groups()
        holds = (name in macros) is not word.endswith("ndef")
        if word.startswith("if"):
            self._open.append((holds, holds))
        elif self._open and word == "endif":
            self._open.pop()
        elif self._open:
            stood = self._open[-1][1]
            now = not stood and (word == "else" or holds)
            self._open[-1] = (now, stood or now)
        return True


def _logical_lines(into: Import, text: str) -> Iterator[tuple[int, str]]:
    """Lines that stand, macros replaced; each with its first line's number."""
    macros: dict[str, str] = {}
    branches = _Branches()
    for line, raw in _joined(text):
        if branches.take(raw, macros):
            continue
        content = _with_macros(into, line, raw, macros)
        if not branches.stand:
            if "dnslists" in content:
                message = "left out: the .ifdef around it does not hold in this text"
                into.note(line, content, message, lost=False)
            continue
        defined = _MACRO.fullmatch(content)
        if defined and len(macros) < MAX_MACROS:
            macros[defined[1]] = defined[2]
        elif content.startswith(".include"):
            into.note(line, content, "not read: give that file's text too")
        else:
            yield line, content


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """Lines joined at a backslash, without comments."""
    parts: list[str] = []
    start = 0
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if line.startswith("#") or (not line and not parts):
            continue
        start = start if parts else number
        parts.append(line.removesuffix("\\").rstrip() if line.endswith("\\") else line)
        if not line.endswith("\\"):
            yield start, " ".join(parts)
            parts = []
    if parts:
        yield start, " ".join(parts)


def _with_macros(into: Import, line: int, text: str, macros: dict[str, str]) -> str:
    """Every macro's name replaced wherever it stands, but in the place where one is defined."""
    defined = _MACRO.fullmatch(text)
    head, body = (text[: defined.start(2)], defined[2]) if defined else ("", text)
    for name, value in macros.items():
        if name in body:
            if len(body) + body.count(name) * len(value) > MAX_LINE:
                into.note(line, name, f"left out: longer than {MAX_LINE} characters, macros replaced")
                return ""
            body = body.replace(name, value)
    return head + body
