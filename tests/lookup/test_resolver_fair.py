"""Who asks little beside who asks much, and what is asked of a nameserver that cannot answer it all."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Callable, Iterator

from support.lookups import eventually, resolver_for, with_zones

from dnsbl import Outcome, Resolver, Verdict
from dnsbl.testing import DnsblServer, Query, Reply, delay, silence


def addresses(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield (0x0B000000 + number).to_bytes(4, "big")


def test_a_stream_begins_no_more_than_the_nameserver_will_soon_take(dnsbl_server: DnsblServer) -> None:
    zones = with_zones(dnsbl_server, "a.example", "b.example")
    dnsbl_server.fault(delay(0.1))
    begun = ended = 0
    under_way = []

    def source() -> Iterator[bytes]:
        nonlocal begun
        for address in addresses(3000):
            begun += 1
            yield address

    with resolver_for(dnsbl_server, *zones, deadline_s=30, reasons=False) as resolver:
        assert resolver.check("192.0.2.1").complete  # it answers
        for verdict in resolver.check_many(source(), window=1500):
            ended += 1
            under_way.append(begun - ended)
            assert isinstance(verdict, Verdict)
            assert verdict.complete
    assert ended == 3000
    assert statistics.median(under_way) < 1400


def test_a_stream_goes_on_beside_a_zone_that_does_not_answer(dnsbl_server: DnsblServer) -> None:
    zones = with_zones(dnsbl_server, "a.example", "mute.example")
    dnsbl_server.zone("mute.example").fault(silence())
    with resolver_for(dnsbl_server, *zones, deadline_s=8.0, reasons=False) as resolver:
        found = [one for one in resolver.check_many(addresses(1500), window=1500) if isinstance(one, Verdict)]
    assert {answer.outcome for one in found for answer in one.answers if answer.zone == "a.example"} == {
        Outcome.NOT_LISTED
    }


def test_single_lookups_end_while_a_stream_has_thousands_to_go(dnsbl_server: DnsblServer) -> None:
    zones = with_zones(dnsbl_server, "a.example", "b.example")
    dnsbl_server.fault(delay(0.02))
    got, stop = 0, threading.Event()

    def stream(resolver: Resolver) -> None:
        nonlocal got
        for _ in resolver.check_many(addresses(1 << 24), window=2500):
            got += 1
            if stop.is_set():
                return

    with resolver_for(dnsbl_server, *zones, deadline_s=30, reasons=False) as resolver:
        thread = threading.Thread(target=stream, args=(resolver,))
        thread.start()
        try:
            assert eventually(lambda: got > 500, 30)
            meanwhile = []
            for number in range(8):
                before = got
                assert resolver.check(f"192.0.2.{number}").complete
                meanwhile.append(got - before)
            assert min(meanwhile) < 1000  # not behind the 2,500 that the stream has under way
        finally:
            stop.set()
            thread.join()


def test_single_lookups_in_a_loop_with_a_stream(dnsbl_server: DnsblServer) -> None:
    zones = with_zones(dnsbl_server, "a.example", "b.example")
    dnsbl_server.fault(delay(0.02))

    async def main() -> None:
        got = 0

        async def stream(resolver: Resolver) -> None:
            nonlocal got
            async for _ in resolver.check_many_async(addresses(1 << 24), window=2500):
                got += 1

        async with resolver_for(dnsbl_server, *zones, deadline_s=30, reasons=False) as resolver:
            task = asyncio.create_task(stream(resolver))
            while got < 500:
                await asyncio.sleep(0.01)
            meanwhile = []
            for number in range(8):
                before = got
                assert (await resolver.check_async(f"192.0.2.{number}")).complete
                meanwhile.append(got - before)
            assert min(meanwhile) < 1000
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(asyncio.wait_for(main(), 60))


def test_what_was_never_sent_is_no_lists_silence(dnsbl_server: DnsblServer) -> None:
    zones = with_zones(dnsbl_server, "a.example")

    def slow(query: Query, answer: Callable[[], Reply]) -> Reply:
        time.sleep(0.01)  # 100 a second, whatever the machine
        return answer()

    dnsbl_server.fault(slow)

    async def main() -> tuple[list[Verdict], str]:
        async with resolver_for(dnsbl_server, *zones, deadline_s=0.4, reasons=False) as resolver:
            await resolver.check_async("192.0.2.1")
            found = await asyncio.gather(*map(resolver.check_async, addresses(2000)))
            return found, resolver.stats()["zones"]["a.example"]["breaker"]["state"]

    found, state = asyncio.run(main())
    late = [verdict.answers[0] for verdict in found if not verdict.complete]
    assert late  # far more than can be answered in that time
    unsent = [answer for answer in late if answer.outcome is Outcome.SKIPPED]
    assert unsent
    assert state == "closed"
