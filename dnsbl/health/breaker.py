"""The circuit breaker: which zones are worth a query now, and whether it is the nameserver that fails.

A zone that fails several times in a row is set aside and tried again with one probe, first after 30 s,
then doubling to 15 minutes. A failure counts only with a witness: another zone that got an answer
through the same nameservers at or after the start of the failed query. Without one the nameserver is at
fault, and no zone is blamed. So a zone alone on its nameservers is never set aside. Nor is one set aside while
at least half of the others both answer and fail: what is lost here and there is lost on the way to all of them.
One set aside before that was seen is tried again every second.

A zone has one breaker for each kind of name it is asked about (IPv4, IPv6, domain): a list whose IPv6 half
fails is still asked about IPv4.

The health check's findings live here too: a zone found broken is set aside until it passes again. It is to
be tested again soon, first after 30 s, then after growing pauses: what was found may have been one bad
moment. Of two findings the one that was asked for later counts, whichever ended first.

Does no I/O but one log line per change (logger `dnsbl.breaker`, through `say`), and has no lock: the resolver
calls it under its own. Zones are small numbers, 0 to 63. All times are seconds on one clock that never goes
back.
"""

from __future__ import annotations

import logging
from array import array
from collections.abc import Hashable, Sequence
from enum import Enum
from typing import Final, NamedTuple

from dnsbl.health.journal import Say, say_now
from dnsbl.model import TEXT_KINDS, Status

FAILURES_TO_OPEN = 3
FIRST_WAIT_S = 30.0
FIRST_DOUBT_S = 5.0
MAX_WAIT_S = 900.0
LOSS_S = 10.0
"""How far back it is looked for loss on the way to all zones, at least."""
LOSS_WAIT_S = 1.0
WITNESS_S = 5.0
"""How long after its query's start a failure waits for a witness: a SERVFAIL may be the first answer of
its lookup. Longer, and answers after an outage would bear witness to failures during it."""
PROBE_LOST_S = 30.0
"""A probe whose result nobody recorded in this time was abandoned; another may go."""
MAX_SERVER_SETS = 64

_GOOD = frozenset({Status.OK.value, Status.NXDOMAIN.value, Status.REFUSED.value})
_FAILED = frozenset({Status.TIMEOUT.value, Status.RCODE.value})

_log = logging.getLogger("dnsbl.breaker")


class Permit(Enum):
    """What `Breaker.allows` says: ask as usual; do not ask; ask, you are the probe."""

    ALLOW = "allow"
    SKIP = "skip"
    PROBE = "probe"


class ZoneState(NamedTuple):
    """A zone's state, for `stats()` and for the `detail` of a skipped answer."""

    state: str
    """`closed`: asked as usual; `open`: set aside; `probing`: its probe is out."""
    failures: int
    """Counted failures since the last answer."""
    next_probe_s: float | None
    """Seconds until the next probe may go; None when closed."""
    unhealthy: str | None
    """Why the health check set the zone aside; None: it did not."""


class _Finding(NamedTuple):
    """Why the health check set a zone aside, and when it is to be tested again."""

    reason: str
    wait_s: float
    next_check: float
    doubt: bool
    """It fares as all others do: it stays in use, but nothing is sure."""


class _Zone:
    """One zone's breaker, for one kind of name."""

    __slots__ = (
        "counted", "failures", "first_failed", "name", "next_probe", "opened", "probe_started", "server_set",
        "unconfirmed", "wait_s",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.failures = 0
        self.first_failed = 0.0
        """When the first of the present failures in a row was counted."""
        self.server_set: Hashable = None
        """Through which the last of them went."""
        self.counted = float("-inf")
        """When the last failure was counted: queries begun before are part of the same trouble."""
        self.unconfirmed: tuple[Hashable, float] | None = None
        """Server set and start of the last failure that had no witness."""
        self.opened = 0.0
        self.wait_s = 0.0
        """The present wait between probes; 0: closed."""
        self.next_probe = 0.0
        self.probe_started: float | None = None


class Breaker:
    """The breakers of all zones of one resolver; `names` are the zones' names for the log, in order.

    `record` must be told of each A query really sent, once, and of nothing else: not of cached failures,
    TXT queries, cancelled ones, or those that a nameserver was never sent. `started` of a query is the `now`
    at which `allows` let it go. `kind` is an index into TEXT_KINDS.

    `open_masks` (by kind) and `unhealthy_mask` are bit masks of the zones whose breaker is not closed and of
    those that the health check found broken (answers of these, cached ones too, are to be ignored). While
    both spare the wanted zones, `allows` need not be called. `open_mask`: of any kind.

    `doubt_mask`: the zones that look broken as all others do, so that the nameserver is. They are asked on,
    but no verdict on them is complete.
    """

    def __init__(self, names: Sequence[str], say: Say = say_now) -> None:
        self.open_masks = [0] * len(TEXT_KINDS)
        self.unhealthy_mask = 0
        self.doubt_mask = 0
        self._say = say
        self._names = tuple(names)
        self._zones = [[_Zone(name) for name in names] for _ in TEXT_KINDS]
        self._findings: dict[int, _Finding] = {}
        self._judged: dict[int, float] = {}
        """By zone, when the finding that counts was asked for."""
        self.answered: dict[Hashable, array[float]] = {}
        """By server set, when each zone's last answer came; the engine notes plain answers here itself. Sets
        come and go with resolv.conf: bounded."""
        self._failed: dict[Hashable, array[float]] = {}
        """As `answered`, when the last failure came."""
        self.unconfirmed = 0
        """Bit mask of zones with an unconfirmed failure, so that a good answer usually needs no search."""
        self.troubled = 0
        """Bit mask of zones of which any kind has failures, is set aside or unconfirmed."""

    @property
    def open_mask(self) -> int:
        """The zones that are set aside for any kind of name."""
        return self.open_masks[0] | self.open_masks[1] | self.open_masks[2]

    def allows(self, zone: int, now: float, kind: int = 0) -> Permit:
        """Whether to ask `zone` now. PROBE is said to one, to the next when that one ended or is lost."""
        if self.unhealthy_mask >> zone & 1:
            return Permit.SKIP
        if not self.open_masks[kind] >> zone & 1:
            return Permit.ALLOW
        state = self._zones[kind][zone]
        if now < state.next_probe:
            return Permit.SKIP
        state.probe_started = now
        state.next_probe = now + PROBE_LOST_S
        return Permit.PROBE

    def record(
        self, zone: int, server_set: Hashable, started: float, now: float, status: int, kind: int = 0
    ) -> None:
        """How one A query ended: `status` is a `Status`; NOERROR, NXDOMAIN and REFUSED are answers.

        A malformed answer is neither an answer nor a failure, but a probe that gets one has not succeeded.
        """
        state = self._zones[kind][zone]
        if status in _GOOD:
            self._note(self.answered, server_set, zone, now)
            if state.failures or state.wait_s or state.unconfirmed:
                self._answer_of_troubled(zone, kind, started, now)
            if self.unconfirmed:
                self._bear_witness(server_set, zone, now)
            return
        if status in _FAILED:
            self._note(self._failed, server_set, zone, now)
            if self.open_masks[kind]:
                self._look_for_loss(zone, kind, server_set, now)
        if self._is_probe(state, started):
            self._probe_failed(state, now)
            self._blame(zone, kind, server_set, started, now)
        elif status in _FAILED and not state.wait_s:
            self._blame(zone, kind, server_set, started, now)

    def nameserver_at_fault(self, server_set: Hashable, started: float) -> bool:
        """No zone got an answer through `server_set` at or after `started`: a failure tells of no zone."""
        return all(at < started for at in self.answered.get(server_set, ()))

    def set_aside(
        self, zone: int, reason: str, asked_at: float = 0.0, now: float = 0.0, *, doubt: bool = False
    ) -> bool:
        """The health check found `zone` broken: it is not asked until `restore`. `reason` is one line.

        asked_at: when its test entries were asked. doubt: it is only doubted, see `doubt_mask`. False: a
        later finding is known, and nothing changed.
        """
        if not self._is_newest(zone, asked_at):
            return False
        known = self._findings.get(zone)
        if not doubt and (known is None or known.doubt):
            self._say(_log, logging.WARNING, "%s: found broken and set aside: %s", self._names[zone], reason)
        first_s = FIRST_DOUBT_S if doubt else FIRST_WAIT_S
        again = known is not None and known.doubt == doubt
        wait_s = min(2 * known.wait_s, MAX_WAIT_S) if known is not None and again else first_s
        self._findings[zone] = _Finding(reason, wait_s, now + wait_s, doubt)
        self.unhealthy_mask = self.unhealthy_mask & ~(1 << zone) | (not doubt) << zone
        self.doubt_mask = self.doubt_mask & ~(1 << zone) | doubt << zone
        return True

    def restore(self, zone: int, asked_at: float = 0.0) -> bool:
        """The health check found `zone` sound; `asked_at` and False as for `set_aside`."""
        if not self._is_newest(zone, asked_at):
            return False
        known = self._findings.pop(zone, None)
        if known is not None and not known.doubt:
            self._say(_log, logging.WARNING, "%s: found sound again and back in use", self._names[zone])
        self.unhealthy_mask &= ~(1 << zone)
        self.doubt_mask &= ~(1 << zone)
        return True

    def to_recheck(self, now: float) -> list[int]:
        """The zones found broken that are to be tested again now. Each is named once per pause."""
        due = [zone for zone, finding in self._findings.items() if now >= finding.next_check]
        for zone in due:
            finding = self._findings[zone]
            self._findings[zone] = finding._replace(next_check=now + finding.wait_s)
        return due

    def _is_newest(self, zone: int, asked_at: float) -> bool:
        if asked_at < self._judged.get(zone, float("-inf")):
            return False
        self._judged[zone] = asked_at
        return True

    def state(self, zone: int, now: float) -> ZoneState:
        """What `stats()` shows of `zone`, of the kind that fares worst. Asks nothing and changes nothing."""
        return max((self.state_of(zone, kind, now) for kind in range(len(TEXT_KINDS))), key=_badness)

    def state_of(self, zone: int, kind: int, now: float) -> ZoneState:
        """As `state`, for one kind of name."""
        of = self._zones[kind][zone]
        finding = self._findings.get(zone)
        reason = None if finding is None or finding.doubt else finding.reason
        if not of.wait_s:
            return ZoneState("closed", of.failures, None, reason)
        probing = of.probe_started is not None and now < of.next_probe
        return ZoneState("probing" if probing else "open", of.failures, max(0.0, of.next_probe - now), reason)

    def _note(self, rows: dict[Hashable, array[float]], server_set: Hashable, zone: int, now: float) -> None:
        row = rows.get(server_set) or self._row(rows, server_set)
        row[zone] = max(now, row[zone])  # answers are taken in in any order

    def answered_row(self, server_set: Hashable) -> array[float]:
        """A new row of `answered`."""
        return self._row(self.answered, server_set)

    def _row(self, rows: dict[Hashable, array[float]], server_set: Hashable) -> array[float]:
        if len(rows) >= MAX_SERVER_SETS:
            del rows[next(iter(rows))]
        row = rows[server_set] = array("d", [float("-inf")] * len(self._names))
        return row

    def _is_loss(self, zone: int, server_set: Hashable, since: float) -> bool:
        """At least half of the other zones that answered since then failed as well."""
        rows = zip(self.answered.get(server_set, ()), self._failed.get(server_set, ()), strict=False)
        others = [failed >= since for other, (at, failed) in enumerate(rows) if other != zone and at >= since]
        return any(others) and 2 * sum(others) >= len(others)

    def _look_for_loss(self, failed: int, kind: int, server_set: Hashable, now: float) -> None:
        """One failed: others may have been set aside for what is no fault of theirs."""
        for zone, state in enumerate(self._zones[kind]):
            if zone == failed or state.wait_s <= LOSS_WAIT_S or state.server_set != server_set:
                continue
            if self._is_loss(zone, server_set, now - LOSS_S):
                state.wait_s = LOSS_WAIT_S
                if state.probe_started is None:
                    state.next_probe = min(state.next_probe, now + LOSS_WAIT_S)

    def _answer_of_troubled(self, zone: int, kind: int, started: float, now: float) -> None:
        """A zone with failures answered: they are forgotten; if it was set aside, only its probe counts."""
        state = self._zones[kind][zone]
        if state.wait_s:
            if not self._is_probe(state, started):
                return
            away_s = now - state.opened
            self._say(_log, logging.WARNING, "%s: answers again after %.0f s", state.name, away_s)
            self.open_masks[kind] &= ~(1 << zone)
            state.wait_s = 0.0
            state.probe_started = None
        state.failures = 0
        self._clear(zone, kind)
        if not any(of[zone].failures or of[zone].wait_s or of[zone].unconfirmed for of in self._zones):
            self.troubled &= ~(1 << zone)

    def _is_probe(self, state: _Zone, started: float) -> bool:
        return state.probe_started is not None and started >= state.probe_started

    def _probe_failed(self, state: _Zone, now: float) -> None:
        """Until a witness makes it the zone's own failure, the next probe goes after the same wait."""
        state.probe_started = None
        state.next_probe = now + state.wait_s

    def _blame(self, zone: int, kind: int, server_set: Hashable, started: float, now: float) -> None:
        """A failure: counted if there is a witness, else remembered until one comes."""
        self.troubled |= 1 << zone
        answered = self.answered.get(server_set, ())
        if any(at >= started for other, at in enumerate(answered) if other != zone):
            self._count(zone, kind, server_set, started, now)
        else:
            self._zones[kind][zone].unconfirmed = (server_set, started)
            self.unconfirmed |= 1 << zone

    def _bear_witness(self, server_set: Hashable, witness: int, now: float) -> None:
        """An answer of `witness` came: other zones' failures through the same servers are their own."""
        for kind, zones in enumerate(self._zones):
            for zone, state in enumerate(zones):
                if state.unconfirmed is None or zone == witness:
                    continue
                their_set, started = state.unconfirmed
                if now - started > WITNESS_S:
                    self._clear(zone, kind)
                elif their_set == server_set:
                    self._clear(zone, kind)
                    self._count(zone, kind, server_set, started, now)

    def _clear(self, zone: int, kind: int) -> None:
        self._zones[kind][zone].unconfirmed = None
        if all(zones[zone].unconfirmed is None for zones in self._zones):
            self.unconfirmed &= ~(1 << zone)

    def _count(self, zone: int, kind: int, server_set: Hashable, started: float, now: float) -> None:
        """Count one failure, unless its query was in flight when the last one was counted."""
        state = self._zones[kind][zone]
        if started < state.counted:
            return
        state.counted = now
        state.failures += 1
        state.server_set = server_set
        if state.failures == 1:
            state.first_failed = now
        since = now - LOSS_S if state.wait_s else min(state.first_failed, now - LOSS_S)
        loss = self._is_loss(zone, server_set, since)
        if state.wait_s and loss:
            state.wait_s = LOSS_WAIT_S
        elif state.wait_s:
            self._wait_longer(state)
        elif loss:
            state.failures = min(state.failures, FAILURES_TO_OPEN - 1)
            state.first_failed = now  # what others lost before says nothing of the next failure
        elif state.failures >= FAILURES_TO_OPEN:
            self._open(state, zone, kind, now)
        else:
            return
        state.next_probe = now + state.wait_s

    def _wait_longer(self, state: _Zone) -> None:
        longer_s = min(2 * state.wait_s, MAX_WAIT_S)
        if longer_s > state.wait_s:
            self._say(_log, logging.INFO, "%s: probe failed; next probe in %.0f s", state.name, longer_s)
        state.wait_s = longer_s

    def _open(self, state: _Zone, zone: int, kind: int, now: float) -> None:
        state.wait_s = FIRST_WAIT_S
        state.opened = now
        state.probe_started = None
        self.open_masks[kind] |= 1 << zone
        text = "%s: set aside after %d failures in a row; next probe in %.0f s"
        self._say(_log, logging.WARNING, text, state.name, state.failures, state.wait_s)


_ORDER: Final = {"closed": 0, "probing": 1, "open": 2}


def _badness(state: ZoneState) -> tuple[int, int]:
    return _ORDER[state.state], state.failures
