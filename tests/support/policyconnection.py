"""A policy connection in an event loop, with a stand-in for the resolver: for its order, bounds and times."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from support.standin import StandInLookup

from dnsbl import Outcome, Verdict, ZoneAnswer
from dnsbl.policy.rules import compile_rules
from dnsbl.policyd.connection import Connection
from dnsbl.policyd.log import Log
from dnsbl.policyd.message import Backend
from dnsbl.policyd.service import Service
from dnsbl.policyd.stats import Stats

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


class StandIn:
    """Lists every address; those that end in an odd number only after a wait. No cache: see `cached`."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.begun = 0
        self.cached = False

    def begin(self, subject: object) -> StandInLookup:
        self.begun += 1
        text = str(ip_address(subject))  # type: ignore[arg-type]
        waits = self.delay_s if int(text[-1], 16) % 2 else 0.0
        return StandInLookup(self._verdict(text), None if self.cached else waits)

    def _verdict(self, subject: str) -> Verdict:
        answer = ZoneAnswer("bl.example", Outcome.LISTED, ("127.0.0.2",), score=1.0)
        return Verdict(subject, True, True, 1.0, (answer,))


class OneServer:
    """What a Connection asks of its server."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.log = Log(self._write, with_time=False)
        self.stats = Stats()
        self.resolver = StandIn()
        policy = compile_rules({"rule": [{"score": ">=1", "action": "REJECT {client}"}]})
        self.service = Service(Backend(policy, self.resolver, 3.0), self.log, self.stats)
        self.connections: set[Connection] = set()
        self.full = False

    def _write(self, data: bytes) -> int:
        self.lines += data.decode("ascii").splitlines()
        return 0

    def opened(self, connection: Connection) -> bool:
        if not self.full:
            self.connections.add(connection)
        return not self.full

    def closed(self, connection: Connection) -> None:
        self.connections.discard(connection)


async def open_server(owner: OneServer) -> tuple[asyncio.Server, int]:
    sock = small_socket()
    sock.bind(("127.0.0.1", 0))
    server = await asyncio.get_running_loop().create_server(lambda: Connection(owner), sock=sock)
    return server, sock.getsockname()[1]


def small_socket() -> socket.socket:
    """Buffers as small as they can be; by default they hold a hundred thousand replies."""
    sock = socket.socket()
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, 8_192)
    return sock


async def connect(port: int) -> tuple[Reader, Writer]:
    sock = small_socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    return await asyncio.open_connection(sock=sock)


def talk(scenario: Callable[[OneServer, Reader, Writer], Awaitable[None]]) -> OneServer:
    """Run a scenario over one connection; bounded in time."""
    owner = OneServer()

    async def main() -> None:
        server, port = await open_server(owner)
        reader, writer = await connect(port)
        async with asyncio.timeout(20):
            await scenario(owner, reader, writer)
        writer.close()
        server.close()

    asyncio.run(main())
    return owner


async def until(holds: Callable[[], object]) -> None:
    """Wait until it holds; raises TimeoutError where it does not within 30 s."""
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)


async def actions(reader: Reader, count: int) -> list[str]:
    found = []
    for _ in range(count):
        line, empty = (await reader.readuntil(b"\n\n")).decode("ascii").split("\n")[:2]
        assert empty == ""
        found.append(line.removeprefix("action="))
    return found
