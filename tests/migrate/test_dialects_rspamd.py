"""rspamd's rbl.conf: each symbol a code with its weight, and what cannot be said is named."""

from __future__ import annotations

import contextlib
import time
from ipaddress import IPv4Address

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dnsbl.config.file import Config
from dnsbl.config.file import parse as parse_config
from dnsbl.errors import ConfigError
from dnsbl.migrate.imported import Imported
from dnsbl.migrate.rspamd import import_rspamd
from dnsbl.migrate.write import format_config
from dnsbl.model import Outcome, Status, Wire
from dnsbl.policy.rules import compile_rules
from dnsbl.zones.catalogue import load
from dnsbl.zones.interpret import Reading, read

CATALOGUE = load()


def imported(text: str) -> Imported:
    return import_rspamd(text, CATALOGUE)


def config_of(found: Imported) -> Config:
    config = parse_config(format_config(found, "rspamd"), env={e.key_env: "k" for e in found.entries})
    compile_rules(config.policy, config.source, [zone.name for zone in config.zones])
    return config


def rule(body: str, weights: str = "OTHER { weight = 1; }") -> str:
    return f"rbls {{ x {{ rbl = x.example; {body} }} }} symbols {{ {weights} }}"


def reading(text: str, *codes: str) -> Reading:
    (zone,) = config_of(imported(text)).zones
    return read(zone, Wire(Status.OK, 0, tuple(sorted(int(IPv4Address(code)) for code in codes))))


def lost(text: str) -> list[str]:
    return [str(note) for note in imported(text).notes if note.lost]


REAL = r"""
rbl {
  default_exclude_users = true;
  url_whitelist = [ "{= env.MAPS | default "https://example.com" =}/x", "$LOCAL_CONFDIR/y" ];
  rbls {
    spamhaus {
      symbol = "SPAMHAUS";
      rbl = "zen.spamhaus.org";
      checks = ["from", "received"];
      symbols_prefixes = { received = "RECEIVED", from = "RBL", }
      returncodes {
        SPAMHAUS_SBL = "127.0.0.2";
        SPAMHAUS_XBL = ["127.0.0.4", "127.0.0.5", "127.0.0.6", "127.0.0.7"];
        SPAMHAUS_BLOCKED = "127.255.255.255";
      }
    }
    dnswl {
      rbl = "list.dnswl.org";
      is_whitelist = true;
      returncodes { RCVD_IN_DNSWL_HI = ["127%.0%.%d%.3", "127%.0%.[02-9]%d%.3"]; }
    }
    SURBL_MULTI {
      rbl = "multi.surbl.org";
      checks = ["emails", "helo", "urls"];
      emails_domainonly = true;
      returnbits = { PH_SURBL = 8; ABUSE_SURBL = 64; SURBL_BLOCKED = 1; }
    }
  }
}
symbols = {
  "RBL_SPAMHAUS_SBL" { weight = 4.0; description = "in the SBL"; }
  "RECEIVED_SPAMHAUS_SBL" { weight = 3.0; }
  "RBL_SPAMHAUS_XBL" { weight = 2; }
  "RCVD_IN_DNSWL_HI" { weight = -0.5; }
  "PH_SURBL" { weight = 7.5; }
  "ABUSE_SURBL" { weight = 5; }
}
actions { reject = 12; add_header = 6; }
"""


def test_a_real_world_text() -> None:
    found = imported(REAL)
    zen, dnswl, surbl = found.entries
    assert [(code.match, code.weight) for code in zen.codes if code.outcome == "listed"] == [
        ("127.0.0.2", 4), ("127.0.0.[4..7]", 2),
    ]  # fmt: skip
    assert (dnswl.reply, dnswl.weight) == ("127.0.[0..9;20..99].3", -0.5)
    assert [(code.mask, code.weight, code.outcome) for code in surbl.codes] == [
        (1, None, "blocked"), (8, 7.5, "listed"), (64, 5, "listed"),
    ]  # fmt: skip
    assert surbl.subjects in (None, frozenset({"domain"}))
    assert found.rules[-1]["score"] == ">=12"
    (note,) = [str(note) for note in found.notes if note.lost]
    assert note.endswith("here it is the client alone, and no weight of RECEIVED_SPAMHAUS_SBL counts")
    assert len(config_of(found).zones) == 3


def test_weights_add_up_over_symbols() -> None:
    weights = "A { weight = 1; } B { weight = 2.5; } D { weight = 4 }"
    text = rule("returnbits { A = 2; B = 4; C = [8, 16]; D = 6; }", weights)
    assert reading(text, "127.0.0.2").score == 1
    assert reading(text, "127.0.0.6").score == 7.5
    assert reading(text, "127.255.255.254").outcome is Outcome.BLOCKED
    assert reading(text, "203.0.113.7").outcome is Outcome.INVALID


@pytest.mark.parametrize(
    ("matcher", "text", "hits", "misses"),
    [
        ("", "127.0.0.2", ["127.0.0.2"], ["127.0.0.22"]),
        ("", "127%.0%.0%.%d", ["127.0.0.2", "127.0.0.9"], ["127.0.0.22"]),
        ("returncodes_matcher = luapattern;", "127%.0%.1%.%d+", ["127.0.1.2", "127.0.1.222"], ["127.0.0.2"]),
        ("returncodes_matcher = glob;", "127.0.0.*", ["127.0.0.2", "127.0.0.222"], ["127.0.1.2"]),
        ("returncodes_matcher = glob;", "127.0.0.1?", ["127.0.0.12"], ["127.0.0.2", "127.0.0.112"]),
        ("returncodes_matcher = glob;", "127.*", ["127.3.2.12"], []),
        ("returncodes_matcher = regexp;", r"/^127\\.0\\.0\\.[23]$/", ["127.0.0.2"], ["127.0.0.22"]),
        ("returncodes_matcher = radix;", "127.0.0.0/25", ["127.0.0.2", "127.0.0.127"], ["127.0.0.128"]),
        ("returncodes_matcher = radix;", "127.0.0.5", ["127.0.0.5"], ["127.0.0.4"]),
    ],
)
def test_every_matcher(matcher: str, text: str, hits: list[str], misses: list[str]) -> None:
    conf = rule(f'{matcher} returncodes {{ A = "{text}"; }}', "A { weight = 1; }")
    assert lost(conf) == []
    assert [code for code in hits if reading(conf, code).outcome is not Outcome.LISTED] == []
    assert [code for code in misses if reading(conf, code).outcome is not Outcome.NOT_LISTED] == []


@pytest.mark.parametrize(
    ("body", "subjects", "domain"),
    [
        ("", {"ip4", "ip6"}, "registrable"),
        ("ipv6 = false;", {"ip4"}, "registrable"),
        ("ipv4 = false; ipv6 = true", {"ip6"}, "registrable"),
        ('checks = ["from", "helo"];', {"ip4", "ip6", "domain"}, "registrable"),
        ("dkim = true;", {"domain"}, "registrable"),
        ("urls = true; url_full_hostname = true;", {"domain"}, "host"),
        ('checks = ["emails"]; emails_domainonly = true', {"domain"}, "registrable"),
        ('checks = ["from", "helo"]; exclude_checks = "from"', {"domain"}, "registrable"),
    ],
)
def test_what_is_asked(body: str, subjects: set[str], domain: str) -> None:
    (zone,) = config_of(imported(rule(body))).zones
    assert (zone.subjects, zone.domain) == (subjects, domain)


def test_module_defaults() -> None:
    (zone,) = config_of(imported(f"default_ipv6 = false; {rule('')}")).zones
    assert zone.subjects == {"ip4"}


def test_without_weights_each_symbol_counts_one_and_that_is_named() -> None:
    allow = "w { rbl = w.example; is_whitelist = true; }"
    found = imported(f'rbls {{ x {{ rbl = x.example; returncodes {{ A = "127.0.0.2"; }} }} {allow} }}')
    assert [entry.weight for entry in found.entries] == [1, -1]
    (note,) = [note for note in found.notes if note.lost]
    assert "no weights in this text" in note.message


def test_a_list_that_is_switched_off_is_named_and_not_asked() -> None:
    for off in ("enabled = false;", "disabled = true;"):
        found = imported(rule(off))
        assert found.entries == ()
        assert [note for note in found.notes if "switched off" in note.message]


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (rule("hash = md5;"), "no counterpart: it asks about hashes"),
        (rule('checks = ["emails"]; resolve_ip = true;'), "the addresses of the names it finds"),
        (rule('selector = "from(\'smtp\')"; checks = ["from"]'), "no counterpart: the checks selector"),
        (rule('checks = ["from", "images"]'), "no counterpart: the checks images"),
        (rule('checks = ["from", "emails"]'), "no counterpart: the checks emails"),
        (rule('returncodes { A = "127.0.0"; }'), "no counterpart: not a set of codes"),
        (rule("returnbits { A = lots; B = 2; }"), "left out: not a number of bits"),
        (rule('returncodes_matcher = other; returncodes { A = "127.0.0.2"; }'), "not a set of codes"),
        ("rbls { x { } } symbols { A { weight = 1; } }", "left out: it names no rbl"),
        ('rbls { x { rbl = "x..example"; } } symbols { A { weight = 1; } }', "left out: zone name"),
        ('rbls { x { rbl = "dnsbl.sorbs.net"; } } symbols { A {weight = 1} }', "use zen.spamhaus.org"),
        (rule("") + '\n.include "x.conf"', "not read: give that file's text too"),
    ],
)
def test_what_has_no_counterpart_is_named(text: str, note: str) -> None:
    (found,) = lost(text)
    assert note in found


def test_text_that_is_no_ucl_is_refused() -> None:
    with pytest.raises(ConfigError, match="line 2: not UCL"):
        imported("rbls {\n = 1 }")


def test_a_key_in_the_name() -> None:
    key = "abcdefghij0123456789abcdef"
    found = imported(
        f"rbls {{ a {{ rbl = {key}.zen.dq.spamhaus.net; }} {key} {{ rbl = {key}..x; hash = md5 }} }}"
    )
    assert key not in format_config(found, "x") + "".join(map(str, found.notes))
    assert found.entries[0].key_env == "DNSBL_KEY_SPAMHAUS"


@pytest.mark.parametrize(
    "text",
    [
        "rbls { " + "x { rbl = x.example; } " * 40_000 + "}",
        "rbls { x { rbl = x.example; returncodes { " + 'A = "127.0.0.2"; ' * 1000 + "} } }",
        "/*" * 300_000,
        "{=" * 300_000,
        "a = [" + "1," * 300_000 + "]",
    ],
)
def test_hostile_texts_are_bounded(text: str) -> None:
    started = time.process_time()
    with contextlib.suppress(ConfigError):
        imported(text)
    assert time.process_time() - started < 10


PIECES = [
    *'x={}[];,"%\n# ',
    "A = 127.0.0.2;",
    'B = ["127.0.0.%d", "127.0.0.3"];',
    "from = true;",
    "returncodes {",
]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=10).map("".join))
@example("returncodes {}")
@example("returncodes { returncodes {} }")
def test_whatever_is_read_makes_a_configuration(text: str) -> None:
    try:
        found = imported(rule(text))
    except ConfigError:  # with the line, see the test of the UCL reader
        return
    names = [entry.name for entry in found.entries]
    assert not names or [zone.name for zone in config_of(found).zones] == names
    assert names or found.notes
