"""What the readers share: sets of codes, SpamAssassin's sub-tests, UCL, and the text of a dnsbl.toml."""

from __future__ import annotations

import re
import tomllib
from ipaddress import IPv4Address

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dnsbl.errors import ConfigError
from dnsbl.migrate.imported import CodeLine, Entry, Import, Imported, key_variable
from dnsbl.migrate.octets import Octets, format_filter, of_address, union, with_bits
from dnsbl.migrate.subtest import parse_subtest
from dnsbl.migrate.ucl import parse as parse_ucl
from dnsbl.migrate.write import format_config, format_text
from dnsbl.zones.catalogue import load
from dnsbl.zones.replyfilter import parse_reply_filter

CODES = [int(IPv4Address(f"127.{a}.{b}.{c}")) for a in (0, 3, 255) for b in (0, 1, 255) for c in range(256)]


def holds(accepted: object, code: int) -> bool:
    """Whether a set, or a bit of the last octet, takes a code: by way of the filter that is written."""
    if isinstance(accepted, int):
        return bool(code & accepted)
    assert isinstance(accepted, tuple)
    return parse_reply_filter(format_filter(accepted)).matches(code)


# Sets of codes

small = st.integers(0, 3)
sets = st.tuples(st.just(1 << 127), *[st.sets(small, min_size=1).map(lambda s: sum(1 << n for n in s))] * 3)


@settings(max_examples=60)
@given(st.lists(sets, max_size=6))
def test_a_union_holds_the_same_codes_and_no_others(given_sets: list[Octets]) -> None:
    merged = union(given_sets)
    assert len(merged) <= len(given_sets)
    for a in range(4):
        for b in range(4):
            for c in range(4):
                code = 0x7F000000 | a << 16 | b << 8 | c
                assert any(holds(s, code) for s in merged) == any(holds(s, code) for s in given_sets)


@given(st.integers(0, 0xFFFFFF))
def test_with_bits_is_the_mask_test(mask: int) -> None:
    octets = with_bits(0x7F000000 | mask)
    accepted = parse_reply_filter(format_filter(octets))
    for code in CODES[::7]:
        assert accepted.matches(code) == (code & mask == mask)


@pytest.mark.parametrize(
    "text", ["", "127.0.0", "127.0.0.256", "127.0.0.2 ", "127.0.0.-1", "127.0.0.\u0662", "a.b.c.d"]
)
def test_what_is_no_address(text: str) -> None:
    assert of_address(text) is None


# Sub-tests


def dotted(code: int) -> str:
    return str(IPv4Address(code))


@pytest.mark.parametrize(
    ("subtest", "oracle"),
    [
        ("127.0.1.2", lambda c: c == 0x7F000102),
        ("8", lambda c: c & 8),
        ("0x10", lambda c: c & 0x10),
        ("12", lambda c: c & 12),
        ("256", lambda c: c & 256),
        ("127.0.1.20-127.0.1.39", lambda c: 0x7F000114 <= c <= 0x7F000127),
        ("127.0.0.250-127.0.1.5", lambda c: 0x7F0000FA <= c <= 0x7F000105),
        ("127.0.1.0/255.255.255.0", lambda c: c & 0xFFFFFF00 == 0x7F000100),
        ("0.0.0.16/0.0.0.16", lambda c: c & 16),
        ("0x10/0x10", lambda c: c & 16),
        (r"^127\.0\.0\.[4567]$", lambda c: re.search(r"^127\.0\.0\.[4567]$", dotted(c))),
        (r"^127\.0\.0\.1[01]$", lambda c: re.search(r"^127\.0\.0\.1[01]$", dotted(c))),
        (r"^127\.0\.\d+\.3$", lambda c: re.search(r"^127\.0\.\d+\.3$", dotted(c))),
        (r"^127\.0\.0\.", lambda c: re.search(r"^127\.0\.0\.", dotted(c))),
        (r"^127\.0\.0\.1", lambda c: re.search(r"^127\.0\.0\.1", dotted(c))),
        (r"127\.0\.1\.(?:2|4|25)$", lambda c: re.search(r"127\.0\.1\.(?:2|4|25)$", dotted(c))),
        (r"^127\.0\.0\.[^2]$", lambda c: re.search(r"^127\.0\.0\.[^2]$", dotted(c))),
    ],
)
def test_a_subtest_takes_what_spamassassin_takes(subtest: str, oracle: object) -> None:
    accepted = parse_subtest(subtest)
    assert accepted
    assert callable(oracle)
    wrong = [dotted(c) for c in CODES if any(holds(each, c) for each in accepted) != bool(oracle(c))]
    assert wrong == []


@pytest.mark.parametrize(
    "subtest",
    [
        "", "x", "(?i:spamcop)", "^127", "^10\\.0\\.0\\.1$", "^127\\.0\\.0\\.(2$", "^127.0.0.[9-1]$",
        "^127\\.0\\.0$", "127.0.0.9-127.0.0.2", "0-4294967295", "5/4294967296",
        "^(?:127\\.0\\.0\\.2|127\\.0\\.0\\.3)$",
        "^127\\.0\\.0\\.(1?)*$", "^127\\.0\\.0\\." + "1" * 200 + "$", "^127\\.0\\.0\\.((((1+)+)+)+)+$",
    ],
)  # fmt: skip
def test_a_subtest_that_cannot_be_said(subtest: str) -> None:
    assert parse_subtest(subtest) == []


@settings(max_examples=300)
@given(st.text("127.0\\[]()^$|?*+{}-/d9,", max_size=40))
def test_no_subtest_breaks_anything(text: str) -> None:
    for accepted in parse_subtest(text):
        assert accepted is None or isinstance(accepted, int) or parse_reply_filter(format_filter(accepted))


# UCL

UCL = r"""
# comment with { and "
rbl {
  default_ipv6 = true; /* a comment /* in a comment */ } */
  rbls {
    spamhaus {                      # named
      "symbol" = "SPAM\"HAUS";
      rbl = zen.spamhaus.org
      checks = ["from", 'received',
                helo];
      returncodes { SBL = "127.0.0.2"; XBL = ["127.0.0.4", "127.0.0.5"], LAST: 127.0.0.9 }
      map = "{= env.X | default "https://example.com" =}/x";
      empty = [];
    }
    section "named" { x = 1 }
  }
  .include(try=true) "/etc/x.conf"
  note = <<EOD
several
 } lines
EOD
  url = "http://example.com/#fragment";
}
symbols = { "A" { weight = 4.5; } "A" { weight = 5; } }
"""


def test_ucl_values_and_lines() -> None:
    root = parse_ucl(UCL)
    (rbls,) = root.all("rbls")
    rule = rbls.get("spamhaus")
    assert rule is not None
    assert rule.line == 6
    values = {key: value.texts for key, value in rule.fields}
    assert values == {
        "symbol": ('SPAM"HAUS',),
        "rbl": ("zen.spamhaus.org",),
        "checks": ("from", "received", "helo"),
        "returncodes": (),
        "map": ("/x",),
        "empty": (),
    }
    codes = rule.get("returncodes")
    assert codes is not None
    assert [(key, value.line, value.texts) for key, value in codes.fields] == [
        ("SBL", 11, ("127.0.0.2",)), ("XBL", 11, ("127.0.0.4", "127.0.0.5")), ("LAST", 11, ("127.0.0.9",)),
    ]  # fmt: skip
    named = rbls.get("section")
    assert named is not None
    assert [key for key, _ in named.fields] == ["named"]
    assert root.macros == ((17, '.include(try=true) "/etc/x.conf"'),)
    rbl = root.get("rbl")
    assert rbl is not None
    note, url = rbl.get("note"), rbl.get("url")
    assert note is not None
    assert url is not None
    assert (note.text, url.text) == ("several\n } lines", "http://example.com/#fragment")
    assert [s.get("A").get("weight").text for s in root.all("symbols")] == ["5"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text", ['{ "a": {"b": ["x", "y"]}, "c": true }', "a { b [x, y] }\nc on", "a.b=1; c = yes"]
)
def test_ucl_in_other_forms(text: str) -> None:
    assert parse_ucl(text).flag("c")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a {", "line 1: not UCL: } is missing for the bracket on line 1"),
        ("\na = [1,", "line 2: not UCL: ] is missing for the bracket on line 2"),
        ("a = ", "line 1: not UCL: a value is needed here"),
        ("\n\n= 1", "line 3: not UCL: a key is needed here"),
        ('a = "open', "line 1: not UCL: a value is needed here"),
        ("a = <<EOD\nx\n", "line 1: not UCL: EOD is missing"),
        ("a {" * 1000, "line 1: not UCL: nested deeper than 30"),
        ("a = " + "[" * 1000, "line 1: not UCL: nested deeper than 30"),
    ],
)
def test_what_is_no_ucl_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_ucl(text)
    assert str(caught.value).startswith(message)


@settings(max_examples=300)
@given(st.text('a1.="{}[];,:#/*\\ \n<', max_size=60))
def test_whatever_ucl_is_read_is_told_by_the_lines_it_stands_on(text: str) -> None:
    lines = range(1, text.count("\n") + 2)
    try:
        found = [value.line for _, value in parse_ucl(text).fields]
    except ConfigError as error:
        told = re.match(r"line (\d+): not UCL: ", str(error))
        assert told
        found = [int(told[1])]
    assert all(line in lines for line in found)
    assert found == sorted(found)


# Writing

ENTRY = Entry(
    1,
    "bl.example.com",
    subjects=frozenset({"domain", "ip4"}),
    domain="host",
    weight=2.5,
    codes=(
        CodeLine("127.0.0.2", meaning='a "quoted" \\ meaning\x7f\u2028'),
        CodeLine(mask=8, weight=-1.0, outcome="blocked"),
    ),
    on_error="listed",
    key_env="K",
)


def test_what_is_written_reads_back() -> None:
    rules = ({"zones": ["a"], "action": "DUNNO"}, {"authenticated": True, "server_port": [25, 465]})
    imported = Imported((ENTRY,), (), {"dry_run": ["bl.example.com"]}, rules, {"odd key": ["x" * 100]})
    assert tomllib.loads(format_config(imported, "x")) == {
        "zone": [
            {
                "name": "bl.example.com",
                "subjects": ["ip4", "domain"],
                "domain": "host",
                "weight": 2.5,
                "on_error": "listed",
                "key_env": "K",
                "codes": [
                    {"match": "127.0.0.2", "meaning": 'a "quoted" \\ meaning\x7f\u2028'},
                    {"mask": 8, "outcome": "blocked", "weight": -1},
                ],
            }
        ],
        "policy": {"dry_run": ["bl.example.com"], "rule": [dict(rule) for rule in rules]},
        "postfix": {"odd key": ["x" * 100]},
    }


@given(st.text())
@example("\x7f \x9b2J \u202e \U000e0041 \ud800")
def test_any_text_is_a_toml_string(text: str) -> None:
    written = format_text(text)
    assert written.isprintable()  # nothing that a terminal acts upon
    assert tomllib.loads(f"x = {written}")["x"] == text.encode("utf-8", "replace").decode()


def test_a_retired_entry_is_a_comment_whatever_its_reason_holds() -> None:
    entry = Entry(1, "dead.example", codes=ENTRY.codes * 5, retired="gone\x1b[2J\n[[zone]]\nname = 'x'")
    assert tomllib.loads(format_config(Imported((entry,)), "x")) == {}


# Keys and bounds


@pytest.mark.parametrize(
    ("name", "bare", "variable"),
    [
        ("abc.zen.dq.spamhaus.net", "zen.dq.spamhaus.net", "DNSBL_KEY_SPAMHAUS"),
        ("abc.combined.mail.abusix.zone.", "combined.mail.abusix.zone", "DNSBL_KEY_ABUSIX"),
        ("a1b2c3d4e5f6a7b8c9d0e1f2.bl.example.com", "bl.example.com", "DNSBL_KEY_EXAMPLE"),
        ("${MY_KEY}.zen.dq.spamhaus.net", "zen.dq.spamhaus.net", "MY_KEY"),
        ("zen.dq.spamhaus.net", "zen.dq.spamhaus.net", "DNSBL_KEY_SPAMHAUS"),
        ("zen.spamhaus.org", "zen.spamhaus.org", ""),
        ("abcdefghijklmnopqrstuvwxyz.example.com", "abcdefghijklmnopqrstuvwxyz.example.com", ""),
    ],
)
def test_a_key_is_taken_out_of_a_name(name: str, bare: str, variable: str) -> None:
    into = Import("", load())
    assert into.zone(1, name, name) == (bare, variable)
    assert key_variable(bare).startswith("DNSBL_KEY_")


def test_too_many_zones() -> None:
    into = Import("", load())
    for number in range(2000):
        assert into.zone(1, "x", f"z{number}.example")
    with pytest.raises(ConfigError, match="more than 2000 zones"):
        into.zone(1, "x", "one-more.example")
