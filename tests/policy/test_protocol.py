"""The policy protocol without a socket: requests out of bytes, replies out of actions."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsbl.policy.protocol import (
    MAX_ACTION_BYTES,
    MAX_ATTRIBUTES,
    MAX_REQUEST_BYTES,
    Attributes,
    ProtocolError,
    RequestReader,
    clean_text,
    format_reply,
)

REQUEST = b"request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=192.0.2.99\n\n"


def read(data: bytes, cuts: tuple[int, ...] = ()) -> tuple[list[Attributes], str]:
    """Feed `data`, cut at `cuts`; give the requests and what was wrong ("" if nothing)."""
    reader = RequestReader()
    requests: list[Attributes] = []
    edges = [0, *sorted(cuts), len(data)]
    for start, end in pairwise(edges):
        reader.feed(data[start:end])
        try:
            while (request := reader.next()) is not None:
                requests.append(request)
        except ProtocolError as error:
            with pytest.raises(ProtocolError):  # and it stays so
                reader.next()
            return requests, str(error)
    return requests, ""


def test_one_byte_at_a_time_is_one_request() -> None:  # D7
    requests, error = read(REQUEST, tuple(range(1, len(REQUEST))))
    assert requests == [
        {"request": "smtpd_access_policy", "protocol_state": "RCPT", "client_address": "192.0.2.99"}
    ]
    assert error == ""


def test_two_requests_in_one_write_and_half_of_a_third() -> None:  # D7
    requests, error = read(b"a=1\n\nb=2\n\nc=3\n")
    assert requests == [{"a": "1"}, {"b": "2"}]
    assert error == ""


def test_short_names_in_pieces() -> None:
    data = b"a=1\nb=2\n\n"
    for cuts in ((4,), (8,), (9,), tuple(range(1, len(data)))):
        assert read(data, cuts) == ([{"a": "1", "b": "2"}], "")


def test_nothing_is_carried_over() -> None:  # D6
    requests, _ = read(b"sender=a@example.com\nsasl_username=a\nx=1\n\nx=2\n\n")
    assert requests[1] == {"x": "2"}


def test_values() -> None:  # D2, D8, D9
    data = (
        b"sender=\nccert_subject=CN=mail,O=x\nfoo=bar\nx=first\nx=last\nrecipient=caf\xe9@example.com\n"
        b"helo_name=\xd0\xb4.example\nsubject= a\tb \r\n\n"
    )
    [request], error = read(data)
    assert error == ""
    assert request == {
        "sender": "",
        "ccert_subject": "CN=mail,O=x",
        "foo": "bar",
        "x": "last",
        "recipient": "caf\udce9@example.com",
        "helo_name": "д.example",
        "subject": " a\tb \r",
    }
    assert request["recipient"].encode("utf-8", "surrogateescape") == b"caf\xe9@example.com"


def test_the_empty_request() -> None:
    assert read(b"\n\nx=1\n\n\n") == ([{}, {}, {"x": "1"}, {}], "")


@pytest.mark.parametrize(
    "line",
    [b"GET / HTTP/1.1\r", b"=value", b"=", b"a\0b=1", b"a=b\0", b"\r", b"\xff\xfe", b"a b c", b"\0"],
)
def test_a_line_that_is_no_attribute(line: bytes) -> None:
    bad = b"x=1\n" + line + b"\ny=2\n\n"
    for cuts in ((), (4,), (4 + len(line),), (4 + len(line) + 1,), tuple(range(1, len(bad)))):
        requests, error = read(REQUEST + bad + REQUEST, tuple(len(REQUEST) + cut for cut in cuts))
        assert len(requests) == 1
        assert "not an attribute" in error
        assert error.isascii()
        assert error.isprintable()


def test_of_a_line_that_is_no_attribute_60_characters_are_told() -> None:
    assert read(b"x" * 59 + b"y" * 10 + b"\n\n")[1].endswith(f": '{'x' * 59}y'")


def test_a_bad_line_is_found_before_the_request_ends() -> None:
    assert read(b"EHLO mail.example.com\r\n")[1] != ""


def test_the_longest_request() -> None:
    value = b"x" * (MAX_REQUEST_BYTES - len(b"a=\n\n"))
    [request], error = read(b"a=" + value + b"\n\n", (10, 40_000))
    assert (len(request["a"]), error) == (len(value), "")
    for cuts in ((), (10, 40_000), (MAX_REQUEST_BYTES,)):
        requests, error = read(REQUEST + b"a=x" + value + b"\n\n" + REQUEST, cuts)
        assert len(requests) == 1
        assert str(MAX_REQUEST_BYTES) in error


def test_no_newline_is_given_up_at_the_cap() -> None:  # D8
    reader = RequestReader()
    for _ in range(MAX_REQUEST_BYTES // 1024):
        reader.feed(b"x" * 1024)
        assert reader.next() is None
    reader.feed(b"x")
    with pytest.raises(ProtocolError, match="bytes"):
        reader.next()


def test_of_a_long_text_four_times_what_is_wanted_is_read() -> None:
    assert clean_text("\n" * 30 + "abcdefghijk", 10) == "abcdefghij"
    assert clean_text("\n" * 35 + "abcdefghijk", 10) == "abcde"
    assert clean_text("\n" * 1_000_000 + "a", 10) == ""


@pytest.mark.parametrize("name", ["a%d", "same"])
def test_the_most_attributes(name: str) -> None:
    lines = [(name % n if "%" in name else name) + "=1\n" for n in range(MAX_ATTRIBUTES)]
    data = "".join(lines).encode() + b"\n"
    over = b"over=1\n" + data
    for cuts in ((), (30, 300), tuple(range(1, len(over)))):
        assert len(read(data, tuple(cut for cut in cuts if cut < len(data)))[0]) == 1
        for sent in (over, over[:-1]):  # and it is not waited for the end, which may never come
            requests, error = read(sent, tuple(cut for cut in cuts if cut < len(sent)))
            assert requests == []
            assert str(MAX_ATTRIBUTES) in error


names = st.text(st.characters(exclude_characters="=\n\0", exclude_categories=["Cs"]), min_size=1, max_size=8)
values = st.text(st.characters(exclude_characters="\n\0", exclude_categories=["Cs"]), max_size=20)
streams = st.lists(st.dictionaries(names, values, max_size=6), max_size=6)


def encode(requests: list[dict[str, str]]) -> bytes:
    return b"".join(
        "".join(f"{name}={value}\n" for name, value in request.items()).encode() + b"\n"
        for request in requests
    )


@given(streams, st.data())
def test_a_valid_stream_split_anywhere(requests: list[dict[str, str]], data: st.DataObject) -> None:
    stream = encode(requests)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=10))
    assert read(stream, tuple(cuts)) == (requests, "")


@given(streams, st.binary(max_size=8), st.data())
def test_a_mutated_stream_reads_the_same_however_it_is_split(
    requests: list[dict[str, str]], junk: bytes, data: st.DataObject
) -> None:
    stream = bytearray(encode(requests))
    at = data.draw(st.integers(0, len(stream)))
    stream[at : at + data.draw(st.integers(0, 8))] = junk
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=10))
    got, error = read(bytes(stream), tuple(cuts))
    whole, whole_error = read(bytes(stream))
    assert got == whole
    assert bool(error) == bool(whole_error)


@given(st.binary(max_size=300), st.data())
def test_any_bytes_give_requests_or_an_error(junk: bytes, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(junk)), max_size=5))
    requests, error = read(junk, tuple(cuts))
    if not error:
        assert len(requests) == sum(1 for _ in split_at_empty_lines(junk))


def split_at_empty_lines(data: bytes) -> list[list[bytes]]:
    """The complete requests of a stream, by the plainest reading of the manual."""
    found: list[list[bytes]] = []
    lines: list[bytes] = []
    for line in data.split(b"\n")[:-1]:
        if line:
            lines.append(line)
        else:
            found.append(lines)
            lines = []
    return found


def test_the_reply() -> None:
    assert format_reply("DUNNO") == b"action=DUNNO\n\n"


@pytest.mark.parametrize(
    ("action", "reply"),
    [
        ("REJECT a\r\naction=OK\n\naction=DUNNO", b"REJECT a action=OK action=DUNNO"),
        ("REJECT nul\0in it", b"REJECT nul in it"),
        ("REJECT caf\u00e9 \udce9 \u2028 \x85 x", b"REJECT caf? x"),
        ("REJECT\ttab", b"REJECT tab"),
        ("REJECT \x1b[31m red", b"REJECT [31m red"),
    ],
)
def test_a_reply_is_one_attribute(action: str, reply: bytes) -> None:  # D5
    assert format_reply(action) == b"action=" + reply + b"\n\n"


@given(st.text(min_size=1).map(lambda text: "REJECT " + text))
def test_any_text_makes_one_line(text: str) -> None:  # D5
    reply = format_reply(text)
    line, *rest = reply.split(b"\n")
    assert rest == [b"", b""]
    assert line.startswith(b"action=REJECT")
    assert line.decode("ascii").isprintable()
    assert len(line) <= len("action=") + MAX_ACTION_BYTES


def test_a_reply_that_fits_stays_as_it_is() -> None:
    action = "REJECT  ".ljust(MAX_ACTION_BYTES, "x")
    assert format_reply(action) == f"action={action}\n\n".encode()
    assert format_reply(action + "x") == b"action=REJECT " + b"x" * (MAX_ACTION_BYTES - 7) + b"\n\n"
    assert clean_text("a  b  ", 10) == "a b"


def test_a_reply_is_bounded() -> None:  # D5
    assert len(format_reply("REJECT " + "x" * 600)) == len("action=\n\n") + MAX_ACTION_BYTES


@pytest.mark.parametrize("action", ["", " ", "\n", "\r\n\t"])
def test_an_empty_action_is_refused(action: str) -> None:
    with pytest.raises(ValueError, match="empty"):
        format_reply(action)
