"""Policy clients as many Postfix processes are: each connection asks, waits for its reply, and asks again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

REQUEST = (
    "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\nclient_address={client}\n"
    "client_name=unknown\nhelo_name=mail.example.net\nsender=a@example.net\nrecipient=b@example.com\n"
    "recipient_count=0\ninstance={instance}\nsize=12345\nstress=\nsasl_username=\n\n"
)


@dataclass
class Account:
    """What was asked and what came of it."""

    asked: int = 0
    answered: int = 0
    lost: int = 0
    wrong: list[str] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)

    def percentiles(self) -> str:
        found = sorted(self.latencies_s)
        if not found:
            return "no reply"
        shares = (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))
        shown = [f"{name} {found[int(share * (len(found) - 1))] * 1000:.1f} ms" for name, share in shares]
        return ", ".join([*shown, f"most {found[-1] * 1000:.1f} ms"])


Judge = Callable[[str, str, float], str]
"""From a client, the action it got and when it was asked to what is wrong with that; empty if nothing."""


class Traffic:
    """`connections` clients on 127.0.0.1:`port`, together `rate` requests a second, until `end_s`."""

    def __init__(self, port: int, clients: Iterator[str], judge: Judge, account: Account) -> None:
        self.port, self.clients, self.judge, self.account = port, clients, judge, account
        self.number = 0

    async def run(self, connections: int, rate: float, end_s: float) -> None:
        pause_s = connections / rate
        await asyncio.gather(*(self._client(at / rate, pause_s, end_s) for at in range(connections)))

    async def _client(self, after_s: float, pause_s: float, end_s: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        due = time.monotonic() + after_s
        try:
            while (now := time.monotonic()) < end_s:
                if due > now:
                    await asyncio.sleep(due - now)
                due = max(
                    due + pause_s, time.monotonic() - 1.0
                )  # what cannot be kept up with is not made good
                await self._ask(reader, writer)
        finally:
            writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number += 1
        client, account = next(self.clients), self.account
        began = time.monotonic()
        account.asked += 1
        writer.write(REQUEST.format(client=client, instance=f"{self.number:x}.1").encode())
        try:
            async with asyncio.timeout(60):
                reply = await reader.readuntil(b"\n\n")
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
            account.lost += 1
            account.wrong.append(f"{client}: no reply: {error!r}")
            raise
        account.answered += 1
        account.latencies_s.append(time.monotonic() - began)
        if said := self.judge(client, reply.decode().removeprefix("action=").strip(), began):
            account.wrong.append(f"{client}: {said}: {reply!r}")
