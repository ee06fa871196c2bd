"""rspamd's rbl.conf -> zones.

Each symbol of `returncodes` and `returnbits` becomes a code of its zone, which counts the symbol's weight
where the text has it (`symbols { NAME { weight = 4.0; } }`, as in scores.d). Read are ipv4, ipv6, checks, or
the older from, received, helo, rdns, dkim, urls and emails, is_whitelist, url_full_hostname, enabled. Hashes,
selectors and addresses that rspamd resolves itself have no counterpart. Pure: text in, values out.

Source: rbl.lua and conf/modules.d/rbl.conf of rspamd 3.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from dnsbl.config.rules import BASE_RULES, REFUSE
from dnsbl.migrate.collect import Accepted, Collector, Test
from dnsbl.migrate.imported import DOMAIN, Import, Imported
from dnsbl.migrate.octets import ALL, MAX_CODES, Octets, of_address, union, with_bits
from dnsbl.migrate.subtest import expression, in_loopback, masked
from dnsbl.migrate.ucl import Value, parse
from dnsbl.model import Kind
from dnsbl.zones.catalogue import Catalogue
from dnsbl.zones.zone import HASHED_KINDS

REJECT: Final = 15.0
"""The score from which rspamd rejects where the text sets none (actions.conf)."""

_IP_CHECKS: Final = frozenset({"from", "received"})
_DOMAIN_CHECKS: Final = frozenset({"helo", "rdns", "dkim", "urls", "content_urls", "emails", "replyto"})
_DEFAULTS: Final = {"ipv4": True, "ipv6": True, "emails_domainonly": False}
"""What a rule has that does not say (rbl.lua); `default_KEY` of the module changes it."""
_OTHER_CHECKS: Final = frozenset({"numeric_urls", "images", "selector"})
_ALL_CHECKS: Final = _IP_CHECKS | _DOMAIN_CHECKS | _OTHER_CHECKS


def import_rspamd(text: str, catalogue: Catalogue) -> Imported:
    """Read the text of rbl.conf, alone or with the scores joined to it.

    Raises ConfigError for a text that is too long or is not UCL; anything that has no counterpart is a note.

    >>> from dnsbl.zones.catalogue import load
    >>> text = 'rbls { x { rbl = "bl.example.com"; returncodes { X = "127.0.0.2"; } } }'
    >>> import_rspamd(text, load()).entries[0].reply
    '127.0.0.2'
    """
    into = Import(text, catalogue)
    root = parse(text)
    _Reader(into, root).read()
    if not into.entries:
        return into.finish()
    return into.finish(rules=[*BASE_RULES, {"score": f">={_threshold(into, root):g}", "action": REFUSE}])


def _threshold(into: Import, root: Value) -> float:
    for actions in root.all("actions"):
        reject = actions.get("reject")
        if reject is not None and (number := _number(reject.text)):
            return number
    message = f"taken as {REJECT:g}, rspamd's default: this text does not set it"
    into.note(1, "actions { reject }", message, lost=False)
    return REJECT


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[+-]?[0-9]{1,6}(?:\.[0-9]{1,6})?", text, re.ASCII) else None


class _Reader:
    def __init__(self, into: Import, root: Value) -> None:
        self.into = into
        self.root = root
        self.collector = Collector(into)
        self.defaults = dict(_DEFAULTS)
        for key in _DEFAULTS:
            for value in root.all(f"default_{key}"):
                self.defaults[key] = value.text.lower() == "true"
        self.weights: dict[str, float] = {}
        self.meanings: dict[str, str] = {}
        self.exceptions: frozenset[str] = frozenset()
        """The symbols that the rule being read lists under whitelist_exception."""
        for symbols in root.all("symbols"):
            for name, value in symbols.fields:
                weight = value.get("weight") or value.get("score")
                if weight is not None and (number := _number(weight.text)) is not None:
                    self.weights[name] = number
                if description := value.get("description"):
                    self.meanings[name] = " ".join(description.text.split())[:200]

    def read(self) -> None:
        for line, macro in self.root.macros:
            if "include" in macro:
                self.into.note(line, macro, "not read: give that file's text too")
        lists = [(name, rule) for rbls in self.root.all("rbls") for name, rule in rbls.fields]
        for name, rule in lists:
            self._rule(name, rule)
        self.collector.finish()
        if lists and not self.weights:
            message = "no weights in this text: each symbol counts 1; give scores.d/rbl_group.conf with it"
            self.into.note(lists[0][1].line, "symbols", message)

    def _rule(self, name: str, rule: Value) -> None:
        zone = rule.get("rbl")
        if zone is None or not zone.text:
            self.into.note(rule.line, name, "left out: it names no rbl")
            return
        shown = f"{name} ({zone.text})"
        if not rule.flag("enabled", True) or rule.flag("disabled"):
            self.into.note(rule.line, shown, "left out: it is switched off", lost=False)
            return
        self.exceptions = frozenset(
            symbol for exception in rule.each("whitelist_exception") for symbol in exception.texts
        )
        asked = self._asked(rule, shown)
        tests = list(self._tests(name, rule, shown)) if asked else []
        if not asked or not tests:
            return
        self.collector.add(
            rule.line,
            shown,
            zone.text,
            tests,
            asked=asked,
            domain="host" if rule.flag("url_full_hostname") else "registrable",
        )

    # What is asked

    def _asked(self, rule: Value, shown: str) -> frozenset[Kind]:
        """What the zone is asked about here; empty, and a note, where that is nothing."""
        if rule.get("hash") and (hashed := self._hashed(rule)):
            return hashed
        if rule.get("hash") or rule.flag("resolve_ip"):
            what = "hashes" if rule.get("hash") else "the addresses of the names it finds"
            self.into.note(rule.line, shown, f"no counterpart: it asks about {what}")
            return frozenset()
        checks = self._checks(rule)
        self._note_checks(rule, shown, checks)
        asked: set[Kind] = set()
        if checks & _IP_CHECKS:
            asked |= {kind for kind, key in _FAMILIES if rule.flag(key, self.defaults[key])}
        if checks & _DOMAIN_CHECKS - self._whole_addresses(rule):
            asked |= DOMAIN
        if not asked:
            self.into.note(rule.line, shown, "no counterpart: it asks about neither clients nor domains")
        return frozenset(asked)

    def _hashed(self, rule: Value) -> frozenset[Kind]:
        """Whose hashes are asked about, where the catalogue knows how the list makes them; else nothing."""
        zone = rule.get("rbl")
        row = self.into.known(zone.text) if zone else None
        return row.zone.subjects & HASHED_KINDS if row else frozenset()

    def _checks(self, rule: Value) -> frozenset[str]:
        """The checks of a rule: its list, and the older flags; `from` where it has none."""
        listed = rule.get("checks")
        found = set(listed.texts) if listed else set()
        found |= {check for check in _ALL_CHECKS - {"selector"} if rule.flag(check)}
        excluded = rule.get("exclude_checks")
        found -= set(excluded.texts) if excluded else set()
        return frozenset(found | ({"selector"} if rule.get("selector") else set()) or {"from"})

    def _whole_addresses(self, rule: Value) -> frozenset[str]:
        """The checks that ask about whole mail addresses, not their domains."""
        is_domain = rule.flag("emails_domainonly", self.defaults["emails_domainonly"])
        return frozenset() if is_domain else frozenset({"emails", "replyto"})

    def _note_checks(self, rule: Value, shown: str, checks: frozenset[str]) -> None:
        others = checks - (_IP_CHECKS | _DOMAIN_CHECKS) | checks & self._whole_addresses(rule)
        if others:
            self.into.note(rule.line, shown, f"no counterpart: the checks {', '.join(sorted(others))}")
        if "received" in checks:
            message = "rspamd asks about each relay of the message; here it is the client alone"
            counted = self._received_symbols(rule)
            if counted:
                message += f", and no weight of {', '.join(counted)} counts"
            self.into.note(rule.line, shown, message, lost=bool(counted))

    def _received_symbols(self, rule: Value) -> list[str]:
        """The symbols for relays that have a weight of their own."""
        prefixes = rule.get("symbols_prefixes")
        prefix = prefixes.get("received") if prefixes else None
        codes = rule.get("returncodes") or rule.get("return_codes")
        names = [name.upper() for name, _ in codes.fields] if codes else []
        return (
            [f"{prefix.text}_{name}" for name in names if f"{prefix.text}_{name}" in self.weights]
            if prefix
            else []
        )

    # What counts

    def _tests(self, name: str, rule: Value, shown: str) -> Iterator[Test]:
        is_allow = rule.flag("is_whitelist")
        codes = rule.get("returncodes") or rule.get("return_codes")
        bits = rule.get("returnbits") or rule.get("return_bits")
        symbol = rule.get("symbol")
        own = symbol.text if symbol else name
        if is_allow:
            message = "as an allowlist it also keeps rspamd from asking others; here it counts, and no more"
            self.into.note(rule.line, shown, message, lost=False)
        if codes is None and bits is None:
            yield self._test(own, None, rule, is_allow)
            return
        if rule.flag("unknown") and self._weight(own, rule, False) not in (0.0, 1.0):
            self.into.note(rule.line, shown, f"no counterpart: {own} for codes that are not listed")
        found: list[tuple[str, Accepted]] = []
        for label, value in codes.fields if codes else ():
            found += [(label, accepted) for accepted in self._codes(rule, label, value)]
        for label, value in bits.fields if bits else ():
            found += [(label, accepted) for accepted in self._bits(label, value)]
        if not found:
            self.into.note(rule.line, shown, "none of its codes counts, as in rspamd: left out", lost=False)
        for label, accepted in found:
            yield self._test(label.upper(), accepted, rule, is_allow)

    def _test(self, symbol: str, accepted: Accepted, rule: Value, is_allow: bool) -> Test:
        meaning = self.meanings.get(symbol, symbol)
        return Test(accepted, self._weight(symbol, rule, is_allow), meaning, name=symbol)

    def _weight(self, symbol: str, rule: Value, is_allow: bool) -> float:
        """The weight of a symbol in this text, with its prefix for clients first; else 1, or -1."""
        prefixes = rule.get("symbols_prefixes")
        prefix = prefixes.get("from") if prefixes else None
        for name in (f"{prefix.text}_{symbol}", symbol) if prefix else (symbol,):
            if name in self.weights:
                return self.weights[name]
        if symbol in self.exceptions:
            return 0.0
        if self.weights:  # rspamd issue 2022: such a symbol is shown and counts nothing
            message = "has no weight in this text, where others have: it counts 0, as in rspamd"
            self.into.note(rule.line, symbol, message, lost=False)
            return 0.0
        return -1.0 if is_allow else 1.0

    def _codes(self, rule: Value, label: str, value: Value) -> list[Octets]:
        matcher = rule.get("returncodes_matcher")
        texts = value.texts
        if len(texts) > MAX_CODES:
            self.into.note(value.line, label, f"left out: more than {MAX_CODES} codes")
            return []
        # Without a matcher, rspamd takes codes with % or [ as Lua patterns (convert_checks in rbl.lua).
        implied = "luapattern" if re.search(r"[%\[]", "".join(texts)) else "equality"
        read = _MATCHERS.get(matcher.text if matcher else implied)
        sets: list[Octets] = []
        for text in texts:
            found = in_loopback(list(read(text))) if read else []
            if not found:
                self.into.note(value.line, f"{label} = {text}", "no counterpart: not a set of codes")
            sets += found
        return union(octets for octets in sets if not _is_refusal(octets))

    def _bits(self, label: str, value: Value) -> list[Accepted]:
        found: list[Accepted] = []
        for text in value.texts:
            bits = int(text) if re.fullmatch(r"[0-9]{1,10}", text, re.ASCII) else 0
            if not 0 < bits < 1 << 32:
                self.into.note(value.line, f"{label} = {text}", "left out: not a number of bits")
            else:
                found.append(bits if bits < 256 and bits.bit_count() == 1 else with_bits(bits))
        return found


_FAMILIES: Final[tuple[tuple[Kind, str], ...]] = (("ip4", "ipv4"), ("ip6", "ipv6"))


def _is_refusal(octets: Octets) -> bool:
    """Whether all its codes are in 127.255.255.0/24, where every zone knows them as refusals."""
    return octets[1:3] == (1 << 255, 1 << 255)


def _equality(text: str) -> list[Octets]:
    octets = of_address(text)
    return [octets] if octets else []


def _lua_pattern(text: str) -> list[Octets]:
    """`127%.0%.%d%.[02-9]` by way of the regular expression that says the same."""
    return expression("^" + text.removeprefix("^").removesuffix("$").replace("%", "\\") + "$")


def _regexp(text: str) -> list[Octets]:
    return expression(re.sub(r"^/(.*)/[a-z]*$", r"\1", text))


def _glob(text: str) -> list[Octets]:
    """`127.0.0.*`; a star in the last of fewer than four places stands for the rest."""
    parts = text.split(".")
    if not 1 <= len(parts) <= 4 or (len(parts) < 4 and parts[-1] != "*") or len(text) > 60:
        return []
    fields = [_matching(part) for part in parts] + [ALL] * (4 - len(parts))
    return [(fields[0], fields[1], fields[2], fields[3])] if all(fields) else []


def _matching(pattern: str) -> int:
    return sum(1 << octet for octet in range(256) if fnmatch.fnmatchcase(str(octet), pattern))


def _radix(text: str) -> list[Octets]:
    """`127.0.0.0/24`, or an address."""
    address, slash, bits = text.partition("/")
    octets = of_address(address)
    if octets is None or not re.fullmatch("[0-9]{1,2}" if slash else "", bits) or int(bits or 32) > 32:
        return []
    number = 0
    for octet in octets:
        number = number << 8 | octet.bit_length() - 1
    return masked(number, ~0 << 32 - int(bits or 32) & 0xFFFFFFFF)


_MATCHERS: Final[dict[str, Callable[[str], Sequence[Octets]]]] = {
    "equality": _equality,
    "glob": _glob,
    "luapattern": _lua_pattern,
    "regexp": _regexp,
    "radix": _radix,
}
