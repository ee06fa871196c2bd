"""check_many: a bounded window, order or none, errors in place, early ends."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator

import pytest
from support.lookups import eventually, outcomes, resolver_for, timed, with_zones

from dnsbl import ConfigError, Outcome, SubjectError, Verdict
from dnsbl.testing import DnsblServer, Query, Reply, silence


def addresses(count: int) -> list[str]:
    return [f"198.51.{number // 256}.{number % 256}" for number in range(count)]


def told(found: Verdict | SubjectError) -> str:
    return found.text if isinstance(found, SubjectError) else found.subject


def test_in_input_order_if_asked_though_answers_come_the_other_way_round(dnsbl_server: DnsblServer) -> None:
    zone = dnsbl_server.zone("bl.example")

    def the_last_first(query: Query, answer: object) -> Reply:
        number = int(query.name.split(".")[0])
        return answer()._replace(delay_s=0.04 * (30 - number))  # type: ignore[operator,no-any-return]

    zone.fault(the_last_first)
    subjects = [f"192.0.2.{number}" for number in range(30)]
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        assert [told(found) for found in resolver.check_many(subjects, ordered=True)] == subjects
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        assert [told(found) for found in resolver.check_many(subjects)] == subjects[::-1]


@pytest.mark.parametrize("ordered", [True, False])
def test_a_bad_item_yields_an_error_in_its_place_and_the_stream_goes_on(
    dnsbl_server: DnsblServer, ordered: bool
) -> None:
    dnsbl_server.zone("bl.example")
    subjects = [
        "192.0.2.1",
        "a..b.example",
        None,
        b"\1\2\3",
        "192.0.2.2",
        "192.0.2.300",
        b"\xc0\0\2\3",
        7,
        "::1::",
    ]
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        found = list(resolver.check_many(subjects, ordered=ordered))
    assert len(found) == len(subjects)
    assert {told(each) for each in found if isinstance(each, Verdict)} == {
        "192.0.2.1",
        "192.0.2.2",
        "192.0.2.3",
    }
    if ordered:
        assert [isinstance(each, Verdict) for each in found] == [1, 0, 0, 0, 1, 0, 1, 0, 0]


def test_the_same_subject_many_times_is_asked_once(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99")
    with resolver_for(dnsbl_server, "bl.example", reasons=False) as resolver:
        found = list(resolver.check_many(["192.0.2.99", "::ffff:192.0.2.99"] * 500, window=64))
    assert [isinstance(each, Verdict) and each.listed for each in found] == [True] * 1000
    assert dnsbl_server.count() == 1


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("answered", [True, False])
def test_a_window_bounds_what_is_taken_ahead_of_100000(
    dnsbl_server: DnsblServer, ordered: bool, answered: bool
) -> None:
    """Private addresses end at once, so that the whole stream is quick; the others are asked, and wait."""
    zone = dnsbl_server.zone("bl.example")
    if not answered:
        zone.fault(silence())
    taken = 0

    def source() -> Iterator[str]:
        nonlocal taken
        for number in range(100_000):
            taken += 1
            yield (
                f"192.0.2.{number % 256}"
                if number % 20_000 == 0
                else f"10.0.{number // 256 % 256}.{number % 256}"
            )

    with resolver_for(dnsbl_server, "bl.example", deadline_s=0.05 if not answered else 5) as resolver:
        given = most = 0
        for _ in resolver.check_many(source(), window=64, ordered=ordered):
            given += 1
            most = max(most, taken - given)
    assert given == taken == 100_000
    assert most <= 64


def test_a_slow_source_holds_no_verdict_up(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example")
    read = 0

    def source() -> Iterator[str]:
        nonlocal read
        for number in range(20):
            read += 1
            time.sleep(0.02)
            yield f"192.0.2.{number}"

    behind = []
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        for given, _ in enumerate(resolver.check_many(source()), 1):
            behind.append(read - given)
    assert len(behind) == 20
    assert max(behind) <= 3  # not a window of 256


def test_abandoning_a_stream_half_way_leaves_nothing_behind(
    dnsbl_server: DnsblServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dnsbl.lookup.inflight.LISTEN_S", 0.1)
    zones = with_zones(dnsbl_server, "quick.example", "silent.example")
    dnsbl_server.zone("silent.example").fault(silence())
    with resolver_for(dnsbl_server, *zones, deadline_s=0.2) as resolver:
        stream = resolver.check_many(addresses(10_000), window=32)
        first = next(stream)
        assert isinstance(first, Verdict)
        stream.close()  # type: ignore[attr-defined]
        asked = dnsbl_server.count("quick.example")
        assert asked <= 64
        abandoned = resolver.check_many(addresses(10_000), window=32)
        next(abandoned)
        del abandoned
        gc.collect()
        assert eventually(lambda: resolver.stats()["in_flight"] == 0, 5)
        assert dnsbl_server.count("quick.example") <= 128
        verdict, took_s = timed(lambda: resolver.check("192.0.2.1"))
        assert outcomes(verdict)[0] is Outcome.NOT_LISTED
        assert took_s < 1


def test_an_error_of_the_source_ends_the_stream(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example")

    def source() -> Iterator[str]:
        yield "192.0.2.1"
        raise KeyError("the source's own")

    with resolver_for(dnsbl_server, "bl.example") as resolver:
        stream = resolver.check_many(source())
        assert told(next(stream)) == "192.0.2.1"
        with pytest.raises(KeyError, match="the source's own"):
            next(stream)
        assert resolver.check("192.0.2.2").complete


def test_streams_within_streams_and_lookups_within(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.0/25")
    with resolver_for(dnsbl_server, "bl.example", reasons=False) as resolver:
        subjects = [f"192.0.2.{n}" for n in range(100, 150)]
        seen = []
        for outer in resolver.check_many(subjects, window=8):
            assert isinstance(outer, Verdict)
            seen.append(outer.subject)
            assert resolver.check(outer.subject).listed == outer.listed
            inner = list(resolver.check_many([outer.subject, "192.0.2.200"], ordered=True))
            assert [isinstance(each, Verdict) and each.listed for each in inner] == [outer.listed, False]
    assert sorted(seen) == sorted(subjects)


@pytest.mark.parametrize("window", [0, -1, 1.5, 100_000, True])
def test_an_unusable_window_is_a_clear_error(dnsbl_server: DnsblServer, window: int) -> None:
    with resolver_for(dnsbl_server, "bl.example") as resolver, pytest.raises(ConfigError, match="window"):
        list(resolver.check_many(["192.0.2.1"], window=window))


def test_a_deadline_of_its_own(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").fault(silence())
    with resolver_for(dnsbl_server, "bl.example", deadline_s=20) as resolver:
        found, took_s = timed(lambda: list(resolver.check_many(addresses(50), deadline_s=0.2)))
    assert len(found) == 50
    assert 0.2 <= took_s < 1
