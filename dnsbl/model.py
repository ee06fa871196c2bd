"""The values this library speaks in: Outcome, ZoneAnswer, Verdict, and what came off the wire.

Values only: nothing here does I/O, knows a zone's rules or keeps state. Values are frozen and checked
when they are made, so what reaches a caller is consistent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, Final, Literal, NamedTuple, get_args

TextKind = Literal["ip4", "ip6", "domain"]
"""What a subject is that is given as text, and what a query name is made of."""
Kind = Literal[TextKind, "email", "url", "dkim", "link_a", "link_ns"]
"""What a zone can be asked about. Those beside `TextKind` come from messages: email and url are asked by hash;
dkim is a domain that signed; link_a and link_ns are addresses behind the host of a link."""
SubjectKind = Literal[Kind, "link4", "link6"]
"""What a subject can be: link4 and link6 are addresses that stand in links, which no zone takes by that name."""

TEXT_KINDS: Final[tuple[TextKind, ...]] = get_args(TextKind)
KINDS: Final[frozenset[Kind]] = frozenset(get_args(Kind))


class Outcome(StrEnum):
    """What one zone's answer means for one subject."""

    __hash__ = str.__hash__  # Enum's own is written in Python, and this is looked up for every answer

    LISTED = "listed"
    NOT_LISTED = "not_listed"
    BLOCKED = "blocked"
    """The list refused us: one of its error codes, or rcode REFUSED."""
    INVALID = "invalid"
    """Not an answer of a list: outside 127.0.0.0/8, 127.0.0.1 without a meaning, or malformed."""
    TIMEOUT = "timeout"
    """Nothing usable came: silence, connection refused, network unreachable."""
    SERVFAIL = "servfail"
    """Any rcode but NOERROR, NXDOMAIN and REFUSED."""
    SKIPPED = "skipped"
    """Not asked; `ZoneAnswer.detail` says why."""


ERRORS = frozenset({Outcome.BLOCKED, Outcome.INVALID, Outcome.TIMEOUT, Outcome.SERVFAIL})


class Status(IntEnum):
    """How one DNS question ended, as the engine tells it. The numbers are shared with src_c/fanout.h."""

    OK = 0
    """NOERROR, with or without records."""
    NXDOMAIN = 1
    REFUSED = 2
    RCODE = 3
    """Any other rcode; `Wire.rcode` has it."""
    TIMEOUT = 4
    MALFORMED = 5
    UNSENT = 6
    """Nobody was asked: its time ended before there was room to send it. Says nothing about the list."""


_RCODES = {
    0: "NOERROR",
    1: "FORMERR",
    2: "SERVFAIL",
    3: "NXDOMAIN",
    4: "NOTIMP",
    5: "REFUSED",
    6: "YXDOMAIN",
    7: "YXRRSET",
    8: "NXRRSET",
    9: "NOTAUTH",
    10: "NOTZONE",
    16: "BADVERS",
    23: "BADCOOKIE",
}


def rcode_name(number: int) -> str:
    """The name of an rcode (RFC 6895 section 2.3): 9 is NOTAUTH; `rcode 12` where it has none."""
    return _RCODES.get(number, f"rcode {number}")


class Wire(NamedTuple):
    """One answer as it came off the wire, before any list's rules are applied."""

    status: int
    """A `Status`."""
    rcode: int
    """The DNS rcode (RFC 6895 section 2.3), or -1 where no answer came."""
    addresses: tuple[int, ...] = ()
    """Every A record as a 32-bit number in host order, ascending, unique."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """How an answer came about, for `--explain`: everything needed to see why the outcome is what it is."""

    rcode: str = ""
    """NOERROR, NXDOMAIN, ...; empty where no answer came."""
    nameserver: str = ""
    """The server that answered, `ADDRESS:PORT`; empty from the cache."""
    latency_ms: float | None = None
    """From the first query to the answer, in milliseconds; None from the cache."""
    matched: tuple[str, ...] = ()
    """What matched, one text per filter or code: `127.0.0.[2..11] +3`."""


@dataclass(frozen=True, slots=True)
class ZoneAnswer:
    """What one zone says of one subject.

    codes: every A record as dotted text, in numeric order, without duplicates, whatever the outcome.
    meanings: what the matched codes mean, in the order of the zone's table.
    score: the sum of the weights of what matched; 0.0 where nothing did.
    reason: the TXT record, free of control characters, or None.
    detail: one line that says why the outcome is what it is; never None, may be empty.
    ttl_s: how long the answer may be held, in seconds; None where it is not held.
    query_name: the DNS name asked, without a trailing dot, a secret key shown as `***`; None if not asked.
    cached: the answer came from the cache.
    """

    zone: str
    outcome: Outcome
    codes: tuple[str, ...] = ()
    meanings: tuple[str, ...] = ()
    score: float = 0.0
    reason: str | None = None
    detail: str = ""
    delist_url: str | None = None
    ttl_s: float | None = None
    query_name: str | None = None
    cached: bool = False
    evidence: Evidence = Evidence()

    def __post_init__(self) -> None:
        if self.outcome is Outcome.LISTED and not self.codes:
            raise ValueError(f"{self.zone}: listed without a code")

    def to_dict(self, *, explain: bool = False) -> dict[str, Any]:
        """The JSON form: the same names, the outcome in lower case, tuples as lists.

        `explain` adds the fields of `Evidence`.
        """
        # Written out: a server makes six of them for every request.
        out: dict[str, Any] = {
            "zone": self.zone,
            "outcome": self.outcome.value,
            "codes": list(self.codes),
            "meanings": list(self.meanings),
            "score": self.score,
            "reason": self.reason,
            "detail": self.detail,
            "delist_url": self.delist_url,
            "ttl_s": self.ttl_s,
            "query_name": self.query_name,
            "cached": self.cached,
        }
        if explain:
            evidence = self.evidence
            out |= {
                "rcode": evidence.rcode,
                "nameserver": evidence.nameserver,
                "latency_ms": evidence.latency_ms,
                "matched": list(evidence.matched),
            }
        return out


class Verdict:
    """What all zones together say of one subject. Immutable.

    The answers of a cached lookup are built when they are first read, so that the accept path, which
    mostly reads `listed`, `complete` and `score`, does not pay for them.
    """

    __slots__ = ("_answers", "_complete", "_elapsed_s", "_listed", "_pending", "_score", "_subject", "_ttl_s")

    def __init__(
        self,
        subject: str,
        listed: bool,
        complete: bool,
        score: float,
        answers: tuple[ZoneAnswer, ...] | Callable[[], tuple[ZoneAnswer, ...]],
        elapsed_s: float = 0.0,
        ttl_s: float | None = None,
        pending: tuple[str, ...] = (),
    ) -> None:
        self._subject = subject
        self._listed = listed
        self._complete = complete
        self._score = score
        self._answers = answers
        self._elapsed_s = elapsed_s
        self._ttl_s = ttl_s
        self._pending = pending

    @property
    def subject(self) -> str:
        """The address or domain that was looked up, in canonical text form."""
        return self._subject

    @property
    def listed(self) -> bool:
        """Some matched code has a positive weight."""
        return self._listed

    @property
    def complete(self) -> bool:
        """Every zone that applies answered: none failed, none was set aside, none is pending."""
        return self._complete

    @property
    def score(self) -> float:
        """The sum of the weights of all matched codes; those of an allowlist are negative."""
        return self._score

    @property
    def answers(self) -> tuple[ZoneAnswer, ...]:
        """One answer per zone, in the order of the resolver's zones."""
        if not isinstance(self._answers, tuple):
            self._answers = self._answers()
        return self._answers

    @property
    def listings(self) -> tuple[ZoneAnswer, ...]:
        """The answers whose outcome is LISTED."""
        return tuple(answer for answer in self.answers if answer.outcome is Outcome.LISTED)

    @property
    def errors(self) -> tuple[ZoneAnswer, ...]:
        """The answers whose outcome is BLOCKED, INVALID, TIMEOUT or SERVFAIL."""
        return tuple(answer for answer in self.answers if answer.outcome in ERRORS)

    @property
    def pending(self) -> tuple[str, ...]:
        """The zones whose answers were not waited for, because they could not change the decision."""
        return self._pending

    @property
    def ttl_s(self) -> float | None:
        """How long this verdict may be held, in seconds: the lowest of its answers'; None if not at all.

        Never with an incomplete one: a better one may be had at any time.
        """
        return self._ttl_s

    @property
    def elapsed_s(self) -> float:
        """How long the lookup took, in seconds."""
        return self._elapsed_s

    def to_dict(self, *, explain: bool = False) -> dict[str, Any]:
        """The JSON form: the same names, answers as objects; `explain` adds each answer's evidence."""
        return {
            "subject": self.subject,
            "listed": self.listed,
            "complete": self.complete,
            "score": self.score,
            "answers": [answer.to_dict(explain=explain) for answer in self.answers],
            "listings": [answer.zone for answer in self.listings],
            "errors": [answer.zone for answer in self.errors],
            "pending": list(self.pending),
            "ttl_s": None if self.ttl_s is None else round(self.ttl_s, 3),
            "elapsed_s": round(self.elapsed_s, 6),
        }

    def _values(self) -> tuple[Any, ...]:
        return (
            self._subject,
            self._listed,
            self._complete,
            self._score,
            self.answers,
            self._elapsed_s,
            self._ttl_s,
            self._pending,
        )

    def __reduce__(self) -> tuple[type[Verdict], tuple[Any, ...]]:
        # Of the answers, never of what builds them: that knows the zones' keys.
        return type(self), self._values()

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if isinstance(other, Verdict) else NotImplemented

    def __hash__(self) -> int:
        return hash((self._subject, self._listed, self._complete, self._score, self._elapsed_s))

    def __bool__(self) -> bool:
        raise TypeError("a Verdict is neither true nor false: ask for verdict.listed or verdict.complete")

    def __repr__(self) -> str:
        return (
            f"Verdict(subject={self.subject!r}, listed={self.listed}, complete={self.complete}, "
            f"score={self.score:g})"
        )
