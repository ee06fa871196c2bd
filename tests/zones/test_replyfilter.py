"""Reply filters against a golden table, and against an oracle that lists what each field accepts."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsbl.errors import ZoneError
from dnsbl.zones.replyfilter import MAX_TEXT, parse_reply_filter

GOOD = [
    # filter, what it accepts, what it does not
    ("127.0.0.2", ["127.0.0.2"], ["127.0.0.1", "127.0.0.3", "127.0.1.2", "127.1.0.2", "10.0.0.2"]),
    ("127.0.0.[2..11]", ["127.0.0.2", "127.0.0.7", "127.0.0.11"], ["127.0.0.1", "127.0.0.12"]),  # A6
    ("127.0.0.[10;11]", ["127.0.0.10", "127.0.0.11"], ["127.0.0.9", "127.0.0.12"]),  # A6
    ("127.0.[2..20].[1..3]", ["127.0.5.3", "127.0.2.1", "127.0.20.3"], ["127.0.21.1", "127.0.5.4"]),  # A6
    ("127.0.[2;4].[1..3]", ["127.0.2.1", "127.0.4.3"], ["127.0.3.1", "127.0.2.4"]),
    ("127.0.0.[1..3;7;200..255]", ["127.0.0.1", "127.0.0.7", "127.0.0.200", "127.0.0.255"], ["127.0.0.8"]),
    ("127.0.0.[5..5]", ["127.0.0.5"], ["127.0.0.4", "127.0.0.6"]),
    ("127.0.0.[5;5]", ["127.0.0.5"], ["127.0.0.6"]),
    ("[127;128].[0].0.2", ["127.0.0.2", "128.0.0.2"], ["129.0.0.2"]),
    ("127.0.[0..255].0", ["127.0.0.0", "127.0.255.0"], ["127.0.0.1"]),
    ("0.0.0.[0..255]", ["0.0.0.0", "0.0.0.255"], ["1.0.0.0"]),
    ("255.255.255.255", ["255.255.255.255"], ["255.255.255.254"]),
    ("127.0.0.002", ["127.0.0.2"], ["127.0.0.20"]),  # decimal, as Postfix reads it
    ("[127.0.0.2]", ["127.0.0.2"], ["127.0.0.3"]),
    ("[127.0.[1;3].[2..4]]", ["127.0.3.4"], ["127.0.2.4"]),
]

BAD = [
    # filter, the marked place, a word of the reason
    ("", ">>>", "number"),
    ("127.0.0", "127.0.0>>>", "field 4"),
    ("127.0.0.", "127.0.0.>>>", "number"),
    ("127", "127>>>", "field 2"),
    ("127.0.0.2.3", "127.0.0.2>>>.3", "nothing may follow"),
    ("127.0.0.2x", "127.0.0.2>>>x", "nothing may follow"),
    ("127.0.0.2 ", "127.0.0.2>>> ", "nothing may follow"),
    (" 127.0.0.2", ">>> 127.0.0.2", "number"),
    ("127.0.0.256", "127.0.0.>>>256", "0 to 255"),
    ("127.0.0.99999999999999999999", "127.0.0.>>>99999999999999999999", "0 to 255"),
    ("127.0.0." + "9" * 1_900, "127.0.0.>>>" + "9" * 1_900, "0 to 255"),
    ("127.0.0.-2", "127.0.0.>>>-2", "number"),
    ("127.0.0.0x2", "127.0.0.0>>>x2", "nothing may follow"),
    ("127,0,0,2", "127>>>,0,0,2", "field 2"),
    ("127..0.2", "127.>>>.0.2", "number"),
    ("127.0.0.[]", "127.0.0.[>>>]", "number"),
    ("127.0.0.[2", "127.0.0.[2>>>", '"]"'),
    ("127.0.0.[2;", "127.0.0.[2;>>>", "number"),
    ("127.0.0.[2;]", "127.0.0.[2;>>>]", "number"),
    ("127.0.0.[2,3]", "127.0.0.[2>>>,3]", '";"'),
    ("127.0.0.[2-3]", "127.0.0.[2>>>-3]", '";"'),
    ("127.0.0.[2.3]", "127.0.0.[2>>>.3]", '".."'),
    ("127.0.0.[2...3]", "127.0.0.[2..>>>.3]", "number"),
    ("127.0.0.[2..]", "127.0.0.[2..>>>]", "number"),
    ("127.0.0.[..3]", "127.0.0.[>>>..3]", "number"),
    ("127.0.0.[4..1]", "127.0.0.[4..>>>1]", "low to high"),
    ("127.0.0.[2..300]", "127.0.0.[2..>>>300]", "0 to 255"),
    ("127.0.0.[2]]", "127.0.0.[2]>>>]", "nothing may follow"),
    ("127.0.0.[[2]]", "127.0.0.[>>>[2]]", "number"),
    ("127.0.[0.2]", "127.0.[0>>>.2]", '".."'),
    ("127.0.0.2[3]", "127.0.0.2>>>[3]", "nothing may follow"),
    ("[127.0.0.2", "[127>>>.0.0.2", '".."'),
    ("127.0.0.2]", "127.0.0.2>>>]", "nothing may follow"),
    ("127.0.0.*", "127.0.0.>>>*", "number"),
    ("127.0.0.\u0662", "127.0.0.>>>\\u0662", "number"),  # a digit, but not an ASCII one
    ("127.0.0.2\n127.0.0.3", "127.0.0.2>>>\\n127.0.0.3", "nothing may follow"),
]


def number(address: str) -> int:
    return int(IPv4Address(address))


@pytest.mark.parametrize(("text", "yes", "no"), GOOD)
def test_accepts_what_the_grammar_says(text: str, yes: list[str], no: list[str]) -> None:
    accepted = parse_reply_filter(text)
    assert str(accepted) == text
    assert [address for address in yes + no if accepted.matches(number(address))] == yes


@pytest.mark.parametrize(("text", "place", "reason"), BAD)
def test_an_error_marks_the_place_on_one_line(text: str, place: str, reason: str) -> None:
    with pytest.raises(ZoneError) as caught:
        parse_reply_filter(text)
    message = str(caught.value)
    assert message.endswith(place)
    assert reason in message
    assert message.isprintable()
    assert caught.value.text == text


def test_a_filter_inside_a_longer_text_is_shown_in_it() -> None:
    text = "bl.example=127.0.0.[2..x]*3"
    with pytest.raises(ZoneError, match=r"bl\.example=127\.0\.0\.\[2\.\.>>>x\]\*3$"):
        parse_reply_filter(text, 11, 25)
    assert parse_reply_filter("bl.example=127.0.0.2*3", 11, 20).text == "127.0.0.2"


def test_an_endless_filter_is_refused() -> None:
    text = "127.0.0.[" + ";".join(["2"] * MAX_TEXT) + "]"
    with pytest.raises(ZoneError, match="at most 2000") as caught:
        parse_reply_filter(text)
    assert caught.value.text == text[:80]


@pytest.mark.parametrize(
    ("text", "address", "named"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.[1..3]", "127.0.0.1", True),
        ("127.0.0.[0..255]", "127.0.0.1", True),
        ("127.0.[0;2].[1..3]", "127.0.0.1", True),
        ("127.0.[0..255].[1..3]", "127.0.0.1", False),
        ("127.[0..255].0.1", "127.0.0.1", False),
        ("127.255.255.[0..255]", "127.255.255.254", True),
        ("127.[0..255].[0..255].[0..255]", "127.255.255.254", False),
        ("127.0.0.2", "127.0.0.1", False),
    ],
)
def test_what_a_filter_names_and_what_it_takes_by_the_way(text: str, address: str, named: bool) -> None:
    assert parse_reply_filter(text).names(number(address)) is named


def test_the_longest_filter() -> None:
    head, tail = "127.0.0.[2", "]"
    text = head + ";22" * ((MAX_TEXT - len(head + tail)) // 3)
    text += tail
    text = text.replace("127.0.0.[2", "127.0.0.[" + "0" * (MAX_TEXT - len(text)) + "2")
    assert len(text) == MAX_TEXT
    assert parse_reply_filter(text).matches(number("127.0.0.22"))


def test_a_filter_cannot_be_changed_and_shows_its_text() -> None:
    made = parse_reply_filter("127.0.0.2")
    assert repr(made) == "ReplyFilter(text='127.0.0.2')"
    assert not hasattr(made, "__dict__")
    with pytest.raises(AttributeError):
        made.text = "127.0.0.3"  # type: ignore[misc]


octets = st.integers(0, 255)
ranges = st.tuples(octets, octets).map(sorted)
fields = st.one_of(octets, st.lists(st.one_of(octets, ranges), min_size=1, max_size=5))


def written(field: int | list[int | list[int]]) -> str:
    if isinstance(field, int):
        return str(field)
    return "[" + ";".join(str(m) if isinstance(m, int) else f"{m[0]}..{m[1]}" for m in field) + "]"


def accepted_by(field: int | list[int | list[int]]) -> set[int]:
    members = [field] if isinstance(field, int) else field
    return {n for m in members for n in ([m] if isinstance(m, int) else range(m[0], m[1] + 1))}


@given(st.lists(fields, min_size=4, max_size=4), st.lists(octets, min_size=4, max_size=4), st.data())
def test_matches_as_the_sets_of_its_fields_do(
    pattern: list[Any], probe: list[int], data: st.DataObject
) -> None:
    accepted = parse_reply_filter(".".join(map(written, pattern)))
    sets = list(map(accepted_by, pattern))
    inside = [data.draw(st.sampled_from(sorted(values))) for values in sets]
    assert accepted.matches(int.from_bytes(bytes(inside)))
    expected = all(value in values for value, values in zip(probe, sets, strict=True))
    assert accepted.matches(int.from_bytes(bytes(probe))) is expected


def error_of(text: str) -> str | None:
    try:
        return None if str(parse_reply_filter(text)) == text else "another text"
    except ZoneError as error:
        return str(error)


@given(st.text(alphabet="0123456789.;[]*=, x\n\x00\u0663", max_size=40))
def test_any_text_is_a_filter_or_one_clear_error(text: str) -> None:
    error = error_of(text)
    assert error is None or (">>>" in error and error.isprintable())
