"""Zones -> main.cf: postscreen_dnsbl_sites with its threshold, and lists of smtpd restrictions.

Where dnsbl.toml has a [postfix] table (dnsbl/migrate/postfix.py writes it on import), each entry goes back
where it stood; any other goes to postscreen_dnsbl_sites for addresses, and to restrictions for domains. No
parameter of the user's own is overwritten: restrictions are written as `dnsbl_NAME`, to be added to NAME as
`$dnsbl_NAME`. Pure: values in, text out.

Source: postconf(5) of Postfix 3.7, postscreen_dnsbl_sites and reject_rbl_client.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from math import lcm
from typing import Any, Final, NamedTuple

from dnsbl.config.rules import BASE_RULES
from dnsbl.errors import ZoneError
from dnsbl.migrate.imported import key_variable
from dnsbl.migrate.octets import format_filter, union, with_bits
from dnsbl.migrate.postfix_uses import EXPORT_PREFIX, SITES, THRESHOLD, VERBS, WARN
from dnsbl.text.printable import printable
from dnsbl.zones.name import check_name
from dnsbl.zones.replyfilter import parse_reply_filter
from dnsbl.zones.zone import Code, Zone

MAX_SCALE: Final = 1000
DOMAIN_VERBS: Final = ("reject_rhsbl_reverse_client", "reject_rhsbl_helo", "reject_rhsbl_sender")
"""The restrictions for a domain list that dnsbl.toml gives no place."""
_DOMAIN_PLACE: Final = "smtpd_recipient_restrictions"
_SCORE_RULE: Final = re.compile(r"\s*>=\s*([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*")


class Exported(NamedTuple):
    """text: for main.cf. lost: what Postfix has no counterpart for. hints: what is left to do by hand."""

    text: str
    lost: tuple[str, ...]
    hints: tuple[str, ...]


def export_postfix(
    zones: Sequence[Zone],
    *,
    policy: Mapping[str, Any] | None = None,
    postfix: Mapping[str, Any] | None = None,
    variables: Mapping[str, str] | None = None,
) -> Exported:
    """The lines of a main.cf that ask `zones`.

    policy, postfix: the tables of dnsbl.toml. variables: the environment variable of each keyed zone, by
    name; it becomes the main.cf parameter that stands in the key's place, so that no key is written.
    Raises ZoneError for a [postfix] table that is not as `dnsbl zones import` writes it.

    >>> from dnsbl.zones.zone import Filter
    >>> print(export_postfix([Zone("bl.example.com", filters=(Filter(None, 2.0),))]).text)
    postscreen_dnsbl_sites =
        bl.example.com*2
    <BLANKLINE>
    """
    asked = [zone for zone in zones if not zone.file]
    found = _Writer(asked, policy or {}, postfix or {}, variables or {}).write()
    return without_files(found, zones)


def without_files(found: Exported, zones: Sequence[Zone]) -> Exported:
    """What was written, with a comment for each zone whose list is a file: no other program asks one."""
    files = [zone for zone in zones if zone.file]
    comments = "".join(
        f"# {zone.name}: left out, its list is a file: {printable(zone.file)}\n" for zone in files
    )
    lost = [
        f"{zone.name}: its list is a file here; serve it by DNS, as with rbldnsd, to have it asked"
        for zone in files
    ]
    return found._replace(text=comments + found.text, lost=(*found.lost, *lost))


class _Restriction(NamedTuple):
    prefix: str
    name: str
    reply: str

    @property
    def verb(self) -> str:
        return self.prefix.split()[-1]

    def text(self, asked: str) -> str:
        return f"{self.prefix}{asked}={self.reply}" if self.reply else f"{self.prefix}{asked}"


class _Writer:
    def __init__(
        self,
        zones: Sequence[Zone],
        policy: Mapping[str, Any],
        postfix: Mapping[str, Any],
        variables: Mapping[str, str],
    ) -> None:
        self.zones = {zone.name: zone for zone in zones}
        self.policy = policy
        self.variables = variables
        self.sites = {tuple(text.partition("=")[::2]) for text in _texts(postfix, SITES)}
        self.lists = {
            key: [_parse_restriction(text) for text in _texts(postfix, key)]
            for key in postfix
            if key not in (SITES, THRESHOLD)
        }
        self.unruled = Fraction(_whole(postfix, THRESHOLD))
        """The threshold where no rule has one."""
        self.lost: list[str] = []
        self.hints: list[str] = []

    def write(self) -> Exported:
        self._give_places()
        entries = [(zone, entry) for zone in self.zones.values() for entry in self._entries(zone)]
        threshold = self._threshold()
        scale = self._scale([threshold, *(weight for _, (_, weight) in entries)])
        blocks = []
        if entries:
            lines = [_item(self._asked(zone), reply, weight * scale) for zone, (reply, weight) in entries]
            head = [f"{THRESHOLD} = {threshold * scale}"] if threshold * scale != 1 else []
            blocks.append("\n".join([*head, _parameter(SITES, lines)]))
        for name, restrictions in self.lists.items():
            lines = [use.text(self._asked(self.zones[use.name])) for use in restrictions]
            if lines:
                blocks.append(_parameter(EXPORT_PREFIX + name, lines))
                self.hints.append(f"add ${EXPORT_PREFIX}{name} to {name}, after reject_unauth_destination")
        self._name_settings()
        return Exported("\n\n".join(blocks) + "\n" if blocks else "", tuple(self.lost), tuple(self.hints))

    def _give_places(self) -> None:
        """Take out what names no zone here, and find a place for each zone that has none."""
        for name, restrictions in self.lists.items():
            for use in restrictions:
                if use.name not in self.zones:
                    self.lost.append(f"{name}: {use.text(use.name)}: left out, no [[zone]] has this name")
            self.lists[name] = [use for use in restrictions if use.name in self.zones]
        names = {name for name, _ in self.sites} | {use.name for uses in self.lists.values() for use in uses}
        for zone in self.zones.values():
            if zone.name in names:
                continue
            if zone.subjects & {"ip4", "ip6"}:
                self.sites |= {(zone.name, reply) for reply, _ in _weighed(zone)}
            if "domain" in zone.subjects:
                self.lists.setdefault(_DOMAIN_PLACE, []).extend(self._domain_restrictions(zone))

    def _domain_restrictions(self, zone: Zone) -> Iterator[_Restriction]:
        weighed = _weighed(zone)
        for verbs, replies in (
            (("permit_rhswl_client",), [reply for reply, weight in weighed if weight < 0]),
            (DOMAIN_VERBS, [reply for reply, weight in weighed if weight > 0]),
        ):
            for verb in verbs:
                yield from (_Restriction(f"{verb} ", zone.name, reply) for reply in _joined(replies))
        if any(abs(weight) != 1 for _, weight in weighed):
            self.lost.append(f"{zone.name}: its weights; a restriction refuses, or passes, by itself")

    def _entries(self, zone: Zone) -> list[tuple[str, Fraction]]:
        """The zone's items in postscreen_dnsbl_sites: filter ("" for none) and weight."""
        if zone.name not in {name for name, _ in self.sites}:
            return []
        in_lists = {(use.name, use.reply) for uses in self.lists.values() for use in uses}
        found = [
            (reply, weight)
            for reply, weight in _weighed(zone)
            if (zone.name, reply) in self.sites or (zone.name, reply) not in in_lists
        ]
        if any(not reply for reply, _ in found):
            self.hints.append(
                f"{zone.name}: without a filter Postfix takes every reply for a listing, a refusal "
                '(127.255.255.254) too: give it one, as in reply = "127.0.0.[2..11]"'
            )
        return found

    def _threshold(self) -> Fraction:
        """The score from which on the policy refuses."""
        rules = self.policy.get("rule", [])
        found = None
        for number, rule in enumerate(rules if isinstance(rules, list) else [], 1):
            score = _SCORE_RULE.fullmatch(str(rule.get("score", "")))
            is_alone = set(rule) - {"look_up"} == {"score", "action"}
            if is_alone and score and _refuses(rule) and found is None:
                found = Fraction(score[1])
            elif rule not in BASE_RULES and not self._is_restriction(rule):
                self.lost.append(f"[[policy.rule]] number {number}")
        if self.policy.get("dry_run") is True:
            self.lost.append("[policy] dry_run; leave postscreen_dnsbl_action at ignore")
        return self.unruled if found is None else found

    def _is_restriction(self, rule: Mapping[str, Any]) -> bool:
        """Whether one of the restrictions says what the rule says."""
        uses = [use for restrictions in self.lists.values() for use in restrictions]
        sources = rule.get("look_up")
        return set(rule) <= {"look_up", "zones", "codes", "silent", "action"} and all(
            any(
                use.name == name
                and use.reply == reply
                and (sources is None or VERBS[use.verb].source in sources)
                for use in uses
            )
            for name in rule.get("zones", [None])
            for reply in rule.get("codes", [""])
        )

    def _scale(self, weights: list[Fraction]) -> int:
        """What all weights are multiplied by, so that each is a whole number."""
        scale = lcm(*(weight.denominator for weight in weights))
        if scale > MAX_SCALE:
            self.lost.append("the weights: Postfix takes whole numbers; they are rounded to thousandths")
            return MAX_SCALE
        if scale > 1:
            self.hints.append(f"weights and threshold are multiplied by {scale}: Postfix takes whole numbers")
        return scale

    def _asked(self, zone: Zone) -> str:
        """The name to be asked, with a main.cf parameter in a key's place."""
        if zone.key is None:
            return zone.name
        variable = self.variables.get(zone.name) or key_variable(zone.name)
        hint = (
            f"set {variable} to the key in main.cf, which everybody can read, and hide it from clients with "
            "postscreen_dnsbl_reply_map and rbl_reply_maps"
        )
        if hint not in self.hints:
            self.hints.append(hint)
        return zone.key_place.replace("{key}", f"${{{variable}}}")

    def _name_settings(self) -> None:
        for zone in self.zones.values():
            self.lost += (f"{zone.name}: {key}" for key in ("nameservers", "timeout_s") if getattr(zone, key))
            if zone.on_error == "listed":
                self.lost.append(f"{zone.name}: on_error")


def _refuses(rule: Mapping[str, Any]) -> bool:
    return str(rule.get("action", "")).upper().startswith(("REJECT", "5", "DEFER", "4"))


def _weighed(zone: Zone) -> list[tuple[str, Fraction]]:
    """The zone's filters, else its listing codes, each as a filter's text and a weight."""
    if zone.filters:
        return [(str(entry.reply or ""), _exact(entry.weight)) for entry in zone.filters]
    codes = [code for code in zone.codes if code.outcome == "listed"]
    weighed = [(_code_filter(code), zone.weight if code.weight is None else code.weight) for code in codes]
    return [(reply, _exact(weight)) for reply, weight in weighed or [("", zone.weight)]]


def _joined(replies: Sequence[str]) -> list[str]:
    """As few filters as match the same; one that matches everything is alone."""
    if "" in replies:
        return [""]
    return [format_filter(octets) for octets in union(parse_reply_filter(reply).octets for reply in replies)]


def _exact(weight: float) -> Fraction:
    """The number as it was written: 0.1 is a tenth."""
    return Fraction(repr(weight))


def _code_filter(code: Code) -> str:
    """A code as a filter; a bit as the last octets that have it, 127.255.255.0/24 left out."""
    if code.match is not None:
        return str(code.match)
    first, second, third, last = with_bits(code.mask or 0)
    return format_filter((first, second & ~(1 << 255), third, last))


def _item(name: str, reply: str, weight: Fraction) -> str:
    zone = f"{name}={reply}" if reply else name
    return zone if weight == 1 else f"{zone}*{round(weight)}"


def _parameter(name: str, lines: Sequence[str]) -> str:
    return "\n".join([f"{name} =", *(f"    {line}" for line in lines)])


def _whole(table: Mapping[str, Any], key: str) -> int:
    value = table.get(key, 1)
    if type(value) is not int or not 1 <= value < 1_000_000:
        raise ZoneError(f"[postfix] {key} is not a whole number of 1 or more", str(value)[:80])
    return value


def _texts(table: Mapping[str, Any], key: str) -> list[str]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        message = f"[postfix] {key} is not an array of texts, as `dnsbl zones import` writes it"
        raise ZoneError(message, str(value)[:80])
    return value


def _parse_restriction(text: str) -> _Restriction:
    """`[warn_if_reject ]VERB ZONE[=FILTER]`."""
    match = re.fullmatch(rf"((?:{WARN} )?(\w+) )([^\s=]+)(?:=(\S+))?", text)
    if match is None or match[2] not in VERBS:
        message = f"[postfix]: {text!r} is not a restriction such as reject_rbl_client ZONE=FILTER"
        raise ZoneError(message, text)
    if match[4]:
        parse_reply_filter(match[4])
    return _Restriction(match[1], check_name(match[3]), match[4] or "")
