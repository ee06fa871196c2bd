"""Connections in an event loop: order, bounds, timeouts, and what a broken client can do (nothing)."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from support.policyconnection import OneServer, Reader, Writer, actions, connect, open_server, talk, until
from support.policydaemon import request

from dnsbl.policy.protocol import MAX_ATTRIBUTES, MAX_REQUEST_BYTES
from dnsbl.policyd.connection import READ_BYTES


def test_one_byte_at_a_time() -> None:  # D7
    async def scenario(owner: OneServer, reader: Reader, writer: Writer) -> None:
        for byte in request("192.0.2.2"):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        assert await actions(reader, 1) == ["REJECT 192.0.2.2"]

    talk(scenario)


def test_replies_are_in_order_whoever_is_slow() -> None:  # D7
    async def scenario(owner: OneServer, reader: Reader, writer: Writer) -> None:
        owner.resolver.delay_s = 0.05
        clients = [f"192.0.2.{number}" for number in (1, 2, 3, 4, 5, 6)]
        writer.write(b"".join(map(request, clients)))
        assert await actions(reader, 6) == [f"REJECT {client}" for client in clients]

    talk(scenario)


def test_half_a_request_then_the_end() -> None:  # D7
    async def scenario(owner: OneServer, reader: Reader, writer: Writer) -> None:
        writer.write(request()[:-10])
        writer.write_eof()
        assert await reader.read() == b""

    owner = talk(scenario)
    assert owner.lines == ["info: a client closed its connection within a request"]


def test_what_was_asked_before_the_end_is_answered() -> None:
    async def scenario(owner: OneServer, reader: Reader, writer: Writer) -> None:
        owner.resolver.delay_s = 0.05
        writer.write(request("192.0.2.1") + request("192.0.2.2") + b"client_addr")
        writer.write_eof()
        assert await reader.read() == b"action=REJECT 192.0.2.1\n\naction=REJECT 192.0.2.2\n\n"

    talk(scenario)


@pytest.mark.parametrize(
    ("junk", "says"),
    [
        (b"x" * (MAX_REQUEST_BYTES + 1), "more than 65536 bytes"),
        (b"a=1\n" * (MAX_ATTRIBUTES + 1), "more than 200 attributes"),
        (b"EHLO mail.example.com\r\n", "not an attribute"),
        (b"a=1\n\0=2\n\n", "not an attribute"),
        (b"=2\n\n", "not an attribute"),
    ],
)
def test_a_broken_request(junk: bytes, says: str) -> None:  # D8
    """One line, no reply, that connection closed; what came before is answered, others are untouched."""

    async def scenario(owner: OneServer, reader: Reader, writer: Writer) -> None:
        server, port = await open_server(owner)
        other_reader, other_writer = await connect(port)
        other_writer.write(request("192.0.2.2")[:20])
        writer.write(request("192.0.2.1") + junk + request("192.0.2.3"))
        assert (await reader.read()) == b"action=REJECT 192.0.2.1\n\n"
        other_writer.write(request("192.0.2.2")[20:])
        assert await actions(other_reader, 1) == ["REJECT 192.0.2.2"]
        other_writer.close()
        server.close()

    owner = talk(scenario)
    [line] = [line for line in owner.lines if "decision" not in line]
    assert line.startswith("warning: a client sent")
    assert says in line
    assert owner.stats.broken == 1


def test_ten_mebibytes_without_a_newline() -> None:  # D8
    async def scenario(owner: OneServer, reader: Reader, writer: Writer) -> None:
        sent = 0
        with suppress(ConnectionError):
            while sent < 10 << 20:
                writer.write(b"x" * 65_536)
                await writer.drain()
                sent += 65_536
        assert sent < 10 << 20
        assert not owner.connections

    owner = talk(scenario)
    assert any("more than 65536 bytes" in line for line in owner.lines)


async def send_until_it_blocks(owner: OneServer, reader: Reader, writer: Writer) -> int:
    """Send requests and read no reply, until no more are taken; how many were sent."""
    owner.resolver.cached = True
    [connection] = owner.connections
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    sent = 0
    while sent < 1_000_000:
        if writer.transport.get_write_buffer_size() < 65_536:
            writer.write(request("192.0.2.1") * 100)
            sent += 100
        elif connection._stalled:
            return sent
        await asyncio.sleep(0)
        assert connection._transport is not None
        assert connection._transport.get_write_buffer_size() < 32_768
        assert connection._reader.size_bytes <= 2 * READ_BYTES
    raise AssertionError("the server went on reading")


def test_a_client_that_does_not_read_is_not_read_from() -> None:
    """What is held for it stays bounded, however much it sends; once it reads, all is answered in order."""

    async def scenario(owner: OneServer, reader: Reader, writer: Writer) -> None:
        sent = await send_until_it_blocks(owner, reader, writer)
        reader._transport.resume_reading()  # type: ignore[attr-defined]
        assert await actions(reader, sent) == ["REJECT 192.0.2.1"] * sent

    talk(scenario)


def test_a_client_that_sends_while_a_lookup_runs_is_held_back() -> None:
    async def scenario(owner: OneServer, reader: Reader, writer: Writer) -> None:
        owner.resolver.delay_s = 1.0
        [connection] = owner.connections
        writer.write(request("192.0.2.1"))
        await until(lambda: owner.resolver.begun)
        for _ in range(200):
            writer.write(request("192.0.2.2") * 10)
            await asyncio.sleep(0)
        await until(lambda: connection._paused)
        assert connection._reader.size_bytes <= 2 * READ_BYTES
        assert await actions(reader, 2_001) == ["REJECT 192.0.2.1"] + ["REJECT 192.0.2.2"] * 2_000

    talk(scenario)


def test_a_flood_on_one_connection_does_not_hold_up_another() -> None:
    async def scenario(owner: OneServer, reader: Reader, writer: Writer) -> None:
        owner.resolver.cached = True
        server, port = await open_server(owner)
        other_reader, other_writer = await connect(port)
        writer.write(request("192.0.2.1") * 20_000)
        other_writer.write(request("192.0.2.2"))
        assert await actions(other_reader, 1) == ["REJECT 192.0.2.2"]
        assert sum("client=192.0.2.1 " in line for line in owner.lines) < 20_000
        assert len(await actions(reader, 20_000)) == 20_000
        other_writer.close()
        server.close()

    talk(scenario)


# Time


async def sweep_until_closed(owner: OneServer, reader: Reader, idle_s: float, read_s: float) -> float:
    """Look after the connection's time until it is closed; how long that took, in seconds."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    while owner.connections:
        for connection in list(owner.connections):
            connection.check_time(loop.time(), idle_s, read_s)
        await asyncio.sleep(0.01)
    return loop.time() - started


def test_idle_timeout() -> None:
    async def scenario(owner: OneServer, reader: Reader, writer: Writer) -> None:
        writer.write(request("192.0.2.2"))
        await actions(reader, 1)
        assert 0.2 <= await sweep_until_closed(owner, reader, 0.2, 9) < 1.0
        assert await reader.read() == b""

    assert not [line for line in talk(scenario).lines if "decision" not in line]


def test_read_timeout_is_counted_from_the_first_byte() -> None:
    async def scenario(owner: OneServer, reader: Reader, writer: Writer) -> None:
        async def drip() -> None:
            for byte in request():
                writer.write(bytes([byte]))
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        assert 0.2 <= await sweep_until_closed(owner, reader, 9, 0.3) < 1.5
        dripping.cancel()

    owner = talk(scenario)
    assert any("did not end its request" in line for line in owner.lines)


def test_a_client_that_never_reads_is_given_up() -> None:
    async def scenario(owner: OneServer, reader: Reader, writer: Writer) -> None:
        await send_until_it_blocks(owner, reader, writer)
        assert await sweep_until_closed(owner, reader, 9, 0.3) < 2.0

    owner = talk(scenario)
    assert any("did not read its replies" in line for line in owner.lines)


def test_a_slow_lookup_is_no_idle_client() -> None:
    async def scenario(owner: OneServer, reader: Reader, writer: Writer) -> None:
        owner.resolver.delay_s = 0.5
        writer.write(request("192.0.2.1"))
        sweeping = asyncio.create_task(sweep_until_closed(owner, reader, 0.1, 0.1))
        assert await actions(reader, 1) == ["REJECT 192.0.2.1"]
        await sweeping

    talk(scenario)


def test_over_the_cap() -> None:
    async def scenario(owner: OneServer, reader: Reader, writer: Writer) -> None:
        owner.full = True
        server, port = await open_server(owner)
        other_reader, other_writer = await connect(port)
        with pytest.raises((ConnectionError, AssertionError)):
            assert await other_reader.read() != b""
        other_writer.close()
        server.close()
        writer.write(request("192.0.2.2"))
        assert await actions(reader, 1) == ["REJECT 192.0.2.2"]

    talk(scenario)


def test_the_end_of_the_server_answers_what_is_in_flight() -> None:
    async def scenario(owner: OneServer, reader: Reader, writer: Writer) -> None:
        owner.resolver.delay_s = 0.2
        [connection] = owner.connections
        writer.write(request("192.0.2.1") + request("192.0.2.3"))
        await until(lambda: owner.resolver.begun)
        connection.end()
        assert await reader.read() == b"action=REJECT 192.0.2.1\n\naction=REJECT 192.0.2.3\n\n"

    talk(scenario)


def test_a_client_that_leaves_during_its_lookup() -> None:
    async def scenario(owner: OneServer, reader: Reader, writer: Writer) -> None:
        owner.resolver.delay_s = 0.2
        writer.write(request("192.0.2.1"))
        await until(lambda: owner.resolver.begun)
        writer.transport.abort()
        await until(lambda: not owner.connections)

    assert not [line for line in talk(scenario).lines if "decision" not in line]


def test_the_shared_buffer_is_large_enough_for_postfix() -> None:
    assert len(request()) * 4 <= READ_BYTES
