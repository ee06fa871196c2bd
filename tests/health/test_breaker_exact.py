"""The breaker to the last bit and second: its marks, its findings, what is loss, and the ends of its times."""

from __future__ import annotations

import pytest

from dnsbl.health.breaker import (
    FAILURES_TO_OPEN,
    FIRST_DOUBT_S,
    FIRST_WAIT_S,
    LOSS_S,
    LOSS_WAIT_S,
    MAX_WAIT_S,
    WITNESS_S,
    Breaker,
    Permit,
)
from dnsbl.model import Status

A, B, C, D = range(4)
FOUR = [f"{n}.example.com" for n in range(4)]
HERE = "192.0.2.53:53"
THERE = "198.51.100.53:53"


def opened(zone: int, breaker: Breaker, kind: int = 0) -> float:
    """Set a zone aside in the first three seconds; when it was."""
    other = (zone + 1) % 4
    for n in range(FAILURES_TO_OPEN):
        breaker.record(other, HERE, n, n + 0.25, Status.OK)
        breaker.record(zone, HERE, n, n + 0.5, Status.TIMEOUT, kind)
    assert breaker.state_of(zone, kind, 3).state == "open"
    return FAILURES_TO_OPEN - 0.5


# ---- marks ----


def test_what_is_in_trouble_is_marked_until_it_answers() -> None:
    breaker = Breaker(FOUR)
    seen = []
    for zone, kind, started, ended, status in (
        (C, 0, 0, 0.5, Status.TIMEOUT),
        (D, 1, 0, 0.5, Status.TIMEOUT),
        (D, 2, 0, 0.5, Status.RCODE),
        (D, 1, 1, 1.5, Status.OK),  # bears witness against C, not against its own other kind
        (C, 0, 2, 2.5, Status.OK),
        (D, 2, 3, 3.5, Status.OK),
    ):
        breaker.record(zone, HERE, started, ended, status, kind)
        seen.append((breaker.troubled, breaker.unconfirmed))
    both = 1 << C | 1 << D
    assert seen == [(1 << C, 1 << C), (both, both), (both, both), (both, 1 << D), (1 << D, 0), (0, 0)]
    assert Breaker(FOUR).troubled == Breaker(FOUR).unconfirmed == 0


def test_a_zone_of_any_kind_is_in_the_mask() -> None:
    for kind in range(3):
        breaker = Breaker(FOUR)
        opened(D, breaker, kind)
        assert breaker.open_mask == breaker.open_masks[kind] == 1 << D


def test_the_engine_notes_answers_itself() -> None:
    breaker = Breaker(FOUR)
    row = breaker.answered_row(HERE)
    assert breaker.nameserver_at_fault(HERE, 5)
    row[D] = 5
    assert not breaker.nameserver_at_fault(HERE, 5)


def test_a_zone_is_shown_as_the_kind_that_fares_worst() -> None:
    breaker = Breaker(FOUR)
    at = opened(D, breaker)
    opened(D, breaker, kind=1)
    probe = at + FIRST_WAIT_S
    assert breaker.allows(D, probe) is Permit.PROBE
    breaker.record(A, HERE, probe, probe, Status.OK)
    breaker.record(D, HERE, probe, probe, Status.TIMEOUT)
    again = probe + 2 * FIRST_WAIT_S
    assert breaker.allows(D, again) is Permit.PROBE
    assert breaker.state_of(D, 0, again)[:2] == ("probing", 4)
    assert breaker.state(D, again) == ("open", 3, 0.0, None)


# ---- findings ----


def test_of_two_findings_the_one_asked_for_later_counts() -> None:
    breaker = Breaker(FOUR)
    assert breaker.set_aside(D, "first") is True
    assert breaker.set_aside(D, "second", 0.5) is True
    assert breaker.restore(D, 0.25) is False
    assert breaker.set_aside(D, "older", 0.25) is False
    assert breaker.state(D, 1).unhealthy == "second"
    assert breaker.restore(D, 0.5) is True
    assert breaker.state(D, 1).unhealthy is None
    breaker = Breaker(FOUR)
    assert breaker.restore(D) is True
    assert breaker.set_aside(D, "later", 0.5) is True
    breaker.set_aside(C, "when the process began")
    assert C in breaker.to_recheck(FIRST_WAIT_S)


def test_a_finding_and_a_doubt_take_each_others_place() -> None:
    breaker = Breaker(FOUR)
    breaker.set_aside(A, "broken")
    seen = []
    for at, doubt in enumerate([True, False, True]):
        breaker.set_aside(D, "odd", at, at, doubt=doubt)
        seen.append((breaker.unhealthy_mask, breaker.doubt_mask))
    assert seen == [(1 << A, 1 << D), (1 << A | 1 << D, 0), (1 << A, 1 << D)]
    assert breaker.state(D, 3).unhealthy is None
    breaker.set_aside(C, "odd", doubt=True)
    assert breaker.doubt_mask == 1 << C | 1 << D


@pytest.mark.parametrize(("doubt", "first_s"), [(False, FIRST_WAIT_S), (True, FIRST_DOUBT_S)])
def test_what_was_found_is_tested_again_after_growing_pauses(doubt: bool, first_s: float) -> None:
    breaker = Breaker(FOUR)
    now, pause_s = 100.0, first_s
    for _ in range(12):
        breaker.set_aside(D, "odd", now, now, doubt=doubt)
        for _ in range(2):  # once in each pause, until there is another finding
            assert breaker.to_recheck(now + pause_s - 0.125) == []
            now += pause_s
            assert breaker.to_recheck(now) == [D]
            assert breaker.to_recheck(now) == []
        pause_s = min(2 * pause_s, MAX_WAIT_S)
    assert pause_s == MAX_WAIT_S
    breaker.set_aside(D, "odd", now, now, doubt=not doubt)  # another finding: from the beginning
    other_s = FIRST_DOUBT_S + FIRST_WAIT_S - first_s
    assert breaker.to_recheck(now + other_s - 0.125) == []
    assert breaker.to_recheck(now + other_s) == [D]
    breaker.restore(D, now)
    assert breaker.to_recheck(now + MAX_WAIT_S) == []


# ---- loss on the way to all ----


def test_loss_is_looked_for_since_the_first_failure() -> None:
    """Longer ago than LOSS_S: B failed and answered between the first failure of A and the third."""
    breaker = Breaker(FOUR[:3])
    for n, (zone, status) in {
        0: (A, Status.TIMEOUT), 5: (B, Status.TIMEOUT), 30: (A, Status.TIMEOUT), 50: (B, Status.OK),
        60: (A, Status.TIMEOUT),
    }.items():  # fmt: skip
        breaker.record(C, HERE, n, n + 0.25, Status.OK)
        breaker.record(zone, HERE, n, n + 0.5, status)
    assert breaker.state(A, 61)[:2] == ("closed", FAILURES_TO_OPEN - 1)
    breaker.record(C, HERE, 90, 90.25, Status.OK)
    breaker.record(A, HERE, 90, 90.5, Status.TIMEOUT)  # what B lost is of before
    assert breaker.state(A, 91)[:2] == ("open", FAILURES_TO_OPEN)


def test_loss_just_before_the_first_failure_counts() -> None:
    breaker = Breaker(FOUR[:3])
    breaker.record(B, HERE, 14, 15, Status.TIMEOUT)
    breaker.record(B, HERE, 18, 19, Status.OK)
    for n in (20, 21, 22):
        breaker.record(C, HERE, n, n + 0.25, Status.OK)
        breaker.record(A, HERE, n, n + 0.5, Status.TIMEOUT)
    assert breaker.open_mask == 0


@pytest.mark.parametrize(("ago_s", "pause_s"), [(LOSS_S, LOSS_WAIT_S), (LOSS_S + 0.125, 2 * FIRST_WAIT_S)])
def test_a_probe_lost_with_others_is_repeated_soon(ago_s: float, pause_s: float) -> None:
    """Half of the others lost something just before, of another kind: then the probe may be lost as well."""
    breaker = Breaker(FOUR[:3])
    probe = opened(A, breaker) + FIRST_WAIT_S
    breaker.record(B, HERE, probe - ago_s, probe - ago_s, Status.TIMEOUT, kind=1)
    breaker.record(B, HERE, probe - ago_s, probe - ago_s, Status.OK, kind=1)
    assert breaker.allows(A, probe) is Permit.PROBE
    breaker.record(C, HERE, probe, probe, Status.OK)
    breaker.record(A, HERE, probe, probe, Status.TIMEOUT)
    assert breaker.state(A, probe).next_probe_s == pause_s


def test_who_was_set_aside_before_is_looked_at_whoever_fails() -> None:
    breaker = Breaker(FOUR)
    opened(D, breaker)
    for zone in (A, B, C):
        breaker.record(zone, HERE, 3, 3.25, Status.OK)
    for zone in (A, B):
        breaker.record(zone, HERE, 3, 3.5, Status.TIMEOUT)
    assert breaker.state(D, 3.5).next_probe_s == LOSS_WAIT_S


def test_a_probe_through_nameservers_of_which_no_failure_is_known() -> None:
    breaker = Breaker(FOUR)
    probe = opened(A, breaker) + FIRST_WAIT_S
    assert breaker.allows(A, probe) is Permit.PROBE
    breaker.record(B, THERE, probe, probe, Status.OK)
    breaker.record(A, THERE, probe, probe, Status.MALFORMED)
    assert breaker.state(A, probe).next_probe_s == 2 * FIRST_WAIT_S


# ---- ends of times ----


@pytest.mark.parametrize(("late_s", "failures"), [(0, 1), (0.125, 0)])
def test_the_last_moment_of_a_witness(late_s: float, failures: int) -> None:
    breaker = Breaker(FOUR)
    breaker.record(A, HERE, 0, 1, Status.TIMEOUT)
    breaker.record(B, HERE, 4, WITNESS_S + late_s, Status.OK)
    assert breaker.state(A, 6).failures == failures


def test_a_probe_that_is_due_is_due_now() -> None:
    breaker = Breaker(FOUR)
    at = opened(A, breaker)
    assert breaker.state(A, at + FIRST_WAIT_S + 7).next_probe_s == 0
