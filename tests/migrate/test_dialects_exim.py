"""Exim's dnslists: what an item lists for Exim it lists here, and what cannot be said is named."""

from __future__ import annotations

import time
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsbl.config.file import Config
from dnsbl.config.file import parse as parse_config
from dnsbl.errors import ConfigError
from dnsbl.migrate.exim import import_exim
from dnsbl.migrate.imported import Imported
from dnsbl.migrate.write import format_config
from dnsbl.model import Outcome, Status, Wire
from dnsbl.policy.rules import compile_rules
from dnsbl.zones.catalogue import load
from dnsbl.zones.interpret import read

CATALOGUE = load()


def imported(text: str) -> Imported:
    return import_exim(text, CATALOGUE)


def config_of(found: Imported) -> Config:
    config = parse_config(format_config(found, "Exim"), env={entry.key_env: "k" for entry in found.entries})
    compile_rules(config.policy, config.source, [zone.name for zone in config.zones])
    return config


def lost(text: str) -> list[str]:
    return [str(note) for note in imported(text).notes if note.lost]


REAL = r"""
# Exim main configuration
BLOCKERS = zen.spamhaus.org!&0.255.255.0 : \
  # a comment between
           bl.spamcop.net=127.0.0.2
.ifdef CHECK
acl_smtp_rcpt = acl_check_rcpt
.endif
begin acl
acl_check_rcpt:
  accept  hosts = :
  deny    message = $sender_host_address is listed at $dnslist_domain
          !authenticated = *
          dnslists = BLOCKERS
  accept  dnslists = list.dnswl.org
  drop    dnslists = <; dbl.spamhaus.org/$sender_address_domain ; \
             multi.surbl.org&0.0.0.8,0.0.0.64/${sender_helo_name}
begin routers
"""


def test_a_real_world_text() -> None:
    found = imported(REAL)
    assert [(entry.line, entry.name, entry.reply, entry.weight) for entry in found.entries] == [
        (14, "zen.spamhaus.org", "any", 1),
        (14, "bl.spamcop.net", "127.0.0.2", 1),
        (15, "list.dnswl.org", "any", -1),
        (16, "dbl.spamhaus.org", "any", 1),
        (16, "multi.surbl.org", None, 1),
    ]
    assert [code.mask for code in found.entries[4].codes if code.outcome == "listed"] == [8, 64]
    assert [code.outcome for code in found.entries[4].codes if code.mask == 1] == ["blocked"]
    assert lost(REAL) == []
    assert [(rule["look_up"], rule["zones"], str(rule["action"]).split()[0]) for rule in found.rules[3:]] == [
        (["client"], ["zen.spamhaus.org"], "REJECT"),
        (["client"], ["bl.spamcop.net"], "REJECT"),
        (["client"], ["list.dnswl.org"], "DUNNO"),
        (["sender"], ["dbl.spamhaus.org"], "REJECT"),
        (["helo"], ["multi.surbl.org"], "REJECT"),
    ]
    assert len(config_of(found).zones) == 5


# The oracle: what one_check_dnsbl() of Exim's dnsbl.c says of a successful lookup.

Item = tuple[str, list[int]]


def exim_lists(item: Item, records: list[int]) -> bool:
    sign, codes = item
    if not sign:
        return bool(records)
    masked = sign.endswith("&")

    def matches(record: int) -> bool:
        return any(record & code == code if masked else record == code for code in codes)

    return any(map(matches, records)) != sign.startswith("!")


last = st.integers(0, 255)
codes = st.lists(st.tuples(st.sampled_from([0, 1]), last), min_size=1, max_size=4).map(
    lambda pairs: [0x7F000000 | b << 8 | c for b, c in pairs]
)
masks = st.lists(st.integers(1, 0x1FF), min_size=1, max_size=2)
items: st.SearchStrategy[Item] = st.one_of(
    st.just(("", [])),
    st.tuples(st.sampled_from(["=", "!="]), codes),
    st.tuples(st.sampled_from(["&", "!&"]), masks),
)


@settings(max_examples=300, deadline=None)
@given(items, st.tuples(st.sampled_from([0, 1]), st.integers(2, 255)))
def test_one_record_is_listed_here_where_it_is_in_exim(item: Item, record: tuple[int, int]) -> None:
    sign, values = item
    text = f"x.example{sign}{','.join(str(IPv4Address(value)) for value in values)}"
    found = imported(f"deny dnslists = {text}")
    assert not [note for note in found.notes if note.lost]
    (zone,) = config_of(found).zones
    address = 0x7F000000 | record[0] << 8 | record[1]
    assert read(zone, Wire(Status.OK, 0, (address,))).positive == exim_lists(item, [address])


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(st.tuples(st.just("="), codes), st.tuples(st.just("&"), masks)),
    st.lists(st.integers(2, 511), min_size=1, max_size=3),
)
def test_several_records_too_where_nothing_is_excluded(item: Item, records: list[int]) -> None:
    sign, values = item
    text = f"x.example{sign}{','.join(str(IPv4Address(value)) for value in values)}"
    (zone,) = config_of(imported(f"deny dnslists = {text}")).zones
    addresses = sorted({0x7F000000 | record for record in records})
    assert read(zone, Wire(Status.OK, 0, tuple(addresses))).positive == exim_lists(item, addresses)


def test_a_refusal_lists_nobody_whatever_the_item() -> None:
    for item in ("", "!=127.0.0.9", "&0.0.0.2", "=127.255.255.254", "!&0.255.255.0"):
        for zone in config_of(imported(f"deny dnslists = x.example{item}")).zones:
            reading = read(zone, Wire(Status.OK, 0, (0x7FFFFFFE,)))
            assert reading.outcome is Outcome.BLOCKED, item


class TestForms:
    @pytest.mark.parametrize(
        ("verb", "weight"),
        [("deny", 1), ("drop", 1), ("defer", 1), ("discard", 1), ("accept", -1), ("warn", 0)],
    )
    def test_a_verb_gives_the_weight(self, verb: str, weight: int) -> None:
        assert imported(f"{verb} dnslists = x.example").entries[0].weight == weight

    def test_conditions_stand_on_lines_of_their_own(self) -> None:
        found = imported("deny\n  message = no\n  dnslists = x.example\nwarn\n  dnslists = y.example\n")
        assert [(entry.line, entry.name, entry.weight) for entry in found.entries] == [
            (3, "x.example", 1), (5, "y.example", 0),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("a.example : b.example", ["a.example", "b.example"]),
            ("<, a.example, b.example", ["a.example", "b.example"]),
            ("<;a.example;b.example=127.0.0.2", ["a.example", "b.example"]),
            ("a.example/$sender_host_address:b.example", ["a.example", "b.example"]),
        ],
    )
    def test_lists(self, text: str, names: list[str]) -> None:
        assert [entry.name for entry in imported(f"deny dnslists = {text}").entries] == names

    def test_a_zone_for_its_text_alone_is_not_asked(self) -> None:
        found = imported("deny dnslists = http.x.example,all.x.example=127.0.0.2")
        assert [(entry.name, entry.reply) for entry in found.entries] == [("all.x.example", "127.0.0.2")]
        assert "http.x.example is not asked" in str(found.notes[0])

    def test_one_zone_in_several_places_is_one_entry(self) -> None:
        found = imported(
            "deny dnslists = x.example=127.0.0.2\ndeny dnslists = x.example=127.0.1.9 : x.example=127.0.0.2\n"
        )
        (entry,) = found.entries
        assert [code.match for code in entry.codes] == ["127.0.0.2", "127.0.1.9"]

    def test_what_a_key_asks_about(self) -> None:
        found = imported("deny dnslists = x.example/$sender_address_domain")
        (zone,) = config_of(found).zones
        assert (zone.subjects, zone.domain) == ({"domain"}, "host")

    def test_errors_that_count_as_listed(self) -> None:
        found = imported(
            "deny dnslists = a.example : +include_unknown : b.example : +exclude_unknown : c.example"
        )
        assert [entry.on_error for entry in found.entries] == [None, "listed", None]

    def test_macros_in_macros(self) -> None:
        found = imported("ONE = a.example\nTWO = ONE : b.example\ndeny dnslists = TWO\n")
        assert [entry.name for entry in found.entries] == ["a.example", "b.example"]

    def test_a_key_in_the_name(self) -> None:
        key = "abcdefghij0123456789abcdef"
        found = imported(f"deny dnslists = {key}.zen.dq.spamhaus.net : x.example==127.0.0.2/{key}")
        shown = format_config(found, "x") + "".join(map(str, found.notes))
        assert key not in shown
        assert found.entries[0].key_env == "DNSBL_KEY_SPAMHAUS"

    def test_a_dead_zone_is_named_with_its_successor(self) -> None:
        (note,) = lost("deny dnslists = dnsbl.sorbs.net")
        assert note.startswith("line 1: dnsbl.sorbs.net: left out: dnsbl.sorbs.net is retired since")
        assert note.endswith("use zen.spamhaus.org instead")


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("deny dnslists = x.example==127.0.0.2", "== holds only where all records match"),
        ("deny dnslists = x.example=&0.0.0.2", "=& holds only where all records match"),
        ("deny dnslists = x.example!==127.0.0.2", "== holds only where all records match"),
        ("deny !dnslists = x.example", "it holds for whom no list has"),
        ("require dnslists = x.example", "it holds for whom no list has"),
        ("deny dnslists = x.example/192.0.2.1", "asks about 192.0.2.1"),
        ("deny dnslists = x.example/${lookup{a:b}}", "asks about ${lookup{a:b}}"),
        ("deny dnslists = ${lookup{x}}", "is not ZONE=CODE"),
        ("deny dnslists = x.example=one", "left out: 'one' is not an address"),
        ("deny dnslists = x.example=10.0.0.1", "left out: no code of a list"),
        ("deny dnslists = x..example", "left out: zone name"),
        ("deny dnslists = +unknown", "no counterpart: only include, exclude and defer"),
        ("deny dnslists = x.example=127.0.0.2 : x.example!=127.0.0.3", "codes that it excludes"),
        ("dnslists = x.example", "left out: it stands under no accept"),
        (".include /etc/exim.d/acl", "not read: give that file's text too"),
        ("deny domains = +local\ndnslists = x.example", "the zones are asked about every client"),
    ],
)
def test_what_has_no_counterpart_is_named(text: str, note: str) -> None:
    (found,) = lost(text)
    assert found.startswith("line 1: ")
    assert note in found


def test_conditions_that_must_hold_together_are_named_one_by_one() -> None:
    text = "deny dnslists = a.example\n dnslists = b.example\n"
    assert lost(text) == [
        "line 1: deny dnslists = a.example: no counterpart: several conditions must hold together",
        "line 2: deny dnslists = b.example: no counterpart: several conditions must hold together",
    ]
    assert imported(text).entries == ()


def test_a_key_in_a_file() -> None:
    found = imported(
        "DQS = ${readfile{/etc/exim4/dqs.key}{}}\ndeny dnslists = DQS.zen.dq.spamhaus.net=127.0.0.2\n"
    )
    assert found.notes == ()
    assert [(entry.name, entry.key_env, entry.key_file) for entry in found.entries] == [
        ("zen.dq.spamhaus.net", "", "/etc/exim4/dqs.key"),
    ]
    assert 'key_file = "/etc/exim4/dqs.key"' in format_config(found, "x")


def test_lists_in_a_file_are_named() -> None:
    found = imported("deny dnslists = ${readfile{/etc/exim4/lists}{:}} : bl.example\n")
    assert [note.message for note in found.notes] == [
        "left out: its lists stand in /etc/exim4/lists, which is not read; write them down here"
    ]
    assert [entry.name for entry in found.entries] == ["bl.example"]


def test_lines_that_ifdef_leaves_out_are_left_out_here() -> None:
    text = (
        "CHECK = yes\n.ifdef CHECK\ndeny dnslists = a.example\n.else\ndeny dnslists = b.example\n.endif\n"
        ".ifndef CHECK\ndeny dnslists = c.example\n.elifdef OTHER\ndeny dnslists = d.example\n"
        ".else\ndeny dnslists = e.example\n.endif\n"
    )
    found = imported(text)
    assert [entry.name for entry in found.entries] == ["a.example", "e.example"]
    assert [(note.line, note.lost) for note in found.notes] == [(5, False), (8, False), (10, False)]


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"M{n} = M{n - 1}M{n - 1}M{n - 1}\n" for n in range(1, 60)) + "deny dnslists = M59",
        "deny dnslists = " + "a.example:" * 1000,
        "deny dnslists = " + "{" * 100_000,
        "".join(f"M{n} = x\n" for n in range(60_000)) + "deny dnslists = M1.example",
        "deny \\\n" * 100_000,
    ],
)
def test_hostile_texts_are_bounded(text: str) -> None:
    started = time.process_time()
    imported(text)
    assert time.process_time() - started < 10


def test_a_text_too_long_is_refused() -> None:
    with pytest.raises(ConfigError, match="longer than 1048576 characters"):
        imported("#" * ((1 << 20) + 1))


PIECES = [
    *"deny x.m=:&!/$,\n\\<;{}1+A_",
    "x.example",
    "y.example",
    "127.0.0.2",
    "$sender_address_domain",
    "\ndeny ",
]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
def test_whatever_is_read_makes_a_configuration(text: str) -> None:
    found = imported(f"deny dnslists = x.example{text}")
    names = [entry.name for entry in found.entries]
    assert not names or [zone.name for zone in config_of(found).zones] == names
    assert names or [note for note in found.notes if note.lost]
