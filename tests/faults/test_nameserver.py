"""What a nameserver can do: say nothing, refuse, be slow, come and go, answer from elsewhere."""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.asking import eventually
from support.faultmatrix import Report

from dnsbl import Outcome, Resolver, Verdict
from dnsbl.testing import DnsblServer, delay, garbage, hang_up, rcode, silence, truncated

ZONES = [f"list{n}.example" for n in range(3)]
LISTED = [f"192.0.2.{n}" for n in range(1, 20)]
CLEAN = [f"198.51.100.{n}" for n in range(1, 20)]


@pytest.fixture
def server() -> Iterator[DnsblServer]:
    with DnsblServer(zones=ZONES) as made:
        for name in ZONES:
            for subject in LISTED:
                made.zone(name).list(subject)
        yield made


def wrong(verdict: Verdict) -> bool:
    """Whether a list is said to have said what it did not."""
    listed = verdict.subject in LISTED
    return any(
        answer.outcome is (Outcome.NOT_LISTED if listed else Outcome.LISTED) for answer in verdict.answers
    )


def outcome_of(verdict: Verdict, zone: str) -> Outcome:
    return next(answer.outcome for answer in verdict.answers if answer.zone == zone)


def all_at_once(resolver: Resolver, subjects: list[str]) -> list[Verdict]:
    return [each for each in resolver.check_many(subjects, window=100) if isinstance(each, Verdict)]


def tally(resolver: Resolver, subjects: list[str]) -> str:
    """Asked all at once: how many verdicts are complete, and of what kind the gaps are."""
    found = all_at_once(resolver, subjects)
    assert len(found) == len(subjects)
    assert not [verdict for verdict in found if wrong(verdict)]
    complete = sum(verdict.complete for verdict in found)
    gaps = sorted({a.outcome.value for v in found for a in v.answers if not v.complete})
    gaps = [gap for gap in gaps if gap not in ("listed", "not_listed")]
    return f"{complete} of {len(found)} complete" + (f"; else {', '.join(gaps)}" if gaps else "")


def test_silent(server: DnsblServer, fault: Report) -> None:
    server.fault(silence())
    with Resolver(ZONES, [server.nameserver], deadline_s=0.5) as resolver:
        seen = tally(resolver, [*LISTED[:5], *CLEAN[:5]])
    fault("nameserver silent", "incomplete at the deadline, nothing listed or clean", seen)


def test_refusing(server: DnsblServer, fault: Report) -> None:
    server.fault(rcode("REFUSED"))
    with Resolver(ZONES, [server.nameserver], deadline_s=10) as resolver:
        seen = tally(resolver, [*LISTED[:5], *CLEAN[:5]])
    fault("nameserver refusing", "incomplete at once, and said as what it is", seen)


def test_one_of_two_silent(server: DnsblServer, fault: Report) -> None:
    with DnsblServer(zones=ZONES) as dead:
        dead.fault(silence())
        with Resolver(ZONES, [dead.nameserver, server.nameserver], deadline_s=20, timeout_s=0.2) as resolver:
            seen = tally(resolver, [*LISTED, *CLEAN])
    fault("first of two nameservers silent", "the second answers", seen)


SHARES = (0.1, 0.2, 0.3, 0.4, 0.9, 0.95, 1.0, 1.05, 1.1, 1.4)
DEADLINE_S = 3.0


def test_slow(fault: Report) -> None:
    """Ten lists, each so late, in shares of the deadline; what came late is there for the next who asks."""
    zones = [f"late{n}.example" for n in range(len(SHARES))]
    with DnsblServer(zones=zones) as server:
        for name, share in zip(zones, SHARES, strict=True):
            server.zone(name).list(LISTED[0])
            server.zone(name).fault(delay(share * DEADLINE_S))
        with Resolver(zones, [server.nameserver], deadline_s=DEADLINE_S, reasons=False) as resolver:
            verdict = resolver.check(LISTED[0])
            outcome = {name: outcome_of(verdict, name) for name in zones}
            early = {outcome[name] for name, share in zip(zones, SHARES, strict=True) if share < 0.5}
            late = {outcome[name] for name, share in zip(zones, SHARES, strict=True) if share > 1.2}
            assert set(outcome.values()) <= {Outcome.LISTED, Outcome.TIMEOUT}
            assert eventually(lambda: complete(resolver), 20.0)
    seen = f"to 0.4: {text(early)}; 0.9 to 1.1: either of these; 1.4: {text(late)}; all of them in the cache soon after"
    fault(
        "nameserver slow: 0.1, 0.2, 0.3, 0.4, 0.9, 0.95, 1, 1.05, 1.1 and 1.4 of the deadline",
        "answered before it: counts; after it: incomplete, and kept for the next lookup",
        seen,
    )


def complete(resolver: Resolver) -> bool:
    found = resolver.check_cached(LISTED[0])
    return found is not None and len(found.listings) == len(SHARES)


def text(outcomes: set[Outcome]) -> str:
    return ", ".join(sorted(outcome.value for outcome in outcomes))


def test_flapping(server: DnsblServer, fault: Report) -> None:
    chance = random.Random(1)
    server.fault(lambda query, answer: None if chance.random() < 0.5 else answer())
    with Resolver(ZONES, [server.nameserver], deadline_s=30, timeout_s=0.1) as resolver:
        seen = tally(resolver, [*LISTED, *CLEAN])
    fault("nameserver flapping: silent for every second query", "asked again until the deadline", seen)


def test_restarting(server: DnsblServer, fault: Report) -> None:
    with Resolver(ZONES, [server.nameserver], deadline_s=3.0, cache_size=0) as resolver:
        before = tally(resolver, LISTED[:3])
        server.stop()
        gone = tally(resolver, LISTED[:3])
        server.start()
        again = eventually(lambda: tally(resolver, LISTED[:3]) == before, 30.0)
    seen = f"{before}; stopped: {gone.partition(';')[0]}; back: {'as before' if again else 'not'}"
    fault("nameserver restarting", "incomplete while it is gone, complete soon after", seen)


# ---- datagrams from elsewhere ----


@contextmanager
def raw_nameserver(
    *, other_port: bool = False, other_id: bool = False, then_right: bool = False
) -> Iterator[str]:
    """Says that everything is listed; not from the port asked, or not with the id given."""
    listening, other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    listening.bind(("127.0.0.1", 0))
    other.bind(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            query, client = listening.recvfrom(2048)
            if not query:
                return
            record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0"
            body = struct.pack("!HHHHH", 0x8400, 1, 1, 0, 0) + query[12:] + record
            false_id = bytes([query[0] ^ 1, query[1]]) if other_id else query[:2]
            sender = other if other_port else listening
            sender.sendto(false_id + body + b"\x63", client)
            if then_right:
                listening.sendto(query[:2] + body + b"\x02", client)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        other.sendto(b"", listening.getsockname())
        thread.join()
        listening.close()
        other.close()


@pytest.mark.parametrize(
    ("what", "given"),
    [
        ("answers come from a wrong port", {"other_port": True}),
        ("answers carry a wrong id", {"other_id": True}),
    ],
)
def test_not_from_the_nameserver(fault: Report, what: str, given: dict[str, bool]) -> None:
    with raw_nameserver(**given) as at, Resolver(ZONES, [at], deadline_s=0.5, reasons=False) as resolver:
        outcomes = {answer.outcome for answer in resolver.check(LISTED[0]).answers}
    with (
        raw_nameserver(**given, then_right=True) as at,
        Resolver(ZONES, [at], deadline_s=20, reasons=False) as resolver,
    ):
        codes = {code for answer in resolver.check(LISTED[0]).answers for code in answer.codes}
    shown = ", ".join(sorted(str(code) for code in codes))
    seen = f"alone: {text(outcomes)}; before the true answer: 127.0.0.2 is what counts ({shown})"
    fault(what, "as if they had not come; the true answer counts", seen)


def test_tc_without_tcp(server: DnsblServer, fault: Report) -> None:
    server.zone(ZONES[0]).fault(truncated())
    server.zone(ZONES[0]).fault(hang_up())
    with Resolver(ZONES, [server.nameserver], deadline_s=4.0, timeout_s=0.3) as resolver:
        found = all_at_once(resolver, [LISTED[0], CLEAN[0]])
    assert not [verdict for verdict in found if wrong(verdict)]
    bad = {outcome_of(verdict, ZONES[0]) for verdict in found}
    others = [a.outcome for v in found for a in v.answers if a.zone != ZONES[0]]
    good = sum(outcome in (Outcome.LISTED, Outcome.NOT_LISTED) for outcome in others)
    seen = f"that list: {text(bad)}; the others: {good} of {len(others)} right"
    fault("truncated, and TCP is closed without an answer", "that list is incomplete, no other", seen)


def test_garbage(server: DnsblServer, fault: Report) -> None:
    kinds = ("random", "question", "half", "empty")
    for kind in kinds:
        server.zone(f"{kind}.example").fault(garbage(kind))  # type: ignore[arg-type]
    zones = [*ZONES[:2], *(f"{kind}.example" for kind in kinds)]
    with Resolver(zones, [server.nameserver], deadline_s=4.0, timeout_s=0.3, reasons=False) as resolver:
        verdict = resolver.check(LISTED[0])
    assert not wrong(verdict)
    honest = {outcome_of(verdict, zone) for zone in ZONES[:2]}
    bad = {outcome_of(verdict, zone) for zone in zones[2:]}
    seen = f"the honest: {text(honest)}; the others: {'none listed' if bad <= NOTHING else text(bad)}"
    fault("four lists answer four kinds of garbage", "no honest list's answer is touched", seen)


NOTHING = {Outcome.TIMEOUT, Outcome.INVALID}
