"""Zones -> Exim's dnslists, rspamd's rbl.conf, SpamAssassin's rules, as far as these can say it. Pure.

What has no counterpart is named in `Exported.lost`. A key is never written: `${NAME}` stands in its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address
from itertools import product
from typing import Any, Final, NamedTuple

from dnsbl.migrate.imported import key_variable
from dnsbl.migrate.postfix_export import Exported, without_files
from dnsbl.zones.replyfilter import ReplyFilter
from dnsbl.zones.zone import IP_KINDS, Zone

_ANY_LISTING: Final = "127.0.0.2-127.254.255.255"
"""Any listing; refusals are none."""
MAX_CODES: Final = 300
"""Most addresses that one filter is written as."""


_EXIM_KEYS: Final = ("/$sender_address_domain", "/$sender_helo_name", "/$sender_host_name")
"""What a domain list is asked about in Exim, as the policy daemon asks it; where one is empty, Exim asks nothing."""


class _Part(NamedTuple):
    """One test of a zone about addresses or domains, numbered from 1.

    reply: the codes it takes, None: any. codes: these, one by one. mask: a bit instead.
    """

    zone: Zone
    is_domain: bool
    reply: ReplyFilter | None
    codes: tuple[str, ...]
    mask: int | None
    weight: float
    meaning: str
    number: int

    @property
    def symbol(self) -> str:
        about = "_DOMAIN" if self.is_domain and self.zone.subjects & IP_KINDS else ""
        return f"DNSBL_{re.sub(r'[^A-Z0-9]', '_', self.zone.name.upper())}{about}_{self.number}"


def export_others(
    dialect: str, zones: Sequence[Zone], *, threshold: float = 1.0, variables: Mapping[str, str] | None = None
) -> Exported:
    """The text for `dialect`: "exim", "rspamd" or "spamassassin". threshold: the score from which is refused.

    >>> print(export_others("exim", [Zone("bl.example.com")]).text, end="")
    deny
      dnslists = bl.example.com
    """
    lost: list[str] = []
    parts = [part for zone in zones if not zone.file for part in _parts(zone, lost)]
    text = "".join(_WRITERS[dialect](parts, threshold, dict(variables or {}), lost))
    keyed = [zone.name for zone in zones if zone.key is not None]
    hints = (f"write the keys in: {', '.join(keyed)}",) if keyed else ()
    return without_files(Exported(text, tuple(lost), hints), zones)


def _parts(zone: Zone, lost: list[str]) -> Iterator[_Part]:
    others = zone.subjects - IP_KINDS - {"domain"}
    if others:
        lost.append(f"{zone.name}: what it is asked about: {', '.join(sorted(others))}")
    for is_domain in (False, True):
        if zone.subjects & ({"domain"} if is_domain else IP_KINDS):
            yield from _tests(zone, is_domain, lost)


def _tests(zone: Zone, is_domain: bool, lost: list[str]) -> Iterator[_Part]:
    found: list[tuple[ReplyFilter | None, int | None, float, str]]
    if zone.filters:
        found = [(entry.reply, None, entry.weight, "") for entry in zone.filters]
    else:
        found = [
            (code.match, code.mask, zone.weight if code.weight is None else code.weight, code.meaning)
            for code in zone.codes
            if code.outcome == "listed"
        ] or [(None, None, zone.weight, "")]
    for number, (reply, mask, weight, meaning) in enumerate(found, 1):
        codes = _addresses(reply) if reply else ()
        if codes is None:
            lost.append(f"{zone.name}={reply}: more than {MAX_CODES} codes")
        else:
            yield _Part(zone, is_domain, reply, codes, mask, weight, meaning, number)


def _addresses(reply: ReplyFilter) -> tuple[str, ...] | None:
    octets = [[value for value in range(256) if octet >> value & 1] for octet in reply.octets]
    size = 1
    for values in octets:
        size *= len(values)
    return None if size > MAX_CODES else tuple(".".join(map(str, each)) for each in product(*octets))


def _asked(zone: Zone, variables: Mapping[str, str]) -> str:
    if zone.key is None:
        return zone.name
    return zone.key_place.replace("{key}", f"${{{variables.get(zone.name, key_variable(zone.name))}}}")


def _exim(
    parts: Sequence[_Part], threshold: float, variables: Mapping[str, str], lost: list[str]
) -> Iterator[str]:
    """Exim adds no scores up: a zone decides alone, or is named as lost. Allowlists come first."""
    for part in sorted(parts, key=lambda part: part.weight > 0):
        shown = f"{part.zone.name} (weight {part.weight:g})"
        if 0 <= part.weight < threshold:
            lost.append(f"{shown}: Exim counts no scores, and it does not refuse alone")
            continue
        sign = f"&0.0.0.{part.mask}" if part.mask else f"={','.join(part.codes)}" if part.codes else ""
        keys = _EXIM_KEYS if part.is_domain else ("",)
        if part.is_domain and part.zone.domain == "registrable":
            lost.append(f"{part.zone.name}: Exim asks about the whole name, not its registrable domain")
        items = " : ".join(f"{_asked(part.zone, variables)}{sign}{key}" for key in keys)
        verb = "deny" if part.weight > 0 else "accept"
        yield f"{verb}\n  dnslists = {items}\n"


def _rspamd(
    parts: Sequence[_Part], threshold: float, variables: Mapping[str, str], lost: list[str]
) -> Iterator[str]:
    yield "rbls {\n"
    for part in parts:
        kinds = part.zone.subjects
        lines = [f'rbl = "{_asked(part.zone, variables)}"', f'symbol = "{part.symbol}"']
        if part.is_domain:
            lines += ['checks = ["urls"]', f"url_full_hostname = {_flag(part.zone.domain == 'host')}"]
        else:
            lines += [f"ipv4 = {_flag('ip4' in kinds)}", f"ipv6 = {_flag('ip6' in kinds)}"]
            lines += ['checks = ["from"]']
        if part.mask:
            lines.append(f"returnbits {{ {part.symbol} = {part.mask}; }}")
        elif part.codes:
            codes = ", ".join(f'"{code}"' for code in part.codes)
            lines.append(f"returncodes {{ {part.symbol} = [{codes}]; }}")
        body = "".join(f"    {line}{'' if line.endswith('}') else ';'}\n" for line in lines)
        yield f'  "{part.symbol.lower()}" {{\n{body}  }}\n'
    yield "}\nsymbols {\n"
    yield from (f'  "{part.symbol}" {{ weight = {part.weight:g}; }}\n' for part in parts)
    yield f"}}\nactions {{ reject = {threshold:g}; }}\n"


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _spamassassin(
    parts: Sequence[_Part], threshold: float, variables: Mapping[str, str], lost: list[str]
) -> Iterator[str]:
    for part in parts:
        asked = _asked(part.zone, variables)
        if part.is_domain:
            yield from _links(part, asked, lost)
            continue
        name = part.zone.name.replace(".", "-")
        subtest = f", '{part.mask}'" if part.mask else f", '{_pattern(part.codes)}'" if part.codes else ""
        yield f"header {part.symbol} eval:check_rbl('{name}-lastexternal', '{asked}.'{subtest})\n"
        yield _scored(part.symbol, part, "net")
    yield f"required_score {threshold:g}\n"


def _links(part: _Part, asked: str, lost: list[str]) -> Iterator[str]:
    """The rules of a domain list: one for each range of codes, as a rule takes one."""
    subtests = [str(part.mask)] if part.mask else _ranges(part.codes) if part.codes else [_ANY_LISTING]
    if len(subtests) > 1:
        lost.append(
            f"{part.zone.name}={part.reply}: it counts once for each of {len(subtests)} ranges of codes"
        )
    for number, subtest in enumerate(subtests, 1):
        symbol = f"{part.symbol}_{number}" if len(subtests) > 1 else part.symbol
        yield f"urirhssub {symbol} {asked}. A {subtest}\nbody {symbol} eval:check_uridnsbl('{symbol}')\n"
        yield _scored(symbol, part, "net notrim" if part.zone.domain == "host" else "net")


def _scored(symbol: str, part: _Part, flags: str) -> str:
    meaning = part.meaning or f"listed by {part.zone.name}"
    return f"describe {symbol} {meaning[:80]}\ntflags {symbol} {flags}\nscore {symbol} {part.weight:g}\n"


def _ranges(codes: Sequence[str]) -> list[str]:
    """Neighbours as `first-last`, others alone."""
    numbers = sorted(int(IPv4Address(code)) for code in codes)
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ["-".join(str(IPv4Address(end)) for end in dict.fromkeys(ends)) for ends in found]


def _pattern(codes: Sequence[str]) -> str:
    """The addresses as a pattern, octet by octet: they are all combinations of their octets."""
    octets = [list(dict.fromkeys(octet)) for octet in zip(*(code.split(".") for code in codes), strict=True)]
    return "^" + r"\.".join(each[0] if len(each) == 1 else f"(?:{'|'.join(each)})" for each in octets) + "$"


_Writer = Callable[[Sequence[_Part], float, Mapping[str, str], list[str]], Iterator[str]]
_WRITERS: Final[dict[str, _Writer]] = {"exim": _exim, "rspamd": _rspamd, "spamassassin": _spamassassin}


def threshold_of(policy: Mapping[str, Any]) -> float:
    """The score from which the policy's rules refuse; 1 where none says so."""
    for rule in policy.get("rule", ()):
        found = re.fullmatch(r"\s*>=\s*([0-9.]{1,12})\s*", str(rule.get("score", "")))
        if found and str(rule.get("action", "")).upper().startswith(("REJECT", "5")):
            return float(found[1])
    return 1.0
