"""The answer cache call by call: for how long, what takes the place of what, what goes first, how sizes count."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from math import ceil

import pytest
from cache.test_cache import CLEAN, LISTED, NODATA, A, B, C, Clock, held
from cachetools import TLRUCache

from dnsbl.cache.answers import FULL_BYTES, SWEEP_ENTRIES, AnswerCache, CacheInfo, TtlRules
from dnsbl.cache.entry import HEADER, Held, HeldTexts, pack, unpack
from dnsbl.errors import ConfigError
from dnsbl.model import Outcome, Status, Wire

FAILED = Wire(Status.TIMEOUT, -1)
BROKEN = Wire(Status.RCODE, 2)
WHY = HeldTexts((b"see https://example.com/",), 1100)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def packed(answers: dict[int, Held], texts: dict[int, HeldTexts] | None = None) -> bytes:
    entry = pack(answers, texts or {}, 1000)
    assert entry is not None
    return entry


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


# ---- what it holds ----


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


def test_rules_do_not_change_under_a_resolver_that_runs() -> None:
    with pytest.raises(FrozenInstanceError):
        TtlRules().max_s = 5  # type: ignore[misc]


# ---- what takes the place of what ----


@pytest.mark.parametrize("failed", [FAILED, BROKEN])
def test_a_failure_takes_the_place_of_no_answer_but_of_a_failure(clock: Clock, failed: Wire) -> None:
    """A listing that is still valid goes on to be told while its list cannot be reached."""
    cache = AnswerCache(10, clock)
    cache.put(A, {0: Held(LISTED, 1100), 1: Held(CLEAN, 1100), 2: Held(FAILED, 1002)})
    cache.put(A, dict.fromkeys(range(4), Held(failed, 1050)))
    assert held(cache, A, 1000).answers == {
        0: Held(LISTED, 1100),
        1: Held(CLEAN, 1100),
        2: Held(failed, 1050),
        3: Held(failed, 1050),
    }


@pytest.mark.parametrize("new", [LISTED, CLEAN])
def test_an_answer_takes_the_place_of_any_other(clock: Clock, new: Wire) -> None:
    cache = AnswerCache(10, clock)
    cache.put(A, {0: Held(FAILED, 1100), 1: Held(LISTED, 1100), 2: Held(CLEAN, 1100)})
    cache.put(A, dict.fromkeys(range(3), Held(new, 1050)))
    assert held(cache, A, 1000).answers == dict.fromkeys(range(3), Held(new, 1050))


def test_no_lack_of_texts_takes_the_place_of_texts(clock: Clock) -> None:
    none, other = HeldTexts((), 1050), HeldTexts((b"other",), 1050)
    cache = AnswerCache(10, clock)
    cache.put(A, {0: Held(LISTED, 1100)}, {0: WHY, 1: WHY, 2: none})
    cache.put(A, {}, {0: none, 1: other, 2: HeldTexts((), 1060), 3: none})
    assert held(cache, A, 1000).texts == {0: WHY, 1: other, 2: HeldTexts((), 1060), 3: none}
    cache.put(A, {1: Held(CLEAN, 1100)})
    assert held(cache, A, 1000) == (
        {0: Held(LISTED, 1100), 1: Held(CLEAN, 1100)},
        {0: WHY, 1: other, 2: HeldTexts((), 1060), 3: none},
    )
    cache.put(A, {}, {2: other})
    assert held(cache, A, 1000).texts[2] == other


def test_a_packed_entry_joins_what_is_valid_and_replaces_what_is_not(clock: Clock) -> None:
    cache = AnswerCache(1, clock)
    cache.put_packed(A, packed({0: Held(CLEAN, 1010)}))
    assert held(cache, A, 1000).answers == {0: Held(CLEAN, 1010)}
    cache.put_packed(A, packed({1: Held(CLEAN, 1020)}))
    assert held(cache, A, 1000).answers == {0: Held(CLEAN, 1010), 1: Held(CLEAN, 1020)}
    clock.now = 1020.5
    later = pack({2: Held(CLEAN, 1100)}, {}, clock.now)
    assert later is not None
    cache.put_packed(A, later)
    assert cache.items() == [(A, later)]


def test_fill_leaves_texts_that_are_there(clock: Clock) -> None:
    cache = AnswerCache(10, clock)
    cache.put(A, {0: Held(LISTED, 1010)}, {0: WHY})
    old = HeldTexts((b"old",), 1500)
    cache.fill(A, packed({0: Held(CLEAN, 1500)}, {0: old, 1: old}))
    assert held(cache, A, 1000) == ({0: Held(LISTED, 1010)}, {0: WHY, 1: old})


# ---- forgetting ----


def test_flush_forgets_a_name_or_a_zone_or_both_or_all(clock: Clock) -> None:
    cache = AnswerCache(10, clock)

    def filled() -> AnswerCache:
        for key in (A, B):
            cache.put(key, {0: Held(LISTED, 1100), 1: Held(CLEAN, 1100)}, {0: WHY, 2: WHY})
        return cache

    def zones(key: bytes) -> tuple[set[int], set[int]]:
        answers, texts = held(cache, key, 1000)
        return set(answers), set(texts)

    filled().flush(A)
    assert (cache.get(A), zones(B)) == (None, ({0, 1}, {0, 2}))
    filled().flush(A, 0)
    assert (zones(A), zones(B)) == (({1}, {2}), ({0, 1}, {0, 2}))
    filled().flush(A, 1)  # of which only an answer is held
    assert (zones(A), zones(B)) == (({0}, {0, 2}), ({0, 1}, {0, 2}))
    filled().flush(A, 2)  # of which only texts are held
    assert (zones(A), zones(B)) == (({0, 1}, {0}), ({0, 1}, {0, 2}))
    filled().flush(zone=0)
    assert (zones(A), zones(B)) == (({1}, {2}), ({1}, {2}))
    filled().flush()
    assert cache.items() == []
    cache.flush(A)
    cache.flush(A, 0)
    assert cache.items() == []
    cache.put(A, {0: Held(CLEAN, 1100)})
    cache.flush(A, 3)
    assert zones(A) == ({0}, set())
    cache.flush(A, 0)
    assert cache.items() == []


# ---- what goes first ----


def test_an_entry_goes_at_the_first_whole_second_at_which_nothing_in_it_is_valid(clock: Clock) -> None:
    cache = AnswerCache(10, clock)
    cache.put(A, {0: Held(CLEAN, 1002)})
    cache.put(B, {0: Held(CLEAN, 1002.5)})
    for now, count in ((1001.9, 2), (1002, 1), (1002.9, 1), (1003, 0)):
        clock.now = now
        assert cache.info().currsize == count, now


@pytest.mark.parametrize(("each", "seconds"), [(SWEEP_ENTRIES, 1), (SWEEP_ENTRIES // 2, 2)])
def test_one_call_clears_away_so_many_expired_entries_and_the_next_goes_on(
    clock: Clock, each: int, seconds: int
) -> None:
    cache = AnswerCache(10_000, clock)
    for number in range(4 * each):
        cache.put(number.to_bytes(4, "big"), {0: Held(CLEAN, 1001 + number % 4)})
    clock.now += 10
    left = [cache.info().currsize for _ in range(4)]
    assert left == [max(0, 4 - seconds * calls) * each for calls in (1, 2, 3, 4)]


def test_a_second_without_an_entry_costs_a_hundredth_of_one(clock: Clock) -> None:
    """A quiet night is caught up with in one call, and no call counts through months."""
    cache = AnswerCache(10, clock)
    cache.put(A, {0: Held(CLEAN, 1001 + 90 * SWEEP_ENTRIES)})
    clock.now += 95 * SWEEP_ENTRIES
    assert cache.info().currsize == 0
    cache.put(A, {0: Held(CLEAN, clock.now + 105 * SWEEP_ENTRIES)})
    clock.now += 110 * SWEEP_ENTRIES
    assert [cache.info().currsize for _ in range(2)] == [1, 0]


def test_entries_that_expire_each_at_a_second_of_its_own_are_swept_up_a_little_slower(clock: Clock) -> None:
    cache = AnswerCache(1000, clock)
    for number in range(600):
        cache.put(number.to_bytes(4, "big"), {0: Held(CLEAN, 1001 + number)})
    clock.now += 1000
    assert 600 - cache.info().currsize == ceil(SWEEP_ENTRIES / 1.01)


def test_an_entry_counts_once_for_each_full_bytes_it_has_begun(clock: Clock) -> None:
    cache = AnswerCache(3, clock)
    head = len(packed({}, {0: HeldTexts((b"x",), 1100)})) - 1

    def put(key: bytes, size: int) -> None:
        texts = (b"x" * 500, b"x" * (size - head - 2 - 500))
        cache.put(key, {}, {0: HeldTexts(texts, 1100)})
        assert len(cache.get(key) or b"") == size

    put(A, FULL_BYTES - 1)
    put(B, FULL_BYTES - 1)
    put(b"\xc0\x00\x02\x03", FULL_BYTES - 1)
    assert len(cache.keys()) == 3
    put(A, FULL_BYTES)
    assert len(cache.keys()) == 2
