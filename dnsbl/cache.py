"""The answer cache: what the zones said of one asked name, packed into one cachetools entry.

Holds answers, never verdicts, so that a weight or a code table may change while answers stay. Every
zone's A answer and TXT answer has its own expiry: one expired zone costs one query, not all of them.

Does no I/O (`dnsbl.cachefile` reads and writes files), asks no questions, and has no lock: the
resolver calls it under its own. Zones are small numbers, 0 to 63: the index in the resolver's tuple
of zones. All times are seconds on the timer given to `AnswerCache`, `time.monotonic` by default.

One entry is one `bytes`: `HEADER`, then for each answer `_PART` and what it counts: addresses (32 bits
each), or texts (16 bits of length, then the bytes).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from struct import Struct, unpack_from
from struct import pack as struct_pack
from typing import NamedTuple, TypeAlias

from cachetools import Cache, TLRUCache

from dnsbl.errors import ConfigError
from dnsbl.model import Outcome, Status, Wire

Key: TypeAlias = bytes | str
"""The name asked: 4 or 16 bytes for an address, text for a domain (its A-label form, lower case)."""

MAX_ZONES = 64
MAX_ADDRESSES = 16
"""As many as the engine takes from one answer. More are not held: cutting them could change a verdict."""
MAX_TEXTS = 4
MAX_TEXT_BYTES = 512
"""Of one zone's TXT answer, the first 4 texts are held, of each the first 512 bytes."""
ALL_ZONES = (1 << MAX_ZONES) - 1

FAILURE_HOLD_S = 5.0
"""How long SERVFAIL and TIMEOUT are held: RFC 2308 section 7 allows five minutes, but this only has to
keep a burst of connections away from a struggling list."""
REFUSAL_MIN_HOLD_S = 60.0
REFUSAL_MAX_HOLD_S = 300.0

HEADER = Struct("=ddQQ")
"""What each entry starts with: the soonest expiry of its A answers, the latest expiry of anything in it,
the bit mask of zones whose A answer is in it, and of those the ones that said anything but a plain
negative (NXDOMAIN, or NOERROR without an address). Bit n is zone n."""

_PART = Struct("=BBhBd")
"""Zone, status, rcode, how many addresses or texts follow, expiry."""
_TEXTS = 255
"""In the place of a status: this part is a TXT answer."""
_LENGTH = Struct("=H")
_NEGATIVE = frozenset({Status.OK.value, Status.NXDOMAIN.value})


class Held(NamedTuple):
    """A zone's A answer and when it expires."""

    wire: Wire
    expires: float


class HeldTexts(NamedTuple):
    """A zone's TXT answer, one `bytes` per record as it came (strings joined), and when it expires.

    Empty: there is no TXT record, or asking for it failed; not to be asked again before `expires`.
    """

    texts: tuple[bytes, ...]
    expires: float


class Entry(NamedTuple):
    """One unpacked entry: answers by zone index."""

    answers: dict[int, Held]
    texts: dict[int, HeldTexts]


class CacheInfo(NamedTuple):
    """As `functools.lru_cache` tells it; sizes in entries (asked names)."""

    hits: int
    misses: int
    maxsize: int
    currsize: int


@dataclass(frozen=True, slots=True)
class TtlRules:
    """How long an answer may be held. `min_s` and `max_s`, in seconds: floor and ceiling of every TTL.

    The floor lifts TTLs that an answer has; it does not make one for an answer that has none. Raises
    `ConfigError` unless 0 <= min_s <= max_s.
    """

    min_s: float = 0.0
    max_s: float = 86_400.0

    def __post_init__(self) -> None:
        if not 0 <= self.min_s <= self.max_s < float("inf"):
            raise ConfigError(
                f"ttl_min_s {self.min_s:g}, ttl_max_s {self.max_s:g}: give 0 <= ttl_min_s <= ttl_max_s",
                f"{self.min_s:g}",
            )

    def hold_s(
        self,
        status: int,
        found: bool,
        ttl_s: int | None,
        negative_ttl_s: int | None,
        *,
        outcome: Outcome | None = None,
        nameserver_at_fault: bool = False,
    ) -> float:
        """For how many seconds one answer, A or TXT, may be held; 0.0: not at all.

        status: a `Status`. found: it has records of the type asked for.
        ttl_s: the lowest TTL of those records (RFC 2181 section 5.2), None without any.
        negative_ttl_s: the lower of the SOA's own TTL and its minimum field (RFC 2308 section 5), None
        without an SOA: such an answer is not held.
        outcome: how the zone's rules read an A answer; BLOCKED and INVALID are held for 60 s to 300 s.
        nameserver_at_fault: nobody got an answer, so a failure tells nothing of this zone: not held.

        >>> TtlRules().hold_s(Status.NXDOMAIN, False, None, 300)
        300.0
        """
        if status in (Status.TIMEOUT, Status.RCODE):
            return 0.0 if nameserver_at_fault else min(FAILURE_HOLD_S, self.max_s)
        refused = status in (Status.REFUSED, Status.MALFORMED)
        if refused or outcome in (Outcome.BLOCKED, Outcome.INVALID):
            hold_s = min(max(_ttl_s(ttl_s or 0), REFUSAL_MIN_HOLD_S), REFUSAL_MAX_HOLD_S)
            return min(hold_s, self.max_s)
        given_s = ttl_s if found else negative_ttl_s
        if given_s is None:
            return 0.0
        return min(max(_ttl_s(given_s), self.min_s), self.max_s)


def _ttl_s(wire_ttl: int) -> float:
    """RFC 2181 section 8: a TTL with the top bit set is read as zero."""
    return 0.0 if wire_ttl & 0x8000_0000 else float(wire_ttl)


class _Entries(TLRUCache[Key, bytes | None]):
    """A `TLRUCache` whose `[]` gives None for what it does not hold.

    Its `get` costs 0.9 us, three and a half times its `[]` (cachetools 8.0.2, Python 3.11), because it
    freezes the clock around a `key in self`; `[]` alone checks the expiry just as well.
    """

    def __missing__(self, key: Key) -> None:
        return None


_shared_second = lru_cache(maxsize=4096)(float)
"""One float object per second in place of one per entry: 32 bytes less, and again for each stale mark that
TLRUCache keeps of an entry replaced or evicted (up to one per entry)."""


def _latest(key: Key, entry: bytes | None, now: float) -> float:
    """When TLRUCache may drop an entry: at the first whole second at which nothing in it is valid."""
    return now if entry is None else _shared_second(ceil(HEADER.unpack_from(entry)[1]))


class AnswerCache:
    """Packed answers by asked name, at most `maxsize` of them; 0 holds nothing.

    When full, expired entries go first, then the least recently used one. `timer` gives seconds and
    never goes back.

    `get(key) -> bytes | None` is TLRUCache's own `[]`, bound, so that it costs no second call. It marks
    the entry as used. Parts of the entry, and for up to a second all of it, may have expired.

    A caller that wants to know whether zones `wanted` (a bit mask) all said a plain no:

        soonest, _, present, notable = HEADER.unpack_from(entry)
        clean = now < soonest and present & wanted == wanted and not notable & wanted

    A clean subject of six zones takes 350 to 420 bytes in a cache just filled; in use up to 560 where
    `maxsize` is a little below a power of two divided by three (87,381, 174,762), up to 650 where it is a
    little above, because dicts grow there.

    `hits` and `misses` are counted by the caller, who alone knows whether an entry was enough.

    Expiry costs about 2 us an entry and is done by the next `put` or `info`: after a quiet hour that one
    call clears all that expired meanwhile (100,000 entries: 0.2 s). Calling `info` now and then avoids it.
    """

    __slots__ = ("_entries", "_timer", "get", "hits", "maxsize", "misses")

    def __init__(self, maxsize: int, timer: Callable[[], float] = time.monotonic) -> None:
        self.maxsize = maxsize
        self.hits = 0
        self.misses = 0
        self._timer = timer
        self._entries = _Entries(maxsize, _latest, timer)
        self.get: Callable[[Key], bytes | None] = self._entries.__getitem__

    def put(
        self, key: Key, answers: Mapping[int, Held], texts: Mapping[int, HeldTexts] | None = None
    ) -> None:
        """Hold `answers` and `texts`, by zone index, beside what the entry of `key` still validly holds.

        What has expired already, on either side, is left out.
        """
        if self.maxsize < 1:
            return
        now = self._timer()
        held = self.get(key)
        if held is not None:
            old = unpack(held, now)
            answers = old.answers | dict(answers)
            texts = old.texts | dict(texts or {})
        self._store(key, pack(answers, texts or {}, now))

    def fill(self, key: Key, entry: bytes) -> None:
        """Hold an entry of earlier, packed as `items` gives it. What the cache holds already stays."""
        now = self._timer()
        held = self.get(key)
        answers, texts = unpack(entry, now)
        if held is not None:
            present = unpack(held, now)
            answers, texts = answers | present.answers, texts | present.texts
        self.put(key, answers, texts)

    def _store(self, key: Key, entry: bytes | None) -> None:
        if entry is None:
            self._entries.pop(key, None)
        else:
            self._entries[key] = entry

    def flush(self, key: Key | None = None, zone: int | None = None) -> None:
        """Forget the entry of `key`, or what it holds of `zone`; without `key`, do so for every entry.

        A zone of all entries costs some 5 us an entry. To give others a turn meanwhile, take `items` and
        flush key by key.
        """
        if key is None:
            if zone is None:
                self._entries.clear()
            else:
                for each, entry in self.items():
                    self._without(zone, each, entry)
        elif zone is None:
            self._entries.pop(key, None)
        else:
            self._without(zone, key, self.get(key))

    def _without(self, zone: int, key: Key, entry: bytes | None) -> None:
        if entry is None:
            return
        now = self._timer()
        old = unpack(entry, now)
        if zone in old.answers or zone in old.texts:
            old.answers.pop(zone, None)
            old.texts.pop(zone, None)
            self._store(key, pack(old.answers, old.texts, now))

    def items(self) -> list[tuple[Key, bytes]]:
        """All valid entries, packed, as they are now: a list that later changes do not touch."""
        held = ((key, Cache.__getitem__(self._entries, key)) for key in self._entries)  # not counted as use
        return [(key, entry) for key, entry in held if entry is not None]

    def info(self) -> CacheInfo:
        """Hits, misses, the bound and the present size, both in entries."""
        return CacheInfo(self.hits, self.misses, self.maxsize, int(self._entries.currsize))


def pack(answers: Mapping[int, Held], texts: Mapping[int, HeldTexts], now: float) -> bytes | None:
    """One entry from what is valid at `now`; None if nothing is. See the module's docstring for the form.

    Texts come first, then answers that are more than a plain negative, then the others, so that a reader
    interested in listings can stop early.
    """
    soonest, latest = float("inf"), now
    present = notable = 0
    first: list[bytes] = [_pack_texts(zone, held) for zone, held in texts.items() if held.expires > now]
    if first:
        latest = max(held.expires for held in texts.values())
    last: list[bytes] = []
    for zone, ((status, rcode, addresses), expires) in answers.items():
        count = len(addresses)
        if expires <= now or count > MAX_ADDRESSES:
            continue
        present |= 1 << zone
        if expires < soonest:
            soonest = expires
        if expires > latest:
            latest = expires
        part = _PART.pack(zone, status, rcode, count, expires)
        if count or status not in _NEGATIVE:
            notable |= 1 << zone
            first.append(part + struct_pack(f"={count}I", *addresses))
        else:
            last.append(part)
    if not first and not last:
        return None
    return b"".join((HEADER.pack(soonest, latest, present, notable), *first, *last))


def _pack_texts(zone: int, held: HeldTexts) -> bytes:
    texts = [text[:MAX_TEXT_BYTES] for text in held.texts[:MAX_TEXTS]]
    head = _PART.pack(zone, _TEXTS, 0, len(texts), held.expires)
    return head + b"".join(_LENGTH.pack(len(text)) + text for text in texts)


def unpack(entry: bytes, now: float, zones: int = ALL_ZONES) -> Entry:
    """What of a packed entry is valid at `now`, of the zones in the bit mask `zones`.

    >>> held = Held(Wire(Status.OK, 0, (0x7F000002,)), expires=60.0)
    >>> entry = pack({3: held}, {3: HeldTexts((b"see https://example.com/",), 60.0)}, now=0.0)
    >>> unpack(entry, 59.9).answers == {3: held}, unpack(entry, 60.0)
    (True, Entry(answers={}, texts={}))
    """
    answers: dict[int, Held] = {}
    texts: dict[int, HeldTexts] = {}
    at, end = HEADER.size, len(entry)
    _, _, left, _ = HEADER.unpack_from(entry)
    left &= zones
    while at < end:
        zone, status, rcode, count, expires = _PART.unpack_from(entry, at)
        at += _PART.size
        if status == _TEXTS:
            found, at = _unpack_texts(entry, at, count)
            if now < expires and zones >> zone & 1:
                texts[zone] = HeldTexts(found, expires)
            continue
        if not left:
            break
        if left >> zone & 1:
            left ^= 1 << zone
            if now < expires:
                addresses = unpack_from(f"={count}I", entry, at) if count else ()
                answers[zone] = Held(Wire(status, rcode, addresses), expires)
        at += 4 * count
    return Entry(answers, texts)


def _unpack_texts(entry: bytes, at: int, count: int) -> tuple[tuple[bytes, ...], int]:
    texts = []
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(entry, at)
        at += _LENGTH.size
        texts.append(entry[at : at + length])
        at += length
    return tuple(texts), at
