"""The Resolver as a caller sees it: what it takes, what its verdicts say, what it counts and logs."""

from __future__ import annotations

import ipaddress
import json
import logging
from pathlib import Path

import pytest
from support.lookups import answer_of, eventually, outcomes, resolver_for, run_python, with_zones
from support.servers import HAS_IP6, report_missing

from dnsbl import (
    ClosedError,
    ConfigError,
    NameserverError,
    Outcome,
    Resolver,
    SubjectError,
    Zone,
    ZoneError,
)
from dnsbl.config.file import load
from dnsbl.config.limits import CACHE_SIZE
from dnsbl.testing import DnsblServer, rcode, silence, truncated

# ---- verdicts ----


@pytest.mark.parametrize(
    ("subject", "form"),
    [
        ("192.0.2.99", "192.0.2.99"),
        (bytes([192, 0, 2, 99]), "192.0.2.99"),
        (ipaddress.ip_address("192.0.2.99"), "192.0.2.99"),
        ("::ffff:192.0.2.99", "192.0.2.99"),
        ("[192.0.2.99]", "192.0.2.99"),
        ("2001:db8::1", "2001:db8::1"),
        (ipaddress.ip_address("2001:db8::1").packed, "2001:db8::1"),
        (ipaddress.ip_address("2001:db8::1"), "2001:db8::1"),
        ("2001:0DB8:0::0001", "2001:db8::1"),
    ],
)
def test_an_address_in_any_form_is_looked_up(dnsbl_server: DnsblServer, subject: object, form: str) -> None:
    zone = dnsbl_server.zone("bl.example")
    zone.list("192.0.2.99", codes=["127.0.0.4"])
    zone.list("2001:db8::1", codes=["127.0.0.4"])
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        for _ in range(2):  # asked, then cached
            verdict = resolver.check(subject)
            assert (verdict.subject, verdict.listed, verdict.complete, verdict.score) == (
                form,
                True,
                True,
                1.0,
            )
            assert [answer.codes for answer in verdict.listings] == [("127.0.0.4",)]
    assert dnsbl_server.count(type="A") == 1


@pytest.mark.parametrize("subject", ["192.0.2.98", "2001:db8::2"])
def test_an_address_in_no_zone_is_clean_and_complete(dnsbl_server: DnsblServer, subject: str) -> None:
    zones = with_zones(dnsbl_server, "a.example", "b.example")
    with resolver_for(dnsbl_server, *zones) as resolver:
        verdict = resolver.check(subject)
        assert (verdict.listed, verdict.complete, verdict.score) == (False, True, 0.0)
        assert outcomes(verdict) == [Outcome.NOT_LISTED] * 2
        cached = resolver.check(subject)
        assert [answer.cached for answer in verdict.answers] == [False, False]
        assert [answer.cached for answer in cached.answers] == [True, True]


@pytest.mark.parametrize(
    "subject", ["example.com", "EXAMPLE.com.", "user@Example.COM", "https://example.com/x"]
)
def test_a_domain_in_any_form_is_one_query(dnsbl_server: DnsblServer, subject: str) -> None:
    dnsbl_server.zone("uri.example", "domain").list("example.com", codes=["127.0.1.2"])
    zone = Zone("uri.example", subjects=frozenset({"domain"}))
    with resolver_for(dnsbl_server, zone, reasons=False) as resolver:
        assert resolver.check("www.example.com").listed  # the registrable domain is asked, and cached
        verdict = resolver.check(subject)
        assert (verdict.subject, verdict.listed) == ("example.com", True)
    assert [query.name for query in dnsbl_server.queries] == ["example.com.uri.example"]


def test_each_zone_is_asked_for_what_it_takes(dnsbl_server: DnsblServer) -> None:
    whole = Zone("host.example", subjects=frozenset({"domain"}), domain="host")
    part = Zone("reg.example", subjects=frozenset({"domain"}))
    addresses = Zone("ip.example")
    with_zones(dnsbl_server, "host.example", "reg.example", "ip.example")
    with resolver_for(dnsbl_server, whole, part, addresses) as resolver:
        verdict = resolver.check("mail.example.com")
        assert outcomes(verdict) == [Outcome.NOT_LISTED, Outcome.NOT_LISTED, Outcome.SKIPPED]
        assert verdict.complete
        assert answer_of(verdict, "ip.example").detail == "ip.example takes no domain"
        assert outcomes(resolver.check("192.0.2.1")) == [Outcome.SKIPPED, Outcome.SKIPPED, Outcome.NOT_LISTED]
    assert sorted(query.name for query in dnsbl_server.queries) == [
        "1.2.0.192.ip.example",
        "example.com.reg.example",
        "mail.example.com.host.example",
    ]


def test_a9_every_failure_keeps_its_own_name(dnsbl_server: DnsblServer) -> None:
    faults = {
        "refused.example": (rcode("REFUSED"), Outcome.BLOCKED),
        "servfail.example": (rcode("SERVFAIL"), Outcome.SERVFAIL),
        "notauth.example": (rcode("NOTAUTH"), Outcome.SERVFAIL),
        "notimp.example": (rcode("NOTIMP"), Outcome.SERVFAIL),
        "silent.example": (silence(), Outcome.TIMEOUT),
    }
    for name, (fault, _) in faults.items():
        dnsbl_server.zone(name).fault(fault)
    dnsbl_server.zone("sound.example")
    with resolver_for(dnsbl_server, *faults, "sound.example", deadline_s=0.3) as resolver:
        for subject in ("192.0.2.98", "2001:db8::98"):
            verdict = resolver.check(subject)
            expected = [outcome for _, outcome in faults.values()]
            assert outcomes(verdict) == [*expected, Outcome.NOT_LISTED]
            assert (verdict.listed, verdict.complete, verdict.score) == (False, False, 0.0)
            assert [answer.zone for answer in verdict.errors] == list(faults)
            details = [answer.detail for answer in verdict.errors]
            assert all(details)
            assert len(set(details)) == len(faults)  # which rcode it was is told too


@pytest.mark.parametrize(
    "codes",
    [
        ["127.0.0.10", "127.0.0.4", "127.0.0.2"],
        ["127.0.0.2", "127.0.0.4", "127.0.0.10", "127.0.0.4"],
        ["127.0.0.4", "127.0.0.10", "127.0.0.4", "127.0.0.2", "127.0.0.2"],
    ],
)
def test_a12_all_codes_in_numeric_order_once_each(dnsbl_server: DnsblServer, codes: list[str]) -> None:
    zone = dnsbl_server.zone("bl.example")
    zone.list("192.0.2.99", codes=codes)
    zone.list("2001:db8::99", codes=codes)
    with resolver_for(dnsbl_server, "bl.example", reasons=False) as resolver:
        for subject in ("192.0.2.99", "2001:db8::99") * 2:
            listing = resolver.check(subject).listings[0]
            assert listing.codes == ("127.0.0.2", "127.0.0.4", "127.0.0.10")


@pytest.mark.parametrize(
    "subject", ["10.0.0.1", "127.0.0.5", "fe80::1%eth0", "::1", "printer.local", "host.internal"]
)
def test_a_private_subject_is_not_asked_unless_wished(dnsbl_server: DnsblServer, subject: str) -> None:
    dnsbl_server.zone("bl.example")
    zone = Zone("bl.example", subjects=frozenset({"ip4", "ip6", "domain"}), domain="host")
    with resolver_for(dnsbl_server, zone) as resolver:
        verdict = resolver.check(subject)
        assert outcomes(verdict) == [Outcome.SKIPPED]
        assert (verdict.listed, verdict.complete) == (False, True)
        assert dnsbl_server.count() == 0
    with resolver_for(dnsbl_server, zone, check_private=True) as resolver:
        resolver.check(subject)
        assert dnsbl_server.count() == 1


def test_the_test_entries_of_rfc_5782_are_always_asked(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example")
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        assert resolver.check("127.0.0.2").listed
        verdict = resolver.check("127.0.0.1")
        assert outcomes(verdict) == [Outcome.NOT_LISTED]


@pytest.mark.parametrize(
    "subject",
    ["", "192.0.2.010", "192.0.2", "a..example.com", "a b.example", b"abc", None, 3232235777, "192.0.2.1\n"],
)
def test_what_is_no_subject_is_a_clear_error_and_no_query(dnsbl_server: DnsblServer, subject: object) -> None:
    dnsbl_server.zone("bl.example")
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        for call in (resolver.check, resolver.check_cached):
            with pytest.raises(SubjectError):
                call(subject)
    assert dnsbl_server.count() == 0


def test_c4_a_name_too_long_for_the_zone_is_an_error_never_clean(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("dbl.example")
    zone = Zone("dbl.example", subjects=frozenset({"domain"}), domain="host")
    room = 253 - len(".dbl.example")
    longest = ".".join(["a" * 63, "a" * 63, "a" * 63, "a" * (room - 3 * 64 - len(".com"))]) + ".com"
    with resolver_for(dnsbl_server, zone) as resolver:
        assert resolver.check(longest).complete
        with pytest.raises(SubjectError, match="too long"):
            resolver.check(longest.replace(".com", "a.com"))
    assert dnsbl_server.count(type="A") == 1


# ---- per zone ----


def test_a_zone_with_its_own_nameserver(dnsbl_server: DnsblServer) -> None:
    with DnsblServer(zones=["own.example"]) as other:
        other.zone("own.example").list("192.0.2.99")
        dnsbl_server.zone("bl.example")
        own = Zone("own.example", nameservers=(other.nameserver,))
        with resolver_for(dnsbl_server, own, "bl.example") as resolver:
            verdict = resolver.check("192.0.2.99")
            assert outcomes(verdict) == [Outcome.LISTED, Outcome.NOT_LISTED]
            servers = [answer.evidence.nameserver for answer in verdict.answers]
            assert servers == [other.nameserver, dnsbl_server.nameserver]
        assert (other.count(type="A"), dnsbl_server.count(type="A")) == (1, 1)


@pytest.mark.parametrize("over", ["udp", "tcp"])
def test_a_nameserver_on_ip6(over: str) -> None:
    if not HAS_IP6:
        report_missing("IPv6 on loopback")
    with DnsblServer(zones=["bl.example"], host="::1") as server:
        server.zone("bl.example").list("192.0.2.99", txt="why")
        if over == "tcp":
            server.fault(truncated())
        with resolver_for(server, "bl.example") as resolver:
            verdict = resolver.check("192.0.2.99")
            assert verdict.listings[0].reason == "why"
            assert verdict.listings[0].evidence.nameserver == server.nameserver
            assert server.nameserver.startswith("[::1]:")


def test_a_zone_with_its_own_timeout_is_asked_again_sooner(dnsbl_server: DnsblServer) -> None:
    for name in ("quick.example", "usual.example"):
        dnsbl_server.zone(name).fault(silence())
    zones = Zone("quick.example", timeout_s=0.1), Zone("usual.example")
    with resolver_for(dnsbl_server, *zones, timeout_s=0.4, deadline_s=0.7) as resolver:
        resolver.check("192.0.2.1")
    assert dnsbl_server.count("usual.example") == 2
    assert 6 <= dnsbl_server.count("quick.example") <= 7


@pytest.mark.parametrize("fault", [rcode("SERVFAIL"), rcode("REFUSED"), silence()])
def test_on_error_listed_counts_the_weight_and_changes_nothing_else(
    dnsbl_server: DnsblServer, fault: object
) -> None:
    for name in ("strict.example", "lax.example"):
        dnsbl_server.zone(name).fault(fault)  # type: ignore[arg-type]
    zones = Zone("strict.example", weight=4, on_error="listed"), Zone("lax.example", weight=8)
    with resolver_for(dnsbl_server, *zones, deadline_s=0.2) as resolver:
        verdict = resolver.check("192.0.2.1")
        assert (verdict.score, verdict.listed, verdict.complete) == (4.0, False, False)


@pytest.mark.parametrize("nameservers", [("resolver.example.com",), ("192.0.2.53:99999",), ("[::1",), ("",)])
def test_a_zone_with_an_unusable_nameserver_is_refused_at_once(nameservers: tuple[str, ...]) -> None:
    zone = Zone("bl.example", nameservers=nameservers)
    with pytest.raises(NameserverError) as caught:
        Resolver([zone], ["127.0.0.1:5353"])
    assert "bl.example" in str(caught.value)


def test_a_zones_own_nameservers_may_be_written_in_any_form() -> None:
    zone = Zone("bl.example", nameservers=("127.0.0.1", "::1", "[::ffff:127.0.0.2]:53"))
    with Resolver([zone], ["127.0.0.1:5353"]) as resolver:
        assert resolver.zones[0].nameservers == ("127.0.0.1:53", "[::1]:53", "127.0.0.2:53")


# ---- the constructor ----


@pytest.mark.parametrize(
    "settings",
    [
        {"deadline_s": 0},
        {"deadline_s": -1.0},
        {"deadline_s": float("nan")},
        {"deadline_s": float("inf")},
        {"deadline_s": "3"},
        {"deadline_s": True},
        {"timeout_s": 0},
        {"timeout_s": 1000},
        {"tries": 0},
        {"tries": 1.5},
        {"cache_size": -1},
        {"cache_size": 10.5},
        {"ttl_min_s": -1},
        {"ttl_min_s": "soon"},
        {"ttl_min_s": 60, "ttl_max_s": 30},
        {"reason_timeout_s": -0.1},
        {"reasons": "no"},
        {"check_private": 0},
    ],
)
def test_an_unusable_setting_is_a_clear_error(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as caught:
        Resolver(["bl.example"], ["127.0.0.1:5353"], **settings)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert any(name in str(caught.value) for name in settings)


@pytest.mark.parametrize("zones", [["-x-.example"], ["192.0.2.1"], [""], ["bl.example=127.0.0"], ["a..b"]])
def test_an_unusable_zone_is_a_clear_error(zones: list[str]) -> None:
    with pytest.raises(ZoneError):
        Resolver(zones, ["127.0.0.1:5353"])


def test_no_zone_at_all_is_a_clear_error() -> None:
    with pytest.raises(ZoneError, match="no zone"):
        Resolver([], ["127.0.0.1:5353"])


def test_64_zones_are_the_most() -> None:
    names = [f"bl{number}.example" for number in range(65)]
    with Resolver(names[:64], ["127.0.0.1:5353"]) as resolver:
        assert len(resolver.zones) == 64
    with pytest.raises(ZoneError, match="64"):
        Resolver(names, ["127.0.0.1:5353"])


def test_64_zones_are_all_asked_and_read(dnsbl_server: DnsblServer) -> None:
    names = with_zones(dnsbl_server, *(f"bl{number}.example" for number in range(64)))
    dnsbl_server.zone(names[63]).list("192.0.2.99")
    with resolver_for(dnsbl_server, *names) as resolver:
        assert [answer.zone for answer in resolver.check("192.0.2.99").listings] == ["bl63.example"]
        assert [answer.zone for answer in resolver.check("192.0.2.99").listings] == ["bl63.example"]
        assert resolver.check("192.0.2.98").complete
        assert resolver.check_cached("192.0.2.98") is not None
    assert dnsbl_server.count(type="A") == 128


@pytest.mark.parametrize(
    "nameservers",
    [[], ["localhost"], [None], ["127.0.0.1:0"], ["127.0.0.1:x"], [f"127.0.0.{n}" for n in range(1, 10)]],
)
def test_unusable_nameservers_are_a_clear_error(nameservers: list[str]) -> None:
    with pytest.raises(NameserverError):
        Resolver(["bl.example"], nameservers)


def test_nameservers_are_shown_in_one_form() -> None:
    given = ["127.0.0.1", "[::1]:5353", "::1", "127.0.0.1:53"]
    with Resolver(["bl.example"], given) as resolver:
        assert resolver.nameservers == ("127.0.0.1:53", "[::1]:5353", "[::1]:53")


def test_a_retired_zone_is_refused_unless_named_in_allow(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ZoneError, match="retired"):
        Resolver(["dnsbl.sorbs.net"], ["127.0.0.1:5353"])
    with Resolver(["dnsbl.sorbs.net"], ["127.0.0.1:5353"], allow=["dnsbl.sorbs.net"]) as resolver:
        assert [zone.name for zone in resolver.zones] == ["dnsbl.sorbs.net"]


def test_what_a_configuration_allows_is_allowed_to_zones_given_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "dnsbl.toml"
    path.write_text('[resolver]\nallow = ["dnsbl.sorbs.net"]\n')
    with Resolver(["dnsbl.sorbs.net"], ["127.0.0.1:5353"], config=load(path)) as resolver:
        assert [zone.name for zone in resolver.zones] == ["dnsbl.sorbs.net"]


def test_a_keyed_zone_is_meant_with_its_key_and_without_and_the_key_is_not_shown(
    dnsbl_server: DnsblServer,
) -> None:
    key = "k3yk3yk3yk3yk3yk3yk3yk3yk3"
    name = f"{key}.zen.dq.spamhaus.net"
    dnsbl_server.zone(name).list("127.0.0.2")
    with Resolver([name], [dnsbl_server.nameserver], allow=[name]) as resolver:
        for meant in (name, "zen.dq.spamhaus.net"):
            resolver.flush(zone=meant)
            assert [health.zone for health in resolver.health([meant])] == ["zen.dq.spamhaus.net"]
        for call in (resolver.flush, lambda zone: resolver.health([zone])):
            with pytest.raises(ZoneError, match=r"^dbl\.dq\.spamhaus\.net is not among the zones") as caught:
                call(zone=f"{key}.dbl.dq.spamhaus.net")
            assert caught.value.text == "***.dbl.dq.spamhaus.net"


def test_a_warning_about_zones_is_logged_unless_allowed(caplog: pytest.LogCaptureFixture) -> None:
    names = [f"bl{number}.example" for number in range(7)]
    Resolver(names, ["127.0.0.1:5353"]).close()
    assert [record.name for record in caplog.records] == ["dnsbl"]
    assert "7 zones" in caplog.text
    caplog.clear()
    Resolver(names, ["127.0.0.1:5353"], allow=names[:1]).close()
    assert not caplog.records


# ---- after close ----


def test_a_closed_resolver_says_so(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example")
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        resolver.check("192.0.2.1")
    calls = [
        lambda: resolver.check("192.0.2.1"),  # cached or not
        lambda: resolver.check("192.0.2.2"),
        lambda: resolver.check("10.0.0.1"),
        lambda: resolver.check_cached("192.0.2.1"),
        lambda: list(resolver.check_many(["192.0.2.1"])),
        lambda: resolver.health(),
    ]
    for call in calls:
        with pytest.raises(ClosedError):
            call()
    resolver.close()  # again: nothing happens


# ---- stats and log ----


def test_stats_are_json_and_count_right(dnsbl_server: DnsblServer) -> None:
    a, b = dnsbl_server.zone("a.example"), dnsbl_server.zone("b.example")
    a.list("192.0.2.99", txt="why")
    b.list("192.0.2.97", codes=["127.255.255.254"])
    with resolver_for(dnsbl_server, "a.example", "b.example") as resolver:
        assert json.loads(json.dumps(resolver.stats()))["zones"]["a.example"]["queries"] == 0
        for subject in ("192.0.2.99", "192.0.2.98", "192.0.2.97", "192.0.2.98", "192.0.2.99"):
            resolver.check(subject)
        b.fault(rcode("SERVFAIL"))
        resolver.check("192.0.2.96")
        stats = json.loads(json.dumps(resolver.stats()))
    assert stats["nameservers"] == [dnsbl_server.nameserver]
    assert stats["cache"] == {"hits": 2, "misses": 4, "maxsize": CACHE_SIZE, "currsize": 4}
    zones = stats["zones"]
    assert list(zones) == ["a.example", "b.example"]
    assert zones["a.example"]["queries"] == 5  # four A and a TXT
    assert zones["b.example"]["queries"] == 4
    assert [zones[name]["cache_hits"] for name in zones] == [2, 2]
    seen = {name: {k: n for k, n in zones[name]["outcomes"].items() if n} for name in zones}
    assert seen == {
        "a.example": {"listed": 1, "not_listed": 3},
        "b.example": {"not_listed": 2, "blocked": 1, "servfail": 1},
    }
    for of in zones.values():
        assert 0 < of["latency_ms"]["p50"] <= of["latency_ms"]["p90"] <= of["latency_ms"]["p99"] < 1000
        assert of["breaker"]["state"] == "closed"
        assert set(of["budget"]) == {"queries_today", "daily_limit", "state"}


def test_a_timeout_is_counted_once_when_it_is_sure(
    dnsbl_server: DnsblServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dnsbl.lookup.inflight.LISTEN_S", 0.1)
    dnsbl_server.zone("silent.example").fault(silence())
    dnsbl_server.zone("sound.example")
    with resolver_for(dnsbl_server, "silent.example", "sound.example", deadline_s=0.1) as resolver:
        resolver.check("192.0.2.1")

        def timeouts() -> int:
            return resolver.stats()["zones"]["silent.example"]["outcomes"]["timeout"]  # type: ignore[no-any-return]

        assert eventually(timeouts)
        assert timeouts() == 1
        assert resolver.stats()["in_flight"] == 0


def test_the_library_prints_nothing_even_where_nobody_set_up_logging(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("dead.example").fault(rcode("SERVFAIL"))
    dnsbl_server.zone("sound.example")
    out = run_python(
        "import sys\n"
        "from dnsbl import Resolver\n"
        "zones = ['dead.example', 'sound.example'] + [f'more{n}.example' for n in range(6)]\n"  # a warning
        "with Resolver(zones, [sys.argv[1]], deadline_s=2) as resolver:\n"
        "    for n in range(5):\n"  # a breaker opens: another
        "        resolver.check(f'192.0.2.{n}')\n"
        "    assert resolver.stats()['zones']['dead.example']['breaker']['state'] == 'open'\n",
        dnsbl_server.nameserver,
    )
    assert out == ""


def test_everything_logged_is_under_dnsbl(
    dnsbl_server: DnsblServer, caplog: pytest.LogCaptureFixture
) -> None:
    dnsbl_server.zone("dead.example").fault(rcode("SERVFAIL"))
    dnsbl_server.zone("sound.example")
    with (
        caplog.at_level(logging.DEBUG),
        resolver_for(dnsbl_server, "dead.example", "sound.example") as resolver,
    ):
        for number in range(20):
            resolver.check(f"192.0.2.{number}")
    ours = [record for record in caplog.records if record.name.split(".")[0] == "dnsbl"]
    assert [record.getMessage() for record in ours] == [
        "dead.example: set aside after 3 failures in a row; next probe in 30 s"
    ]


# ---- imports ----


def test_importing_the_package_imports_nothing_slow(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example")
    out = run_python(
        "import sys, dnsbl\n"
        "slow = {'pycares', '_cffi_backend', 'asyncio', 'click', 'rich', 'dns', 'idna', 'multiprocessing'}\n"
        "print(sorted(slow & set(sys.modules)))\n"
        "with dnsbl.Resolver(['bl.example'], [sys.argv[1]]) as resolver:\n"
        "    print(sorted(slow & set(sys.modules)))\n"
        "    assert resolver.check('192.0.2.1').complete\n"
        "print('asyncio' in sys.modules, 'pycares' in sys.modules)\n",
        dnsbl_server.nameserver,
    )
    assert out.splitlines() == ["[]", "[]", "False True"]
