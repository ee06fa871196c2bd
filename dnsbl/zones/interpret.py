"""Reading one answer: what a zone's A records, or their absence, mean. Pure: no I/O, no state.

Every answer of every zone passes one gate before any filter, bit mask or code table sees it:

1. A record that refuses us makes the answer BLOCKED: one that the zone's code table calls "blocked", or
   any in 127.255.255.0/24, where lists put their query errors (Spamhaus, docs.spamhaus.com, zones, read
   2026-11-25). A zone that really uses such a code says so in its table, by a line, not a mask, that
   names it.
2. A record outside 127.0.0.0/8 makes it INVALID (RFC 5782 section 2.3): a parked zone, a rewritten
   NXDOMAIN, a captive portal. So does 127.0.0.1, unless a filter or code names it: it is what resolvers that
   block answer, and a list that has it as a code says so.

Only then do filters and codes count. Which wins where both are there: a filter that the user wrote says
what is counted; the code table still says what is refused and what the codes mean.

Weights. Without filters each matched line of the code table counts, with its own weight or the zone's; a
zone without any "listed" line counts its weight once for whatever its table does not explain. With filters,
each that matches counts its weight once, however many records match (postconf(5)); one without a reply
pattern takes any record that the table calls a listing, except one whose own weight has the other sign (the
allow code of a combined list never counts against the client).

A listing on an allowlist is LISTED with a negative score: `Reading.positive` tells it apart. A failed zone
with `on_error = "listed"` scores its weight and nothing else changes.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dnsbl.model import ERRORS, Outcome, Status, Wire, rcode_name
from dnsbl.zones.zone import Code, Filter, Zone

LOCALHOST: Final = 0x7F000001
_ERROR_BLOCK: Final = 0x7FFFFF
"""127.255.255.0/24 without its last octet."""

_OWN_RESOLVER: Final = "run your own recursive resolver, or use the operator's keyed zone"
_ERROR_MEANINGS: Final = {
    0x7FFFFFFA: "the key is disabled; ask the operator for a working one",
    0x7FFFFFFB: "the key was rejected; check it",
    0x7FFFFFFC: "there is a typing error in the zone name; compare it with the operator's page",
    0x7FFFFFFE: f"the query came through a public or unattributable resolver; {_OWN_RESOLVER}",
    0x7FFFFFFF: f"too many queries came from this resolver; {_OWN_RESOLVER}",
}
"""What Spamhaus means by its error codes (docs.spamhaus.com, zones; for .250 and .251
spamhaus/rspamd-dqs; read 2026-11-25); other lists copied them."""


class Reading(NamedTuple):
    """What one answer means.

    codes: every A record as dotted text, in numeric order, without duplicates, whatever the outcome.
    meanings: of the lines of the code table that are about these records, in the table's order.
    score: the sum of the weights of what matched.
    detail: one line that says why the outcome is what it is; empty for a plain LISTED or NXDOMAIN.
    matched: what matched, one text per filter or code: `127.0.0.[2..11] +3`.
    positive: something that matched has a positive weight: this zone makes `Verdict.listed` true.
    """

    outcome: Outcome
    codes: tuple[str, ...] = ()
    meanings: tuple[str, ...] = ()
    score: float = 0.0
    detail: str = ""
    matched: tuple[str, ...] = ()
    positive: bool = False


_NOT_LISTED: Final = Reading(Outcome.NOT_LISTED)
_NO_ADDRESS: Final = Reading(Outcome.NOT_LISTED, detail="the name exists but has no A record")


def read(zone: Zone, wire: Wire) -> Reading:
    """Read one answer by the rules of `zone`. Never raises.

    The records may come in any order and more than once.

    >>> read(Zone("bl.example.com"), Wire(Status.OK, 0, (0x7F000002,))).outcome
    <Outcome.LISTED: 'listed'>
    """
    if wire.status == Status.NXDOMAIN:
        return _NOT_LISTED
    if wire.status != Status.OK:
        reading = _failure(wire)
    elif not wire.addresses:
        return _NO_ADDRESS
    else:
        addresses = sorted(set(wire.addresses))
        reading = _gate(zone, addresses) or _judge(zone, addresses)
    if zone.on_error == "listed" and reading.outcome in ERRORS:
        return reading._replace(score=failure_weight(zone))
    return reading


def failure_weight(zone: Zone) -> float:
    """What a failed zone adds to the score: nothing, or its weight (its largest entry's) by `on_error`."""
    if zone.on_error != "listed":
        return 0.0
    return max((entry.weight for entry in zone.filters), default=zone.weight)


def score_bounds(zone: Zone) -> tuple[float, float]:
    """The least and the most that a zone's answer can add to a score; 0 is always between them."""
    if zone.filters:
        weights = [entry.weight for entry in zone.filters]
    else:
        listed = [code for code in zone.codes if code.outcome == "listed"]
        weights = [zone.weight if code.weight is None else code.weight for code in listed] or [zone.weight]
    least = sum(min(weight, 0.0) for weight in weights)
    most = sum(max(weight, 0.0) for weight in weights)
    failed = failure_weight(zone)
    return round(min(least, failed), 6), round(max(most, failed), 6)


def dotted(address: int) -> str:
    """A 32-bit number in host order as dotted text: 0x7F000002 is 127.0.0.2."""
    return f"{address >> 24 & 255}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"


def _failure(wire: Wire) -> Reading:
    if wire.status == Status.REFUSED:
        detail = f"REFUSED: the nameserver or the list refuses to answer; {_OWN_RESOLVER}"
        return Reading(Outcome.BLOCKED, detail=detail)
    if wire.status == Status.RCODE:
        return Reading(
            Outcome.SERVFAIL, detail=f"{rcode_name(wire.rcode)}: the list or the nameserver failed"
        )
    if wire.status == Status.TIMEOUT:
        return Reading(Outcome.TIMEOUT, detail="no usable answer in time")
    if wire.status == Status.UNSENT:
        return Reading(Outcome.SKIPPED, detail="not sent in time: too many other questions were waiting")
    return Reading(Outcome.INVALID, detail="the answer is malformed")


def _gate(zone: Zone, addresses: list[int]) -> Reading | None:
    """The outcome of an answer that is not to be judged at all, or None."""
    codes = tuple(map(dotted, addresses))
    blocked = [code for code in zone.codes if code.outcome == "blocked"]
    for address in addresses:
        why = _refusal(zone, blocked, address)
        if why is None:
            continue
        line, meaning = why
        return Reading(
            Outcome.BLOCKED,
            codes,
            (line.meaning,) if line is not None and line.meaning else (),
            detail=f"{dotted(address)}: the list refuses: {meaning}",
            matched=(f"{line or '127.255.255.0/24'} blocked",),
        )
    for address in addresses:
        if address >> 24 != 127:
            detail = (
                f"{dotted(address)} is outside 127.0.0.0/8: not a list's answer but a parked zone's, "
                "or that of a resolver that rewrites answers"
            )
            return Reading(Outcome.INVALID, codes, detail=detail)
    if LOCALHOST in addresses and not _named(zone, LOCALHOST):
        detail = "127.0.0.1 has no meaning in this zone: a resolver that blocks, or the list refusing"
        return Reading(Outcome.INVALID, codes, detail=detail)
    return None


def _refusal(zone: Zone, blocked: list[Code], address: int) -> tuple[Code | None, str] | None:
    """The line (None: the rule for every zone) and the text by which `address` is an error code, or None."""
    if address >> 24 != 127:
        return None
    for code in blocked:
        if code.matches(address):
            return code, code.meaning or _ERROR_MEANINGS.get(address, "an error code of this list")
    if address >> 8 == _ERROR_BLOCK and not any(code.match and code.names(address) for code in zone.codes):
        return None, _ERROR_MEANINGS.get(address, "127.255.255.0/24 is where lists put query errors")
    return None


def _named(zone: Zone, address: int) -> bool:
    return any(entry.reply is not None and entry.reply.names(address) for entry in zone.filters) or any(
        code.names(address) for code in zone.codes
    )


def _judge(zone: Zone, addresses: list[int]) -> Reading:
    """The reading of an answer that passed the gate."""
    lines = [code for code in zone.codes if any(map(code.matches, addresses))]
    meanings = tuple(code.meaning for code in lines if code.meaning)
    codes = tuple(map(dotted, addresses))
    weighed = _by_filters(zone, lines, addresses) if zone.filters else _by_codes(zone, lines, addresses)
    if weighed:
        weights = [weight for _, weight in weighed]
        matched = tuple(f"{what} {weight:+g}" for what, weight in weighed)
        score = round(sum(weights), 6)  # so that 0.5 + 0.2 is 0.7, as written
        return Reading(Outcome.LISTED, codes, meanings, score, "", matched, max(weights) > 0)
    neutral = tuple(f"{code} neutral" for code in lines if code.outcome == "neutral")
    detail = f"{', '.join(codes[:4])}: {_why_not(zone, lines)}"
    return Reading(Outcome.NOT_LISTED, codes, meanings, 0.0, detail, neutral)


def _by_codes(zone: Zone, lines: list[Code], addresses: list[int]) -> list[tuple[str, float]]:
    weighed = [
        (str(code), zone.weight if code.weight is None else code.weight)
        for code in lines
        if code.outcome == "listed"
    ]
    if _unexplained_lists(zone, lines, addresses):
        weighed.append(("any code", zone.weight))
    return weighed


def _by_filters(zone: Zone, lines: list[Code], addresses: list[int]) -> list[tuple[str, float]]:
    return [
        (str(entry.reply or "any listing"), entry.weight)
        for entry in zone.filters
        if _filter_matches(zone, entry, lines, addresses)
    ]


def _filter_matches(zone: Zone, entry: Filter, lines: list[Code], addresses: list[int]) -> bool:
    if entry.reply is not None:
        return any(map(entry.reply.matches, addresses))
    return _unexplained_lists(zone, lines, addresses) or any(
        code.outcome == "listed" and (code.weight or 0.0) * entry.weight >= 0 for code in lines
    )


def _unexplained_lists(zone: Zone, lines: list[Code], addresses: list[int]) -> bool:
    """Whether a record is here that no line explains, in a zone without a listed line: it is a listing."""
    if any(code.outcome == "listed" for code in zone.codes):
        return False
    return not all(any(code.matches(address) for code in lines) for address in addresses)


def _why_not(zone: Zone, lines: list[Code]) -> str:
    if any(entry.reply is not None for entry in zone.filters):
        return "matches no reply filter given for this zone"
    if any(code.outcome == "listed" for code in lines):
        return "an allow code, which the filter given for this zone does not count"
    return "neutral in this zone, not a listing" if lines else "not a code of this zone, so not a listing"
