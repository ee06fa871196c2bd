"""Zones: names, Postfix text, values that are refused, test entries, and keys that never show."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsbl.errors import ZoneError
from dnsbl.zones.name import MAX_NAME, check_name
from dnsbl.zones.replyfilter import parse_reply_filter
from dnsbl.zones.secret import Secret, mask_keys
from dnsbl.zones.zone import RFC5782_PROBES, Code, Probe, Zone, parse_zone

KEY = "s3cr3tkey0123456789abcdef"


@pytest.mark.parametrize("text", ["bl.example", ".bl.example", "bl.example.", ".bl.example.", "BL.Example"])
def test_b2_a_zone_has_one_name_whatever_dots_it_came_with(text: str) -> None:
    assert parse_zone(text).name == "bl.example"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "empty"),
        (".", "empty"),
        ("..", "empty"),
        ("a..b", "a.>>>.b"),
        ("..bl.example", ".>>>.bl.example"),
        ("bl.example..", "bl.example.>>>."),
        ("bl example", ">>>bl example"),
        ("bl.example:53", "bl.>>>example:53"),
        ("https://bl.example", ">>>https://bl.example"),
        ("-bl.example", ">>>-bl.example"),
        ("bl.exam-", "bl.>>>exam-"),
        ("bl.exämple", "xn--"),
        ("bl.example\x00", "bl.>>>example\\x00"),
        ("bl.example\n.x", "bl.>>>example\\n.x"),
        ("a" * 64 + ".example", "64 characters"),
        ("192.0.2.1", "an address"),
        ("bl.example.25", "an address"),
    ],
)
def test_an_unusable_name_is_one_clear_line(text: str, place: str) -> None:
    with pytest.raises(ZoneError) as caught:
        parse_zone(text)
    assert place in str(caught.value)
    assert str(caught.value).isprintable()
    assert caught.value.text == text


def test_a_name_leaves_room_for_a_reversed_ipv6_address() -> None:
    longest = ".".join(["a" * 62, "a" * 63, "a" * 62])
    assert len(longest) == MAX_NAME
    assert check_name(longest) == longest
    reversed_ipv6_characters = 32 + 31
    assert reversed_ipv6_characters + len(".") + len(longest) == 253
    with pytest.raises(ZoneError, match="191 characters"):
        check_name("b." + longest)


def test_labels_of_63_characters_and_underscores_are_names() -> None:
    assert check_name("_spf." + "a" * 63 + ".xn--bcher-kva") == "_spf." + "a" * 63 + ".xn--bcher-kva"


@pytest.mark.parametrize(
    ("text", "filters"),
    [
        ("bl.example", []),
        ("bl.example=127.0.0.2", [("127.0.0.2", 1.0)]),
        ("bl.example=127.0.0.[2..11]*3", [("127.0.0.[2..11]", 3.0)]),
        ("bl.example*3", [(None, 3.0)]),
        ("bl.example*-2", [(None, -2.0)]),
        ("bl.example*+2", [(None, 2.0)]),
        ("bl.example.=127.0.[2;4].[1..3]*-4", [("127.0.[2;4].[1..3]", -4.0)]),
        ("bl.example*0", [(None, 0.0)]),
        ("bl.example=127.0.0.2*0.5", [("127.0.0.2", 0.5)]),
        ("  bl.example*2 ", [(None, 2.0)]),
    ],
)
def test_postfix_text(text: str, filters: list[tuple[str | None, float]]) -> None:
    zone = parse_zone(text)
    assert zone.name == "bl.example"
    found = [(entry.reply and entry.reply.text, entry.weight) for entry in zone.filters]
    assert found == filters


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("bl.example=", "bl.example=>>>"),
        ("bl.example=*3", "bl.example=>>>*3"),
        ("bl.example=127.0.0.2*", "bl.example=127.0.0.2*>>>"),
        ("bl.example*x", "bl.example*>>>x"),
        ("bl.example*1e3", "bl.example*>>>1e3"),
        ("bl.example*nan", "bl.example*>>>nan"),
        ("bl.example*3*4", "bl.example*>>>3*4"),
        ("bl.example*3=127.0.0.2", "bl.example*>>>3=127.0.0.2"),
        ("bl.example=127.0.0.[4..1]*3", "bl.example=127.0.0.[4..>>>1]*3"),
        ("bl.example = 127.0.0.2", "bl.>>>example "),
        ("bl.example=127.0.0.2 *3", "bl.example=127.0.0.2>>> *3"),
        ("=127.0.0.2", "empty"),
        ("bl.example=192.0.2.1", "never match"),
    ],
)
def test_postfix_text_that_is_wrong_has_its_place_marked(text: str, place: str) -> None:
    with pytest.raises(ZoneError) as caught:
        parse_zone(text)
    assert place in str(caught.value)
    assert str(caught.value).isprintable()


def test_an_endless_text_is_refused_without_being_shown() -> None:
    with pytest.raises(ZoneError) as caught:
        parse_zone("a." * 100_000)
    assert len(str(caught.value)) < 200
    assert len(caught.value.text) < 200


def error_of(text: str) -> str | None:
    try:
        return None if check_name(parse_zone(text).name) else "an empty name"
    except ZoneError as error:
        return str(error)


@given(st.text(max_size=80))
def test_any_text_is_a_zone_or_one_clear_error(text: str) -> None:
    error = error_of(text)
    assert error is None or error.isprintable()


@pytest.mark.parametrize(
    "values",
    [
        {"subjects": frozenset()},
        {"subjects": frozenset({"ip5"})},
        {"domain": "whole"},
        {"on_error": "trusted"},
        {"weight": float("nan")},
        {"weight": float("inf")},
        {"weight": 1e9},
        {"weight": "3"},
        {"weight": True},
        {"timeout_s": 0},
        {"timeout_s": 61},
        {"timeout_s": "1"},
        {"timeout_s": True},
        {"daily_limit": 0},
        {"daily_limit": 1.5},
        {"daily_limit": True},
        {"codes": [{"match": "127.0.0.2"}]},
        {"filters": ["127.0.0.2"]},
        {"filters": "127.0.0.2"},
        {"nameservers": "127.0.0.1:5353"},
        {"nameservers": [5353]},
        {"tests": ["127.0.0.2"]},
        {"key": "two.labels"},
        {"key": "white space"},
        {"key": ""},
        {"key": "k" * 64},
        {"key": "abc", "key_place": "no.place.example"},
        {"key": "k" * 60, "key_place": "{key}." + ".".join(["a" * 60] * 3)},
    ],
)
def test_a_value_that_cannot_be_used_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ZoneError) as caught:
        Zone("bl.example", **values)  # type: ignore[arg-type]
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"mask": 2, "match": parse_reply_filter("127.0.0.2")},
        {"mask": 0},
        {"mask": 256},
        {"mask": 18},  # A5: not a single bit
        {"mask": -2},
        {"mask": True},
        {"mask": "2"},
        {"mask": 2, "outcome": "allow"},
        {"mask": 2, "weight": float("nan")},
    ],
)
def test_a_code_that_says_nothing_or_two_things_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ZoneError):
        Code(**values)  # type: ignore[arg-type]


def test_lists_and_sets_are_taken_as_tuples_and_frozensets() -> None:
    code = Code(mask=2)
    zone = Zone("bl.example", subjects={"domain"}, codes=[code], nameservers=["127.0.0.1"])  # type: ignore[arg-type]
    assert (zone.subjects, zone.codes, zone.nameservers) == (frozenset({"domain"}), (code,), ("127.0.0.1",))
    assert Zone("bl.example", subjects="ip4").subjects == {"ip4"}  # type: ignore[arg-type]
    hash(zone)


def test_probes_are_the_lists_own_else_those_of_rfc_5782() -> None:
    assert Zone("bl.example").probes == RFC5782_PROBES[:4]
    assert Zone("bl.example", subjects=frozenset({"domain"})).probes == RFC5782_PROBES[4:]
    own = (Probe("ip4", "127.0.0.99", True),)
    assert Zone("bl.example", tests=own).probes == own + RFC5782_PROBES[2:4]
    assert Zone("bl.example", subjects=frozenset({"ip6"}), tests=own).probes == RFC5782_PROBES[2:4]


def test_delist_link_has_the_subject_filled_in() -> None:
    zone = Zone("bl.example", delist_url="https://example.com/?ip={subject}")
    assert zone.delist_link("2001:db8::1") == "https://example.com/?ip=2001:db8::1"
    assert Zone("bl.example").delist_link("192.0.2.1") is None


KEYED = [
    Zone("bl.example", key=KEY),
    Zone("bl.example", key=Secret(KEY)),
    Zone("bl.example", key=KEY, key_place="x.{key}.bl.example"),
    parse_zone(f"{KEY}.zen.dq.spamhaus.net"),
    parse_zone(f"{KEY.upper()}.zen.dq.spamhaus.net=127.0.0.[2..11]*3"),
    parse_zone(f".{KEY}.combined.mail.abusix.zone.*2"),
    Zone(f"{KEY}.unheard-of.dq.spamhaus.net"),
]


@pytest.mark.parametrize("zone", KEYED, ids=lambda zone: zone.name)
def test_a_key_is_in_the_name_asked_and_nowhere_else(zone: Zone) -> None:
    assert KEY in zone.wire_name
    assert zone.masked_name == zone.wire_name.replace(KEY, "***")
    shown = [
        repr(zone),
        str(zone),
        f"{zone!r} {zone} {zone.key} {zone.key!r}",
        repr(dataclasses.asdict(zone)),
        repr(dataclasses.astuple(zone)),
        json.dumps(dataclasses.asdict(zone), default=str),
        zone.name,
        zone.key_place,
        zone.masked_name,
        str([getattr(zone, f.name) for f in dataclasses.fields(zone)]),
    ]
    assert KEY not in "".join(shown).lower()


@pytest.mark.parametrize("zone", KEYED, ids=lambda zone: zone.name)
def test_a_keyed_zone_can_be_copied_compared_and_sent_to_another_process(zone: Zone) -> None:
    sent = pickle.loads(pickle.dumps(zone))
    for twin in (copy.deepcopy(zone), sent, dataclasses.replace(zone, weight=1.0)):
        assert twin == zone
        assert hash(twin) == hash(zone)
        assert twin.wire_name == zone.wire_name
    assert dataclasses.replace(zone, key="other") != zone


def test_the_key_is_taken_out_of_the_name_of_a_known_operator() -> None:
    zone = parse_zone(f"{KEY}.zen.dq.spamhaus.net")
    assert (zone.name, zone.key_place) == ("zen.dq.spamhaus.net", "{key}.zen.dq.spamhaus.net")
    assert parse_zone("zen.dq.spamhaus.net").key is None
    part = parse_zone(f"_url.{KEY}.hbl.dq.spamhaus.net")
    assert (part.name, part.key_place) == ("_url.hbl.dq.spamhaus.net", "_url.{key}.hbl.dq.spamhaus.net")
    assert (part.masked_name, KEY in repr(part)) == ("_url.***.hbl.dq.spamhaus.net", False)
    assert parse_zone("_url.hbl.dq.spamhaus.net").key is None
    assert parse_zone("key.bl.example").name == "key.bl.example"


@pytest.mark.parametrize(
    "text",
    [
        f"{KEY}.zen.dq.spamhaus.net=127.0.0.[2",
        f"_email.{KEY}.hbl.dq.spamhaus.net=10.0.0.2",
        f"{KEY}.zen.dq.spamhaus.net=127.0.0.2*x",
        f"{KEY}.zen.dq.spamhaus.net.=",
        f"{KEY}..zen.dq.spamhaus.net",
        f"{KEY}.{KEY}.zen.dq.spamhaus.net",
        f"{KEY}!.zen.dq.spamhaus.net",
        f"{KEY}.combined.mail.abusix.zone*one",
        f"{KEY}.zen.dq.spamhaus.net=10.0.0.2",
        f"{KEY}.zen.dq.spamhaus.net bl.example",
        f"{KEY.upper()}.ZEN.DQ.SPAMHAUS.NET=x",
        f"-{KEY}.zen.dq.spamhaus.net",
        f"{KEY}.zen.dq.spamhaus.net" + "x" * 2000,
        f"{KEY}.zen.dq.spamhaus..net",
        f"{KEY}.zen..dq.spamhaus.net",
        f"{KEY} .zen.dq.spamhaus.net",
        f"{KEY}\n.zen.dq.spamhaus.net",
        f"{KEY},.zen.dq.spamhaus.net=127.0.0.2",
        f"{KEY}=.zen.dq.spamhaus.net",
    ],
)
def test_no_error_or_traceback_shows_a_key(text: str) -> None:
    with pytest.raises(ZoneError) as caught:
        parse_zone(text)
    shown = str(caught.value) + caught.value.text + repr(caught.value) + repr(pickle.dumps(caught.value))
    shown += "".join(traceback.format_exception(caught.value))
    assert KEY not in shown.lower()


@pytest.mark.parametrize("key", [f"{KEY} ", f"{KEY}\n", f"{KEY}.x", f"{KEY}ä", "-" + KEY])
def test_no_error_about_a_key_shows_it(key: str) -> None:
    with pytest.raises(ZoneError, match="the key is not one label") as caught:
        Zone("zen.dq.spamhaus.net", key=key)
    assert KEY not in str(caught.value) + caught.value.text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"2.0.0.127.{KEY}.zen.dq.spamhaus.net", "***.zen.dq.spamhaus.net"),
        (f"a {KEY}.dbl.dq.spamhaus.net, b", "a ***.dbl.dq.spamhaus.net, b"),
        ("zen.dq.spamhaus.net and zen.spamhaus.org", "zen.dq.spamhaus.net and zen.spamhaus.org"),
        (f"{KEY}.Combined.Mail.Abusix.Zone", "***.Combined.Mail.Abusix.Zone"),
        (f"rbl = {KEY} ..zen.dq..spamhaus.net", "rbl = ***.zen.dq..spamhaus.net"),
        (".zen.dq.spamhaus.net", ".zen.dq.spamhaus.net"),
        (f"a list ({KEY}.zen.dq.spamhaus.net): no", "a list (***.zen.dq.spamhaus.net): no"),
        ("", ""),
    ],
)
def test_keys_in_running_text_are_masked(text: str, masked: str) -> None:
    assert mask_keys(text) == masked
