"""The answer cache at length: calls in any order, a quiet hour's sweep, its bound and its size in memory."""

from __future__ import annotations

import gc
import itertools
import time
import tracemalloc

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dnsbl.cache.answers import _ANSWERED as ANSWERED
from dnsbl.cache.answers import FULL_BYTES, SWEEP_ENTRIES, AnswerCache, Key
from dnsbl.cache.entry import Entry, Held, HeldTexts, unpack
from dnsbl.model import Status, Wire

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


# ---- bounds ----


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
