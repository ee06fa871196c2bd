"""Zones -> Exim's dnslists, rspamd's rbl.conf, SpamAssassin's rules, as far as these can say it. Pure.

What has no counterpart is named in `Exported.lost`. A key is never written: `${NAME}` stands in its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Final, NamedTuple

from dnsbl.migrate.imported import key_variable
from dnsbl.migrate.postfix_export import Exported
from dnsbl.zones.replyfilter import ReplyFilter
from dnsbl.zones.zone import Zone

MAX_CODES: Final = 300
"""Most addresses that one filter is written as."""


class _Part(NamedTuple):
    """One test of a zone, numbered from 1. codes: the addresses it takes; empty: any. mask: a bit instead."""

    zone: Zone
    codes: tuple[str, ...]
    mask: int | None
    weight: float
    meaning: str
    number: int

    @property
    def symbol(self) -> str:
        return f"DNSBL_{re.sub(r'[^A-Z0-9]', '_', self.zone.name.upper())}_{self.number}"


def export_others(
    dialect: str, zones: Sequence[Zone], *, threshold: float = 1.0, variables: Mapping[str, str] | None = None
) -> Exported:
    """The text for `dialect`: "exim", "rspamd" or "spamassassin". threshold: the score from which is refused.

    >>> print(export_others("exim", [Zone("bl.example.com")]).text, end="")
    deny
      dnslists = bl.example.com
    """
    lost: list[str] = []
    parts = [part for zone in zones for part in _parts(zone, lost)]
    text = "".join(_WRITERS[dialect](parts, threshold, dict(variables or {}), lost))
    keyed = [zone.name for zone in zones if zone.key is not None]
    return Exported(text, tuple(lost), (f"write the keys in: {', '.join(keyed)}",) if keyed else ())


def _parts(zone: Zone, lost: list[str]) -> Iterator[_Part]:
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
            yield _Part(zone, codes, mask, weight, meaning, number)


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
        domain = "/$sender_address_domain" if part.zone.subjects == {"domain"} else ""
        verb = "deny" if part.weight > 0 else "accept"
        yield f"{verb}\n  dnslists = {_asked(part.zone, variables)}{sign}{domain}\n"


def _rspamd(
    parts: Sequence[_Part], threshold: float, variables: Mapping[str, str], lost: list[str]
) -> Iterator[str]:
    yield "rbls {\n"
    for part in parts:
        kinds = part.zone.subjects
        lines = [f'rbl = "{_asked(part.zone, variables)}"', f'symbol = "{part.symbol}"']
        if kinds == {"domain"}:
            lines += ['checks = ["urls"]']
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
        if part.zone.subjects == {"domain"}:
            subtest = "127.0.0.2-127.255.254.255"  # any listing; refusals are not
            if part.mask:
                subtest = str(part.mask)
            elif part.codes:
                subtest = "-".join(dict.fromkeys((part.codes[0], part.codes[-1])))
                if len(part.codes) > 2:
                    lost.append(f"{part.zone.name}: its codes are written as a range, {subtest}")
            yield f"urirhssub {part.symbol} {asked}. A {subtest}\nbody {part.symbol} "
            yield f"eval:check_uridnsbl('{part.symbol}')\n"
        else:
            name = part.zone.name.replace(".", "-")
            subtest = f", '{part.mask}'" if part.mask else f", '{_pattern(part.codes)}'" if part.codes else ""
            yield f"header {part.symbol} eval:check_rbl('{name}-lastexternal', '{asked}.'{subtest})\n"
        meaning = part.meaning or f"listed by {part.zone.name}"
        yield f"describe {part.symbol} {meaning[:80]}\ntflags {part.symbol} net\n"
        yield f"score {part.symbol} {part.weight:g}\n"
    yield f"required_score {threshold:g}\n"


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
