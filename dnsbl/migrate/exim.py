"""Exim's `dnslists` conditions -> zones and rules.

A hit counts 1 where it refuses, -1 where it accepts, and 0 under warn. Read are `zone`, `zone=a,b`, `zone!=a`,
`zone&mask`, `zone!&mask`, a TXT zone before a comma, `/$key`, a key from `${readfile{PATH}}`,
+include_unknown and +defer_unknown. Where statements do not simply add up, they become rules in their order:
`accept` ends what stands behind it in its access control list, `!dnslists` beside a dnslists keeps out
whom it has, as a permit before it would. What tests all records at once (`==`, `=&`), and what another
condition of the same statement decides, has no counterpart. Pure: text in, values out.

Source: the Exim specification, chapter "Access control lists", sections on DNS lists, and dnsbl.c of Exim 4.98.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from dnsbl.config.rules import BASE_RULES, REFUSE
from dnsbl.migrate.collect import Collector, Test
from dnsbl.migrate.exim_text import Condition, Statement, statements
from dnsbl.migrate.imported import DOMAIN, IP, Import, Imported
from dnsbl.migrate.octets import MAX_CODES, Octets, format_filter, of_address, union, with_bits
from dnsbl.migrate.order import PASS, UNKNOWN_DEFERRED, UNKNOWN_REFUSED, Rules, Step, in_a_row
from dnsbl.model import Kind
from dnsbl.zones.catalogue import Catalogue
from dnsbl.zones.zone import CodeOutcome

_REASON: Final = REFUSE.partition(" ")[2]
_ACTIONS: Final = {
    "deny": REFUSE,
    "drop": REFUSE,
    "defer": f"DEFER {_REASON}",
    "discard": f"DISCARD {_REASON}",
    "accept": PASS,
    "warn": "",
}
"""What each verb does where its conditions hold; `require` does it where they do not."""
_WEIGHTS: Final = {"accept": -1, "warn": 0}
_ITEM: Final = re.compile(
    r"(?P<zones>[^=&!]*)(?P<not>!?)(?P<sign>==|=&|=|&)(?P<codes>.*)|(?P<bare>[^=&!]*)", re.DOTALL
)
_READFILE: Final = re.compile(r"\$\{readfile\s*\{\s*([^{}\s]{1,300})\s*\}\s*(?:\{[^{}]*\}\s*)?\}")
_LOCAL: Final = re.compile(r"(accept\s+)?hosts\s*=\s*:")
"""Whom `accept hosts = :` accepts: who comes over no network."""
_KEY: Final = re.compile(r"\$\{key_file_[0-9]+\}")
_SOURCES: Final = {
    "sender_host_address": "client",
    "sender_address_domain": "sender",
    "sender_helo_name": "helo",
    "sender_host_name": "client_name",
    "domain": "recipient",
}
"""What the key after a slash asks about, as `look_up` calls it."""
_ERROR_MASK: Final = 0x00FFFF00
"""`zone!&0.255.255.0` leaves out 127.255.255.0/24; every zone does so here."""
_UNKNOWN: Final = ("+include_unknown", "+exclude_unknown", "+defer_unknown")


def import_exim(text: str, catalogue: Catalogue) -> Imported:
    """Read the text of an Exim configuration, or a part of one.

    Raises ConfigError for a text that is too long; anything that has no counterpart is a note.

    >>> from dnsbl.zones.catalogue import load
    >>> found = import_exim("deny dnslists = bl.example.com=127.0.0.2,127.0.0.3", load())
    >>> found.entries[0].reply
    '127.0.0.[2..3]'
    """
    into = Import(text, catalogue)
    reader = _Reader(into)
    for statement in statements(into, text):
        reader.take(statement)
    reader.collector.finish()
    alive = {entry.name for entry in into.entries if not entry.retired}
    lists = [[step for step in reader.needed(steps) if step.zone in alive] for steps in reader.lists]
    return into.finish(rules=_rules(into, lists, adds_up=not reader.accepted))


class _Reader:
    """Turns statements into lists of steps, one for each that refuses, with what accepts before it."""

    def __init__(self, into: Import) -> None:
        self.into = into
        self.collector = Collector(into, by_rules=True)
        self.accepted: dict[str, list[Step]] = {}
        """By access control list, what accepts so far."""
        self.lists: list[list[Step]] = []
        self._codes: dict[str, set[tuple[str, ...]]] = {}
        """By zone, the codes that its steps look for."""
        self._others: dict[str, list[Condition]] = {}
        """By access control list, what else accepts so far and has not been named."""

    def take(self, statement: Statement) -> None:
        if not statement.lists:
            self._others.setdefault(statement.acl, []).extend(statement.others)
            return
        steps = _read_statement(self.collector, statement)
        for step in steps:
            self._codes.setdefault(step.zone, set()).add(step.codes)
        if statement.verb == "accept":
            self.accepted.setdefault(statement.acl, []).extend(steps)
        elif statement.verb != "warn":
            self.lists.append([*self.accepted.get(statement.acl, ()), *steps])
            self._note_others(statement.acl)

    def _note_others(self, acl: str) -> None:
        for other in self._others.pop(acl, ()):
            if not _LOCAL.fullmatch(other.text):
                message = "no counterpart: whom this accepts is still asked about; write a rule for them"
                self.into.note(other.line, other.text, message)

    def needed(self, steps: list[Step]) -> list[Step]:
        """The steps without codes where the zone itself looks for no others."""
        return [replace(step, codes=()) if len(self._codes[step.zone]) == 1 else step for step in steps]


def _rules(into: Import, lists: list[list[Step]], *, adds_up: bool) -> Rules:
    """What decides as the statements do; nothing where the policy's own rules do: a score of 1 refuses.

    adds_up: no statement accepts, whose zones count against the score.
    """
    steps = [step for each in lists for step in each]
    if adds_up and all(
        step.action == REFUSE and step.source == "client" and step.unknown in ("", UNKNOWN_REFUSED)
        for step in steps
    ):
        return []
    return [*BASE_RULES, *in_a_row(into, lists)]


def _read_statement(collector: Collector, statement: Statement) -> list[Step]:
    """Add a statement's zones; gives what it does, the zones first that keep it from applying."""
    into = collector.into
    wanted = [condition for condition in statement.lists if not condition.is_negated]
    why = ""
    if len(wanted) > 1:
        why = "several conditions must hold together"
    elif statement.verb == "require" or not wanted:
        why = "it holds for whom no list has"
    elif statement.verb in ("accept", "warn") and len(statement.lists) > 1:
        why = "it passes whom one list has and another has not"
    if why:
        for condition in statement.lists:
            shown = f"{statement.verb} {'!' * condition.is_negated}dnslists = {condition.text}"
            into.note(condition.line, shown, f"no counterpart: {why}")
        return []
    for other in statement.others:
        into.note(other.line, other.text, "no counterpart: the zones are asked about every client")
    if statement.verb == "warn":
        into.note(wanted[0].line, f"warn dnslists = {wanted[0].text}", "its zones count 0", lost=False)
    steps: list[Step] = []
    for condition in sorted(statement.lists, key=lambda condition: not condition.is_negated):
        action = PASS if condition.is_negated else _ACTIONS[statement.verb]
        weight = -1 if condition.is_negated else _WEIGHTS.get(statement.verb, 1)
        steps += _read_list(collector, condition, weight, action)
    return steps


def _read_list(collector: Collector, condition: Condition, weight: int, action: str) -> Iterator[Step]:
    unknown = ""
    for item in _split(condition.text):
        if item.startswith("+"):
            unknown = item.lower()
            if unknown not in _UNKNOWN:
                collector.into.note(
                    condition.line, item, "no counterpart: only include, exclude and defer are known"
                )
            continue
        step = _read_item(collector, condition.line, item, weight, unknown == "+include_unknown")
        if step:
            ends = {
                "+include_unknown": PASS if action == PASS else UNKNOWN_REFUSED,
                "+defer_unknown": UNKNOWN_DEFERRED,
            }
            yield replace(step, action=action, unknown=ends.get(unknown, ""))


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


def _read_item(collector: Collector, line: int, item: str, weight: int, counts_errors: bool) -> Step | None:
    into = collector.into
    if whole := _READFILE.fullmatch(item):
        into.note(
            line, item, f"left out: its lists stand in {whole[1]}, which is not read; write them down here"
        )
        return None
    head, slash, key = _with_key_file(into, item).partition("/")
    source = _SOURCES.get(key.strip().removeprefix("$").strip("{}")) if slash else "client"
    parsed = _ITEM.fullmatch(head)
    zones = ((parsed["zones"] or parsed["bare"] or "") if parsed else "").strip()
    text_zone, comma, zone = zones.rpartition(",")
    if source is None or parsed is None or "$" in _KEY.sub("", head):
        why = f"asks about {key}" if slash and source is None else "is not ZONE=CODE,... or ZONE&MASK,..."
        into.note(line, item, f"no counterpart: {why}")
        return None
    if comma:
        into.note(line, item, f"the text comes from {zone}, and {text_zone} is not asked", lost=False)
    tests = _tests(into, line, item, parsed, weight)
    if not tests:
        return None
    asked: frozenset[Kind] = IP if source == "client" else DOMAIN
    name = collector.add(line, item, zone, tests, asked=asked, on_error="listed" if counts_errors else None)
    return Step(line, f"line {line}", item, name, source, _codes(tests), "") if name else None


def _with_key_file(into: Import, item: str) -> str:
    """`${readfile{PATH}}` becomes what stands for the key in that file."""
    return _READFILE.sub(lambda found: f"${{{into.key_file(found[1])}}}", item)


def _codes(tests: list[Test]) -> tuple[str, ...]:
    """The codes of a rule; none where any listing counts, or where codes are excluded (which the zone says)."""
    if any(test.accepted is None or test.outcome == "neutral" for test in tests):
        return ()
    accepted = [test.accepted for test in tests if test.accepted is not None]
    return tuple(format_filter(with_bits(each) if isinstance(each, int) else each) for each in accepted)


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
