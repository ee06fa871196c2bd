"""From health, catalogue rows and rules to findings, those too that no loopback server can show."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from dnsbl.config.file import Config, parse
from dnsbl.doctor.findings import Finding, Patient, Report, findings_of, split_remedy, split_retired
from dnsbl.doctor.public_resolvers import _ADDRESSES, public_operator
from dnsbl.health.judge import ProbeAnswer, State, ZoneHealth, judge, untested
from dnsbl.model import Status, Wire
from dnsbl.names.nameserver import parse_nameserver
from dnsbl.policy.rules import compile_rules
from dnsbl.zones.catalogue import load
from dnsbl.zones.zone import Zone

CATALOGUE = load()
LISTED, UNLISTED = Wire(Status.OK, 0, (0x7F000002,)), Wire(Status.NXDOMAIN, 3)


def sound(zone: Zone) -> ZoneHealth:
    return judge(
        zone, [ProbeAnswer(probe, LISTED if probe.listed else UNLISTED, 1.0) for probe in zone.probes]
    )


def patient(zone: Zone | str, *nameservers: str, health: ZoneHealth | None = None) -> Patient:
    if isinstance(zone, str):
        zone = CATALOGUE.zone(zone)
    budget = {"queries_today": 0, "daily_limit": None, "state": "ok"}
    servers = nameservers or ("127.0.0.1:53",)
    return Patient(zone, CATALOGUE.row(zone.name), health or sound(zone), servers, budget)


def findings(patients: Sequence[Patient], config: Config | None = None) -> tuple[Finding, ...]:
    policy = None if config is None else compile_rules(config.policy)
    return findings_of(patients, CATALOGUE, policy)


# ---- public resolvers ----


@pytest.mark.parametrize(
    ("nameserver", "operator"),
    [
        ("8.8.8.8", "Google"),
        ("1.0.0.1:53", "Cloudflare"),
        ("[2620:fe::fe]:53", "Quad9"),
        ("2606:4700:4700::1111", "Cloudflare"),
        ("208.67.222.222:5353", "OpenDNS"),
    ],
)
def test_public_resolvers_are_known_by_address(nameserver: str, operator: str) -> None:
    assert public_operator(parse_nameserver(nameserver)) == operator


@pytest.mark.parametrize("nameserver", ["127.0.0.1", "[::1]:53", "192.0.2.53", "2001:db8::53", "fe80::1%lo"])
def test_others_are_not(nameserver: str) -> None:
    assert public_operator(parse_nameserver(nameserver)) is None


def test_each_address_is_public_and_stands_once() -> None:
    addresses = [ip_address(address) for text in _ADDRESSES.values() for address in text.split()]
    assert len(addresses) == len(set(addresses)) > 100
    assert all(address.is_global for address in addresses)


def test_a_public_resolver_is_a_finding_with_the_lists_that_refuse_it() -> None:
    zones = ["zen.spamhaus.org", "psbl.surriel.com", "list.dnswl.org"]
    refused, counted = findings([patient(zone, "8.8.8.8:53", "127.0.0.1:53") for zone in zones])
    assert (refused.about, counted.about) == ("8.8.8.8:53", "8.8.8.8:53")
    assert "Google" in refused.problem
    assert refused.problem.endswith("zen.spamhaus.org")
    assert counted.problem.endswith("list.dnswl.org")
    assert "a recursive resolver of your own" in refused.remedy


def test_a_public_resolver_that_no_list_in_use_minds_is_only_named() -> None:
    report = Report((patient("psbl.surriel.com", "9.9.9.9:53"),), ())
    assert findings(report.patients) == ()
    assert report.nameservers == {"9.9.9.9:53": "Quad9"}


def test_a_keyed_zone_may_be_asked_through_a_public_resolver() -> None:
    keyed = CATALOGUE.zone("zen.dq.spamhaus.net", key="s3cr3tkey0123456789abcdef")
    assert findings([patient(keyed, "1.1.1.1:53")]) == ()


# ---- redundant, weightless, out of reach ----


def test_a_list_within_a_list_within_a_list() -> None:
    keyed = CATALOGUE.zone("zen.dq.spamhaus.net", key="s3cr3tkey0123456789abcdef")
    found = findings([patient("sbl.spamhaus.org"), patient(keyed)])
    assert [finding.about for finding in found] == ["sbl.spamhaus.org"]
    assert found[0].problem.startswith("zen.dq.spamhaus.net")
    assert findings([patient("sbl.spamhaus.org"), patient("pbl.spamhaus.org")]) == ()


def test_a_zone_without_weight_never_counts() -> None:
    (finding,) = findings([patient(Zone("bl.example.com", weight=0.0))])
    assert (finding.about, "weight is 0" in finding.problem) == ("bl.example.com", True)


@pytest.mark.parametrize(
    ("score", "reachable"),
    [
        (">=2", True),
        (">=2.5", False),
        (">2", False),
        ("<-1", False),
        ("<=-1", True),
        ("<0", True),
        ("<=5", True),
    ],
)
def test_whether_the_zones_can_reach_a_rules_score(score: str, reachable: bool) -> None:
    zones = [
        Zone("bl4.example.com", subjects=frozenset({"ip4"}), weight=2.0),
        Zone("bl6.example.com", subjects=frozenset({"ip6"}), weight=1.0),
        Zone("wl.example.com", subjects=frozenset({"ip4"}), weight=-1.0),
        Zone("uri.example.com", subjects=frozenset({"domain"}), weight=9.0),  # no address is a domain
    ]
    config = parse(f'[[policy.rule]]\nlook_up = "client"\nscore = "{score}"\naction = "REJECT"')
    found = findings([patient(zone) for zone in zones], config)
    assert [finding.about for finding in found] == ([] if reachable else ["policy rule 1"])


def test_the_built_in_rules_want_a_score_of_one() -> None:
    half = [patient(Zone(f"bl{number}.example.com", weight=0.5)) for number in range(2)]
    assert findings(half, parse("")) == ()
    (finding,) = findings(half[:1], parse(""))
    assert "score >=1" in finding.problem


def test_the_curated_default_has_no_finding_of_its_own() -> None:
    assert findings([patient(zone) for zone in CATALOGUE.default()], parse("")) == ()


# ---- pieces ----


def test_an_untested_zone_is_no_finding() -> None:
    zone = Zone("bl.example.com")
    assert findings([patient(zone, health=untested(zone, "no test entries are known for it"))]) == ()


@pytest.mark.parametrize(("name", "told"), [("zen.spamhaus.org", False), ("bl.example.com", True)])
def test_a_missing_test_entry_counts_where_it_is_sure_to_be_one(name: str, told: bool) -> None:
    zone = CATALOGUE.zone(name)
    answers = [
        ProbeAnswer(probe, LISTED if probe.subject == "127.0.0.2" else UNLISTED) for probe in zone.probes
    ]
    health = judge(zone, answers)
    assert health.state is State.UNPROVEN  # the IPv6 entry is missing
    found = findings([patient(zone, health=health)])
    assert [finding.remedy for finding in found] == ([health.hint] if told else [])


def test_a_warning_is_split_into_problem_and_remedy() -> None:
    assert split_remedy("a b; c; do that", "x") == Finding("x", "a b; c", "do that")
    assert split_remedy("x is odd; mend it", "x") == Finding("x", "is odd", "mend it")
    assert split_remedy("only a problem", "x").remedy


def test_a_retired_zone_that_is_allowed_by_name_stays() -> None:
    zones = [Zone("cbl.abuseat.org"), Zone("dul.dnsbl.sorbs.net"), Zone("bl.example.com")]
    alive, dead = split_retired(zones, CATALOGUE, ["dnsbl.sorbs.net"])
    assert [zone.name for zone in alive] == ["dul.dnsbl.sorbs.net", "bl.example.com"]
    assert [finding.about for finding in dead] == ["cbl.abuseat.org"]


def test_a_score_of_several_sources_can_be_reached_by_their_sum() -> None:
    zones = [
        patient(Zone("bl.example.com", weight=1)),
        patient(Zone("dbl.example.com", subjects=frozenset({"domain"}), weight=2)),
    ]

    def reachable(score: str, *look_up: str) -> bool:
        rule = f'score = "{score}"\nlook_up = {list(look_up)}\naction = "REJECT"\n'
        return not findings(zones, parse(f"[[policy.rule]]\n{rule}"))

    assert reachable(">=5", "client", "helo", "sender")
    assert not reachable(">=6", "client", "helo", "sender")
    assert reachable(">=2", "helo")
    assert not reachable(">=2", "client")
