"""One round: which lists are to be asked about whom, what they say, and what that changes.

The order, so that the process may end at any moment:

1. Host names are looked up; what is watched is brought up to date.
2. The queries a list may need are counted as spent before the first is sent.
3. Every list is asked, several at a time, each by a resolver of its own: its limit, its test entries, and
   its failures are nothing to the others.
4. What was seen, the changes and their notices are written together, with what was really spent.

A round that is cut off before 4 is asked again; one after it is never told twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final, NamedTuple

from dnsbl.monitor import pace
from dnsbl.monitor.ask import HEALTH_S, Asked, Open, ask
from dnsbl.monitor.entry import LISTED, UNKNOWN, Change, Entry, Seen
from dnsbl.monitor.hosts import look_up
from dnsbl.monitor.judge import judge
from dnsbl.monitor.notice import make_notices
from dnsbl.monitor.settings import Settings
from dnsbl.monitor.state import State
from dnsbl.monitor.watch import expand
from dnsbl.zones.zone import Zone

LISTS_AT_ONCE: Final = 8

SUBJECT_QUERIES: Final = 2
"""What one subject may cost: the question, and for a listing its reason."""

FORGET_S: Final = 30 * pace.DAY_S
"""For so long after it was asked last an entry that is watched no more is remembered."""

Clock = Callable[[], float]
"""Wall clock, seconds since 1970-01-01 UTC."""


class Round(NamedTuple):
    """What a round did. asked: entries. answered: of these, those with a usable answer. troubles: one line each,
    of lists and hosts. next_at: when the next entry is due."""

    changes: tuple[Change, ...]
    asked: int
    answered: int
    troubles: tuple[str, ...]
    took_s: float
    next_at: float


class _Job(NamedTuple):
    """One list's part of a round.

    put_off: due, but beyond what the list gives away today. left: queries it may have; None: no limit.
    reserved: counted as spent.
    """

    zone: Zone
    entries: list[Entry]
    put_off: list[Entry]
    rounds: int
    left: int | None
    reserved: int


class Rounds:
    """Runs rounds over one state.

    zones: those asked, each once. nameservers: gives those to ask for host names. open_resolver: for one zone.
    sinks: names of those who are told.
    """

    def __init__(
        self,
        state: State,
        settings: Settings,
        zones: Sequence[Zone],
        nameservers: Callable[[], Sequence[str]],
        open_resolver: Open,
        sinks: Sequence[str] = (),
        clock: Clock = time.time,
        health_s: float = HEALTH_S,
    ) -> None:
        self._state, self._settings, self._zones = state, settings, zones
        self._nameservers, self._open, self._sinks, self._clock = nameservers, open_resolver, sinks, clock
        self._health_s = health_s

    def run(self) -> Round:
        """Ask what is due now. Raises StateError, and InputError for more subjects than a monitor takes."""
        started, now = time.monotonic(), self._clock()
        troubles, via, entries = self._update_watched(now)
        jobs = list(self._jobs(entries, now))
        with self._state.change():
            for job in jobs:
                self._state.spend(job.zone.name, _day(now), job.reserved)
        with ThreadPoolExecutor(LISTS_AT_ONCE) as pool:
            results = list(pool.map(self._ask, jobs))
        changes = self._record(jobs, results, now, via, time.monotonic() - started)
        for job, asked in zip(jobs, results, strict=True):
            if asked.trouble:
                troubles.append(f"{job.zone.name}: unknown: {asked.trouble}")
        seen = [each for asked in results for each in asked.seen.values()]
        return Round(
            changes,
            len(seen),
            sum(each.status != UNKNOWN for each in seen),
            tuple(troubles),
            time.monotonic() - started,
            self.next_at(now),
        )

    def next_at(self, now: float) -> float:
        """When the next entry is due: never before now, nor later than one interval from now."""
        due, latest = self._state.next_due(), now + self._settings.interval_s
        return latest if due is None else min(max(due, now), latest)

    # ---- what is watched ----

    def _update_watched(self, now: float) -> tuple[list[str], dict[str, tuple[str, ...]], list[Entry]]:
        """Bring the state's subjects and entries up to date; what was wrong, the items by subject, the entries."""
        hosts = {watch.host: watch.text for watch in self._settings.watch if watch.host}
        of_item: dict[str, list[str]] = {text: [] for text in hosts.values()}
        for subject, items in self._state.subjects().items():
            for item in items:
                if item in of_item and _is_address(subject):
                    of_item[item].append(subject)
        earlier = {host: of_item[text] for host, text in hosts.items()}
        addresses, troubles = look_up(hosts, self._nameservers() if hosts else (), earlier)
        watched = expand(self._settings.watch, addresses, private=self._settings.private)
        via = {text: items for text, (_, items) in watched.items()}
        kinds = {text: subject.kind for text, (subject, _) in watched.items()}
        return list(troubles), via, self._update_entries(via, kinds, now)

    def _update_entries(
        self, via: Mapping[str, tuple[str, ...]], kinds: Mapping[str, str], now: float
    ) -> list[Entry]:
        """The entries of all that is watched. One that was put aside comes back with what it knew: the addresses
        of a name may take turns."""
        wanted = {
            (text, zone.name) for text, kind in kinds.items() for zone in self._zones if kind in zone.subjects
        }
        entries = {(entry.subject, entry.zone): entry for entry in self._state.entries()}
        aside = {(entry.subject, entry.zone): entry for entry in self._state.entries(watched=False)}
        new = [aside.get(pair) or Entry(*pair, since=now) for pair in sorted(wanted - entries.keys())]
        with self._state.change():
            self._state.put_subjects(via)
            self._state.put_aside(entries.keys() - wanted, now - FORGET_S)
            self._state.put_entries(new)
        return [*(entries[pair] for pair in entries.keys() & wanted), *new]

    # ---- what is due ----

    def _jobs(self, all_entries: Sequence[Entry], now: float) -> Iterator[_Job]:
        by_zone: dict[str, list[Entry]] = {zone.name: [] for zone in self._zones}
        for entry in all_entries:
            by_zone[entry.zone].append(entry)
        spent = self._state.spent(_day(now))
        for zone in self._zones:
            entries = by_zone[zone.name]
            due = sorted((entry for entry in entries if _is_due(entry, now)), key=_order)
            if not due:
                continue
            overhead = len(zone.probes) if not zone.file else 0
            daily = pace.allowance(zone.daily_limit, self._settings.share, overhead + SUBJECT_QUERIES)
            listed = sum(entry.standing == LISTED for entry in entries)
            rounds = pace.rounds_between(overhead + len(entries) + listed, daily, self._settings.interval_s)
            if daily is None:
                yield _Job(zone, due, [], rounds, None, 0)
                continue
            left = daily - spent.get(zone.name, 0)
            room = max(0, (left - overhead) // SUBJECT_QUERIES)
            part = due[:room]
            reserved = overhead + SUBJECT_QUERIES * len(part) if part else 0
            yield _Job(zone, part, due[room:], rounds, left, reserved)

    def _ask(self, job: _Job) -> Asked:
        subjects = [entry.subject for entry in job.entries]
        if not subjects:
            return Asked({}, 0, "")
        try:
            return ask(job.zone, subjects, job.left, self._open, self._health_s)
        except Exception as error:  # one list's fault, or this program's: nothing the others should suffer
            trouble = f"{type(error).__name__}: {error}"
            return Asked(dict.fromkeys(subjects, Seen(UNKNOWN, detail=trouble)), job.reserved, trouble)

    # ---- what was seen ----

    def _record(
        self,
        jobs: Sequence[_Job],
        results: Sequence[Asked],
        now: float,
        via: Mapping[str, tuple[str, ...]],
        took_s: float,
    ) -> tuple[Change, ...]:
        entries, found = [], []
        for job, asked in zip(jobs, results, strict=True):
            for entry in job.entries:
                seen = asked.seen[entry.subject]
                after, change = judge(entry, seen, now, self._settings.confirm)
                due_at = pace.due_at(now, self._settings.interval_s, job.rounds, seen.ttl_s)
                entries.append(replace(after, due_at=due_at))
                if change is not None:
                    found.append(replace(change, via=via.get(entry.subject, ())))
            tomorrow = max(pace.next_day(now), now + self._settings.interval_s)
            entries += [replace(entry, due_at=tomorrow) for entry in job.put_off]
        found.sort(key=lambda change: (change.subject, change.zone))
        with self._state.change():
            self._state.put_entries(entries)
            changes = tuple(replace(change, id=self._state.add_change(change)) for change in found)
            for notice in make_notices(changes, self._settings.summary_above):
                for sink in self._sinks:
                    self._state.add_notice(sink, notice, now)
            for job, asked in zip(jobs, results, strict=True):
                self._state.spend(job.zone.name, _day(now), asked.queries - job.reserved)
            count = self._state.meta().get("round", 0.0) + 1
            self._state.put_meta(round=count, round_at=now, round_took_s=took_s)
            self._state.put_meta(next_round_at=self.next_at(now))
        return changes


def _order(entry: Entry) -> tuple[float, str]:
    return entry.due_at, entry.subject


def _day(now: float) -> int:
    return int(now // pace.DAY_S)


def _is_address(subject: str) -> bool:
    return ":" in subject or subject.rpartition(".")[2].isdigit()


def _is_due(entry: Entry, now: float) -> bool:
    """Also where it seems to have been asked in time to come: the clock was set back."""
    return entry.due_at <= now + pace.SLACK_S or (entry.asked_at or 0.0) > now
