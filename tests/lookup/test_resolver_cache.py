"""What the Resolver holds, for how long, how much of it, and what of it outlives a restart."""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from support.lookups import answer_of, eventually, outcomes, resolver_for, with_zones
from support.servers import Rbldnsd

from dnsbl import Outcome, Resolver, SubjectError, Zone, ZoneError
from dnsbl.testing import DnsblServer, delay, garbage, parked, rcode, silence


def ttl_of(resolver: Resolver, subject: str, zone: str = "bl.example") -> float | None:
    return answer_of(resolver.check(subject), zone).ttl_s


# ---- how long ----


def test_one_expired_zone_costs_one_query_not_all_of_them(dnsbl_server: DnsblServer) -> None:
    names = with_zones(dnsbl_server, *(f"bl{number}.example" for number in range(6)))
    dnsbl_server.zone("bl3.example").negative(ttl=1, minimum=1)
    with resolver_for(dnsbl_server, *names) as resolver:
        resolver.check("192.0.2.1")
        resolver.check("192.0.2.1")
        assert dnsbl_server.count() == 6
        time.sleep(1.05)
        verdict = resolver.check("192.0.2.1")
        assert [answer.cached for answer in verdict.answers] == [True] * 3 + [False] + [True] * 2
        assert verdict.complete
    assert [dnsbl_server.count(name) for name in names] == [1, 1, 1, 2, 1, 1]


@pytest.mark.parametrize("ttl", [0, 1, 60, 86_400, 2_000_000])
def test_a_listing_is_held_for_its_ttl_up_to_a_day(dnsbl_server: DnsblServer, ttl: int) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99", ttl=ttl)
    with resolver_for(dnsbl_server, "bl.example", reasons=False) as resolver:
        expected = pytest.approx(min(ttl, 86_400), abs=0.5) if ttl else None
        assert ttl_of(resolver, "192.0.2.99") == expected
        resolver.check("192.0.2.99")
    assert dnsbl_server.count() == (1 if ttl else 2)


def test_the_lowest_ttl_of_several_records_counts(dnsbl_server: DnsblServer) -> None:
    def answers(query: object, answer: object) -> object:
        message = query.message  # type: ignore[attr-defined]
        import dns.message
        import dns.rrset

        reply = dns.message.make_response(message)
        name = message.question[0].name
        for ttl, code in ((300, "127.0.0.2"), (60, "127.0.0.4"), (900, "127.0.0.10")):
            reply.answer.append(dns.rrset.from_text(name, ttl, "IN", "A", code))
        return reply

    dnsbl_server.zone("bl.example").fault(answers)  # type: ignore[arg-type]
    with resolver_for(dnsbl_server, "bl.example", reasons=False) as resolver:
        assert ttl_of(resolver, "192.0.2.99") == pytest.approx(60, abs=0.5)


@pytest.mark.parametrize("negative", ["NXDOMAIN", "NOERROR"])
@pytest.mark.parametrize(
    ("ttl", "minimum", "held_s"), [(60, 300, 60), (300, 60, 60), (0, 300, 0), (300, 0, 0)]
)
def test_rfc_2308_the_lower_of_soa_ttl_and_minimum(
    dnsbl_server: DnsblServer, negative: str, ttl: int, minimum: int, held_s: int
) -> None:
    dnsbl_server.zone("bl.example").negative(negative, ttl=ttl, minimum=minimum)
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        expected = pytest.approx(held_s, abs=0.5) if held_s else None
        for subject in ("192.0.2.1", "2001:db8::1"):
            assert ttl_of(resolver, subject) == expected


@pytest.mark.parametrize("negative", ["NXDOMAIN", "NOERROR"])
def test_rfc_2308_without_an_soa_nothing_is_held(dnsbl_server: DnsblServer, negative: str) -> None:
    dnsbl_server.zone("bl.example").negative(negative, soa=False)
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        for _ in range(3):
            assert ttl_of(resolver, "192.0.2.1") is None
        assert resolver.cache_info().currsize == 0
    assert dnsbl_server.count() == 3


def test_floor_and_ceiling(dnsbl_server: DnsblServer) -> None:
    zone = dnsbl_server.zone("bl.example")
    zone.list("192.0.2.1", ttl=0)
    zone.list("192.0.2.2", ttl=3600)
    zone.negative(ttl=5)
    with resolver_for(dnsbl_server, "bl.example", reasons=False, ttl_min_s=30, ttl_max_s=90) as resolver:
        subjects = ("192.0.2.1", "192.0.2.2", "192.0.2.3")
        assert [ttl_of(resolver, subject) for subject in subjects] == pytest.approx([30, 90, 30], abs=0.5)
    zone.negative(soa=False)
    with resolver_for(dnsbl_server, "bl.example", ttl_min_s=30) as resolver:
        assert ttl_of(resolver, "192.0.2.3") is None  # the floor lifts a TTL, it does not make one


@pytest.mark.parametrize("fault", [rcode("SERVFAIL"), rcode("NOTIMP"), silence()])
@pytest.mark.parametrize("place", [0, 1])
def test_a_failure_of_one_zone_is_held_a_few_seconds(
    dnsbl_server: DnsblServer, fault: object, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dnsbl.cache.answers.FAILURE_HOLD_S", 0.3)
    dnsbl_server.zone("dead.example").fault(fault)  # type: ignore[arg-type]
    dnsbl_server.zone("bl.example")
    zones = ["bl.example", "bl.example"]
    zones[place] = "dead.example"
    with resolver_for(dnsbl_server, *zones, deadline_s=0.15, timeout_s=5) as resolver:
        first = resolver.check("192.0.2.1").answers[place].outcome
        held = resolver.check("192.0.2.1").answers[place]
        assert (held.outcome, held.cached) == (first, True)
        assert first in (Outcome.SERVFAIL, Outcome.TIMEOUT)
        assert dnsbl_server.count("dead.example") == 1
        time.sleep(0.35)
        resolver.check("192.0.2.1")
        assert dnsbl_server.count("dead.example") == 2
        assert dnsbl_server.count("bl.example") == 1


def test_a_failure_is_held_for_seconds_not_minutes() -> None:
    from dnsbl.cache.answers import FAILURE_HOLD_S

    assert 1 <= FAILURE_HOLD_S <= 2  # verdicts are right again 2 s after an outage


@pytest.mark.parametrize("fault", [rcode("SERVFAIL"), silence()])
def test_a_failure_that_is_the_nameservers_is_not_held(dnsbl_server: DnsblServer, fault: object) -> None:
    names = with_zones(dnsbl_server, "a.example", "b.example")
    dnsbl_server.fault(fault)  # type: ignore[arg-type]
    with resolver_for(dnsbl_server, *names, deadline_s=0.15, timeout_s=5) as resolver:
        for number in range(1, 4):
            verdict = resolver.check("192.0.2.1")
            assert not verdict.complete
            assert [answer.cached for answer in verdict.answers] == [False, False]
            assert dnsbl_server.count("a.example") == number
        dnsbl_server.heal()
        assert resolver.check("192.0.2.1").complete


@pytest.mark.parametrize(
    ("codes", "ttl", "held_s", "outcome"),
    [
        ("127.255.255.254", 1, 60, Outcome.BLOCKED),
        ("127.255.255.252", 120, 120, Outcome.BLOCKED),
        ("127.255.255.255", 86_400, 300, Outcome.BLOCKED),
        ("203.0.113.80", 1, 60, Outcome.INVALID),
        ("203.0.113.80", 86_400, 300, Outcome.INVALID),
        ("127.0.0.1", 0, 60, Outcome.INVALID),
    ],
)
def test_a_refusal_is_held_for_one_to_five_minutes_and_counted(
    dnsbl_server: DnsblServer, codes: str, ttl: int, held_s: int, outcome: Outcome
) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99", codes=[codes], ttl=ttl)
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        assert outcomes(resolver.check("192.0.2.99")) == [outcome]
        assert ttl_of(resolver, "192.0.2.99") == pytest.approx(held_s, abs=0.5)
        assert dnsbl_server.count() == 1
        assert resolver.stats()["zones"]["bl.example"]["outcomes"][outcome.value] == 1


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [(rcode("REFUSED"), Outcome.BLOCKED), (parked(), Outcome.INVALID), (garbage("half"), Outcome.INVALID)],
)
def test_a_list_that_refuses_us_is_not_asked_on_every_connection(
    dnsbl_server: DnsblServer, fault: object, outcome: Outcome
) -> None:
    dnsbl_server.zone("bl.example").fault(fault)  # type: ignore[arg-type]
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        verdict = resolver.check("192.0.2.1")
        assert (outcomes(verdict), verdict.complete) == ([outcome], False)
        asked = dnsbl_server.count()
        for _ in range(5):
            verdict = resolver.check("192.0.2.1")
            assert (outcomes(verdict), verdict.complete) == ([outcome], False)
        assert dnsbl_server.count() == asked
        assert 59 < (ttl_of(resolver, "192.0.2.1") or 0) <= 300


# ---- late answers ----


@pytest.mark.parametrize("late_s", [0.3, 1.3])
def test_a_late_answer_fills_the_cache(dnsbl_server: DnsblServer, late_s: float) -> None:
    """The engine listens 2 s longer than the deadline."""
    zone = dnsbl_server.zone("bl.example")
    zone.list("192.0.2.99")
    zone.fault(delay(late_s))
    with resolver_for(dnsbl_server, "bl.example", deadline_s=0.1, reasons=False) as resolver:
        assert outcomes(resolver.check("192.0.2.99")) == [Outcome.TIMEOUT]
        assert eventually(lambda: resolver.stats()["in_flight"] == 0, 10)
        found = resolver.check_cached("192.0.2.99")
        assert found is not None
        assert (found.listed, found.complete) == (True, True)
    assert dnsbl_server.count() == 1


def test_a_late_answer_takes_the_place_of_the_timeout_held(dnsbl_server: DnsblServer) -> None:
    names = with_zones(dnsbl_server, "slow.example", "quick.example")
    dnsbl_server.zone("slow.example").list("192.0.2.99")
    dnsbl_server.zone("slow.example").fault(delay(0.3))
    with resolver_for(dnsbl_server, *names, deadline_s=0.1, reasons=False) as resolver:
        assert outcomes(resolver.check("192.0.2.99")) == [Outcome.TIMEOUT, Outcome.NOT_LISTED]
        assert outcomes(resolver.check("192.0.2.99")) == [Outcome.TIMEOUT, Outcome.NOT_LISTED]
        assert eventually(lambda: resolver.stats()["in_flight"] == 0, 10)
        assert outcomes(resolver.check("192.0.2.99")) == [Outcome.LISTED, Outcome.NOT_LISTED]
    assert dnsbl_server.count("slow.example") == 1


# ---- what is held ----


def test_a_domain_and_its_host_are_held_as_what_was_asked(dnsbl_server: DnsblServer) -> None:
    zone = Zone("uri.example", subjects=frozenset({"domain"}))
    dnsbl_server.zone("uri.example")
    with resolver_for(dnsbl_server, zone) as resolver:
        for subject in ("a.example.com", "b.example.com", "EXAMPLE.com.", "example.com"):
            resolver.check(subject)
        assert resolver.cache_info().currsize == 1
    assert dnsbl_server.count() == 1


def test_the_least_recently_used_goes_first(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.2")
    with resolver_for(dnsbl_server, "bl.example", cache_size=3, reasons=False) as resolver:
        for number in (1, 2, 3, 1, 4):  # 2 is the one longest unused
            resolver.check(f"192.0.2.{number}")
        held = [n for n in range(1, 5) if resolver.check_cached(f"192.0.2.{n}") is not None]
        assert held == [1, 3, 4]
        assert resolver.cache_info().maxsize == 3
        for number in range(100):
            resolver.check(f"198.51.100.{number}")
            assert resolver.cache_info().currsize <= 3


def test_what_has_expired_goes_before_what_was_used_less_recently(dnsbl_server: DnsblServer) -> None:
    zone = dnsbl_server.zone("bl.example")
    zone.list("192.0.2.3", ttl=1)
    with resolver_for(dnsbl_server, "bl.example", cache_size=3, reasons=False) as resolver:
        for number in (1, 2, 3):
            resolver.check(f"192.0.2.{number}")
        time.sleep(2.1)  # entries are dropped at whole seconds
        resolver.check("192.0.2.4")
        assert [n for n in range(1, 5) if resolver.check_cached(f"192.0.2.{n}") is not None] == [1, 2, 4]


def test_a_cache_of_no_size_holds_nothing(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99", txt="why")
    with resolver_for(dnsbl_server, "bl.example", cache_size=0) as resolver:
        for _ in range(3):
            assert resolver.check("192.0.2.99").listings[0].reason == "why"
        assert resolver.cache_info().currsize == 0
    assert (dnsbl_server.count(type="A"), dnsbl_server.count(type="TXT")) == (3, 3)


def test_cache_info_counts_hits_and_misses(dnsbl_server: DnsblServer) -> None:
    names = with_zones(dnsbl_server, "a.example", "b.example")
    dnsbl_server.zone("b.example").negative(soa=False)
    dnsbl_server.zone("b.example").list("192.0.2.99")
    with resolver_for(dnsbl_server, *names, reasons=False) as resolver:
        assert resolver.cache_info()[:2] == (0, 0)
        for subject in ("192.0.2.99", "192.0.2.99", "192.0.2.1", "192.0.2.1"):  # b's no is not held
            resolver.check(subject)
        assert resolver.cache_info()[:2] == (1, 3)
        assert resolver.cache_info().currsize == 2


def test_flush(dnsbl_server: DnsblServer) -> None:
    names = with_zones(dnsbl_server, "a.example", "b.example")
    dnsbl_server.zone("a.example").list("192.0.2.1", txt="why")

    def asked() -> list[int]:
        counts = [dnsbl_server.count(name, "A") for name in names]
        dnsbl_server.clear()
        return counts

    with resolver_for(dnsbl_server, *names) as resolver:

        def look_up_all() -> list[int]:
            for subject in ("192.0.2.1", "192.0.2.2", "2001:db8::1"):
                assert resolver.check(subject).complete
            return asked()

        assert look_up_all() == [3, 3]
        assert look_up_all() == [0, 0]
        resolver.flush("::ffff:192.0.2.1")
        assert look_up_all() == [1, 1]
        resolver.flush(zone="A.example.")
        assert look_up_all() == [3, 0]
        resolver.flush(b"\xc0\0\2\2", "b.example")
        assert look_up_all() == [0, 1]
        resolver.flush()
        assert resolver.cache_info().currsize == 0
        assert look_up_all() == [3, 3]
        resolver.flush("198.51.100.1")  # not held: nothing happens
        resolver.flush("10.0.0.1")
        with pytest.raises(SubjectError):
            resolver.flush("a..b")
        for zone in ("c.example", "a..b"):
            with pytest.raises(ZoneError):
                resolver.flush(zone=zone)
        assert look_up_all() == [0, 0]


def test_an_answer_after_a_flush_of_its_reason_asks_for_the_reason_again(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99", txt="why")
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        resolver.check("192.0.2.99")
        resolver.flush(zone="bl.example")
        assert resolver.check("192.0.2.99").listings[0].reason == "why"
    assert (dnsbl_server.count(type="A"), dnsbl_server.count(type="TXT")) == (2, 2)


def test_a_flush_of_one_zone_lets_lookups_go_on(dnsbl_server: DnsblServer) -> None:
    """It takes long where much is held, and holds the lock for a moment at a time."""
    names = with_zones(dnsbl_server, "a.example", "b.example")
    with resolver_for(dnsbl_server, *names, deadline_s=20, cache_size=20_000) as resolver:
        for _ in resolver.check_many(f"198.51.{n // 256}.{n % 256}" for n in range(10_000)):
            pass
        started_s = time.monotonic()
        flusher = threading.Thread(target=resolver.flush, kwargs={"zone": "a.example"})
        flusher.start()
        took_s = []
        while flusher.is_alive():
            before_s = time.monotonic()
            resolver.check("192.0.2.1")
            took_s.append(time.monotonic() - before_s)
            time.sleep(0.002)
        flusher.join()
        assert len(took_s) > 2
        assert sorted(took_s)[len(took_s) * 9 // 10] < (time.monotonic() - started_s) / 2
        assert resolver.check_cached("198.51.0.1") is None


def test_a_clean_subject_of_six_zones_takes_at_most_600_bytes() -> None:
    names = [f"bl{number}.example" for number in range(6)]
    data = {name: {"ip4set": ":127.0.0.2:listed\n192.0.2.99"} for name in names}
    subjects = [bytes([198, 51, number // 256, number % 256]) for number in range(10_000)]
    with (
        Rbldnsd(data) as rbldnsd,
        Resolver(names, [rbldnsd.nameserver], deadline_s=20, cache_size=10_000) as resolver,
    ):
        for verdict in resolver.check_many(subjects[:100]):  # what is made once
            assert verdict.complete  # type: ignore[union-attr]
        resolver.flush()
        subjects = subjects[100:]
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for verdict in resolver.check_many(bytes(subject) for subject in subjects):
                assert verdict.complete  # type: ignore[union-attr]
            del verdict
            assert eventually(lambda: resolver.stats()["in_flight"] == 0, 5)
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert resolver.cache_info().currsize == len(subjects)
    assert (after - before) / len(subjects) <= 600


# ---- a restart ----


def test_a_restart_does_not_ask_every_list_again(dnsbl_server: DnsblServer, tmp_path: Path) -> None:
    path = tmp_path / "cache"
    names = with_zones(dnsbl_server, "a.example", "b.example")
    uri = Zone("uri.example", subjects=frozenset({"domain"}))
    dnsbl_server.zone("uri.example")
    dnsbl_server.zone("a.example").list("192.0.2.99", codes=["127.0.0.4", "127.0.0.2"], txt="why")
    subjects = ["192.0.2.99", "192.0.2.1", "2001:db8::1", "www.example.com"]
    with resolver_for(dnsbl_server, *names, uri) as resolver:
        before = [resolver.check(subject) for subject in subjects]
        assert resolver.save_cache(path) == 4
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert os.listdir(tmp_path) == ["cache"]
    dnsbl_server.clear()
    # Other zones in another order, and another weight: answers are kept, never verdicts.
    zones = (uri, Zone("b.example"), Zone("new.example"), Zone("a.example", weight=5))
    dnsbl_server.zone("new.example")
    with resolver_for(dnsbl_server, *zones) as resolver:
        assert resolver.load_cache(str(path)) == 4
        after = [resolver.check(subject) for subject in subjects]
        for one, other in zip(before, after, strict=True):
            for zone in ("a.example", "b.example", "uri.example"):
                was, now = answer_of(one, zone), answer_of(other, zone)
                assert (was.outcome, was.codes, was.reason) == (now.outcome, now.codes, now.reason)
                assert now.cached == (now.outcome is not Outcome.SKIPPED)
        assert after[0].score == 5
        assert [dnsbl_server.count(name) for name in (*names, "uri.example", "new.example")] == [0, 0, 0, 3]


def test_saved_answers_expire_as_if_nothing_had_happened(dnsbl_server: DnsblServer, tmp_path: Path) -> None:
    dnsbl_server.zone("bl.example").negative(ttl=1)
    path = tmp_path / "cache"
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        resolver.check("192.0.2.1")
        resolver.save_cache(path)
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        assert resolver.load_cache(path) == 1
        assert 0 < (ttl_of(resolver, "192.0.2.1") or 0) <= 1
    time.sleep(1.05)
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        assert resolver.load_cache(path) == 0
        assert resolver.check("192.0.2.1").complete
    assert dnsbl_server.count() == 2


def test_the_ceiling_and_the_size_of_the_loading_resolver_hold(
    dnsbl_server: DnsblServer, tmp_path: Path
) -> None:
    dnsbl_server.zone("bl.example").negative(ttl=3600, minimum=3600)
    path = tmp_path / "cache"
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        for number in range(5):
            resolver.check(f"192.0.2.{number}")
        assert resolver.save_cache(path) == 5
    with resolver_for(dnsbl_server, "bl.example", ttl_max_s=60, cache_size=3) as resolver:
        assert resolver.load_cache(path) == 3
        assert [n for n in range(5) if resolver.check_cached(f"192.0.2.{n}") is not None] == [2, 3, 4]
        assert (ttl_of(resolver, "192.0.2.4") or 0) <= 60


def test_a_zone_with_its_own_nameservers_is_known_by_them_too(
    dnsbl_server: DnsblServer, tmp_path: Path
) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99")
    path = tmp_path / "cache"
    own = Zone("bl.example", nameservers=(dnsbl_server.nameserver,))
    for saved, loaded, known in [
        (own, own, True),
        (own, Zone("bl.example"), False),
        (Zone("bl.example"), own, False),
        (own, replace(own, nameservers=("127.0.0.1:1",)), False),
        (own, replace(own, weight=2), True),
    ]:
        with resolver_for(dnsbl_server, saved) as resolver:
            resolver.check("192.0.2.99")
            assert resolver.save_cache(path) == 1
        with resolver_for(dnsbl_server, loaded) as resolver:
            assert resolver.load_cache(path) == known
            assert (resolver.check_cached("192.0.2.99") is not None) == known


def test_a_key_is_not_in_the_file(dnsbl_server: DnsblServer, tmp_path: Path) -> None:
    dnsbl_server.zone("secretkey123.bl.example").list("192.0.2.99", txt="why")
    path = tmp_path / "cache"
    zone = Zone("bl.example", key="secretkey123")
    with resolver_for(dnsbl_server, zone) as resolver:
        assert resolver.check("192.0.2.99").listed
        resolver.save_cache(path)
    assert b"secretkey123" not in path.read_bytes()
    assert b"bl.example" in path.read_bytes()


@pytest.mark.parametrize(
    "kind", ["damaged", "cut short", "foreign", "future", "empty", "a directory", "unreadable"]
)
def test_a_file_that_cannot_be_used_is_ignored_with_one_warning(
    dnsbl_server: DnsblServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99")
    path = tmp_path / "cache"
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        resolver.check("192.0.2.99")
        resolver.save_cache(path)
    data = bytearray(path.read_bytes())
    if kind == "damaged":
        data[-3] ^= 0x10
    elif kind == "cut short":
        del data[-5:]
    elif kind == "foreign":
        data[:] = b"#!/bin/sh\nexit 1\n" * 10
    elif kind == "future":
        data[8:10] = (2).to_bytes(2, "little")
    elif kind == "empty":
        data.clear()
    path.write_bytes(data)
    if kind in ("a directory", "unreadable"):
        path.unlink()
        path.mkdir() if kind == "a directory" else path.symlink_to(path)
    with resolver_for(dnsbl_server, "bl.example", reasons=False) as resolver, caplog.at_level(logging.INFO):
        assert resolver.load_cache(path) == 0
        assert resolver.check("192.0.2.99").listed
        resolver.check("192.0.2.98")
    assert [(record.levelname, record.name) for record in caplog.records] == [("WARNING", "dnsbl.cache")]
    assert str(path) in caplog.text


def test_a_file_that_is_not_there_is_no_warning(
    dnsbl_server: DnsblServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        assert resolver.load_cache(tmp_path / "cache") == 0
    assert not caplog.records


def test_a_file_that_cannot_be_written_is_the_callers_to_know(
    dnsbl_server: DnsblServer, tmp_path: Path
) -> None:
    with resolver_for(dnsbl_server, "bl.example") as resolver, pytest.raises(OSError, match="cache"):
        resolver.save_cache(tmp_path / "nowhere" / "cache")


def test_saving_and_loading_while_lookups_run(dnsbl_server: DnsblServer, tmp_path: Path) -> None:
    names = with_zones(dnsbl_server, "a.example", "b.example")
    path = tmp_path / "cache"
    with resolver_for(dnsbl_server, *names, deadline_s=10) as resolver:
        stream = resolver.check_many(f"198.51.{n // 256}.{n % 256}" for n in range(2000))
        for number, verdict in enumerate(stream):
            assert verdict.complete  # type: ignore[union-attr]
            if number % 500 == 250:
                assert resolver.save_cache(path) >= number - 250
                resolver.load_cache(path)
        resolver.save_cache(path)
    with resolver_for(dnsbl_server, *names) as resolver:
        assert resolver.load_cache(path) == 2000
