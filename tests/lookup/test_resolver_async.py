"""The Resolver in event loops: shared questions, cancelled tasks, loops that come and go, streams."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

import pytest
from support.lookups import (
    check_on_time,
    descriptors,
    eventually,
    in_threads,
    os_threads,
    outcomes,
    resolver_for,
    run_python,
    with_zones,
)
from support.servers import report_missing

from dnsbl import ClosedError, Outcome, Resolver, SubjectError, Verdict
from dnsbl.testing import DnsblServer, delay, silence

Runner = Callable[[Coroutine[Any, Any, Any]], Any]


def run_in_uvloop(main: Coroutine[Any, Any, Any]) -> Any:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Runner:
    """Runs a coroutine to its end, in a new loop of either kind."""
    if request.param == "asyncio":
        return asyncio.run
    if importlib.util.find_spec("uvloop") is None:
        report_missing("python3-uvloop")
    return run_in_uvloop


# ---- lookups ----


def test_a_verdict_is_the_same_as_a_blocking_callers(dnsbl_server: DnsblServer, run: Runner) -> None:
    zones = with_zones(dnsbl_server, "a.example", "b.example")
    dnsbl_server.zone("a.example").list("192.0.2.99", txt="why")

    async def main(resolver: Resolver) -> Verdict:
        async with resolver:
            return await resolver.check_async("192.0.2.99")

    with resolver_for(dnsbl_server, *zones) as resolver:
        blocking = resolver.check("192.0.2.99").to_dict()
    of_loop = run(main(resolver_for(dnsbl_server, *zones))).to_dict()
    for verdict in (blocking, of_loop):
        del verdict["elapsed_s"], verdict["ttl_s"]
        for answer in verdict["answers"]:
            del answer["ttl_s"]
    assert of_loop == blocking


def test_1000_lookups_of_one_address_send_one_query_per_zone(dnsbl_server: DnsblServer, run: Runner) -> None:
    zones = with_zones(dnsbl_server, "a.example", "b.example", "c.example")
    dnsbl_server.zone("b.example").list("192.0.2.99")
    dnsbl_server.fault(delay(0.2))

    async def main() -> list[Verdict]:
        async with resolver_for(dnsbl_server, *zones, reasons=False) as resolver:
            return await asyncio.gather(*(resolver.check_async("192.0.2.99") for _ in range(1000)))

    verdicts = run(main())
    assert len(verdicts) == 1000
    assert all(verdict.listed and verdict.complete for verdict in verdicts)
    assert [dnsbl_server.count(zone) for zone in zones] == [1, 1, 1]


def test_lookups_that_join_late_share_what_is_still_in_flight(dnsbl_server: DnsblServer) -> None:
    zones = with_zones(dnsbl_server, "slow.example", "quick.example")
    dnsbl_server.zone("slow.example").fault(delay(0.4))

    async def main() -> None:
        async with resolver_for(dnsbl_server, *zones) as resolver:
            first = asyncio.create_task(resolver.check_async("192.0.2.1"))
            await asyncio.sleep(0.2)  # one zone has answered, and is in no cache yet
            assert (await resolver.check_async("192.0.2.1")).complete
            assert (await first).complete

    asyncio.run(main())
    assert [dnsbl_server.count(zone) for zone in zones] == [1, 1]


def test_a_lookup_in_flight_does_not_hold_up_the_loop(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("silent.example").fault(silence())

    async def main() -> list[float]:
        gaps: list[float] = []
        async with resolver_for(dnsbl_server, "silent.example", deadline_s=0.5) as resolver:
            task = asyncio.create_task(resolver.check_async("192.0.2.1"))
            while not task.done():
                before_s = time.monotonic()
                await asyncio.sleep(0.01)
                gaps.append(time.monotonic() - before_s)
        return gaps

    gaps = asyncio.run(main())
    assert len(gaps) > 20
    assert sorted(gaps)[len(gaps) // 2] < 0.03


def test_deadlines_hold_in_a_loop(dnsbl_server: DnsblServer, run: Runner) -> None:
    dnsbl_server.zone("silent.example").fault(silence())

    async def main() -> list[float]:
        took_s = []
        async with resolver_for(dnsbl_server, "silent.example") as resolver:
            for number in range(3):
                verdict = await resolver.check_async(f"192.0.2.{number}", deadline_s=0.2)
                assert outcomes(verdict) == [Outcome.TIMEOUT]
                took_s.append(verdict.elapsed_s)
        return took_s

    check_on_time(run(main()), 0.2)


# ---- cancelling ----


def test_a_cancelled_waiter_leaves_the_lookup_to_the_others(dnsbl_server: DnsblServer, run: Runner) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99")
    dnsbl_server.fault(delay(0.5))

    async def main() -> None:
        async with resolver_for(dnsbl_server, "bl.example", reasons=False) as resolver:
            tasks = [asyncio.create_task(resolver.check_async("192.0.2.99")) for _ in range(10)]
            while not dnsbl_server.count():
                await asyncio.sleep(0.01)
            for task in tasks[::2]:  # the first, who asked, among them
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in results[::2])
            assert all(isinstance(result, Verdict) and result.listed for result in results[1::2])

    run(main())
    assert dnsbl_server.count() == 1


def test_the_answer_to_a_cancelled_lookup_reaches_the_cache(dnsbl_server: DnsblServer, run: Runner) -> None:
    dnsbl_server.zone("bl.example")
    dnsbl_server.fault(delay(0.2))

    async def main() -> None:
        async with resolver_for(dnsbl_server, "bl.example") as resolver:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await resolver.check_async("192.0.2.1")
            while resolver.check_cached("192.0.2.1") is None:
                await asyncio.sleep(0.01)
            found = resolver.check_cached("192.0.2.1")
            assert found is not None
            assert found.complete
            breaker = resolver.stats()["zones"]["bl.example"]["breaker"]
            assert breaker["failures"] == 0  # a cancelled query is no failure

    run(main())
    assert dnsbl_server.count() == 1


def test_cancelling_thousands_leaves_nothing_behind(
    dnsbl_server: DnsblServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dnsbl.lookup.inflight.LISTEN_S", 0.1)
    dnsbl_server.zone("silent.example").fault(silence())

    async def main() -> None:
        async with resolver_for(dnsbl_server, "silent.example", deadline_s=0.3) as resolver:
            for _ in range(4):
                tasks = [asyncio.create_task(resolver.check_async(f"192.0.2.{n}")) for n in range(250)]
                await asyncio.sleep(0.02)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            assert await asyncio.to_thread(eventually, lambda: resolver.stats()["in_flight"] == 0, 10)

    asyncio.run(main())


# ---- loops that come and go ----


def test_many_loops_one_after_another_share_one_resolver(dnsbl_server: DnsblServer, run: Runner) -> None:
    zone = dnsbl_server.zone("bl.example")
    zone.list("192.0.2.0/24")
    with resolver_for(dnsbl_server, "bl.example", reasons=False) as resolver:
        assert run(resolver.check_async("192.0.2.255")).listed
        gc.collect()
        files, threads = descriptors(), os_threads()
        for number in range(200):
            assert run(resolver.check_async(f"192.0.2.{number}")).listed
        gc.collect()
        assert descriptors() <= files + 2  # the last loop's
        assert os_threads() <= threads
        assert resolver.check("192.0.2.250").listed
    assert dnsbl_server.count() == 202


def test_loops_and_threads_at_once(dnsbl_server: DnsblServer) -> None:
    zones = with_zones(dnsbl_server, "a.example", "b.example")
    dnsbl_server.zone("a.example").list("192.0.2.0/25")
    files = descriptors()

    async def in_loop(resolver: Resolver, thread: int) -> None:
        for _ in range(3):
            verdicts = await asyncio.gather(*(resolver.check_async(f"192.0.2.{n}") for n in range(256)))
            assert [verdict.listed for verdict in verdicts] == [n < 128 for n in range(256)]

    with resolver_for(dnsbl_server, *zones, deadline_s=20, reasons=False) as resolver:

        def use(thread: int) -> None:
            if thread % 2:
                for _ in range(3):  # a loop that comes and goes
                    asyncio.run(in_loop(resolver, thread))
            else:
                for number in range(256):
                    assert resolver.check(f"192.0.2.{number}").listed == (number < 128)

        in_threads(8, use)
    gc.collect()
    assert [dnsbl_server.count(zone) for zone in zones] == [256, 256]
    assert eventually(lambda: descriptors() <= files)


def test_a_forgotten_resolver_is_let_go_by_a_loop_that_runs_on(
    dnsbl_server: DnsblServer, run: Runner
) -> None:
    dnsbl_server.zone("bl.example")

    async def main() -> None:
        async def once(number: int) -> None:
            resolver = resolver_for(dnsbl_server, "bl.example")
            assert (await resolver.check_async(f"192.0.2.{number}")).complete

        await once(0)
        gc.collect()
        await asyncio.sleep(0.01)
        files, threads = descriptors(), os_threads()
        for number in range(30):
            await once(number)
        gc.collect()
        await asyncio.sleep(0.01)
        assert eventually(lambda: descriptors() <= files and os_threads() <= threads)

    run(main())


def test_a_closed_resolver_says_so_and_takes_no_descriptor(dnsbl_server: DnsblServer, run: Runner) -> None:
    dnsbl_server.zone("bl.example")

    async def main() -> None:
        resolver = resolver_for(dnsbl_server, "bl.example")
        files = descriptors()
        async with resolver:
            await resolver.check_async("192.0.2.1")
        assert descriptors() == files
        for subject in ("192.0.2.1", "192.0.2.2"):
            with pytest.raises(ClosedError):
                await resolver.check_async(subject)
            with pytest.raises(ClosedError):
                _ = [found async for found in resolver.check_many_async([subject])]
        assert descriptors() == files
        await resolver.aclose()

    run(main())


@pytest.mark.parametrize("way", ["aclose", "close", "close in a thread"])
def test_close_ends_lookups_in_flight_at_once(dnsbl_server: DnsblServer, run: Runner, way: str) -> None:
    dnsbl_server.zone("quick.example").list("192.0.2.0/24")
    dnsbl_server.zone("silent.example").fault(silence())

    async def main() -> None:
        resolver = resolver_for(dnsbl_server, "quick.example", "silent.example", deadline_s=30)
        tasks = [asyncio.create_task(resolver.check_async(f"192.0.2.{number}")) for number in range(50)]
        await asyncio.sleep(0.3)
        started_s = time.monotonic()
        if way == "aclose":
            await resolver.aclose()
        elif way == "close":
            resolver.close()
        else:
            await asyncio.to_thread(resolver.close)
        for verdict in await asyncio.gather(*tasks):
            assert outcomes(verdict) == [Outcome.LISTED, Outcome.TIMEOUT]
        assert time.monotonic() - started_s < 1

    run(main())


def test_an_exception_in_a_task_leaves_no_warning_behind(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example")
    out = run_python(
        """
import asyncio, logging, sys
from dnsbl import Resolver

logging.getLogger("asyncio").setLevel(logging.ERROR)  # that a machine under load is slow is no news

async def main():
    resolver = Resolver(["bl.example"], [sys.argv[1]])
    tasks = [asyncio.create_task(resolver.check_async(f"192.0.2.{n}")) for n in range(10)]
    await tasks[0]
    raise KeyError("as an application may")

for _ in range(3):
    try:
        asyncio.run(main())
    except KeyError as error:
        print(error)
""",
        dnsbl_server.nameserver,
    )
    assert len(out.splitlines()) == 3


# ---- streams ----


def test_a_stream_of_an_asynchronous_source(dnsbl_server: DnsblServer, run: Runner) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.0/28")

    async def source() -> AsyncIterator[object]:
        for number in range(64):
            if number % 10 == 0:
                await asyncio.sleep(0.001)
            yield "nonsense..example" if number == 20 else f"192.0.2.{number}"

    async def main() -> tuple[Sequence[object], Sequence[object]]:
        async with resolver_for(dnsbl_server, "bl.example") as resolver:
            in_order = [found async for found in resolver.check_many_async(source(), ordered=True, window=8)]
            as_they_come = [found async for found in resolver.check_many_async(source(), window=8)]
        return in_order, as_they_come

    in_order, as_they_come = run(main())
    texts = [found.text if isinstance(found, SubjectError) else found.subject for found in in_order]
    assert texts == ["nonsense..example" if n == 20 else f"192.0.2.{n}" for n in range(64)]
    assert [n for n, found in enumerate(in_order) if isinstance(found, Verdict) and found.listed] == [
        *range(16)
    ]
    assert len(as_they_come) == 64
    assert sum(isinstance(found, SubjectError) for found in as_they_come) == 1


def test_a_verdict_does_not_wait_for_the_sources_next_item(dnsbl_server: DnsblServer, run: Runner) -> None:
    """The source gives its next subject only when the verdict of the last one was seen."""
    dnsbl_server.zone("bl.example")
    seen: list[str] = []

    async def source() -> AsyncIterator[str]:
        for number in range(5):
            yield f"192.0.2.{number}"
            async with asyncio.timeout(5):
                while len(seen) <= number:
                    await asyncio.sleep(0.005)

    async def main(ordered: bool) -> None:
        async with resolver_for(dnsbl_server, "bl.example") as resolver:
            async for found in resolver.check_many_async(source(), ordered=ordered):
                assert isinstance(found, Verdict)
                seen.append(found.subject)

    for ordered in (False, True):
        seen.clear()
        run(main(ordered))
        assert seen == [f"192.0.2.{number}" for number in range(5)]


def test_a_window_bounds_what_an_asynchronous_source_is_ahead(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example")
    taken = given = 0

    async def source() -> AsyncIterator[str]:
        nonlocal taken
        for number in range(500):
            taken += 1
            yield f"192.0.{number // 256}.{number % 256}"

    async def main() -> None:
        nonlocal given
        async with resolver_for(dnsbl_server, "bl.example", deadline_s=10) as resolver:
            async for _ in resolver.check_many_async(source(), window=16, ordered=True):
                given += 1
                assert taken - given <= 16

    asyncio.run(main())
    assert given == 500


@pytest.mark.parametrize("end", ["aclose", "cancel"])
def test_an_abandoned_stream_leaves_nothing_behind(
    dnsbl_server: DnsblServer, run: Runner, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dnsbl.lookup.inflight.LISTEN_S", 0.1)
    dnsbl_server.zone("quick.example")
    dnsbl_server.zone("silent.example").fault(silence())
    closed: list[bool] = []

    async def source() -> AsyncIterator[str]:
        try:
            for number in range(100_000):
                yield f"198.51.{number // 256 % 256}.{number % 256}"
                await asyncio.sleep(0)
        finally:
            closed.append(True)

    async def main() -> None:
        async with resolver_for(dnsbl_server, "quick.example", "silent.example", deadline_s=0.3) as resolver:
            stream = resolver.check_many_async(source(), window=32)
            if end == "aclose":
                await anext(stream)
                await stream.aclose()  # type: ignore[attr-defined]
            else:

                async def consume() -> None:
                    async for _ in stream:
                        pass

                task = asyncio.create_task(consume())
                while dnsbl_server.count("quick.example") < 32:
                    await asyncio.sleep(0.01)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await stream.aclose()  # type: ignore[attr-defined]
            assert len(asyncio.all_tasks()) == 1
            assert await asyncio.to_thread(eventually, lambda: resolver.stats()["in_flight"] == 0, 5)
            asked = dnsbl_server.count("quick.example")
            assert asked <= 64
            assert (await resolver.check_async("192.0.2.1", deadline_s=0.1)).pending == ()
            assert dnsbl_server.count("quick.example") == asked + 1

    run(main())
    assert closed == [True]


def test_a_source_that_fails_ends_the_stream_with_its_error(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example")

    async def source() -> AsyncIterator[str]:
        yield "192.0.2.1"
        raise KeyError("the source's own")

    async def main() -> list[object]:
        found: list[object] = []
        async with resolver_for(dnsbl_server, "bl.example") as resolver:
            stream = resolver.check_many_async(source())
            try:
                async for verdict in stream:
                    found.append(verdict)
            except KeyError as error:
                found.append(error)
        return found

    assert repr(asyncio.run(main())[-1]) == 'KeyError("the source\'s own")'
