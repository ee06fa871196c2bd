"""SpamAssassin's DNS rules: each a code with the rule's score, and what cannot be said is named."""

from __future__ import annotations

import time
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsbl.config.file import Config
from dnsbl.config.file import parse as parse_config
from dnsbl.migrate.imported import Imported
from dnsbl.migrate.spamassassin import import_spamassassin
from dnsbl.migrate.write import format_config
from dnsbl.model import Outcome, Status, Wire
from dnsbl.policy.rules import compile_rules
from dnsbl.zones.catalogue import load
from dnsbl.zones.interpret import Reading, read

CATALOGUE = load()


def imported(text: str) -> Imported:
    return import_spamassassin(text, CATALOGUE)


def config_of(found: Imported) -> Config:
    config = parse_config(format_config(found, "SpamAssassin"), env={e.key_env: "k" for e in found.entries})
    compile_rules(config.policy, config.source, [zone.name for zone in config.zones])
    return config


def reading(text: str, *codes: str, zone: str = "x.example") -> Reading:
    """What the zone that is made of the rules reads out of an answer."""
    (found,) = [each for each in config_of(imported(text)).zones if each.name == zone]
    return read(found, Wire(Status.OK, 0, tuple(sorted(int(IPv4Address(code)) for code in codes))))


def lost(text: str) -> list[str]:
    return [str(note) for note in imported(text).notes if note.lost]


REAL = r"""
ifplugin Mail::SpamAssassin::Plugin::DNSEval
header __RCVD_IN_ZEN   eval:check_rbl('zen', 'zen.spamhaus.org.')   # the base
tflags __RCVD_IN_ZEN   net
header RCVD_IN_SBL     eval:check_rbl_sub('zen', '127.0.0.2')
describe RCVD_IN_SBL   Received via a relay in Spamhaus SBL
header RCVD_IN_XBL     eval:check_rbl('zen-lastexternal', 'zen.spamhaus.org.', '^127\.0\.0\.[4567]$')
header RCVD_IN_ZEN_BLOCKED  eval:check_rbl('zen-lastexternal', 'zen.spamhaus.org.', '^127\.255\.255\.255$')
header RCVD_IN_DNSWL_HI     eval:check_rbl("dnswl-firsttrusted", "list.dnswl.org.", '^127\.0\.\d+\.3$')
tflags RCVD_IN_DNSWL_HI     nice net
else
header NOT_READ        eval:check_rbl('no', 'not-read.example.')
endif
urirhssub URIBL_BLACK  multi.uribl.com.  A  2
body      URIBL_BLACK  eval:check_uridnsbl('URIBL_BLACK')
tflags    URIBL_BLACK  net domains_only
urirhssub URIBL_BLOCKED multi.uribl.com. A  1
dns_block_rule URIBL_BLOCKED multi.uribl.com
score RCVD_IN_SBL 0 2.5 0 1.3
score RCVD_IN_XBL 0.375
score URIBL_BLACK (0.7)
required_score 6
"""


def test_a_real_world_text() -> None:
    found = imported(REAL)
    zen, dnswl, uribl = found.entries
    assert [(code.match, code.weight, code.meaning) for code in zen.codes if code.outcome == "listed"] == [
        ("127.0.0.2", 1.3, "Received via a relay in Spamhaus SBL"),
        ("127.0.0.[4..7]", 0.375, "RCVD_IN_XBL"),
    ]
    assert (dnswl.name, dnswl.reply, dnswl.weight) == ("list.dnswl.org", "127.0.[0..255].3", -1)
    assert uribl.name == "multi.uribl.com"
    assert [(code.mask, code.outcome) for code in uribl.codes] == [(1, "blocked"), (2, "listed")]
    assert uribl.weight == pytest.approx(1.7)
    assert found.rules[-1]["score"] == ">=6"
    assert [str(note) for note in found.notes if note.lost] == []
    assert len(config_of(found).zones) == 3


def test_scores_add_up_as_spamassassin_adds_them() -> None:
    text = (
        "header __X eval:check_rbl('x', 'x.example.')\n"
        "header A eval:check_rbl_sub('x', '127.0.0.2')\nscore A 2\n"
        "header B eval:check_rbl_sub('x', '6')\nscore B 0.5\n"
        "header C eval:check_rbl_sub('x', '^127\\.0\\.0\\.1')\nscore C -1\n"
    )
    # A: .2 alone. B: bit 2 or bit 4. C: .1, .10 to .19, .100 to .199.
    assert reading(text, "127.0.0.2").score == 2.5
    assert reading(text, "127.0.0.4").score == 0.5
    assert reading(text, "127.0.0.10").score == -0.5
    assert reading(text, "127.0.0.2", "127.0.0.10").score == 1.5
    assert reading(text, "127.0.0.8").outcome is Outcome.NOT_LISTED
    assert reading(text, "127.255.255.254").outcome is Outcome.BLOCKED
    assert reading(text, "203.0.113.7").outcome is Outcome.INVALID


@pytest.mark.parametrize(
    ("score", "weight"),
    [
        ("score X 3", 3), ("score X 0 1 0 2.5", 2.5), ("score X 1\nscore X (0.5)", 1.5), ("", 1),
        ("tflags X net nice", -1), ("score X -2", -2),
    ],
)  # fmt: skip
def test_a_rules_score(score: str, weight: float) -> None:
    found = imported(f"header X eval:check_rbl('x-lastexternal', 'x.example.')\n{score}")
    assert found.entries[0].weight == weight


def test_a_rule_in_test_counts_a_hundredth() -> None:
    assert imported("header T_X eval:check_rbl('x', 'x.example.')").entries[0].weight == 0.01


def test_a_rule_that_blocks_becomes_a_refusal() -> None:
    text = "urirhssub A x.example. A 2\nurirhssub B x.example. A 1\ndns_block_rule B x.example\n"
    assert reading(text, "127.0.0.1").outcome is Outcome.BLOCKED
    assert reading(text, "127.0.0.3").outcome is Outcome.BLOCKED
    assert reading(text, "127.0.0.2").outcome is Outcome.LISTED


@pytest.mark.parametrize(
    ("rule", "subjects", "domain"),
    [
        ("header X eval:check_rbl('x', 'x.example.')", {"ip4", "ip6"}, "registrable"),
        ("header X eval:check_rbl_txt('x', 'x.example.')", {"ip4", "ip6"}, "registrable"),
        ("header X eval:check_rbl_from_domain('x', 'x.example.')", {"domain"}, "registrable"),
        ("header X eval:check_rbl_envfrom('x', 'x.example.')", {"domain"}, "registrable"),
        ("urirhsbl X x.example. A", {"domain"}, "registrable"),
        ("urirhssub X x.example. A 127.0.0.2\ntflags X net notrim", {"domain"}, "host"),
    ],
)
def test_what_is_asked(rule: str, subjects: set[str], domain: str) -> None:
    (zone,) = config_of(imported(rule)).zones
    assert (zone.subjects, zone.domain) == (subjects, domain)


def test_a_rule_that_is_switched_off_is_named_and_not_asked() -> None:
    found = imported("header X eval:check_rbl('x', 'x.example.')\nscore X 0\n")
    assert found.entries == ()
    assert [str(note) for note in found.notes if "score is 0" in note.message]


def test_which_relays_are_asked_about_is_said_once() -> None:
    rules = "".join(f"header R{n} eval:check_rbl('r{n}', 'r{n}.example.')\n" for n in range(5))
    assert len([note for note in imported(rules).notes if "each relay" in note.message]) == 1
    last = "header R eval:check_rbl('r-lastexternal', 'r.example.')"
    assert [note for note in imported(last).notes if "each relay" in note.message] == []


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("uridnsbl X x.example. TXT", "it asks about the addresses or name servers of a link"),
        ("uridnssub X x.example. A 127.0.0.2", "it asks about the addresses or name servers of a link"),
        ("urinsrhssub X x.example. A 127.0.0.2", "it asks about the addresses or name servers of a link"),
        ("urifullnsrhsbl X x.example. A", "it asks about the addresses or name servers of a link"),
        ("askdns X _SENDERDOMAIN_.x.example A", "no counterpart: it asks about a tag of the message"),
        ("header X eval:check_rbl_accreditor('x', 'x.example.', '2', 'y')", "not a rule that asks"),
        ("header X eval:check_rbl_ns_from('x', 'x.example.', '127.0.0.2')", "not a rule that asks"),
        ("header X eval:check_rbl_sub('x', '127.0.0.2')", "left out: no check_rbl names the zone of 'x'"),
        (
            "header X eval:check_rbl('x', 'x.example.', 'spam')",
            "no counterpart: 'spam' is not a set of codes",
        ),
        ("header X eval:check_rbl_txt('x', 'x.example.', 'spam')", "the text is not looked at"),
        ("header X eval:check_rbl('x', 'x..example')", "left out: zone name"),
        ("urirhssub X x.example. A", "left out: not NAME ZONE A SUBTEST"),
        ("urirhsbl X", "left out: not NAME ZONE A SUBTEST"),
        ("score X much", "left out: not a score, or four of them"),
        ("rbl_timeout 5", "no counterpart: see deadline_s"),
        ("header X eval:check_rbl('x', 'dnsbl.sorbs.net.')", "use zen.spamhaus.org instead"),
    ],
)
def test_what_has_no_counterpart_is_named(text: str, note: str) -> None:
    (found,) = lost(text)
    assert found.startswith("line 1: ")
    assert note in found


def test_a_meta_rule_over_lists_is_named() -> None:
    (note,) = lost("header __X eval:check_rbl('x', 'x.example.')\nmeta Y __X && OTHER\nmeta Z A && B\n")
    assert note == "line 2: meta Y: no counterpart: it combines __X with others"


def test_a_key_in_the_name() -> None:
    key = "abcdefghij0123456789abcdef"
    found = imported(
        f"header __X eval:check_rbl('x', '{key}.zen.dq.spamhaus.net.')\n"
        f"header Y eval:check_rbl_sub('x', '127.0.0.2')\nmeta Z __X && {key}\n"
        f"uridnsbl W {key}.zen.dq.spamhaus.net. A\n"
    )
    assert key not in format_config(found, "x") + "".join(map(str, found.notes))
    assert [(entry.name, entry.key_env) for entry in found.entries] == [
        ("zen.dq.spamhaus.net", "DNSBL_KEY_SPAMHAUS")
    ]


@pytest.mark.parametrize(
    "text",
    [
        "header X eval:check_rbl(" + "'a', " * 100_000 + ")",
        "".join(f"header X{n} eval:check_rbl('s', 'z{n % 100}.example.')\n" for n in range(1500)),
        "if x\n" * 100_000,
        "meta X " + "A && " * 100_000,
        "header X eval:check_rbl('x', 'x.example.', '" + "(" * 100_000 + "')",
    ],
)
def test_hostile_texts_are_bounded(text: str) -> None:
    started = time.process_time()
    imported(text)
    assert time.process_time() - started < 10


PIECES = [
    *"x.127\\^$[](,'\") \n#A", "check_rbl('x', 'x.example.')", "check_rbl_sub('x', '127.0.0.2')", "\nscore X 2",
    "\nurirhsbl Z y.example. A\nbody Z eval:check_uridnsbl('Z')\nscore Z 1\n",
]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_whatever_is_read_makes_a_configuration(text: str) -> None:
    found = imported(f"header X eval:{text}\nurirhssub Y {text}\nscore X {text}")
    names = [entry.name for entry in found.entries]
    assert not names or [zone.name for zone in config_of(found).zones] == names
