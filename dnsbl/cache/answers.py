"""The answer cache: one cachetools entry per asked name holds the answers of all zones.

Holds answers, never verdicts, so that a weight or a code table may change while answers stay. Every
zone's A answer and TXT answer has its own expiry: one expired zone costs one query, not all of them.

Does no I/O (`dnsbl.cache.file` reads and writes files), asks no questions, and has no lock: the
resolver calls it under its own. Zones are small numbers, 0 to 63: the index in the resolver's tuple
of zones. All times are seconds on the timer given to `AnswerCache`, `dnsbl.cache.clock.now` by default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, floor
from typing import Final, NamedTuple, TypeAlias

from cachetools import Cache, TLRUCache

from dnsbl.cache.clock import now as clock
from dnsbl.cache.entry import HEADER, Entry, Held, HeldTexts, pack, unpack
from dnsbl.errors import ConfigError
from dnsbl.model import Outcome, Status

__all__ = [
    "HEADER",
    "AnswerCache",
    "CacheInfo",
    "Entry",
    "Held",
    "HeldTexts",
    "Key",
    "TtlRules",
    "pack",
    "unpack",
]

Key: TypeAlias = bytes | str
"""The name asked: 4 or 16 bytes for an address, text for a domain (its A-label form, lower case)."""

FAILURE_HOLD_S = 2.0
"""How long SERVFAIL and TIMEOUT are held: RFC 2308 section 7 allows five minutes, but this only has to
keep a burst of connections away from a struggling list. Not longer, because where a nameserver dies between
two lists' answers the second one's looks like that list's own failure, and verdicts are to be right again
within 2 s of the nameserver's return."""
REFUSAL_MIN_HOLD_S = 60.0
REFUSAL_MAX_HOLD_S = 300.0
_FAILED: Final = frozenset({Status.TIMEOUT.value, Status.RCODE.value})
_ANSWERED: Final = frozenset({Status.OK.value, Status.NXDOMAIN.value})
_REFUSED: Final = frozenset({Status.REFUSED.value, Status.MALFORMED.value})
_REFUSALS: Final = frozenset({Outcome.BLOCKED, Outcome.INVALID})

MAX_TTL_S = 604_800
"""The highest ceiling: RFC 8767 section 4 advises to cap TTLs at seven days."""
FULL_BYTES = 1024
"""What an entry may hold and count as one. One of six zones takes 110 bytes where all say no, and 800 where
all list it and say why in a line; a list that sends 2 KiB of text for each address fills no memory."""
SWEEP_ENTRIES = 500
"""About how many expired entries one call clears away, at some 4 us each."""


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
    `ConfigError` unless 0 <= min_s <= max_s <= a week.
    """

    min_s: float = 0.0
    max_s: float = 86_400.0

    def __post_init__(self) -> None:
        if not 0 <= self.min_s <= self.max_s <= MAX_TTL_S:
            found = f"ttl_min_s {self.min_s:g}, ttl_max_s {self.max_s:g}"
            raise ConfigError(f"{found}: give 0 <= ttl_min_s <= ttl_max_s <= {MAX_TTL_S}", found)

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
        if status in _FAILED:
            return 0.0 if nameserver_at_fault else min(FAILURE_HOLD_S, self.max_s)
        if status in _REFUSED or outcome in _REFUSALS:
            hold_s = min(max(_ttl_s(ttl_s or 0), REFUSAL_MIN_HOLD_S), REFUSAL_MAX_HOLD_S)
            return min(hold_s, self.max_s)
        given_s = ttl_s if found else negative_ttl_s
        if given_s is None:
            return 0.0
        return min(max(_ttl_s(given_s), self.min_s), self.max_s)


def _ttl_s(wire_ttl: int) -> float:
    """RFC 2181 section 8: a TTL with the top bit set is read as zero."""
    return 0.0 if wire_ttl & 0x8000_0000 else float(wire_ttl)


class _Entries(TLRUCache[Key, bytes]):
    """A `TLRUCache` whose `[]` gives None for what it does not hold.

    Its `get` costs 0.9 us, three and a half times its `[]` (cachetools 8.0.2, Python 3.11), because it
    freezes the clock around a `key in self`; `[]` alone checks the expiry just as well.
    """

    def __missing__(self, key: Key) -> None:  # type: ignore[override]
        return None


_shared_second = lru_cache(maxsize=4096)(float)
"""One float object per second in place of one per entry: 32 bytes less, and again for each stale mark that
TLRUCache keeps of an entry replaced or evicted (up to one per entry)."""


class _Sweep:
    """The clock that TLRUCache sees, in whole seconds. It lags where very many entries expired at once.

    TLRUCache clears away all that has expired in one go: 0.45 s for 100,000 entries after a quiet hour,
    while every lookup waits. So its clock stops at the second by which `SWEEP_ENTRIES` or so have expired,
    and goes on at the next call. Callers see no difference: each part of an entry has its own expiry.
    """

    __slots__ = ("_due", "_reached")

    def __init__(self, now: float) -> None:
        self._reached = float(floor(now))
        self._due: dict[float, int] = {}
        """How many entries were put to expire at a second yet to come."""

    def __call__(self) -> float:
        return self._reached

    def until(self, key: Key, entry: bytes, now: float) -> float:
        """When TLRUCache may drop an entry: the first whole second at which nothing in it is valid."""
        second = _shared_second(ceil(HEADER.unpack_from(entry)[1]))
        self._due[second] = self._due.get(second, 0) + 1
        return second

    def advance(self, now: float) -> None:
        left = float(SWEEP_ENTRIES)
        while self._reached + 1 <= now and left > 0:
            self._reached += 1
            left -= self._due.pop(self._reached, 0) + 0.01  # a second has its cost too


def _weight(entry: bytes) -> int:
    """How many entries this one counts as."""
    return 1 + len(entry) // FULL_BYTES


class AnswerCache:
    """Packed answers by asked name, at most `maxsize` of them; 0 holds nothing.

    An entry counts once for each `FULL_BYTES` it has begun, so that the memory is bounded by `maxsize` alone,
    whatever lists answer.

    When full, expired entries go first, then the least recently used one. `timer` gives seconds and
    never goes back.

    `get(key) -> bytes | None` is TLRUCache's own `[]`, bound, so that it costs no second call. It marks
    the entry as used. Parts of the entry, even all of it, may have expired.

    A caller that wants to know whether zones `wanted` (a bit mask) all said a plain no:

        soonest, _, present, notable = HEADER.unpack_from(entry)
        clean = now < soonest and present & wanted == wanted and not notable & wanted

    A clean subject of six zones takes 350 to 420 bytes in a cache just filled; in use up to 560 where
    `maxsize` is a little below a power of two divided by three (87,381, 174,762), up to 690 where it is a
    little above, because dicts grow there.

    `hits` and `misses` are counted by the caller, who alone knows whether an entry was enough.
    """

    __slots__ = ("_entries", "_sweep", "_timer", "get", "hits", "maxsize", "misses")

    def __init__(self, maxsize: int, timer: Callable[[], float] = clock) -> None:
        self.maxsize = maxsize
        self.hits = 0
        self.misses = 0
        self._timer = timer
        self._sweep = _Sweep(timer())
        self._entries = _Entries(maxsize, self._sweep.until, self._sweep, _weight)
        self.get: Callable[[Key], bytes | None] = self._entries.__getitem__

    def put(
        self, key: Key, answers: Mapping[int, Held], texts: Mapping[int, HeldTexts] | None = None
    ) -> None:
        """Hold `answers` and `texts`, by zone index, beside what the entry of `key` still validly holds.

        What has expired already, on either side, is left out. A failure takes the place of no answer, and no
        lack of texts that of texts.
        """
        if self.maxsize < 1:
            return
        now = self._timer()
        self._sweep.advance(now)
        held = self.get(key)
        if held is not None:
            old = unpack(held, now)
            answers = old.answers | {
                zone: new
                for zone, new in answers.items()
                if new.wire.status in _ANSWERED
                or zone not in old.answers
                or old.answers[zone].wire.status not in _ANSWERED
            }
            texts = old.texts | {
                zone: said
                for zone, said in (texts or {}).items()
                if said.texts or not (zone in old.texts and old.texts[zone].texts)
            }
        self._store(key, pack(answers, texts or {}, now))

    def put_packed(self, key: Key, entry: bytes) -> None:
        """As `put`, of plain answers that are packed already and valid."""
        if self.maxsize < 1:
            return
        now = self._timer()
        held = self.get(key)
        if held is not None and HEADER.unpack_from(held)[1] > now:
            self.put(key, unpack(entry, now).answers)
            return
        self._sweep.advance(now)
        self._store(key, entry)

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
        if entry is None or _weight(entry) > self.maxsize:
            self._entries.pop(key, None)
        else:
            self._entries[key] = entry  # drops what the sweep has reached

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
        """All entries, packed, as they are now (some may have expired): a list of its own."""
        held = ((key, self.peek(key)) for key in self.keys())
        return [(key, entry) for key, entry in held if entry is not None]

    def keys(self) -> list[Key]:
        """The names held, the one longest unused first. Takes 0.1 us a name, `items` 1 us."""
        return list(self._entries)

    def peek(self, key: Key) -> bytes | None:
        """As `get`, but not counted as use."""
        return Cache.__getitem__(self._entries, key)

    def info(self) -> CacheInfo:
        """Hits, misses, the bound and the present size; what expired last may still be counted."""
        self._sweep.advance(self._timer())
        return CacheInfo(self.hits, self.misses, self.maxsize, len(self._entries))
