"""Faults reported of other monitors, each by its name there; and hosts, ranges and limits over real lists."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from support.monitoring import INTERVAL_S, Monitor

from dnsbl.monitor.metrics import Collector
from dnsbl.testing import DnsblServer, Query, Reply, build_reply, rcode, silence, wildcard
from dnsbl.testing.wire import record

ADDRESSES = [f"198.51.100.{n}" for n in range(1, 11)]
TYPES = {"A": 1, "AAAA": 28}


class Names:
    """Host names with addresses, as a zone of the loopback server; `failing`: record types answered SERVFAIL."""

    def __init__(self, server: DnsblServer, zone: str = "example.net") -> None:
        self.addresses: dict[str, list[str]] = {}
        self.failing: set[str] = set()
        server.zone(zone, test_points=False).fault(self._answer)

    def _answer(self, query: Query, answer: object) -> Reply | bytes:
        if query.type in self.failing:
            return build_reply(query, 2)
        version = {"A": 4, "AAAA": 6}.get(query.type)
        found = map(ipaddress.ip_address, self.addresses.get(query.name, []))
        wanted = [each for each in found if each.version == version]
        return build_reply(query, 0, tuple(record(TYPES[query.type], 60, each.packed) for each in wanted))


def test_check_rbl_58_and_18_a_list_that_died_alarms_nobody(tmp_path: Path) -> None:
    """It lists the whole world, or its domain is parked: neither is a word about anybody."""
    with (
        DnsblServer(["a.example", "b.example"]) as server,
        Monitor(tmp_path, server, ["a.example", "b.example"], ADDRESSES) as monitor,
    ):
        monitor.run(2)
        server.zone("a.example").fault(wildcard("127.0.0.2"))
        server.zone("b.example").fault(wildcard("203.0.113.80"))
        monitor.run(4)
        assert monitor.told == []
        assert monitor.statuses(ADDRESSES[0]) == {"a.example": "unknown", "b.example": "unknown"}
        assert "wildcarded" in monitor.last.troubles[0]
        server.zone("a.example").heal()
        monitor.run()
        assert monitor.statuses(ADDRESSES[0])["a.example"] == "clear"


def test_check_rbl_58_a_flapping_list_makes_one_alarm(tmp_path: Path) -> None:
    with DnsblServer(["a.example"]) as server, Monitor(tmp_path, server, ["a.example"], ADDRESSES) as monitor:
        zone = server.zone("a.example")
        for _ in range(4):
            zone.list(ADDRESSES[0])
            monitor.run()
            zone.unlist(ADDRESSES[0])
            monitor.run()
        assert monitor.told == []
        zone.list(ADDRESSES[0])
        monitor.run(4)
        assert [notice["event"] for notice in monitor.told] == ["listed"]


def test_check_rbl_54_a_reputation_is_no_listing(tmp_path: Path) -> None:
    """The catalogue's kinds: neutral and good codes of rep.mailspike.net, whites of a combined list."""
    with DnsblServer(["rep.mailspike.net", "list.dnswl.org"], port=0) as server:
        reputation, allow = server.zone("rep.mailspike.net"), server.zone("list.dnswl.org")
        for address, code in zip(ADDRESSES, ("10", "13", "14", "15", "16", "18", "20"), strict=False):
            reputation.list(address, codes=f"127.0.0.{code}")
            allow.list(address, codes="127.0.10.2")
        watch = ADDRESSES[:7]
        with Monitor(
            tmp_path, server, ["rep.mailspike.net", "list.dnswl.org"], watch, "share = 1.0"
        ) as monitor:
            monitor.run(3)
            listed = [(c.subject, c.zone) for c in monitor.state.changes()]
            assert listed == [(ADDRESSES[0], "rep.mailspike.net")], "L5, the worst, is one"


def test_blacklistmonitor_23_an_address_does_not_go_clean_when_a_list_is_silent(tmp_path: Path) -> None:
    with (
        DnsblServer(["a.example", "b.example"]) as server,
        Monitor(tmp_path, server, ["a.example", "b.example"], ADDRESSES, health_s=0.5) as monitor,
    ):
        server.zone("a.example").list(ADDRESSES[0], txt="sent spam")
        server.zone("b.example").list(ADDRESSES[0])
        monitor.run(2)
        server.zone("a.example").fault(silence())
        server.zone("b.example").fault(rcode("REFUSED"))
        monitor.run(3)
        assert set(monitor.statuses(ADDRESSES[0]).values()) == {"unknown"}
        server.zone("a.example").heal()
        server.zone("b.example").heal()
        monitor.run(2)
        assert set(monitor.statuses(ADDRESSES[0]).values()) == {"listed"}
        assert [notice["event"] for notice in monitor.told] == ["listed", "listed"]
        assert {entry.reason for entry in monitor.state.entries(ADDRESSES[0])} == {"sent spam", ""}


def test_dnsbl_exporter_381_one_series_whatever_codes_come_in_whatever_order(tmp_path: Path) -> None:
    with DnsblServer(["a.example"]) as server, Monitor(tmp_path, server, ["a.example"], ADDRESSES) as monitor:
        registry = CollectorRegistry()
        registry.register(Collector(monitor.path, {}, ("program",)))

        def series() -> list[str]:
            lines = generate_latest(registry).decode().splitlines()
            return [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]

        monitor.run()
        first = series()
        for codes in (["127.0.0.4", "127.0.0.2"], ["127.0.0.2", "127.0.0.4"], ["127.0.0.11"], []):
            server.zone("a.example").list(ADDRESSES[0], codes=codes, txt=f"a new reason: {codes}")
            monitor.run(2)
            assert series() == first
        server.zone("a.example").fault(rcode("REFUSED"))
        monitor.run()
        assert series() == first
        assert [change.what for change in monitor.state.changes()] == ["delisted", "listed"]
        assert first.count('dnsbl_monitor_listed{subject="198.51.100.1",zone="a.example"}') == 1


def test_cuttlefish_384_all_addresses_of_a_host_anew_each_round(tmp_path: Path) -> None:
    with DnsblServer(["a.example"]) as server:
        names = Names(server)
        many = [f"203.0.113.{n}" for n in range(1, 31)]  # a reply beyond 512 bytes
        names.addresses["mx.example.net"] = ["198.51.100.1", "198.51.100.2", "2001:db8::1", "10.0.0.1"]
        names.addresses["many.example.net"] = many
        watch = ["host:mx.example.net", "host:many.example.net"]
        with Monitor(tmp_path, server, ["a.example"], watch) as monitor:
            monitor.run()
            subjects = monitor.state.subjects()
            assert set(subjects) == {"198.51.100.1", "198.51.100.2", "2001:db8::1", *many}
            assert subjects["2001:db8::1"] == ("host:mx.example.net",)
            names.addresses["mx.example.net"] = ["198.51.100.3", "2001:db8::1"]
            server.zone("a.example").list("198.51.100.3")
            monitor.run(2)
            assert {"198.51.100.3", "2001:db8::1"} == set(monitor.state.subjects()) - set(many)
            assert [(n["subject"], n["via"]) for n in monitor.told] == [
                ("198.51.100.3", ["host:mx.example.net"])
            ]
            names.failing = {"A"}
            names.addresses["mx.example.net"] = ["2001:db8::2"]
            monitor.run()
            kept = set(monitor.state.subjects()) - set(many)
            assert kept == {"198.51.100.3", "2001:db8::2"}, "what a failed question had stays watched"
            assert any("no answer about its A records" in line for line in monitor.last.troubles)


def test_addresses_of_a_host_that_take_turns_are_told_once(tmp_path: Path) -> None:
    with DnsblServer(["a.example"]) as server:
        names = Names(server)
        server.zone("a.example").list("198.51.100.1")
        with Monitor(tmp_path, server, ["a.example"], ["host:mx.example.net"]) as monitor:
            for number in range(8):
                names.addresses["mx.example.net"] = [f"198.51.100.{1 + number % 2}"]
                monitor.run()
            assert [notice["subject"] for notice in monitor.told] == ["198.51.100.1"]
            names.addresses["mx.example.net"] = ["198.51.100.2"]
            monitor.clock.at += 31 * 86_400
            monitor.run()
            assert list(monitor.state.entries("198.51.100.1", watched=False)) == []


def test_a_name_is_asked_of_lists_of_domains_and_its_addresses_of_lists_of_addresses(tmp_path: Path) -> None:
    uri = 'name = "uri.example"\nsubjects = ["domain"]'
    with DnsblServer(["a.example"]) as server:
        server.zone("uri.example", subjects="domain").list("example.net", txt="in spam")
        names = Names(server)
        names.addresses["www.example.net"] = ["198.51.100.1"]
        with Monitor(tmp_path, server, ["a.example", uri], ["www.example.net"]) as monitor:
            monitor.run(2)
            pairs = {(entry.subject, entry.zone): entry.status for entry in monitor.state.entries()}
            assert pairs == {
                ("198.51.100.1", "a.example"): "clear",
                ("www.example.net", "uri.example"): "listed",
            }


def test_blcheck_4_a_range_with_one_summary(tmp_path: Path) -> None:
    with (
        DnsblServer(["a.example"]) as server,
        Monitor(tmp_path, server, ["a.example"], ["203.0.113.0/26"]) as monitor,
    ):
        monitor.run()
        server.zone("a.example").list("203.0.113.0/27", txt="the whole network\x1b[31m <b>")
        monitor.run(2)
        (summary,) = monitor.told
        assert (summary["event"], summary["listed"], summary["delisted"]) == ("summary", 32, 0)
        assert {change["subject"] for change in summary["changes"]} == {f"203.0.113.{n}" for n in range(32)}
        assert summary["changes"][0]["reason"] == "the whole network [31m <b>"


def test_a_lists_limit_is_kept_over_days_and_restarts(tmp_path: Path) -> None:
    """A share of 60 queries a day for 40 addresses: not all of them every day, and none of them never."""
    limited = 'name = "a.example"\ndaily_limit = 120'
    with DnsblServer(["a.example"]) as server:
        by_day = []
        for day in range(5):
            server.clear()
            watch = [f"198.51.100.{n}" for n in range(1, 41)]
            with Monitor(tmp_path, server, [limited], watch, "share = 0.5") as monitor:
                meta = monitor.state.meta()
                monitor.clock.at = meta.get("round_at", monitor.clock.at - INTERVAL_S) + INTERVAL_S
                if not day:
                    monitor.clock.at -= monitor.clock.at % 86_400
                monitor.run(6)
                asked = [entry.asked_at for entry in monitor.state.entries()]
            by_day.append(server.count("a.example"))
        assert max(by_day) <= 60
        assert all(asked), "each was asked within five days"
        assert sum(by_day) > 100


def test_a_list_that_refuses_is_asked_for_its_test_entries_only(tmp_path: Path) -> None:
    with DnsblServer(["a.example"]) as server, Monitor(tmp_path, server, ["a.example"], ADDRESSES) as monitor:
        server.zone("a.example").fault(rcode("REFUSED"))
        monitor.run()
        assert server.count("a.example") == 4
