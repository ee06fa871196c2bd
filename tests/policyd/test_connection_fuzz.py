"""Connections given anything at all: request streams cut anywhere, and mutated."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.policyconnection import OneServer, actions, connect, open_server
from support.policydaemon import request

clients = st.integers(1, 254).map(lambda number: f"192.0.2.{number}")


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[str], bytes, list[bytes]]:
    """The clients asked about, the stream, and the stream cut anywhere."""
    asked = draw(st.lists(clients, max_size=12))
    stream = b"".join(request(client, sender=draw(st.sampled_from(["", "a@b", "x=y"]))) for client in asked)
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[start:end] for start, end in pairwise([0, *cuts, len(stream)])]
    return asked, stream, pieces


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


async def exchange(pieces: list[bytes]) -> tuple[bytes, OneServer]:
    """Send the pieces, then the end; give all that came back. The server must go on serving."""
    owner = OneServer()
    server, port = await open_server(owner)
    reader, writer = await connect(port)
    async with asyncio.timeout(20):
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            writer.write_eof()
            got = await reader.read()
        except ConnectionError:
            got = b""
        writer.close()
        other_reader, other_writer = await connect(port)
        other_writer.write(request("192.0.2.250"))
        assert await actions(other_reader, 1) == ["REJECT 192.0.2.250"]
        other_writer.close()
        while owner.connections:
            await asyncio.sleep(0)
    server.close()
    return got, owner


fuzz = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@fuzz
@given(streams())
def test_a_valid_stream_cut_anywhere(
    runner: asyncio.Runner, drawn: tuple[list[str], bytes, list[bytes]]
) -> None:
    asked, _, pieces = drawn
    got, _ = runner.run(exchange(pieces))
    assert got == b"".join(f"action=REJECT {client}\n\n".encode() for client in asked)


@fuzz
@given(streams(), st.binary(max_size=12), st.data())
def test_a_mutated_stream_never_gets_an_answer_out_of_turn(
    runner: asyncio.Runner, drawn: tuple[list[str], bytes, list[bytes]], junk: bytes, data: st.DataObject
) -> None:
    asked, stream, _ = drawn
    at = data.draw(st.integers(0, len(stream)))
    drop = data.draw(st.integers(0, 12))
    mutated = stream[:at] + junk + stream[at + drop :]
    cut = data.draw(st.integers(0, len(mutated)))
    got, owner = runner.run(exchange([mutated[:cut], mutated[cut:]]))
    replies = got.split(b"\n\n")[:-1]
    untouched = stream[:at].count(b"\n\n")
    expected = [f"action=REJECT {client}".encode() for client in asked[:untouched]]
    if got:
        assert replies[:untouched] == expected
    assert all(reply.startswith(b"action=") and reply.count(b"\n") == 0 for reply in replies)
    assert not [line for line in owner.lines if "error" in line]
