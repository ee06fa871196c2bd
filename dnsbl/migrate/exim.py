"""Exim's `dnslists` conditions -> zones.

A hit counts 1 under deny, drop and defer, -1 under accept, where it also ends the checks, and 0 under warn.
Read are `zone`, `zone=a,b`, `zone!=a`, `zone&mask`, `zone!&mask`, a TXT zone before a comma, `/$key`, and
+include_unknown. What tests all records at once (`==`, `=&`), and what another condition of the same
statement decides, has no counterpart. Pure: text in, values out.

Source: the Exim specification, chapter "Access control lists", sections on DNS lists, and dnsbl.c of Exim
4.98; for macros and lines, chapter "The runtime configuration file".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from dnsbl.config.rules import BASE_RULES, REFUSE
from dnsbl.migrate.collect import Collector, Test
from dnsbl.migrate.imported import DOMAIN, IP, Import, Imported
from dnsbl.migrate.octets import MAX_CODES, Octets, of_address, union, with_bits
from dnsbl.zones.catalogue import Catalogue
from dnsbl.zones.zone import CodeOutcome, Kind

MAX_LINE: Final = 100_000
"""Longest line after macros are replaced, in characters; what is beyond is cut off and named."""

MAX_MACROS: Final = 1000
"""Most macros replaced; a line that defines one more is read as it stands."""

_WEIGHTS: Final = {"deny": 1, "drop": 1, "defer": 1, "discard": 1, "accept": -1, "warn": 0, "require": 0}
_VERB: Final = re.compile(rf"\s*({'|'.join(_WEIGHTS)})(?=\s|$)\s*(.*)", re.DOTALL)
_CONDITION: Final = re.compile(r"\s*(!?)\s*([a-z_]+)\s*=\s*(.*)", re.DOTALL)
_OTHER_CONDITIONS: Final = frozenset(
    {
        "acl", "condition", "decode", "domains", "encrypted", "hosts", "local_parts", "malware", "mime_regex",
        "ratelimit", "recipients", "regex", "seen", "sender_domains", "senders", "spam", "verify",
    }
)  # fmt: skip
"""All conditions but dnslists and authenticated (whose counterpart is the policy's first rule)."""
_MACRO: Final = re.compile(r"([A-Z][A-Za-z0-9_]*)\s*==?\s*(.*)", re.DOTALL)
_ITEM: Final = re.compile(
    r"(?P<zones>[^=&!]*)(?P<not>!?)(?P<sign>==|=&|=|&)(?P<codes>.*)|(?P<bare>[^=&!]*)", re.DOTALL
)
_DOMAIN_KEYS: Final = frozenset({"sender_address_domain", "sender_helo_name", "sender_host_name", "domain"})
_ERROR_MASK: Final = 0x00FFFF00
"""`zone!&0.255.255.0` leaves out 127.255.255.0/24; every zone does so here."""


class _Condition(NamedTuple):
    line: int
    is_negated: bool
    text: str


@dataclass(slots=True)
class _Statement:
    """One verb of an access control list with its conditions."""

    verb: str
    lists: list[_Condition] = field(default_factory=list)
    others: list[_Condition] = field(default_factory=list)


def import_exim(text: str, catalogue: Catalogue) -> Imported:
    """Read the text of an Exim configuration, or a part of one.

    Raises ConfigError for a text that is too long; anything that has no counterpart is a note.

    >>> from dnsbl.zones.catalogue import load
    >>> found = import_exim("deny dnslists = bl.example.com=127.0.0.2,127.0.0.3", load())
    >>> found.entries[0].reply
    '127.0.0.[2..3]'
    """
    into = Import(text, catalogue)
    collector = Collector(into)
    decisions: list[tuple[bool, list[str]]] = []
    for statement in _statements(into, text):
        names = _read_statement(collector, statement)
        if names and statement.verb != "warn":
            decisions.append((statement.verb == "accept", names))
    collector.finish()
    return into.finish(rules=_rules(into, decisions))


def _rules(into: Import, decisions: list[tuple[bool, list[str]]]) -> list[dict[str, object]]:
    """What decides as the statements do, in their order; nothing where the policy's own rules do.

    decisions: for each statement whether it lets pass, and its zones.
    """
    alive = {entry.name: entry for entry in into.entries if not entry.retired}
    ordered: list[dict[str, object]] = []
    users: dict[str, int] = {}
    for passes, names in decisions:
        zones = [name for name in dict.fromkeys(names) if name in alive]
        for name in zones:
            users[name] = users.get(name, 0) + 1
        if zones:
            ordered.append({"zones": zones, "action": "DUNNO" if passes else REFUSE})
    if not any(rule["action"] == "DUNNO" for rule in ordered):
        return []
    for name, count in users.items():
        if count > 1 and alive[name].codes:
            message = f"{count} statements ask for codes of their own; here any of these counts in each"
            into.note(alive[name].line, name, message)
    return [*BASE_RULES, *ordered]


def _statements(into: Import, text: str) -> Iterator[_Statement]:
    """The statements that have a dnslists condition."""
    statement = None
    for line, content in _logical_lines(into, text):
        begun = _VERB.match(content)
        if begun or re.match(r"\s*[a-z_0-9]+:\s*$|\s*begin\s", content):
            if statement and statement.lists:
                yield statement
            statement = _Statement(begun[1]) if begun else None
        found = _CONDITION.match(begun[2] if begun else content)
        if found is None or statement is None:
            if found and found[2] == "dnslists":
                into.note(line, content, "left out: it stands under no accept, deny, drop, defer or warn")
            continue
        condition = _Condition(line, bool(found[1]), found[3].strip())
        if found[2] == "dnslists":
            statement.lists.append(condition)
        elif found[2] in _OTHER_CONDITIONS:
            statement.others.append(_Condition(line, bool(found[1]), content.strip()))
    if statement and statement.lists:
        yield statement


def _logical_lines(into: Import, text: str) -> Iterator[tuple[int, str]]:
    """Lines joined at a backslash, comments left out, macros replaced; each with its first line's number."""
    macros: dict[str, str] = {}
    parts: list[str] = []
    start = 0
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if line.startswith("#") or (not line and not parts):
            continue
        start = start if parts else number
        parts.append(line.removesuffix("\\").rstrip() if line.endswith("\\") else line)
        if line.endswith("\\"):
            continue
        content, parts = _with_macros(into, start, " ".join(parts), macros), []
        defined = _MACRO.fullmatch(content)
        if defined and len(macros) < MAX_MACROS:
            macros[defined[1]] = defined[2]
        elif content.startswith(".include"):
            into.note(start, content, "not read: give that file's text too")
        else:
            yield start, content
    if parts:
        yield start, _with_macros(into, start, " ".join(parts), macros)


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


def _read_statement(collector: Collector, statement: _Statement) -> list[str]:
    """Add a statement's zones; gives their names."""
    into = collector.into
    why = ""
    if len(statement.lists) > 1:
        why = "several conditions must hold together"
    elif statement.verb == "require" or statement.lists[0].is_negated:
        why = "it holds for whom no list has"
    if why:
        for condition in statement.lists:
            shown = f"{statement.verb} {'!' * condition.is_negated}dnslists = {condition.text}"
            into.note(condition.line, shown, f"no counterpart: {why}")
        return []
    (condition,) = statement.lists
    for other in statement.others:
        into.note(other.line, other.text, "no counterpart: the zones are asked about every client")
    if statement.verb == "warn":
        into.note(condition.line, f"warn dnslists = {condition.text}", "its zones count 0", lost=False)
    if statement.verb in ("defer", "discard"):
        into.note(condition.line, statement.verb, "no counterpart: a hit counts, and the policy refuses")
    return list(_read_list(collector, condition, _WEIGHTS[statement.verb]))


def _read_list(collector: Collector, condition: _Condition, weight: int) -> Iterator[str]:
    on_error = None
    for item in _split(condition.text):
        if item.startswith("+"):
            on_error = "listed" if item.lower() == "+include_unknown" else None
            if item.lower() not in ("+include_unknown", "+exclude_unknown"):
                collector.into.note(condition.line, item, "no counterpart: an error is no opinion")
            continue
        name = _read_item(collector, condition.line, item, weight, on_error == "listed")
        if name:
            yield name


def _split(text: str) -> list[str]:
    """An Exim list: separated by colons, or what `<` names; a doubled separator stands for itself."""
    separator = ":"
    if text.startswith("<") and len(text) > 1 and not text[1].isspace():
        separator, text = text[1], text[2:]
    found: list[str] = []
    item, depth, at = "", 0, 0
    while at < len(text):
        char = text[at]
        depth += (char == "{") - (char == "}")
        if char != separator or depth > 0:
            item += char
        elif text[at + 1 : at + 2] == separator:
            item, at = item + char, at + 1
        else:
            found.append(item.strip())
            item = ""
        at += 1
    return [each for each in [*found, item.strip()] if each]


def _read_item(collector: Collector, line: int, item: str, weight: int, counts_errors: bool) -> str | None:
    into = collector.into
    head, slash, key = item.partition("/")
    asked = _asked(key) if slash else IP
    parsed = _ITEM.fullmatch(head)
    if asked is None or parsed is None or "$" in head:
        why = f"asks about {key}" if slash and asked is None else "is not ZONE=CODE,... or ZONE&MASK,..."
        into.note(line, item, f"no counterpart: {why}")
        return None
    zones = (parsed["zones"] or parsed["bare"] or "").strip()
    text_zone, comma, zone = zones.rpartition(",")
    if comma:
        into.note(line, item, f"the text comes from {zone}, and {text_zone} is not asked", lost=False)
    tests = _tests(into, line, item, parsed, weight)
    if not tests:
        return None
    return collector.add(line, item, zone, tests, asked=asked, on_error="listed" if counts_errors else None)


def _asked(key: str) -> frozenset[Kind] | None:
    """What the key after a slash asks about; None where it is not known."""
    name = key.strip().removeprefix("$").strip("{}")
    if name in _DOMAIN_KEYS:
        return DOMAIN
    return IP if name == "sender_host_address" else None


def _tests(into: Import, line: int, item: str, parsed: re.Match[str], weight: int) -> list[Test]:
    sign = parsed["sign"]
    if sign is None:
        return [Test(None, weight)]
    if sign in ("==", "=&"):
        into.note(line, item, f"no counterpart: {sign} holds only where all records match")
        return []
    found = []
    if parsed["codes"].count(",") >= MAX_CODES:
        into.note(line, item, f"left out: more than {MAX_CODES} codes")
        return []
    for code in parsed["codes"].split(","):
        octets = of_address(code.strip())
        if octets is None:
            into.note(line, item, f"left out: {code.strip()!r} is not an address")
            return []
        found.append(octets)
    is_excluded = bool(parsed["not"])
    outcome: CodeOutcome = "neutral" if is_excluded else "listed"
    if sign == "&":
        masks = [_number(octets) for octets in found]
        if is_excluded and masks == [_ERROR_MASK]:
            return [Test(None, weight)]
        bits = [mask for mask in masks if mask & 255 == mask and mask.bit_count() == 1]
        if len(bits) == len(masks):
            return [Test(mask, weight, outcome=outcome) for mask in bits]
        found = [with_bits(mask) for mask in masks]
    if is_excluded and sign != "&" and all(_is_refusal(octets) for octets in found):
        # Exim bug 2631: refusals kept out by their codes. Here they never are listings.
        return [Test(None, weight)]
    sets = union(octets for octets in found if octets[0] >> 127 & 1)
    if not sets:
        into.note(line, item, "left out: no code of a list, 127.x.x.x, is accepted")
    if is_excluded:
        into.note(line, item, "where a client has several codes, one that is not excluded counts", lost=False)
    return [Test(octets, weight, outcome=outcome) for octets in sets]


def _is_refusal(octets: Octets) -> bool:
    """Whether it is a code of 127.255.255.0/24 alone."""
    last = 1 << 255
    return octets[0] == 1 << 127 and octets[1] == octets[2] == last


def _number(octets: tuple[int, int, int, int]) -> int:
    """The address of a set of one."""
    first, second, third, last = (octet.bit_length() - 1 for octet in octets)
    return first << 24 | second << 16 | third << 8 | last
