"""One row of the catalogue: the facts about a list, read from a TOML table and checked.

What the facts lead to (defaults, refusals, warnings) is in `catalogue`. The keys of a row:

    name            the zone; for a keyed list the name without the key
    operator, page  who runs it, and where it says so
    status          "alive"; "retired" (dead: refused); "charges" (asks money for delisting: warned of);
                    "unfit" (answers, but is not to be used: warned of)
    holds           what is on it
    subjects        any of "ip4", "ip6", "domain", "email", "url", "dkim", "link_a", "link_ns"; default ip4
    hash            of emails and URLs: "sha1" (default), "md5" (in hexadecimal), "sha256" (in base32)
    normal_form     what of them is hashed: "plain", "msbl", "spamhaus", "surbl" (dnsbl.subject.hashed)
    domain          what of a domain is asked: "registrable" (default) or "host"
    weight          recommended weight; 1 is enough for a rejection alone, 0.5 takes two lists, negative: an
                    allowlist
    codes           [{ match = "127.0.0.2" or mask = 8, outcome, meaning, weight }, ...]
    ttl             how long its answers live, in words
    delist_url      with {subject} in the subject's place
    delisting       how an entry goes away, in words
    terms           who may use it free of charge, in words
    queries_per_day, connections_per_day    the free use's limits, where published
    non_commercial  free use is for non-commercial use only
    registration    what is to be done before its first use, in words; empty: nothing
    key_place       where a key goes: "{key}.zen.dq.spamhaus.net"
    public_resolvers    "refused", "counted" (limits count per resolver, so shared ones get blocked),
                    "served", "unknown"
    tests           { ip4 = { listed = [...], unlisted = [...] }, ... }; default: RFC 5782 section 5
    mail_only       codes (as `codes` has them) that say nothing about a visitor of a web site: addresses that
                    should not send mail directly are most people's. ["any"]: the whole list
    submission      may be asked about clients on submission ports; default false: policy and abuse lists
                    hold dial-up addresses, which authenticated users have
    default         is in the curated default
    why             why it is in the default or not; why it is retired, or to be avoided
    since           retired since: "2013-03" or "2024-06-05"
    successor       what to use instead
    part_of         the zone that already holds all of it
    subzones        the row stands for every zone below its name too
    sources         where the facts were read
    unverified      keys whose value was not read at the operator: from a third party, or from memory
    date            when they were read; default: the file's date
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any, Final, Literal, get_args

from dnsbl.errors import ZoneError
from dnsbl.model import KINDS, Kind
from dnsbl.zones.name import check_name
from dnsbl.zones.replyfilter import parse_reply_filter
from dnsbl.zones.zone import Code, Probe, Zone

Status = Literal["alive", "retired", "charges", "unfit"]
PublicResolvers = Literal["refused", "counted", "served", "unknown"]

_STATUS: Final = get_args(Status)
_PUBLIC: Final = get_args(PublicResolvers)


@dataclass(frozen=True, slots=True)
class Row:
    """The facts about one list; the module's docstring says what each field is.

    zone: the list as a Zone, with everything a zone's own text may leave out (no key, no filters).
    """

    name: str
    date: date
    zone: Zone
    status: Status = "alive"
    operator: str = ""
    page: str = ""
    holds: str = ""
    ttl: str = ""
    delisting: str = ""
    terms: str = ""
    connections_per_day: int | None = None
    non_commercial: bool = False
    registration: str = ""
    public_resolvers: PublicResolvers = "unknown"
    mail_only: tuple[str, ...] = ()
    submission: bool = False
    default: bool = False
    why: str = ""
    since: str = ""
    successor: str = ""
    part_of: str = ""
    subzones: bool = False
    sources: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.status not in _STATUS or self.public_resolvers not in _PUBLIC:
            raise ZoneError(
                f"catalogue row {self.name}: status is one of {', '.join(_STATUS)}, public_resolvers one of "
                f"{', '.join(_PUBLIC)}",
                f"{self.status} {self.public_resolvers}",
            )
        if self.default and (self.status != "alive" or self.needs_key or self.registration):
            raise ZoneError(
                f"catalogue row {self.name}: a default list is alive and needs neither key nor registration",
                self.name,
            )

    @property
    def needs_key(self) -> bool:
        """Whether the list answers only under a customer's key."""
        return bool(self.zone.key_place)


_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    **{f.name: str for f in fields(Row) if f.type in ("str", "Status", "PublicResolvers")},
    "name": str,
    "date": date,
    "subjects": list,
    "domain": str,
    "hash": str,
    "normal_form": str,
    "weight": (int, float),
    "codes": list,
    "delist_url": str,
    "queries_per_day": int,
    "key_place": str,
    "tests": dict,
    "connections_per_day": int,
    "non_commercial": bool,
    "mail_only": list,
    "submission": bool,
    "default": bool,
    "subzones": bool,
    "sources": list,
    "unverified": list,
}


def parse_row(table: object, file_date: date) -> Row:
    """A row from its TOML table; raises ZoneError naming the row and the key that is wrong."""
    if not isinstance(table, dict):
        raise ZoneError("a catalogue row is a [[list]] table", repr(table)[:80])
    name = check_name(str(table.get("name", "")))
    for key, value in table.items():
        if key not in _TYPES:
            raise ZoneError(f"catalogue row {name}: nobody knows the key {key!r}", key)
        wanted = _TYPES[key]
        wrong = isinstance(value, bool | datetime) and wanted is not bool  # an int and a date in Python
        if wrong or not isinstance(value, wanted):
            raise ZoneError(f"catalogue row {name}: {key} has a value of the wrong kind: {value!r}", key)
    plain = {f.name: table[f.name] for f in fields(Row) if f.name in table}
    for key in ("mail_only", "sources", "unverified"):
        plain[key] = _texts(table.get(key, []), key)
    return Row(**plain | {"name": name, "date": table.get("date", file_date), "zone": _zone(name, table)})


def parse_code(table: object) -> Code:
    """A line of a code table from `{ match | mask, outcome, meaning, weight }`; raises ZoneError.

    >>> parse_code({"mask": 2, "meaning": "known spam domain"}).outcome
    'listed'
    """
    if not isinstance(table, Mapping):
        raise ZoneError('a code is a table, as { match = "127.0.0.2", meaning = "..." }', repr(table)[:80])
    unknown = sorted(set(table) - {"match", "mask", "outcome", "meaning", "weight"})
    if unknown:
        raise ZoneError(
            f"a code has match or mask, outcome, meaning and weight, not {unknown[0]!r}", unknown[0]
        )
    match, meaning = table.get("match"), table.get("meaning", "")
    if not isinstance(match, str | None) or not isinstance(meaning, str):
        raise ZoneError("match and meaning of a code are text", f"{match!r} {meaning!r}")
    accepted = None if match is None else parse_reply_filter(match)
    return Code(accepted, table.get("mask"), table.get("outcome", "listed"), meaning, table.get("weight"))


def _zone(name: str, table: Mapping[str, Any]) -> Zone:
    return Zone(
        name,
        subjects=_kinds(table.get("subjects", ["ip4"])),
        domain=table.get("domain", "registrable"),
        hash=table.get("hash", "sha1"),
        normal_form=table.get("normal_form", "plain"),
        weight=table.get("weight", 1),
        codes=tuple(map(parse_code, table.get("codes", []))),
        key_place=table.get("key_place", ""),
        daily_limit=table.get("queries_per_day"),
        delist_url=table.get("delist_url"),
        tests=tuple(_probes(table.get("tests", {}))),
    )


def _probes(tests: Mapping[str, object]) -> Iterator[Probe]:
    for kind in _kinds(list(tests)) if tests else ():
        entries = tests[kind]
        if not isinstance(entries, dict) or not entries.keys() <= {"listed", "unlisted"}:
            raise ZoneError(f"tests.{kind} is a table of listed and unlisted subjects", repr(entries)[:80])
        for word, subjects in entries.items():
            for subject in _texts(subjects, f"tests.{kind}.{word}"):
                yield Probe(kind, subject, word == "listed")


def _kinds(values: object) -> frozenset[Kind]:
    kinds = _texts(values, "subjects")
    if not kinds or not KINDS.issuperset(kinds):
        raise ZoneError(
            f"subjects are one or more of ip4, ip6 and domain, or of email, url, dkim, link_a and link_ns, "
            f"not {kinds!r}",
            repr(kinds),
        )
    return frozenset(kinds)  # type: ignore[arg-type]  # checked just above


def _texts(values: object, key: str) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ZoneError(f"{key} is an array of texts, not {values!r}", key)
    return tuple(values)
