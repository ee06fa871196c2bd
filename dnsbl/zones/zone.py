"""A zone: one list's DNS name and the rules by which its answers are read.

Values only, checked when they are made. What a row of the catalogue adds to them is in `catalogue`; how
an answer is read by them is in `interpret`.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from dnsbl.errors import ZoneError
from dnsbl.zones.name import check_name, file_zone_name
from dnsbl.zones.replyfilter import MAX_TEXT, ReplyFilter, mark, parse_reply_filter
from dnsbl.zones.secret import MASK, Secret, key_place_of, mask_keys, split_key

Kind = Literal["ip4", "ip6", "domain", "email", "url", "dkim", "link_a", "link_ns"]
CodeOutcome = Literal["listed", "neutral", "blocked"]

KINDS: Final[frozenset[Kind]] = frozenset(get_args(Kind))
HASHED_KINDS: Final = frozenset({"email", "url"})
IP_KINDS: Final[frozenset[Kind]] = frozenset({"ip4", "ip6"})
FILE_KINDS: Final[frozenset[Kind]] = IP_KINDS | {"domain"}
"""What a list file takes unless it is told: the other kinds ask by hash, or ask the DNS what is behind a link."""
MAX_WEIGHT: Final = 1_000_000.0

_WEIGHT: Final = re.compile(r"[+-]?[0-9]{1,7}(?:\.[0-9]{1,6})?", re.ASCII)
_KEY: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Filter:
    """One entry of Postfix's form: a reply filter (None: any reply the zone's codes call a listing) and a
    weight, which counts once however many records match (postconf(5), postscreen_dnsbl_sites)."""

    reply: ReplyFilter | None
    weight: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", check_weight(self.weight))
        if self.reply is not None and not self.reply.octets[0] >> 127 & 1:
            raise ZoneError(
                f"reply filter {self.reply.text} can never match: a list answers in 127.0.0.0/8, "
                "anything else is not a listing; use 127 as the first field",
                self.reply.text,
            )


@dataclass(frozen=True, slots=True)
class Code:
    """One line of a zone's code table: which records it is about and what they mean.

    match: a reply filter over the whole address; or
    mask: one bit (1, 2, 4 ... 128) tested in the last octet. Exactly one of the two.
    outcome: "listed"; "neutral" (known, not a listing); "blocked" (the list refuses to answer us).
    weight: what a listed code counts; None: the zone's weight. Negative: an allow code.
    """

    match: ReplyFilter | None = None
    mask: int | None = None
    outcome: CodeOutcome = "listed"
    meaning: str = ""
    weight: float | None = None

    def __post_init__(self) -> None:
        if (self.match is None) == (self.mask is None):
            raise ZoneError("a code needs either match or mask, and not both", repr(self.meaning))
        if self.mask is not None and (type(self.mask) is not int or self.mask not in _BITS):
            raise ZoneError(
                f"mask = {self.mask!r} is not one bit: use 1, 2, 4, 8, 16, 32, 64 or 128, and one code for "
                "each bit",
                repr(self.mask),
            )
        if self.outcome not in ("listed", "neutral", "blocked"):
            raise ZoneError(
                f"outcome {self.outcome!r} of a code: use listed, neutral or blocked", str(self.outcome)
            )
        if self.weight is not None:
            object.__setattr__(self, "weight", check_weight(self.weight))

    def matches(self, address: int) -> bool:
        """Whether this line is about `address`, a 32-bit number in host order."""
        if self.match is not None:
            return self.match.matches(address)
        return bool(address & (self.mask or 0))

    def names(self, address: int) -> bool:
        """Whether this line gives `address` a meaning of its own (see `ReplyFilter.names`).

        A bit names only what it makes alone: bit 1 names 127.0.0.1.
        """
        if self.match is not None:
            return self.match.names(address)
        return address == 0x7F000000 | (self.mask or 0)

    def __str__(self) -> str:
        return str(self.match) if self.match is not None else f"mask {self.mask}"


_BITS: Final = frozenset(1 << bit for bit in range(8))


@dataclass(frozen=True, slots=True)
class Probe:
    """A test entry (RFC 5782 section 5): a subject of which it is known whether the list has it.

    kind: which form is asked. An "ip6" subject is asked as 32 nibbles even where it is IPv4-mapped
    (`::ffff:127.0.0.2`). subject: an address, or for "domain" the name put before the zone (`TEST`).
    listed: whether the list must have it: any code does, whatever it is worth (the entry of list.dnswl.org
    is neutral, and 127.0.0.1 of hostkarma.junkemailfilter.com an allow code).
    """

    kind: Kind
    subject: str
    listed: bool


RFC5782_PROBES: Final = (
    Probe("ip4", "127.0.0.2", True),
    Probe("ip4", "127.0.0.1", False),
    Probe("ip6", "::ffff:127.0.0.2", True),
    Probe("ip6", "::ffff:127.0.0.1", False),
    Probe("domain", "test", True),
    Probe("domain", "invalid", False),
)
"""The test entries of RFC 5782 section 5; a zone uses those of its own kinds."""


@dataclass(frozen=True, slots=True)
class Zone:
    """One list, as it is asked and read.

    name: the DNS name without a key, lower case, at most 189 characters; it is the name shown everywhere.
        One leading and one trailing dot are removed.
    subjects: what it takes; any of "ip4", "ip6", "domain", and of what messages have besides: "email" and
        "url" (by hash), "dkim" (domains that signed), "link_a" and "link_ns" (addresses of a link's host, and
        of its domain's nameservers).
    hash: of emails and URLs: "sha1", "md5" (both in hexadecimal) or "sha256" (in base32).
    normal_form: whose normal form is hashed: "plain" (lower case), "msbl", "spamhaus" or "surbl".
    domain: what of a domain is asked: the "registrable" domain or the whole "host" name.
    weight: what a listing counts, negative for an allowlist.
    filters: entries of Postfix's form. Empty: the code table decides, and where that is empty too, every
        code in 127.0.0.0/8 but 127.0.0.1 and 127.255.255.0/24 is a listing. Several where a zone is given
        several times.
    codes: the code table.
    nameservers: own ones, `ADDRESS:PORT`; empty: the resolver's.
    timeout_s: seconds per try; None: the resolver's.
    on_error: "listed" adds the weight to the score when the zone fails; nothing else changes.
    key: a customer's key, which shows as `***` (text is wrapped in a `Secret`). A key that stands in the name
        of a known keyed operator, like KEY.zen.dq.spamhaus.net, is taken out of it.
    key_place: the name with `{key}` in the key's place; empty with a key: `{key}.` before the name.
    daily_limit: queries a day that are free; None: no limit.
    delist_url: where a listing is looked up or removed, `{subject}` in the address's or domain's place.
    file: the path of a list file that is read in the place of DNS; empty: the zone is asked by DNS.
    format: the file's format, as `dnsbl.lists.read.FORMATS` has them. See `from_file`.
    bad_share: the share of the file's entries, from 0 to 1, that may be bad; with more it is refused whole.
        None: a twentieth.
    tests: the list's own test entries, where they are not those of RFC 5782; `probes` gives what applies.

    Raises ZoneError where a value cannot be used.

    >>> Zone("bl.example.com").probes[0].subject
    '127.0.0.2'
    """

    name: str
    subjects: frozenset[Kind] = IP_KINDS
    domain: Literal["registrable", "host"] = "registrable"
    weight: float = 1.0
    filters: tuple[Filter, ...] = ()
    codes: tuple[Code, ...] = ()
    nameservers: tuple[str, ...] = ()
    timeout_s: float | None = None
    on_error: Literal["no_opinion", "listed"] = "no_opinion"
    key: Secret | str | None = field(default=None, repr=False)
    key_place: str = ""
    daily_limit: int | None = None
    delist_url: str | None = None
    tests: tuple[Probe, ...] = ()
    hash: Literal["sha1", "md5", "sha256"] = "sha1"
    normal_form: Literal["plain", "msbl", "spamhaus", "surbl"] = "plain"
    file: str = ""
    format: str = "auto"
    bad_share: float | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "name", check_name(self.name))
        if split := split_key(self.name):
            put(self, "name", split[1])
            put(self, "key", self.key or Secret(split[0]))
        put(self, "weight", check_weight(self.weight))
        put(self, "subjects", frozenset([self.subjects] if isinstance(self.subjects, str) else self.subjects))
        if not self.subjects or not self.subjects <= KINDS:
            raise self._wrong(
                "subjects",
                "one or more of ip4, ip6 and domain, or email, url, dkim, link_a, link_ns",
                sorted(map(str, self.subjects)),
            )
        if self.hash not in ("sha1", "md5", "sha256"):
            raise self._wrong("hash", '"sha1", "md5" or "sha256"', self.hash)
        if self.normal_form not in ("plain", "msbl", "spamhaus", "surbl"):
            raise self._wrong("normal_form", '"plain", "msbl", "spamhaus" or "surbl"', self.normal_form)
        self._take_parts()
        if self.domain not in ("registrable", "host"):
            raise self._wrong("domain", '"registrable" or "host"', self.domain)
        if self.on_error not in ("no_opinion", "listed"):
            raise self._wrong("on_error", '"no_opinion" or "listed"', self.on_error)
        if self.timeout_s is not None and not (is_number(self.timeout_s) and 0 < self.timeout_s <= 60):
            raise self._wrong("timeout_s", "a number of seconds, above 0 and at most 60", self.timeout_s)
        if self.daily_limit is not None and not (type(self.daily_limit) is int and self.daily_limit > 0):
            raise self._wrong("daily_limit", "a whole number of queries, 1 or more", self.daily_limit)
        if self.bad_share is not None and not (is_number(self.bad_share) and 0 <= self.bad_share <= 1):
            raise self._wrong("bad_share", "a share from 0 to 1, such as 0.05", self.bad_share)
        if self.key is not None:
            self._set_key()

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        weight: float = 1.0,
        format: str = "auto",
        bad_share: float | None = None,
        subjects: frozenset[Kind] = FILE_KINDS,
        filters: tuple[Filter, ...] = (),
        codes: tuple[Code, ...] = (),
        delist_url: str | None = None,
    ) -> Zone:
        """A zone whose list is a file: it is answered without DNS. The file is read when a Resolver is made.

        name: how it is shown; None: made of the file's name. subjects: addresses and domains unless given;
            domains are looked up as whole host names.
        bad_share: with more bad entries than this share of them, 0 to 1, the file is refused whole; None: a
            twentieth.

        >>> Zone.from_file("/var/lib/dnsbl/drop.txt", weight=3).name
        'drop'
        """
        return cls(
            name=name or file_zone_name(path), subjects=subjects, domain="host", weight=weight,
            filters=filters, codes=codes, delist_url=delist_url, file=os.fspath(path), format=format,
            bad_share=bad_share,
        )  # fmt: skip

    def _take_parts(self) -> None:
        """Make tuples of the fields that are sequences."""
        for name, kind in _PARTS.items():
            parts = getattr(self, name)
            if isinstance(parts, str) or not all(isinstance(part, kind) for part in parts):
                raise self._wrong(name, f"a sequence of {kind.__name__}", parts)
            object.__setattr__(self, name, tuple(parts))

    def _wrong(self, field: str, wanted: str, value: object) -> ZoneError:
        return ZoneError(f"zone {self.name}: {field} = {value!r} is not valid: use {wanted}", str(value))

    def _set_key(self) -> None:
        key = self.key if isinstance(self.key, Secret) else Secret(str(self.key))
        if not _KEY.fullmatch(key.reveal()):
            raise ZoneError(
                f"zone {self.name}: the key is not one label of letters, digits and hyphens (1 to 63); "
                "look for white space in its file or variable",
                MASK,
            )
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "key_place", self.key_place or key_place_of(self.name))
        if self.key_place.count("{key}") != 1:
            raise ZoneError(f"zone {self.name}: key_place needs one {{key}}", self.key_place)
        check_name(self.masked_name.replace(MASK, "x" * len(key.reveal())))

    @property
    def wire_name(self) -> str:
        """The name that is asked, a key joined. A secret where there is a key: never shown or logged."""
        if isinstance(self.key, Secret):
            return self.key_place.replace("{key}", self.key.reveal())
        return self.name

    @property
    def masked_name(self) -> str:
        """The name that is asked, with `***` in a key's place; fit to be shown."""
        return self.key_place.replace("{key}", MASK) if self.key is not None else self.name

    @property
    def probes(self) -> tuple[Probe, ...]:
        """The test entries that apply: of each kind the zone takes the list's own, else those of RFC 5782."""
        own = {probe.kind for probe in self.tests}
        probes = self.tests + tuple(probe for probe in RFC5782_PROBES if probe.kind not in own)
        return tuple(probe for probe in probes if probe.kind in self.subjects)

    def delist_link(self, subject: str) -> str | None:
        """The delist URL for `subject` (canonical text of an address or domain), or None."""
        return None if self.delist_url is None else self.delist_url.replace("{subject}", subject)


_PARTS: Final = {"filters": Filter, "codes": Code, "nameservers": str, "tests": Probe}
"""The fields of a Zone that are sequences, and of what."""


FILE_PREFIX: Final = "file:"
"""What starts the text of a zone whose list is a file: `file:/var/lib/dnsbl/drop.txt`."""


def _parse_file_zone(text: str) -> Zone:
    """`file:PATH`, `file:PATH=FILTER`, `*WEIGHT` after either."""
    rest = text.removeprefix(FILE_PREFIX)
    head, star, weight = rest.rpartition("*")
    if not star or not _WEIGHT.fullmatch(weight):
        head, star, weight = rest, "", "1"
    path, equals, reply = head.rpartition("=")
    if not equals or not reply.startswith("127."):
        path, equals = head, ""
    if not path:
        raise ZoneError("a zone from a file needs a path, as in file:/var/lib/dnsbl/drop.txt", text)
    if not equals:
        return Zone.from_file(path, weight=float(weight))
    accepted = parse_reply_filter(reply)
    return Zone.from_file(path, filters=(Filter(accepted, float(weight)),))


def is_number(value: object) -> bool:
    """Whether it is a finite number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def check_weight(weight: float) -> float:
    """A weight as a float: finite and at most a million either way. Raises ZoneError."""
    if not is_number(weight):
        raise ZoneError(f"weight {weight!r}: use a number such as 1, 0.5 or -2", str(weight))
    if abs(weight) > MAX_WEIGHT:
        raise ZoneError(f"weight {weight!r}: at most {MAX_WEIGHT:.0f} either way", str(weight))
    return float(weight)


def parse_zone(text: str) -> Zone:
    """Read `zone`, `zone=filter`, `zone*weight` or `zone=filter*weight`, as in postscreen_dnsbl_sites; or the
    same with `file:PATH` in the place of the zone, for a list that is a file.

    A filter without a weight counts 1. A weight without a filter counts any reply that the zone's codes call
    a listing, once. A weight may have decimals here, which Postfix does not take. White space around the
    text is dropped, none is taken inside. A bare name leaves everything to the catalogue.

    Raises ZoneError with the place marked; a key in the text is masked.

    >>> parse_zone("zen.spamhaus.org=127.0.0.[2..11]*3").filters[0].weight
    3.0
    """
    if not isinstance(text, str) or len(text) > MAX_TEXT:
        raise ZoneError(f"a zone is text of at most {MAX_TEXT} characters", mask_keys(str(text))[:80])
    text = text.strip()
    if text.startswith(FILE_PREFIX):
        return _parse_file_zone(text)
    head, star, weight = text.partition("*")
    name, equals, reply = head.partition("=")
    name = check_name(name)
    if not equals and not star:
        return Zone(name)
    accepted = None
    if equals:
        accepted = parse_reply_filter(text, len(head) - len(reply), len(head))
    if star and not _WEIGHT.fullmatch(weight):
        place = mark(text, len(text) - len(weight))
        raise ZoneError(f"weight: a number such as 3, 0.5 or -2 is needed here: {place}", mask_keys(text))
    return Zone(name, filters=(Filter(accepted, float(weight) if star else 1.0),))
