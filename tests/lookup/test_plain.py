"""Plain answers are taken in by C: with the same result, to the last counter, as those taken in by Python."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable
from typing import Any

import pytest

from dnsbl import Resolver
from dnsbl.cache.answers import HEADER, AnswerCache, unpack
from dnsbl.cache.entry import Held, pack
from dnsbl.health.counters import BOUNDS_US, BUCKETS, HALVE_AT, PLAIN, SENT, TOTAL, Latencies
from dnsbl.model import Status, Verdict, Wire
from dnsbl.testing import DnsblServer, rcode

ZONES = ("a.bl.example", "b.bl.example", "c.bl.example")
SUBJECTS = tuple(f"192.0.2.{last}" for last in range(1, 41))


def looked_up(server: DnsblServer, *, in_python: bool, **options: Any) -> tuple[Resolver, list[Verdict]]:
    resolver = Resolver(ZONES, [server.nameserver], deadline_s=10, check_private=True, **options)
    if in_python:
        resolver._core.upstream.when_started = lambda: None
    found = [each for each in resolver.check_many(SUBJECTS, ordered=True) if isinstance(each, Verdict)]
    assert len(found) == len(SUBJECTS)
    return resolver, found


def timeless(verdict: Verdict) -> dict[str, Any]:
    """A verdict without what differs from one run to the next: how long it took, and what is left of a TTL."""
    out: dict[str, Any] = json.loads(json.dumps(verdict.to_dict(explain=True)))
    assert out.pop("elapsed_s") > 0
    for each in [out, *out["answers"]]:
        each["ttl_s"] = each["ttl_s"] and round(each["ttl_s"], -2)
    for each in out["answers"]:
        each["latency_ms"] = each["latency_ms"] is not None
    return out


def counts(resolver: Resolver) -> dict[str, Any]:
    zones = resolver.stats()["zones"]
    return {name: {key: of[key] for key in ("queries", "outcomes", "breaker")} for name, of in zones.items()}


def entries(resolver: Resolver) -> dict[Any, dict[int, Wire]]:
    cached = resolver._core.cached_entries()
    return {
        key: {zone: held.wire for zone, held in unpack(entry, 0.0).answers.items()} for key, entry in cached
    }


def plain(server: DnsblServer) -> None:
    assert server.zone(ZONES[0])


def some_listed(server: DnsblServer) -> None:
    for subject in SUBJECTS[::3]:
        server.zone(ZONES[1]).list(subject)


def one_refuses(server: DnsblServer) -> None:
    server.zone(ZONES[2]).fault(rcode("REFUSED"))


@pytest.mark.parametrize(("prepare", "good_count"), [(plain, 40), (some_listed, 26), (one_refuses, 0)])
@pytest.mark.parametrize("options", [{}, {"ttl_min_s": 5000.0}, {"ttl_max_s": 200.0}, {"cache_size": 0}])
def test_c_and_python_come_to_the_same(
    prepare: Callable[[DnsblServer], None], good_count: int, options: dict[str, Any]
) -> None:
    """Verdicts with their evidence, counters, breaker and cache: whoever took the answers in."""
    with DnsblServer(zones=ZONES) as server:
        prepare(server)
        both = [looked_up(server, in_python=in_python, **options) for in_python in (False, True)]
        (ours, verdicts), (plainly, expected) = both
        for resolver, _ in both:
            resolver.close()
        assert list(map(timeless, verdicts)) == list(map(timeless, expected))
        assert counts(ours) == counts(plainly)
        assert entries(ours) == entries(plainly)
        good = [each for each in verdicts if each.complete and not each.listed]
        assert len(good) == good_count
        for zone, of in ours.stats()["zones"].items():
            assert of["latency_ms"]["p50"] > 0
            assert of["outcomes"]["not_listed"] or (prepare is one_refuses and zone == ZONES[2])


def test_a_plain_answer_is_packed_as_python_packs_it() -> None:
    """The entry in the cache is, to the byte, what `pack` makes of the same answers."""
    with DnsblServer(zones=ZONES) as server, Resolver(ZONES, [server.nameserver], deadline_s=10) as resolver:
        assert resolver.check("203.0.114.1").complete
        entry = resolver._core.cache.get(bytes([203, 0, 114, 1]))
    assert entry is not None
    assert entry == pack(unpack(entry, 0.0).answers, {}, 0.0)
    assert HEADER.unpack_from(entry)[2:] == (0b111, 0)


def test_packed_answers_are_held_beside_what_is_there() -> None:
    """What the cache holds of other zones stays; what has expired goes."""
    now = 100.0
    cache = AnswerCache(10, lambda: now)
    wire = Wire(Status.NXDOMAIN, 3)
    cache.put(b"1234", {0: Held(wire, 200.0), 1: Held(wire, 101.0)})
    fresh = pack({2: Held(wire, 300.0)}, {}, now)
    assert fresh is not None
    cache.put_packed(b"1234", fresh)
    assert set(unpack(cache.get(b"1234") or b"", now).answers) == {0, 1, 2}
    now = 250.0
    cache.put_packed(b"1234", fresh)
    assert set(unpack(cache.get(b"1234") or b"", 0.0).answers) == {2}
    AnswerCache(0, lambda: now).put_packed(b"1234", fresh)


@pytest.mark.parametrize("latency_us", [0, 9, 10, 11, 12, 13, 99, 1000, 4242, 10**6, 10**9])
def test_bounds_are_those_of_the_histogram(latency_us: int) -> None:
    """C and Python put a latency into the same bucket."""
    row = array("Q", bytes(8 * (SENT + 1)))
    Latencies(row).add(latency_us / 1e6)
    bucket = sum(latency_us >= bound for bound in BOUNDS_US)
    assert row[bucket] == 1
    assert (row[TOTAL], row[PLAIN], len(BOUNDS_US)) == (1, 0, BUCKETS - 1)


def test_c_halves_the_histogram_too() -> None:
    """A resolver that runs for months forgets old latencies, and its other counters go on."""
    with DnsblServer(zones=ZONES) as server, Resolver(ZONES, [server.nameserver], deadline_s=10) as resolver:
        row = resolver._core.stats.rows[0]
        row[3] = row[TOTAL] = HALVE_AT - 1
        assert resolver.check("203.0.114.1").complete
    assert HALVE_AT // 2 - 1 <= row[TOTAL] <= HALVE_AT // 2
    assert (row[3] - HALVE_AT // 2 in (-1, 0), row[PLAIN], row[SENT]) == (True, 1, 1)
