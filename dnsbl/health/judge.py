"""Whether a list works, judged by the answers to its test entries (RFC 5782 section 5). Pure: no I/O.

A list has to hold some entries and must not hold others; `Zone.probes` says which, the list's own where it
has its own. So every way to fail looks different:

    state        must be listed         must not be listed    what it means
    healthy      a code of the list     nothing
    wildcarded   -                      a code of the list    closed by listing everything
    parked       outside 127/8          outside 127/8         the list's domain was let go
    hijacked     a code, or nothing     outside 127/8         the nameserver rewrites NXDOMAIN
    stripped     no error, no record    -                     the nameserver takes 127/8 out of answers
    refused      an error code, REFUSED, or 127.0.0.1 without a meaning at either
    wrong_key    an error code about the key; of a keyed zone also REFUSED, or nothing listed
    empty        nothing                nothing               emptied, or cut off from this nameserver
    unproven     nothing                nothing               as empty, on weak evidence; see below
    no_answer    silence, SERVFAIL or garbage, and nothing above

The first seven after healthy are `broken`: such a zone is not to be used. What is not:

- no_answer. Silence tells nothing of what the list holds; zones that fail are the breaker's business.
- unproven. Many domain lists have no `TEST` entry, and where an authoritative server says NXDOMAIN for names
  with entries only below them (github.com/spamhaus/rbldnsd issue 17), a resolver that minimises query names
  (RFC 9156) may not find it. And a list of which one kind of entry answers works; it may hold no IPv6.

Any code counts as "listed" here, whatever a filter or weight makes of it. A combined list that holds
127.0.0.1 under its own code 127.0.0.1 (hostkarma) is not wildcarded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Any, Final, NamedTuple

from dnsbl.model import Outcome, Status, Wire
from dnsbl.zones.interpret import LOCALHOST, dotted, read
from dnsbl.zones.zone import Probe, Zone


class State(StrEnum):
    """What a zone's test entries say of it; the module's docstring tells them apart."""

    HEALTHY = "healthy"
    WILDCARDED = "wildcarded"
    PARKED = "parked"
    HIJACKED = "hijacked"
    STRIPPED = "stripped"
    REFUSED = "refused"
    WRONG_KEY = "wrong_key"
    EMPTY = "empty"
    UNPROVEN = "unproven"
    NO_ANSWER = "no_answer"
    UNTESTED = "untested"
    """Not asked; `ZoneHealth.detail` says why."""


BROKEN: Final = frozenset(
    {
        State.WILDCARDED,
        State.PARKED,
        State.HIJACKED,
        State.STRIPPED,
        State.REFUSED,
        State.WRONG_KEY,
        State.EMPTY,
    }
)

_KEY_CODES: Final = frozenset({0x7FFFFFFA, 0x7FFFFFFB})
"""127.255.255.250 and .251: key disabled, key rejected (github.com/spamhaus/rspamd-dqs, read 2026-11-25)."""


class ProbeAnswer(NamedTuple):
    """A test entry and what came for it. latency_ms: from the query to its answer; None where none came."""

    probe: Probe
    wire: Wire
    latency_ms: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "subject": self.probe.subject,
            "kind": self.probe.kind,
            "must_be_listed": self.probe.listed,
            "status": Status(self.wire.status).name.lower(),
            "codes": [dotted(address) for address in self.wire.addresses],
            "latency_ms": self.latency_ms,
        }


@dataclass(frozen=True, slots=True)
class ZoneHealth:
    """A zone's state.

    zone: its name, without a key. detail: what was seen, one line; empty where there is nothing to say.
    hint: what to do about it, one line; empty where nothing is to be done. answers: one per test entry asked.
    """

    zone: str
    state: State
    detail: str = ""
    hint: str = ""
    answers: tuple[ProbeAnswer, ...] = ()

    @property
    def broken(self) -> bool:
        """The zone is not to be used: its answers are wrong, or it cannot give any."""
        return self.state in BROKEN

    @property
    def latency_ms(self) -> float | None:
        """Of the slowest answer, which had the least from the nameserver's cache; None without any."""
        known = [answer.latency_ms for answer in self.answers if answer.latency_ms is not None]
        return max(known, default=None)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "zone": self.zone,
            "state": self.state.value,
            "broken": self.broken,
            "detail": self.detail,
            "hint": self.hint,
            "latency_ms": self.latency_ms,
            "answers": [answer.to_dict() for answer in self.answers],
        }


def judge(zone: Zone, answers: Iterable[ProbeAnswer]) -> ZoneHealth:
    """The state of `zone`, from one answer to each of its test entries that was asked. Never raises.

    >>> zone = Zone("bl.example.com", subjects=frozenset({"ip4"}))
    >>> wildcard = Wire(Status.OK, 0, (0x7F000002,))
    >>> judge(zone, [ProbeAnswer(probe, wildcard) for probe in zone.probes]).state
    <State.WILDCARDED: 'wildcarded'>
    """
    answers = tuple(answers)
    if not answers:
        return untested(zone, "no test entries are known for it")
    state, detail, hint = _find(zone, [_Point(zone, answer) for answer in answers])
    return ZoneHealth(zone.name, state, detail, hint, answers)


def untested(zone: Zone, why: str) -> ZoneHealth:
    """The state of a zone that was not asked."""
    return ZoneHealth(zone.name, State.UNTESTED, why)


class _Seen(Enum):
    """What one answer shows."""

    CODE = auto()
    NOTHING = auto()
    """NXDOMAIN."""
    NO_RECORD = auto()
    """NOERROR without a record."""
    OUTSIDE = auto()
    """An address outside 127.0.0.0/8."""
    LOCALHOST = auto()
    """127.0.0.1 where the zone gives it no meaning."""
    REFUSAL = auto()
    FAILURE = auto()


class _Point:
    """One answer, read."""

    __slots__ = ("codes", "detail", "listed", "name", "probe", "seen", "wire")

    def __init__(self, zone: Zone, answer: ProbeAnswer) -> None:
        self.probe = answer.probe
        self.wire = answer.wire
        self.listed = answer.probe.listed
        reading = read(zone, answer.wire)
        self.detail = reading.detail
        self.codes = ", ".join(reading.codes[:4])
        self.seen = _seen(answer.wire, reading.outcome)


def _seen(wire: Wire, outcome: Outcome) -> _Seen:
    if outcome is Outcome.BLOCKED:
        return _Seen.REFUSAL
    if outcome is Outcome.INVALID and wire.addresses:
        outside = any(address >> 24 != 127 for address in wire.addresses)
        return _Seen.OUTSIDE if outside else _Seen.LOCALHOST
    if wire.addresses:
        return _Seen.CODE
    if wire.status == Status.NXDOMAIN:
        return _Seen.NOTHING
    return _Seen.NO_RECORD if wire.status == Status.OK else _Seen.FAILURE


_Finding = tuple[State, str, str]


def _find(zone: Zone, points: Sequence[_Point]) -> _Finding:
    """The first state that the points prove: wrong answers come before missing ones."""
    must = [point for point in points if point.listed]
    must_not = [point for point in points if not point.listed]
    return (
        _refusal(zone, points)
        or _outside(must, must_not)
        or _wildcard(must, must_not)
        or _stripped(must)
        or _failure(points)
        or _missing(zone, must)
        or _healthy(must, must_not)
    )


def _with(points: Iterable[_Point], *seen: _Seen) -> list[_Point]:
    return [point for point in points if point.seen in seen]


def _refusal(zone: Zone, points: Sequence[_Point]) -> _Finding | None:
    for point in _with(points, _Seen.REFUSAL):
        # What a code means, then what to do: `meaning; remedy` in the catalogue and in `interpret`.
        detail, _, remedy = point.detail.partition("; ")
        if not _KEY_CODES.isdisjoint(point.wire.addresses):
            return State.WRONG_KEY, detail, _KEY_HINT
        if zone.key is not None and point.wire.status == Status.REFUSED:
            hint = f"{_KEY_HINT}; if other zones are refused too, it is the nameserver"
            return State.WRONG_KEY, "REFUSED, under this key", hint
        return State.REFUSED, detail, remedy or _REFUSED_HINT
    for point in _with(points, _Seen.LOCALHOST):
        return State.REFUSED, point.detail, _LOCALHOST_HINT
    return None


def _outside(must: Sequence[_Point], must_not: Sequence[_Point]) -> _Finding | None:
    for point in _with(must_not, _Seen.OUTSIDE):
        if _with(must, _Seen.CODE, _Seen.NO_RECORD):
            detail = f"for {point.probe.subject} comes {point.codes}: the nameserver rewrites NXDOMAIN"
            return State.HIJACKED, detail, _HIJACKED_HINT
    for point in _with((*must, *must_not), _Seen.OUTSIDE):
        detail = f"for {point.probe.subject} comes {point.codes}, outside 127.0.0.0/8"
        return State.PARKED, detail, _PARKED_HINT
    return None


def _wildcard(must: Sequence[_Point], must_not: Sequence[_Point]) -> _Finding | None:
    answers = {point.wire.addresses for point in _with(must, _Seen.CODE)}
    for point in _with(must_not, _Seen.CODE):
        own_entry = point.wire.addresses == (LOCALHOST,) and answers - {(LOCALHOST,)}
        if not own_entry:
            detail = f"it lists {point.probe.subject} ({point.codes}), which it must not"
            return State.WILDCARDED, detail, _WILDCARDED_HINT
    # Without an entry that it must not list, one answer to different entries has to do (hostkarma).
    if not must_not and len(answers) == 1 and len(_with(must, _Seen.CODE)) > 1:
        detail = f"it answers {must[0].codes} to every test entry, though their codes differ"
        return State.WILDCARDED, detail, _WILDCARDED_HINT
    return None


def _stripped(must: Sequence[_Point]) -> _Finding | None:
    if _with(must, _Seen.CODE):
        return None
    for point in _with(must, _Seen.NO_RECORD):
        detail = f"{point.probe.subject} comes without a record: rebinding protection takes 127.0.0.0/8 away"
        return State.STRIPPED, detail, _STRIPPED_HINT
    return None


def _failure(points: Sequence[_Point]) -> _Finding | None:
    failed = _with(points, _Seen.FAILURE)
    if not failed:
        return None
    which = "none of its test entries" if len(failed) == len(points) else "not every test entry"
    return State.NO_ANSWER, f"{which} got an answer: {failed[0].detail}", _NO_ANSWER_HINT


def _missing(zone: Zone, must: Sequence[_Point]) -> _Finding | None:
    missing = _with(must, _Seen.NOTHING, _Seen.NO_RECORD)
    if not missing:
        return None
    subject, kind = missing[0].probe.subject, missing[0].probe.kind
    detail = f"it does not list {subject}, which it must"
    if len(missing) < len(must):
        word = {"ip4": "IPv4 addresses", "ip6": "IPv6 addresses", "domain": "domains"}[kind]
        hint = f"it stays in use; if the list holds no {word}, leave {kind} out of its subjects"
        return State.UNPROVEN, f"{detail}; other entries answer", hint
    if zone.key is not None:
        return State.WRONG_KEY, f"{detail}, under this key", _KEY_HINT
    if all(point.probe.kind == "domain" and point.probe not in zone.tests for point in must):
        return State.UNPROVEN, detail, _UNPROVEN_HINT
    return State.EMPTY, detail, _EMPTY_HINT


def _healthy(must: Sequence[_Point], must_not: Sequence[_Point]) -> _Finding:
    if not must:
        detail = "no entry is known that it must list, so an emptied list would not be noticed"
    elif not must_not:
        detail = "no entry is known that it must not list, so a list that lists everything may go unnoticed"
    else:
        detail = ""
    return State.HEALTHY, detail, ""


_OWN_RESOLVER: Final = "run a recursive resolver of your own (unbound, BIND, Knot) and name it in nameservers"
_WILDCARDED_HINT: Final = "the list has closed, or its name has a new owner: take the zone out"
_PARKED_HINT: Final = (
    "the list's domain was let go: take the zone out; if all zones answer so, it is the nameserver: "
    f"{_OWN_RESOLVER}"
)
_HIJACKED_HINT: Final = f"turn that off in the nameserver, or {_OWN_RESOLVER}"
# unbound.conf(5), private-address and private-domain; dnsmasq(8), --rebind-localhost-ok.
_STRIPPED_HINT: Final = (
    "except the zone from it in the nameserver (unbound: private-domain; dnsmasq: rebind-localhost-ok), or "
    f"{_OWN_RESOLVER}"
)
_REFUSED_HINT: Final = f"{_OWN_RESOLVER}, or use the operator's keyed zone"
_LOCALHOST_HINT: Final = (
    f"the list refuses this nameserver, or the nameserver blocks the list: {_OWN_RESOLVER}; if 127.0.0.1 is "
    "a code of this list, give it a meaning in codes"
)
_KEY_HINT: Final = "compare the key in key_file or key_env with the one in your account at the operator"
# QNAME minimisation: kb.isc.org/docs/qname-minimization-and-spamhaus, read 2026-11-25.
_EMPTY_HINT: Final = (
    "look on the operator's page whether the list has ended, then take the zone out; else the nameserver "
    "cannot see it: turn off its QNAME minimisation, or ask another; to a list of your own add the entry"
)
_UNPROVEN_HINT: Final = (
    "it stays in use, for many domain lists have no such entry; look on the operator's page whether the list "
    "has ended"
)
_NO_ANSWER_HINT: Final = (
    "check the nameserver, and the operator's page; a zone that keeps failing is set aside by itself and "
    "tried again now and then"
)
