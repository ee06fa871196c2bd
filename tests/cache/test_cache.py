"""The answer cache: TTL rules, merging, expiry, eviction and its size in memory."""

from __future__ import annotations

import gc
import itertools
import time
import tracemalloc

import pytest
from cachetools import TLRUCache
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dnsbl.cache.answers import _ANSWERED as ANSWERED
from dnsbl.cache.answers import FULL_BYTES, SWEEP_ENTRIES, AnswerCache, CacheInfo, Key, TtlRules
from dnsbl.cache.entry import (
    HEADER,
    Entry,
    Held,
    HeldTexts,
    pack,
    unpack,
)
from dnsbl.errors import ConfigError
from dnsbl.model import Outcome, Status, Wire

CLEAN = Wire(Status.NXDOMAIN, 3)
NODATA = Wire(Status.OK, 0)
LISTED = Wire(Status.OK, 0, (0x7F000002, 0x7F00000B))
A, B, C = b"\xc0\x00\x02\x01", b"\xc0\x00\x02\x02", "example.com"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def held(cache: AnswerCache, key: Key, now: float) -> Entry:
    entry = cache.get(key)
    return unpack(entry, now) if entry is not None else Entry({}, {})


# ---- how long ----


@pytest.mark.parametrize(
    ("status", "found", "ttl_s", "negative_ttl_s", "outcome", "hold_s"),
    [
        (Status.OK, True, 600, None, Outcome.LISTED, 600),
        (Status.OK, True, 600, 60, Outcome.LISTED, 600),
        (Status.OK, True, 0, None, Outcome.LISTED, 0),
        (Status.OK, True, 10_000_000, None, Outcome.LISTED, 86_400),
        (Status.OK, True, 600, None, Outcome.NOT_LISTED, 600),
        (Status.NXDOMAIN, False, None, 300, Outcome.NOT_LISTED, 300),
        (Status.NXDOMAIN, False, None, None, Outcome.NOT_LISTED, 0),
        (Status.OK, False, None, 150, Outcome.NOT_LISTED, 150),
        (Status.OK, False, None, None, Outcome.NOT_LISTED, 0),
        (Status.OK, True, 0x8000_0000, None, Outcome.LISTED, 0),
        (Status.OK, True, 0xFFFF_FFFF, None, Outcome.LISTED, 0),
        (Status.OK, True, 0x7FFF_FFFF, None, Outcome.LISTED, 86_400),
        (Status.NXDOMAIN, False, None, 0x8000_0001, Outcome.NOT_LISTED, 0),
        (Status.TIMEOUT, False, None, None, Outcome.TIMEOUT, 2),
        (Status.RCODE, False, None, None, Outcome.SERVFAIL, 2),
        (Status.RCODE, False, None, 3600, Outcome.SERVFAIL, 2),
        (Status.REFUSED, False, None, None, Outcome.BLOCKED, 60),
        (Status.OK, True, 1, None, Outcome.BLOCKED, 60),
        (Status.OK, True, 100, None, Outcome.BLOCKED, 100),
        (Status.OK, True, 86_400, None, Outcome.BLOCKED, 300),
        (Status.OK, True, 86_400, None, Outcome.INVALID, 300),
        (Status.OK, True, 0x8000_0000, None, Outcome.INVALID, 60),
        (Status.MALFORMED, False, None, None, Outcome.INVALID, 60),
        (Status.OK, True, 30, None, None, 30),
        (Status.OK, False, None, 30, None, 30),
    ],
)
def test_hold_by_default(
    status: Status,
    found: bool,
    ttl_s: int | None,
    negative_ttl_s: int | None,
    outcome: Outcome,
    hold_s: float,
) -> None:
    assert TtlRules().hold_s(status, found, ttl_s, negative_ttl_s, outcome=outcome) == hold_s


@pytest.mark.parametrize("status", [Status.TIMEOUT, Status.RCODE])
def test_failure_of_the_nameserver_is_not_held(status: Status) -> None:
    assert TtlRules().hold_s(status, False, None, None, nameserver_at_fault=True) == 0
    assert TtlRules(min_s=60).hold_s(status, False, None, None, nameserver_at_fault=True) == 0


def test_floor_and_ceiling() -> None:
    rules = TtlRules(min_s=120, max_s=200)
    assert rules.hold_s(Status.OK, True, 1, None) == 120
    assert rules.hold_s(Status.OK, True, 150, None) == 150
    assert rules.hold_s(Status.OK, True, 900, None) == 200
    assert rules.hold_s(Status.NXDOMAIN, False, None, 0) == 120
    assert rules.hold_s(Status.NXDOMAIN, False, None, None) == 0, "the floor makes no TTL where there is none"
    assert rules.hold_s(Status.OK, True, 900, None, outcome=Outcome.BLOCKED) == 200
    assert TtlRules(max_s=0).hold_s(Status.RCODE, False, None, None) == 0


@pytest.mark.parametrize(
    ("low", "high"),
    [(-1, 10), (11, 10), (0, float("inf")), (0, 604_801), (float("nan"), 10), (0, float("nan"))],
)
def test_impossible_bounds_are_refused(low: float, high: float) -> None:
    with pytest.raises(ConfigError, match="ttl_min_s"):
        TtlRules(low, high)


# ---- the cache ----


def test_one_expired_zone_leaves_the_others(clock: Clock) -> None:
    cache = AnswerCache(10, clock)
    cache.put(A, {0: Held(CLEAN, 1010), 1: Held(CLEAN, 1020)})
    clock.now = 1010
    assert held(cache, A, clock.now).answers == {1: Held(CLEAN, 1020)}
    cache.put(A, {0: Held(LISTED, 1015)})
    assert held(cache, A, clock.now).answers == {0: Held(LISTED, 1015), 1: Held(CLEAN, 1020)}


def test_header_answers_the_accept_path(clock: Clock) -> None:
    cache = AnswerCache(10, clock)
    cache.put(A, {0: Held(CLEAN, 1010), 1: Held(NODATA, 1020), 2: Held(LISTED, 1030)})
    entry = cache.get(A)
    assert entry is not None
    assert HEADER.unpack_from(entry) == (1010, 1030, 0b111, 0b100)


def test_texts_live_and_die_on_their_own(clock: Clock) -> None:
    cache = AnswerCache(10, clock)
    cache.put(A, {0: Held(LISTED, 1010)})
    cache.put(A, {}, {0: HeldTexts((b"see https://example.com/",), 1020)})
    assert held(cache, A, 1000) == (
        {0: Held(LISTED, 1010)},
        {0: HeldTexts((b"see https://example.com/",), 1020)},
    )
    clock.now = 1015
    assert held(cache, A, 1015) == ({}, {0: HeldTexts((b"see https://example.com/",), 1020)})
    assert held(cache, A, 1020) == ({}, {})


def test_what_is_not_held_is_not_kept(clock: Clock) -> None:
    cache = AnswerCache(10, clock)
    cache.put(A, {0: Held(CLEAN, clock.now)})
    assert cache.get(A) is None
    cache.put(A, {0: Held(CLEAN, 1010)})
    cache.put(A, {0: Held(LISTED, clock.now)})
    assert cache.get(A) is None, "a newer answer that may not be held takes the older one's place"


def test_expired_entries_go_before_any_other(clock: Clock) -> None:
    """The expired one is the most recently used; without expiry, the oldest would go."""
    cache = AnswerCache(3, clock)
    for key, ttl_s in ((A, 100), (B, 100), (C, 5)):
        cache.put(key, {0: Held(CLEAN, clock.now + ttl_s)})
    cache.get(C)
    clock.now += 6
    cache.put("example.net", {0: Held(CLEAN, clock.now + 100)})
    assert [key for key, _ in cache.items()] == [A, B, "example.net"]


def test_entry_expires_with_the_last_of_its_answers_not_the_first(clock: Clock) -> None:
    cache = AnswerCache(2, clock)
    cache.put(A, {0: Held(CLEAN, 1001), 1: Held(CLEAN, 1100)})
    cache.put(B, {0: Held(CLEAN, 1002)})
    cache.get(B)
    clock.now = 1050
    cache.put(C, {0: Held(CLEAN, 1100)})
    assert [key for key, _ in cache.items()] == [A, C]


def test_a_quiet_hour_is_swept_up_in_small_steps(clock: Clock) -> None:
    """One call clears away a bounded number, and expired entries still go before valid ones."""
    size = 20 * SWEEP_ENTRIES
    cache = AnswerCache(size, clock)
    cache.put(A, {0: Held(CLEAN, 1_000_000)})
    for n in range(size - 1):
        cache.put(n.to_bytes(4, "big"), {0: Held(CLEAN, 1001 + n * 3600 / size)})
    clock.now = 5000
    sizes = [size]
    while sizes[-1] > 2:
        cache.put(B, {0: Held(CLEAN, 1_000_000)})
        sizes.append(len(cache.items()))
        assert cache.get(bytes(4)) is None
        assert len(sizes) < 100
    cleared = [before - after for before, after in itertools.pairwise(sizes)]
    assert max(cleared) < 2 * SWEEP_ENTRIES
    assert [key for key, _ in cache.items()] == [A, B]


def test_months_of_nothing_are_caught_up_with(clock: Clock) -> None:
    cache = AnswerCache(10, clock)
    cache.put(A, {0: Held(CLEAN, 1001)})
    clock.now += 90 * 86_400
    for _ in range(200):
        cache.put(B, {0: Held(CLEAN, clock.now + 2)})
    clock.now += 3
    assert cache.info().currsize == 0


def test_least_recently_used_goes_when_none_has_expired(clock: Clock) -> None:
    cache = AnswerCache(3, clock)
    for key in (A, B, C):
        cache.put(key, {0: Held(CLEAN, clock.now + 100)})
    cache.get(A)
    cache.put("example.net", {0: Held(CLEAN, clock.now + 100)})
    assert {key for key, _ in cache.items()} == {A, C, "example.net"}


def test_items_are_not_a_use(clock: Clock) -> None:
    cache = AnswerCache(2, clock)
    cache.put(A, {0: Held(CLEAN, 1100)})
    cache.put(B, {0: Held(CLEAN, 1100)})
    cache.get(A)
    cache.items()
    cache.put(C, {0: Held(CLEAN, 1100)})
    assert {key for key, _ in cache.items()} == {A, C}


def test_size_is_bounded(clock: Clock) -> None:
    cache = AnswerCache(50, clock)
    for n in range(10_000):
        cache.put(n.to_bytes(4, "big"), {0: Held(CLEAN, clock.now + n)})
        assert cache.info().currsize <= 50


@pytest.mark.parametrize("zones", [1, 6, 64])
def test_memory_is_bounded_whatever_lists_answer(clock: Clock, zones: int) -> None:
    """Sixteen records and 2 KiB of text from each zone: 1 GiB in a cache of 80,000 entries and six zones."""
    cache = AnswerCache(300, clock)
    long = Wire(Status.OK, 0, tuple(0x7F000000 + i for i in range(16)))
    texts = tuple(bytes([65 + i]) * 512 for i in range(4))
    for number in range(400):
        expires = clock.now + 60
        answers = {zone: Held(long, expires) for zone in range(zones)}
        cache.put(number.to_bytes(4, "big"), answers, {z: HeldTexts(texts, expires) for z in range(zones)})
    entries = [entry for _, entry in cache.items()]
    assert 0 < sum(map(len, entries)) <= 300 * FULL_BYTES
    assert cache.get((399).to_bytes(4, "big")) == entries[-1]
    for number in range(400):
        cache.put(number.to_bytes(4, "big"), {0: Held(CLEAN, clock.now + 60)})
    assert cache.info().currsize <= 300
    cache.flush()
    assert cache.info().currsize == 0
    for number in range(400):
        cache.put(number.to_bytes(4, "big"), {0: Held(CLEAN, clock.now + 60)})
    assert cache.info().currsize == 300


def test_what_is_larger_than_the_whole_cache_is_not_held(clock: Clock) -> None:
    cache = AnswerCache(1, clock)
    cache.put(A, {0: Held(LISTED, clock.now + 60)})
    cache.put(A, {}, {zone: HeldTexts((b"x" * 512,), clock.now + 60) for zone in range(3)})
    assert cache.get(A) is None
    cache.put(B, {0: Held(LISTED, clock.now + 60)})
    assert cache.get(B) is not None


def test_a_cache_of_size_nothing_holds_nothing(clock: Clock) -> None:
    cache = AnswerCache(0, clock)
    cache.put(A, {0: Held(CLEAN, 1100)})
    assert cache.get(A) is None
    assert cache.info() == CacheInfo(0, 0, 0, 0)


def test_fill_does_not_replace_what_is_there(clock: Clock) -> None:
    cache = AnswerCache(10, clock)
    cache.put(A, {0: Held(LISTED, 1010)})
    old = pack({0: Held(CLEAN, 1500), 1: Held(CLEAN, 1500)}, {0: HeldTexts((b"old",), 1500)}, 1000)
    assert old is not None
    cache.fill(A, old)
    cache.fill(B, old)
    assert held(cache, A, 1000).answers == {0: Held(LISTED, 1010), 1: Held(CLEAN, 1500)}
    assert held(cache, B, 1000) == unpack(old, 1000)


def test_info(clock: Clock) -> None:
    cache = AnswerCache(10, clock)
    cache.put(A, {0: Held(CLEAN, 1010)})
    cache.put(B, {0: Held(CLEAN, 1020)})
    cache.hits += 3
    cache.misses += 1
    assert cache.info() == CacheInfo(hits=3, misses=1, maxsize=10, currsize=2)
    clock.now = 1011
    assert cache.info().currsize == 1


def test_its_get_is_that_of_a_tlru_cache() -> None:
    """The accept path pays for one TLRUCache lookup and nothing on top."""
    assert isinstance(AnswerCache(1).get.__self__, TLRUCache)  # type: ignore[attr-defined]
    assert AnswerCache(1).get.__func__ is TLRUCache.__getitem__  # type: ignore[attr-defined]


KEYS = st.sampled_from([A, B, C, "example.net", bytes(15) + b"\x01"])
FEW_ZONES = st.integers(0, 3)
TTLS = st.sampled_from([0.0, 0.5, 1.0, 3.0, 10.0])


class CacheMachine(RuleBasedStateMachine):
    """Against a dict of (key, zone, kind): a cache large enough never to evict must agree with it exactly."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.cache = AnswerCache(100, self.clock)
        self.answers: dict[tuple[Key, int], Held] = {}
        self.texts: dict[tuple[Key, int], HeldTexts] = {}

    @rule(
        key=KEYS,
        wires=st.dictionaries(
            FEW_ZONES, st.tuples(st.sampled_from([CLEAN, NODATA, LISTED]), TTLS), max_size=3
        ),
        texts=st.dictionaries(FEW_ZONES, st.tuples(st.sampled_from([(), (b"why",)]), TTLS), max_size=1),
    )
    def put(
        self,
        key: Key,
        wires: dict[int, tuple[Wire, float]],
        texts: dict[int, tuple[tuple[bytes, ...], float]],
    ) -> None:
        answers = {zone: Held(wire, self.clock.now + ttl_s) for zone, (wire, ttl_s) in wires.items()}
        held_texts = {zone: HeldTexts(text, self.clock.now + ttl_s) for zone, (text, ttl_s) in texts.items()}
        self.cache.put(key, answers, held_texts)
        now = self.clock.now
        for zone, of in answers.items():
            old = self.answers.get((key, zone))
            kept = old is not None and old.wire.status in ANSWERED and old.expires > now
            if of.wire.status in ANSWERED or not kept:
                self.answers[key, zone] = of
        for zone, texts_of in held_texts.items():
            before = self.texts.get((key, zone))
            if texts_of.texts or before is None or not before.texts or before.expires <= now:
                self.texts[key, zone] = texts_of

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 5.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(key=st.none() | KEYS, zone=st.none() | FEW_ZONES)
    def flush(self, key: Key | None, zone: int | None) -> None:
        self.cache.flush(key, zone)
        for parts in (self.answers, self.texts):
            for each in [each for each in parts if key in (None, each[0]) and zone in (None, each[1])]:
                del parts[each]

    @invariant()
    def agrees(self) -> None:
        now = self.clock.now
        answers = {
            (key, z): of
            for key, _ in self.cache.items()
            for z, of in held(self.cache, key, now).answers.items()
        }
        texts = {
            (key, z): of
            for key, _ in self.cache.items()
            for z, of in held(self.cache, key, now).texts.items()
        }
        assert answers == {each: of for each, of in self.answers.items() if of.expires > now}
        assert texts == {each: of for each, of in self.texts.items() if of.expires > now}


TestCacheMachine = CacheMachine.TestCase
TestCacheMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


# ---- memory ----


@pytest.mark.parametrize("key_bytes", [4, 16])
def test_clean_subject_with_six_zones_takes_at_most_600_bytes(key_bytes: int) -> None:
    """All of TLRUCache's own structures included. 500 here, to see it coming.

    25,000 entries, as 100,000, are a bad size for its dicts, which have just grown there.
    """
    count = 25_000
    cache = AnswerCache(count)
    gc.collect()
    tracemalloc.start()
    try:
        keys = [n.to_bytes(key_bytes, "big") for n in range(count)]
        for n, key in enumerate(keys):
            expires = time.monotonic() + 300 + n / 1000
            cache.put(key, {zone: Held(CLEAN, expires + zone) for zone in range(6)})
        del keys, key
        per_entry = tracemalloc.get_traced_memory()[0] / count
    finally:
        tracemalloc.stop()
    assert cache.info().currsize == count
    assert 200 < per_entry < 500
