"""The breaker: what counts as a zone's failure, what it does then, and how it comes back."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dnsbl.health.breaker import (
    FAILURES_TO_OPEN,
    FIRST_WAIT_S,
    LOSS_S,
    LOSS_WAIT_S,
    MAX_SERVER_SETS,
    MAX_WAIT_S,
    PROBE_LOST_S,
    WITNESS_S,
    Breaker,
    Permit,
)
from dnsbl.model import Status

A, B = 0, 1
HERE = "192.0.2.53:53"
NAMES = ("a.example.com", "b.example.com")


def opened(now: float = 100.0) -> tuple[Breaker, float]:
    """A breaker whose zone A has just been set aside, and the time."""
    breaker = Breaker(NAMES)
    for _ in range(FAILURES_TO_OPEN):
        breaker.record(B, HERE, now, now + 0.1, Status.NXDOMAIN)
        breaker.record(A, HERE, now, now + 1, Status.TIMEOUT)
        now += 1
    assert breaker.open_mask == 1
    return breaker, now


@pytest.mark.parametrize("status", [Status.TIMEOUT, Status.RCODE])
@pytest.mark.parametrize("witness", [Status.OK, Status.NXDOMAIN, Status.REFUSED])
def test_zone_is_set_aside_after_three_failures_in_a_row(status: Status, witness: Status) -> None:
    breaker = Breaker(NAMES)
    for n in range(3):
        assert breaker.allows(A, n) is Permit.ALLOW
        breaker.record(B, HERE, n, n + 0.1, witness)
        breaker.record(A, HERE, n, n + 1, status)
    assert breaker.allows(A, 3) is Permit.SKIP
    assert breaker.allows(B, 3) is Permit.ALLOW
    assert breaker.state(A, 3) == ("open", 3, 30.0, None)


def test_answer_in_between_starts_the_count_again() -> None:
    breaker = Breaker(NAMES)
    for n, status in enumerate([Status.TIMEOUT, Status.TIMEOUT, Status.OK, Status.TIMEOUT, Status.TIMEOUT]):
        breaker.record(B, HERE, n, n + 0.1, Status.OK)
        breaker.record(A, HERE, n, n + 0.9, status)
    assert breaker.state(A, 5) == ("closed", 2, None, None)


def test_dead_nameserver_opens_no_breaker() -> None:
    breaker = Breaker(NAMES)
    for n in range(100):
        for zone in (A, B):
            breaker.record(zone, HERE, n, n + 1, Status.TIMEOUT)
        assert breaker.nameserver_at_fault(HERE, n)
    assert breaker.open_mask == 0


def test_outage_counts_at_most_once_at_each_end() -> None:
    """Many lookups in flight when the nameserver dies and when it returns."""
    breaker = Breaker(NAMES)
    breaker.record(B, HERE, 9.9, 10.0, Status.NXDOMAIN)
    for n in range(200):
        started = 9.8 + n / 100
        for zone in (A, B):
            breaker.record(zone, HERE, started, started + 3, Status.TIMEOUT)
    assert breaker.state(A, 15).failures <= 1
    breaker.record(B, HERE, 60, 60.1, Status.NXDOMAIN)
    assert breaker.open_mask == 0
    assert breaker.state(A, 61).failures <= 2


def test_answer_before_the_failed_query_began_is_no_witness() -> None:
    breaker = Breaker(NAMES)
    for n in range(10):
        breaker.record(B, HERE, n * 100, n * 100 + 1, Status.OK)
        breaker.record(A, HERE, n * 100 + 2, n * 100 + 5, Status.TIMEOUT)
    assert breaker.open_mask == 0


def test_answer_that_comes_after_the_failure_is_a_witness() -> None:
    """A SERVFAIL in 1 ms, the others in 30 ms, one lookup a minute: the zone is still found out."""
    breaker = Breaker(NAMES)
    for n in (0, 60, 120):
        breaker.record(A, HERE, n, n + 0.001, Status.RCODE)
        assert breaker.nameserver_at_fault(HERE, n)
        breaker.record(B, HERE, n, n + 0.03, Status.OK)
        assert not breaker.nameserver_at_fault(HERE, n)
    assert breaker.state(A, 121) == ("open", 3, pytest.approx(29.03), None)


def test_answer_long_after_the_failure_is_no_witness() -> None:
    breaker = Breaker(NAMES)
    for n in range(0, 1000, 100):
        breaker.record(A, HERE, n, n + 1, Status.TIMEOUT)
        breaker.record(B, HERE, n + 10, n + 1 + WITNESS_S, Status.OK)
    assert breaker.state(A, 1000) == ("closed", 0, None, None)


def test_own_answer_clears_a_failure_without_witness() -> None:
    breaker = Breaker(NAMES)
    breaker.record(A, HERE, 0, 0.1, Status.RCODE)
    breaker.record(A, HERE, 0.2, 0.3, Status.OK)
    breaker.record(B, HERE, 0, 0.4, Status.OK)
    assert breaker.state(A, 1).failures == 0


def test_witness_must_have_used_the_same_nameservers() -> None:
    breaker = Breaker(NAMES)
    for n in range(10):
        breaker.record(A, HERE, n, n + 0.2, Status.TIMEOUT)
        breaker.record(B, "198.51.100.53:53", n, n + 0.3, Status.OK)
    assert breaker.open_mask == 0
    assert breaker.nameserver_at_fault(HERE, 0)


def test_zone_is_not_its_own_witness() -> None:
    breaker = Breaker(NAMES[:1])
    for n in range(10):
        breaker.record(A, HERE, n, n + 2, Status.TIMEOUT)
    assert breaker.open_mask == 0


def test_own_answer_is_no_witness_against_a_query_in_flight() -> None:
    breaker = Breaker(NAMES)
    breaker.record(A, HERE, 0.4, 0.5, Status.OK)
    breaker.record(A, HERE, 0.3, 3.3, Status.TIMEOUT)
    assert breaker.state(A, 4).failures == 0
    assert not breaker.nameserver_at_fault(HERE, 0.3)


def test_failures_in_flight_together_count_once() -> None:
    breaker = Breaker(NAMES)
    breaker.record(B, HERE, 0, 0.5, Status.OK)
    for n in range(64):
        breaker.record(A, HERE, n / 1000, 1 + n / 1000, Status.TIMEOUT)
    assert breaker.state(A, 2).failures == 1


def test_malformed_answers_neither_count_nor_reset() -> None:
    breaker = Breaker(NAMES)
    for n, status in enumerate([Status.TIMEOUT, Status.MALFORMED, Status.TIMEOUT, Status.MALFORMED]):
        breaker.record(B, HERE, n, n + 0.1, Status.OK)
        breaker.record(A, HERE, n, n + 0.9, status)
    assert breaker.state(A, 5) == ("closed", 2, None, None)


def test_one_probe_at_a_time_and_its_answer_closes_at_once() -> None:
    breaker, now = opened()
    assert breaker.allows(A, now + FIRST_WAIT_S - 0.01) is Permit.SKIP
    start = now + FIRST_WAIT_S
    assert breaker.allows(A, start) is Permit.PROBE
    assert [breaker.allows(A, start + n / 10) for n in range(3)] == [Permit.SKIP] * 3
    assert breaker.state(A, start + 1).state == "probing"
    breaker.record(A, HERE, start, start + 0.5, Status.NXDOMAIN)
    assert breaker.allows(A, start + 0.5) is Permit.ALLOW
    assert breaker.state(A, start + 1) == ("closed", 0, None, None)


@pytest.mark.parametrize("status", [Status.TIMEOUT, Status.RCODE, Status.MALFORMED])
@pytest.mark.parametrize("witness_first", [True, False])
def test_failed_probes_double_the_wait_to_a_quarter_of_an_hour(status: Status, witness_first: bool) -> None:
    breaker, now = opened()
    waits = []
    for _ in range(8):
        left_s = breaker.state(A, now).next_probe_s
        assert left_s is not None
        waits.append(round(left_s))
        now += left_s
        assert breaker.allows(A, now) is Permit.PROBE
        if witness_first:
            breaker.record(B, HERE, now, now, Status.OK)
        breaker.record(A, HERE, now, now, status)
        breaker.record(B, HERE, now, now, Status.OK)
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]
    assert waits[-1] == MAX_WAIT_S


def test_probe_lost_to_a_dead_nameserver_does_not_double_the_wait() -> None:
    breaker, now = opened()
    for _ in range(5):
        now += FIRST_WAIT_S
        assert breaker.allows(A, now) is Permit.PROBE
        breaker.record(A, HERE, now, now, Status.TIMEOUT)
        breaker.record(B, HERE, now, now, Status.TIMEOUT)
    assert breaker.state(A, now).next_probe_s == FIRST_WAIT_S


C, D = 2, 3
FOUR = (*NAMES, "c.example.com", "d.example.com")


def test_loss_spread_over_all_zones_sets_none_aside() -> None:
    breaker = Breaker(FOUR)
    for second in range(60):
        lost = {0: (A, B), 1: (A, C), 2: (A, D)}.get(second % 4, ())  # A three times in a row
        for zone in (D, C, B, A):
            status = Status.TIMEOUT if zone in lost else Status.NXDOMAIN
            breaker.record(zone, HERE, second, second + 0.9, status)
        assert breaker.open_mask == 0 or second < 4


def test_set_aside_before_the_loss_was_seen_to_be_everywhere_it_is_back_within_two_seconds() -> None:
    breaker = Breaker(FOUR)
    for second in range(3):
        for zone in (B, C, D):
            breaker.record(zone, HERE, second, second + 0.1, Status.OK)
        breaker.record(A, HERE, second, second + 0.9, Status.TIMEOUT)
    assert breaker.state(A, 3).next_probe_s == pytest.approx(FIRST_WAIT_S, abs=1)
    breaker.record(B, HERE, 3, 3.9, Status.TIMEOUT)
    assert (breaker.state(A, 4).next_probe_s or 0) > 20  # one of three: its own affair
    breaker.record(C, HERE, 3, 3.9, Status.TIMEOUT)
    assert (breaker.state(A, 4).next_probe_s or 0) <= LOSS_WAIT_S
    assert breaker.allows(A, 5) is Permit.PROBE
    breaker.record(A, HERE, 5, 5.1, Status.NXDOMAIN)
    assert breaker.open_mask == 0


def test_a_dead_zone_beside_a_lossy_one_is_set_aside() -> None:
    breaker = Breaker(FOUR)
    for second in range(6):
        for zone in (C, D):
            breaker.record(zone, HERE, second, second + 0.1, Status.OK)
        breaker.record(B, HERE, second, second + 0.9, Status.TIMEOUT if second % 2 else Status.OK)
        breaker.record(A, HERE, second, second + 0.9, Status.TIMEOUT)
    assert breaker.open_mask == 1 << A


def test_each_zone_has_a_bit_of_its_own() -> None:
    breaker = Breaker(FOUR)
    breaker.set_aside(D, "answers everything")
    breaker.set_aside(C, "as all others", doubt=True)
    assert (breaker.unhealthy_mask, breaker.doubt_mask) == (1 << D, 1 << C)
    assert breaker.allows(D, 0) is Permit.SKIP
    assert breaker.allows(A, 0) is breaker.allows(C, 0) is Permit.ALLOW
    breaker.restore(D)
    breaker.restore(C)
    assert (breaker.unhealthy_mask, breaker.doubt_mask) == (0, 0)
    for n in range(FAILURES_TO_OPEN):
        breaker.record(A, HERE, n, n + 0.1, Status.OK)
        breaker.record(D, HERE, n, n + 0.9, Status.TIMEOUT, kind=1)
    assert breaker.open_masks == [0, 1 << D, 0]
    assert breaker.allows(D, 4, kind=1) is Permit.SKIP
    assert breaker.allows(D, 4, kind=0) is Permit.ALLOW
    assert breaker.allows(D, 33, kind=1) is Permit.PROBE
    breaker.record(D, HERE, 33, 33.1, Status.OK, kind=1)
    assert breaker.open_masks == [0, 0, 0]


def test_abandoned_probe_gives_way_to_another() -> None:
    breaker, now = opened()
    now += FIRST_WAIT_S
    assert breaker.allows(A, now) is Permit.PROBE
    assert breaker.allows(A, now + PROBE_LOST_S - 0.01) is Permit.SKIP
    assert breaker.allows(A, now + PROBE_LOST_S) is Permit.PROBE


def test_result_of_a_lost_probe_changes_nothing() -> None:
    breaker, now = opened()
    lost, probe = now + FIRST_WAIT_S, now + FIRST_WAIT_S + PROBE_LOST_S
    assert breaker.allows(A, lost) is Permit.PROBE
    assert breaker.allows(A, probe) is Permit.PROBE
    breaker.record(B, HERE, probe, probe + 0.1, Status.OK)
    breaker.record(A, HERE, lost, probe + 0.2, Status.TIMEOUT)
    assert breaker.state(A, probe + 1).state == "probing"
    breaker.record(A, HERE, probe, probe + 1, Status.TIMEOUT)
    assert breaker.state(A, probe + 1).next_probe_s == 2 * FIRST_WAIT_S


def test_own_late_answer_is_no_witness_against_the_probe() -> None:
    breaker, now = opened()
    probe = now + FIRST_WAIT_S
    assert breaker.allows(A, probe) is Permit.PROBE
    breaker.record(A, HERE, probe, probe + 1, Status.TIMEOUT)
    breaker.record(A, HERE, now - 0.5, probe + 1, Status.OK)
    assert breaker.state(A, probe + 1).next_probe_s == FIRST_WAIT_S


def test_late_results_of_earlier_queries_do_not_move_an_open_breaker() -> None:
    breaker, now = opened()
    before = breaker.state(A, now + 1)
    breaker.record(A, HERE, now - 0.5, now + 0.2, Status.TIMEOUT)
    breaker.record(A, HERE, now - 0.5, now + 0.3, Status.OK)
    assert breaker.state(A, now + 1) == before
    probe = now + FIRST_WAIT_S
    assert breaker.allows(A, probe) is Permit.PROBE
    breaker.record(A, HERE, now - 0.5, probe + 0.1, Status.OK)
    assert breaker.state(A, probe + 0.1).state == "probing"


def test_set_aside_by_the_health_check() -> None:
    breaker = Breaker(NAMES)
    breaker.set_aside(A, "lists 127.0.0.1")
    assert breaker.allows(A, 0) is Permit.SKIP
    assert (breaker.unhealthy_mask, breaker.open_mask) == (1, 0)
    assert breaker.state(A, 0) == ("closed", 0, None, "lists 127.0.0.1")
    breaker.restore(A)
    assert breaker.allows(A, 0) is Permit.ALLOW
    assert breaker.unhealthy_mask == 0


def test_server_sets_are_bounded() -> None:
    breaker = Breaker(NAMES)
    for n in range(10 * MAX_SERVER_SETS):
        breaker.record(A, n, n, n, Status.OK)
    kept = [n for n in range(10 * MAX_SERVER_SETS) if not breaker.nameserver_at_fault(n, n)]
    assert kept == list(range(9 * MAX_SERVER_SETS, 10 * MAX_SERVER_SETS))


def test_one_log_line_per_change(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "dnsbl.breaker"):
        breaker, now = opened()
        for n in range(50):
            breaker.allows(A, now + n / 10)
        for _ in range(8):
            left_s = breaker.state(A, now).next_probe_s
            assert left_s is not None
            now += left_s
            breaker.allows(A, now)
            breaker.record(B, HERE, now, now, Status.OK)
            breaker.record(A, HERE, now, now, Status.TIMEOUT)
        now += MAX_WAIT_S
        breaker.allows(A, now)
        breaker.record(A, HERE, now, now, Status.OK)
        for _ in range(3):
            breaker.set_aside(B, "does not list 127.0.0.2")
        for _ in range(3):
            breaker.restore(B)
    assert [record.getMessage() for record in caplog.records] == [
        "a.example.com: set aside after 3 failures in a row; next probe in 30 s",
        *(f"a.example.com: probe failed; next probe in {wait_s} s" for wait_s in (60, 120, 240, 480, 900)),
        "a.example.com: answers again after 4530 s",
        "b.example.com: found broken and set aside: does not list 127.0.0.2",
        "b.example.com: found sound again and back in use",
    ]


STATUSES = st.sampled_from(list(Status))
ZONES = st.integers(0, 3)


def test_a_zone_of_any_number_has_its_own_bit() -> None:
    """Zone 3 fails while nobody answers; the witness that comes later makes it count, and only for it."""
    breaker = Breaker([f"{n}.example.com" for n in range(5)])
    now = 0.0
    for _ in range(FAILURES_TO_OPEN):
        breaker.record(3, HERE, now, now + 0.1, Status.TIMEOUT)
        breaker.record(1, HERE, now, now + 0.2, Status.OK)
        now += 1
    assert breaker.open_mask == 1 << 3
    assert breaker.state(3, now).state == "open"
    assert breaker.allows(3, now + FIRST_WAIT_S) is Permit.PROBE
    assert breaker.state(3, now + FIRST_WAIT_S).state == "probing"
    assert breaker.state(3, now + FIRST_WAIT_S + PROBE_LOST_S).state == "open"  # given up as lost
    breaker.record(3, HERE, now + FIRST_WAIT_S, now + FIRST_WAIT_S + 1, Status.OK)
    assert breaker.open_mask == 0


def test_findings_of_zones_of_any_number() -> None:
    breaker = Breaker([f"{n}.example.com" for n in range(5)])
    breaker.set_aside(3, "lists everything")
    breaker.set_aside(1, "lists nothing")
    breaker.set_aside(4, "doubtful", doubt=True)
    assert (breaker.unhealthy_mask, breaker.doubt_mask) == (0b01010, 0b10000)
    breaker.restore(3)
    assert (breaker.unhealthy_mask, breaker.doubt_mask) == (0b00010, 0b10000)
    breaker.restore(4)
    assert (breaker.unhealthy_mask, breaker.doubt_mask) == (0b00010, 0)


class BreakerMachine(RuleBasedStateMachine):
    """Queries start, some end, time passes: what must hold whatever the order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.breaker = Breaker([f"{n}.example.com" for n in range(4)])
        self.flying: list[tuple[int, str, float, bool]] = []  # the last: it is a probe
        self.failures = [0] * 4  # since the zone's last answer, counted or not
        self.failed_at = [float("-inf")] * 4
        self.probes: list[float] = [float("-inf")] * 4  # when the probe in flight was let go

    @rule(zone=ZONES, server_set=st.sampled_from([HERE, "[2001:db8::53]:53"]))
    def start(self, zone: int, server_set: str) -> None:
        self._start(zone, server_set)

    def _start(self, zone: int, server_set: str) -> None:
        was_open = self.breaker.open_mask >> zone & 1
        permit = self.breaker.allows(zone, self.now)
        assert (permit is Permit.ALLOW) == (not was_open)
        if permit is Permit.PROBE:
            assert self.now >= self.probes[zone] + LOSS_WAIT_S
            self.probes[zone] = self.now
        if permit is not Permit.SKIP:
            self.flying.append((zone, server_set, self.now, permit is Permit.PROBE))

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), status=STATUSES)
    def end(self, data: st.DataObject, status: Status) -> None:
        self._end(data.draw(st.integers(0, len(self.flying) - 1)), status)

    def _end(self, which: int, status: Status) -> None:
        zone, server_set, started, is_probe = self.flying.pop(which)
        was_open = self.breaker.open_mask >> zone & 1
        self.breaker.record(zone, server_set, started, self.now, status)
        good = status in (Status.OK, Status.NXDOMAIN, Status.REFUSED)
        if good:
            assert not self.breaker.nameserver_at_fault(server_set, self.now)
            if was_open and is_probe and started == self.probes[zone]:  # not one given up as lost
                assert not self.breaker.open_mask >> zone & 1
            self.failures[zone] = 0
        else:
            self.failures[zone] += 1
            self.failed_at[zone] = self.now

    @precondition(lambda self: self.breaker.open_mask)
    @rule(data=st.data(), status=STATUSES)
    def a_probe_ends(self, data: st.DataObject, status: Status) -> None:
        """Or one that is set aside would be used again in a few examples only."""
        zone = data.draw(st.sampled_from([at for at in range(4) if self.breaker.open_mask >> at & 1]))
        wait_s = self.breaker.state(zone, self.now).next_probe_s
        assert wait_s is not None
        self.now += wait_s + 0.001  # what is added up may be a little less than what was meant
        self._start(zone, HERE)
        assert self.flying[-1] == (zone, HERE, self.now, True)
        self._end(-1, status)

    @rule(zone=ZONES)
    def fails_while_another_answers(self, zone: int) -> None:
        """Or a breaker would open in a handful of examples only."""
        other = (zone + 1) % 4
        if self.breaker.open_mask >> other & 1:
            return  # its answer would be taken for that of its probe
        for _ in range(FAILURES_TO_OPEN):
            permit = self.breaker.allows(zone, self.now)
            if permit is Permit.PROBE:  # one that is lost
                self.probes[zone] = self.now
            if permit is not Permit.ALLOW:
                return
            started, self.now = self.now, self.now + 0.1
            self.breaker.record(other, HERE, started, self.now, Status.OK)
            self.breaker.record(zone, HERE, started, self.now, Status.TIMEOUT)
            self.failures[zone] += 1
            self.failed_at[zone] = self.now
        others = [at for at in range(4) if at != zone]
        if all(self.failed_at[at] < self.now - 2 * LOSS_S for at in others):  # else it may be loss
            assert self.breaker.open_mask >> zone & 1

    @rule(seconds=st.sampled_from([0.001, 0.5, 3.0, 6.0, 29.0, 31.0, 1000.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def counts_no_more_than_happened(self) -> None:
        for zone in range(4):
            state = self.breaker.state(zone, self.now)
            is_open = bool(self.breaker.open_mask >> zone & 1)
            assert is_open == (state.state != "closed") == (state.next_probe_s is not None)
            if is_open:
                assert state.failures >= FAILURES_TO_OPEN
                assert state.next_probe_s is not None
                assert 0 <= state.next_probe_s <= MAX_WAIT_S
            else:
                assert state.failures <= min(self.failures[zone], FAILURES_TO_OPEN - 1)


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@given(st.lists(st.tuples(ZONES, st.floats(0, 5), st.sampled_from([Status.TIMEOUT, Status.RCODE]))))
def test_no_order_of_failures_alone_opens_a_breaker(failures: list[tuple[int, float, Status]]) -> None:
    breaker = Breaker([f"{n}.example.com" for n in range(4)])
    now = 0.0
    for zone, took_s, status in failures:
        now += took_s
        breaker.record(zone, HERE, now - took_s, now, status)
    assert breaker.open_mask == 0
