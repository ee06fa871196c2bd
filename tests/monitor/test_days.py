"""Fifty addresses on twenty lists over simulated days: what is told is what was true, once."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path

import pytest
from support.monitoring import INTERVAL_S, START, Monitor

from dnsbl.testing import DnsblServer, rcode, silence, stripped, wildcard
from dnsbl.testing.zone import Zone

ADDRESSES = [f"198.51.100.{n}" for n in range(1, 51)]
LISTS = [f"l{n}.example" for n in range(20)]
ROUNDS = 24  # of four hours: four days
SETTLE = 6
"""Rounds at the end in which nothing changes and no list fails."""
DWELL = 8
"""Rounds for which what is true stays so: longer than any list fails."""
FAULTS = {
    "servfail": [rcode("SERVFAIL")],
    "refused": [rcode("REFUSED")],
    "error code": [wildcard("127.255.255.254")],
    "dead, listing all": [wildcard("127.0.0.2")],
    "dead, parked": [wildcard("203.0.113.80")],
    "emptied": [rcode("NXDOMAIN")],
    "stripped": [stripped()],
}


class Truth:
    """Who is listed where, and the changes of that, by pair: `(round, what)`."""

    def __init__(self, chance: random.Random) -> None:
        self.listed: dict[tuple[str, str], bool] = {}
        self.changes: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
        self._plan: dict[int, list[tuple[str, str]]] = defaultdict(list)
        for address in ADDRESSES:
            for zone in LISTS:
                if chance.random() < 0.15:
                    at = chance.randrange(0, ROUNDS - SETTLE - DWELL)
                    while at < ROUNDS - SETTLE - 3:
                        self._plan[at].append((address, zone))
                        at += DWELL + chance.randrange(4)

    def turn(self, number: int) -> list[tuple[str, str]]:
        """The pairs that change in this round."""
        for pair in self._plan[number]:
            self.listed[pair] = not self.listed.get(pair, False)
            self.changes[pair].append((number, "listed" if self.listed[pair] else "delisted"))
        return self._plan[number]


def show(zone: Zone, address: str, listed: bool) -> None:
    if listed:
        zone.list(address, codes=["127.0.0.4", "127.0.0.2"], txt=f"{address} sent spam")
    else:
        zone.unlist(address)


def break_lists(server: DnsblServer, chance: random.Random, until: dict[str, int], number: int) -> None:
    """Lists come back, others fail for one to three rounds; in one round two of them say nothing at all."""
    for zone in LISTS:
        if until.get(zone, number) <= number:
            server.zone(zone).heal()
            until.pop(zone, None)
        if number < ROUNDS - SETTLE and zone not in until and chance.random() < 0.08:
            until[zone] = number + chance.randrange(1, 4)
            for handler in FAULTS[chance.choice(sorted(FAULTS))]:
                server.zone(zone).fault(handler)
    if number == ROUNDS // 2:
        for zone in LISTS[:2]:
            server.zone(zone).heal()
            server.zone(zone).fault(silence())
            until[zone] = number + 1


@pytest.mark.timeout(400)  # on a machine that does much else
def test_every_true_change_is_told_once_and_no_false_one(tmp_path: Path) -> None:
    chance = random.Random(15)
    truth, until, lies = Truth(chance), dict[str, int](), list[tuple[str, str]]()
    with DnsblServer(LISTS) as server, Monitor(tmp_path, server, LISTS, ADDRESSES, health_s=4.0) as monitor:
        for number in range(ROUNDS):
            for address, zone in lies:  # a lie lasts one round
                show(server.zone(zone), address, truth.listed.get((address, zone), False))
            for address, zone in truth.turn(number):
                show(server.zone(zone), address, truth.listed[address, zone])
            lies = []
            if number < ROUNDS - SETTLE and number % 2:
                lies = [(chance.choice(ADDRESSES), chance.choice(LISTS)) for _ in range(5)]
            for address, zone in lies:
                show(server.zone(zone), address, not truth.listed.get((address, zone), False))
            break_lists(server, chance, until, number)
            monitor.run()
        told = defaultdict(list)
        for change in monitor.told_changes():
            told[change["subject"], change["zone"]].append(change["what"])
        true = {pair: [what for _, what in changes] for pair, changes in truth.changes.items()}
        assert dict(told) == true
        assert sum(map(len, true.values())) > 120
        ids = [notice["id"] for notice in monitor.told]
        assert len(ids) == len(set(ids))
        for kept in monitor.state.changes(most=10_000):
            at = (kept.since - START) / INTERVAL_S
            near = min(abs(at - number) for number, _ in truth.changes[kept.subject, kept.zone])
            assert near < DWELL, "it says when it was first seen"
        for entry in monitor.state.entries():
            is_listed = truth.listed.get((entry.subject, entry.zone), False)
            assert (entry.status == "listed") is is_listed, "and the state is what is true at the end"
