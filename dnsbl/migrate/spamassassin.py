"""SpamAssassin's DNS rules -> zones.

Read are `header NAME eval:check_rbl(...)` with its kin for texts and senders, check_rbl_sub, urirhsbl,
urirhssub, and of each rule `score`, `tflags`, `describe`. Every rule becomes a code of its zone that counts
the rule's score. What asks about something else than a client's address or a domain (name servers of a link,
hashes), and what `meta` makes of several rules, has no counterpart. Pure: text in, values out.

Source: Mail::SpamAssassin::Conf, Plugin::DNSEval and Plugin::URIDNSBL (SpamAssassin 4.0).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from dnsbl.config.rules import BASE_RULES, REFUSE
from dnsbl.migrate.collect import Accepted, Collector, Test
from dnsbl.migrate.imported import DOMAIN, IP, Import, Imported
from dnsbl.migrate.subtest import parse_subtest
from dnsbl.model import Kind
from dnsbl.zones.catalogue import Catalogue
from dnsbl.zones.zone import CodeOutcome

REQUIRED: Final = 5.0
"""required_score where the text sets none (Mail::SpamAssassin::Conf)."""

_ASKED: Final[dict[str, frozenset[Kind]]] = {
    "check_rbl": IP,
    "check_rbl_txt": IP,
    "check_rbl_from_host": DOMAIN,
    "check_rbl_from_domain": DOMAIN,
    "check_rbl_envfrom": DOMAIN,
    "check_rbl_headers": DOMAIN,
}
_EVAL: Final = re.compile(r"(\S+)\s+(?:\S+\s+)?eval:(check_rbl\w*|check_dns_sender)\s*\((.*)\)\s*")
_OTHER_LISTS: Final = re.compile(r"eval:check_(?:hashbl|dnsbl|uridnsbl|rbl)\w*")
_ARGUMENT: Final = re.compile(r"""\s*(?:'((?:\\.|[^'\\])*)'|"((?:\\.|[^"\\])*)"|([^\s,'"]+))\s*(?:,|$)""")
_URI: Final = re.compile(r"(\S+)\s+(\S+)\s+(A|TXT)(?:\s+(\S+))?\s*", re.IGNORECASE)
_URI_OTHER: Final = frozenset(
    {"uridnsbl", "uridnssub", "urinsrhsbl", "urinsrhssub", "urifullnsrhsbl", "urifullnsrhssub"}
)
_SCORE: Final = re.compile(r"(\()?([+-]?[0-9]{1,6}(?:\.[0-9]{1,6})?)\)?")


@dataclass(slots=True)
class _Rule:
    """One rule that asks a zone. asks: the set of zones it belongs to; zone: empty for check_rbl_sub."""

    line: int
    text: str
    name: str
    set_name: str
    zone: str
    asked: frozenset[Kind]
    subtest: str | None

    @property
    def part(self) -> str:
        """What of a message it asks about: the word by which it asks."""
        found = _EVAL.fullmatch(self.text.partition(" ")[2])
        return found[2] if found else self.text.partition(" ")[0]


@dataclass(slots=True)
class _Rules:
    """What a text says of its rules."""

    asking: list[_Rule] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)
    flags: dict[str, set[str]] = field(default_factory=dict)
    meanings: dict[str, str] = field(default_factory=dict)
    blocking: set[str] = field(default_factory=set)
    metas: list[tuple[int, str, str]] = field(default_factory=list)
    required: float = REQUIRED


def import_spamassassin(text: str, catalogue: Catalogue) -> Imported:
    """Read the text of a SpamAssassin rules file (*.cf), or several of them joined.

    Raises ConfigError for a text that is too long; anything that has no counterpart is a note.

    >>> from dnsbl.zones.catalogue import load
    >>> text = "header X eval:check_rbl('x', 'bl.example.com.', '127.0.0.2')\\nscore X 3"
    >>> import_spamassassin(text, load()).entries[0].weight
    3.0
    """
    into = Import(text, catalogue)
    rules = _read(into, text)
    _take_aliases(rules)
    collector = Collector(into)
    zones: dict[str, list[_Rule]] = {}
    for rule in rules.asking:
        if rule.zone:
            zones.setdefault(rule.set_name, []).append(rule)
    for rule in _each_part_once(into, rules):
        _add(collector, rules, rule, zones)
    _note_metas(into, rules)
    collector.finish()
    if not into.entries:
        return into.finish()
    _note_hops(into, rules)
    message = f"SpamAssassin marks mail from {rules.required:g} on; the policy refuses it"
    into.note(1, "required_score", message, lost=False)
    return into.finish(rules=[*BASE_RULES, {"score": f">={rules.required:g}", "action": REFUSE}])


def _read(into: Import, text: str) -> _Rules:
    rules = _Rules()
    for line, content in _lines(text):
        word, _, rest = content.partition(" ")
        rest = rest.strip()
        name, _, value = rest.partition(" ")
        if word == "header" and "check_" in rest:
            _read_header(into, rules, line, content, rest)
        elif word == "body" and "eval:check_hashbl" in rest:
            into.note(line, content, "no counterpart: it asks about parts of the message")
        elif word in ("urirhsbl", "urirhssub"):
            _read_uri(into, rules, line, content, rest)
        elif word in _URI_OTHER:
            into.note(line, content, "no counterpart: it asks about the addresses or name servers of a link")
        elif word == "askdns":
            into.note(line, content, "no counterpart: it asks about a tag of the message")
        elif word == "score":
            _read_score(into, rules, line, name, value)
        elif word == "tflags":
            rules.flags.setdefault(name, set()).update(value.split())
        elif word == "describe":
            rules.meanings[name] = " ".join(value.split())[:200]
        elif word == "dns_block_rule":
            rules.blocking.add(name)
        elif word == "meta":
            rules.metas.append((line, name, value))
        elif word == "required_score" and (score := _SCORE.fullmatch(rest)):
            rules.required = float(score[2])
        elif word in ("rbl_timeout", "dns_server"):
            into.note(line, content, "no counterpart: see deadline_s and nameservers in [resolver]")
    return rules


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, white space made single; what stands after `else` is not read."""
    skipped: list[bool] = []
    for number, raw in enumerate(text.split("\n"), 1):
        content = " ".join(re.sub(r"(?<!\\)#.*", "", raw).split())
        word = content.partition(" ")[0]
        if word in ("if", "ifplugin"):
            skipped.append(False)
        elif word == "else" and skipped:
            skipped[-1] = True
        elif word == "endif":
            skipped = skipped[:-1]
        elif content and not any(skipped):
            yield number, content


def _read_header(into: Import, rules: _Rules, line: int, content: str, rest: str) -> None:
    found = _EVAL.fullmatch(rest)
    if found is None:
        if _OTHER_LISTS.search(rest):
            into.note(line, content, "no counterpart: it asks about parts of the message")
        return
    arguments = _arguments(found[3])
    if found[2] == "check_rbl_sub" and len(arguments) == 2:
        rule = _Rule(line, content, found[1], arguments[0], "", IP, arguments[1])
    elif found[2] in _ASKED and len(arguments) in (2, 3):
        subtest = arguments[2] if len(arguments) == 3 else None
        rule = _Rule(line, content, found[1], arguments[0], arguments[1], _ASKED[found[2]], subtest)
        if found[2] == "check_rbl_txt" and subtest is not None:
            into.note(line, content, "no counterpart: the text is not looked at; any listing counts")
            rule.subtest = None
    else:
        into.note(line, content, "no counterpart: not a rule that asks about an address or a domain")
        return
    rules.asking.append(rule)


def _arguments(text: str) -> list[str]:
    """The arguments of a call, as far as they can be read."""
    found, at = [], 0
    while match := _ARGUMENT.match(text, at):
        found.append(match[1] or match[2] or match[3] or "")
        at = match.end()
    return found


def _read_uri(into: Import, rules: _Rules, line: int, content: str, rest: str) -> None:
    found = _URI.fullmatch(rest)
    if found is None or (found[4] is None) is content.startswith("urirhssub"):
        into.note(line, content, "left out: not NAME ZONE A SUBTEST")
        return
    rules.asking.append(_Rule(line, content, found[1], f"uri {found[2]}", found[2], DOMAIN, found[4]))


def _read_score(into: Import, rules: _Rules, line: int, name: str, value: str) -> None:
    """`score NAME n` or four scores, of which the last is for a run with network tests and Bayes."""
    found = [_SCORE.fullmatch(part) for part in value.split()]
    last = found[-1] if found else None
    if last is None or len(found) not in (1, 4):
        into.note(line, f"score {name} {value}", "left out: not a score, or four of them")
        return
    added = rules.scores.get(name, 1.0) if last[1] else 0.0
    rules.scores[name] = added + float(last[2])


def _score(rules: _Rules, name: str) -> float:
    """A rule's score: 1 where none is set, -1 for a nice rule, 0.01 for one in test (T_)."""
    if name in rules.scores:
        return rules.scores[name]
    usual = 0.01 if name.startswith("T_") else 1.0
    return -usual if "nice" in rules.flags.get(name, ()) else usual


def _each_part_once(into: Import, rules: _Rules) -> Iterator[_Rule]:
    """The rules, but one of those that ask for the same code about domains of several parts of a message.

    SpamAssassin counts a link's domain, the sender's and the HELO name apart; here one listing counts once.
    """
    first: dict[tuple[str, str | None], _Rule] = {}
    for rule in rules.asking:
        known = first.setdefault((rule.zone, rule.subtest), rule) if rule.asked == DOMAIN else rule
        if known.part == rule.part or _score(rules, rule.name) == 0:
            yield rule
        else:
            message = (
                f"left out: {known.name} asks for the same of another part of the message; it counts once"
            )
            into.note(rule.line, rule.text, message)


def _add(collector: Collector, rules: _Rules, rule: _Rule, zones: dict[str, list[_Rule]]) -> None:
    """Add what one rule takes of each zone of its set."""
    into = collector.into
    bases = [rule] if rule.zone else zones.get(rule.set_name, [])
    if not bases:
        into.note(rule.line, rule.text, f"left out: no check_rbl names the zone of {rule.set_name!r}")
    if rule.name.startswith("__"):
        return  # counts nothing by itself; what refers to it is its sub-tests, and metas, which are noted
    score = _score(rules, rule.name)
    if score == 0:
        into.note(rule.line, rule.text, "its score is 0, so that SpamAssassin does not ask", lost=False)
        return
    accepted: list[Accepted] = [None] if rule.subtest is None else parse_subtest(rule.subtest)
    if _is_refusal(accepted):
        into.note(rule.line, rule.text, "a refusal; every zone knows those of 127.255.255.0/24", lost=False)
        return
    if not accepted:
        into.note(rule.line, rule.text, f"no counterpart: {rule.subtest!r} is not a set of codes")
        return
    if len(accepted) > 1:
        into.note(rule.line, rule.text, f"counted once for each of {len(accepted)} parts", lost=False)
    outcome: CodeOutcome = "blocked" if rule.name in rules.blocking else "listed"
    tests = [
        Test(each, score, rules.meanings.get(rule.name, rule.name), outcome, rule.name) for each in accepted
    ]
    for base in bases:
        is_whole = base.asked == DOMAIN and "notrim" in rules.flags.get(rule.name, ())
        collector.add(
            rule.line,
            rule.text,
            base.zone,
            tests,
            asked=base.asked,
            domain="host" if is_whole else "registrable",
        )


def _is_refusal(accepted: Sequence[Accepted]) -> bool:
    """Whether a test takes codes of 127.255.255.0/24 alone."""
    last = 1 << 255
    return bool(accepted) and all(isinstance(each, tuple) and each[1:3] == (last, last) for each in accepted)


def _note_hops(into: Import, rules: _Rules) -> None:
    """SpamAssassin asks about every relay in the message unless the set's name says otherwise; said once."""
    for rule in rules.asking:
        if rule.asked == IP and not rule.set_name.endswith(("-lastexternal", "-firsttrusted")):
            message = "SpamAssassin asks about each relay of the message; here it is the client alone"
            into.note(rule.line, rule.text, message, lost=False)
            return


def _take_aliases(rules: _Rules) -> None:
    """`meta A B`, where B asks a zone, is B under another name and score: the stock rules have it so."""
    asking = {rule.name: rule for rule in rules.asking}
    for meta in list(rules.metas):
        line, name, expression = meta
        rule = asking.get(expression.strip("() "))
        if rule is not None:
            rules.asking.append(replace(rule, line=line, text=f"meta {name} {expression}", name=name))
            rules.metas.remove(meta)


def _note_metas(into: Import, rules: _Rules) -> None:
    names = {rule.name for rule in rules.asking}
    for line, name, expression in rules.metas:
        used = sorted(set(re.findall(r"[A-Za-z_][A-Za-z0-9_]*", expression)) & names)
        if used:
            into.note(line, f"meta {name}", f"no counterpart: it combines {', '.join(used[:5])} with others")
