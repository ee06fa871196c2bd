"""Pace, loss, overload and fairness where the nameserver is some way off: delay_server.c on loopback.

`check_many` with a window of 2,000 over six zones, beside raw pycares callbacks with 1,500 in flight, aiodns and
pydnsbl; rounds interleaved. Arguments: seconds of each measurement (3), the rounds (5), and which parts: any of
rates, loss, load, fair, back, many (all).
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import contestants
import pycares
from common import ZONES, median, spread, table, verdict
from delayed import built, nameserver, running

from dnsbl import Resolver

DELAYS_MS = (0, 1, 5, 20, 50, 200)
LOSSES_PERCENT = (1, 5, 20)
WINDOW = 2000
RAW_IN_FLIGHT = 1500
TARGET = 1.3
P99_S = 1.3
LOSS_LOOKUPS = 10_000
"""At the least, so that one in a thousand shows."""
CAPACITY = 300
"""Lookups a second that the nameserver can answer, for the open load: far below what this program can send."""
LOADS = (0.5, 1, 2, 5)
CACHE_SIZE = 1000


def subjects(until_s: float) -> Iterator[bytes]:
    number = 0x0B000000
    while time.monotonic() < until_s:
        yield number.to_bytes(4, "big")
        number += 1


def ours(port: int, seconds: float) -> tuple[float, float]:
    """Queries a second, and the share of lookups that are incomplete."""
    with Resolver(ZONES, [f"127.0.0.1:{port}"], reasons=False, deadline_s=10) as resolver:
        began_s = time.monotonic()
        incomplete = count = 0
        for found in resolver.check_many(subjects(began_s + seconds), window=WINDOW):
            count += 1
            incomplete += not getattr(found, "complete", False)
        return count * len(ZONES) / (time.monotonic() - began_s), incomplete / max(count, 1)


def raw(port: int, seconds: float) -> float:
    """Queries a second of pycares' callbacks, in its own event thread."""
    channel = pycares.Channel(servers=["127.0.0.1"], udp_port=port, tcp_port=port, timeout=5.0, tries=2)
    room = threading.Semaphore(RAW_IN_FLIGHT)
    done = 0

    def answered(result: object, error: int | None) -> None:
        nonlocal done
        done += 1
        room.release()

    began_s = time.monotonic()
    for number in range(1 << 30):
        if time.monotonic() >= began_s + seconds:
            break
        room.acquire()
        name = f"{number & 255}.{number >> 8 & 255}.{number >> 16 & 255}.11.{ZONES[number % len(ZONES)]}"
        channel.query(name, pycares.QUERY_TYPE_A, callback=answered)
    rate = done / (time.monotonic() - began_s)
    channel.close()
    return rate


def peer(name: str, port: int, seconds: float) -> float:
    """Queries a second of aiodns or pydnsbl, as they are in contestants.py."""

    async def main() -> float:
        many = getattr(contestants, name)(port)[0]
        began_s, done = time.monotonic(), 0
        while time.monotonic() < began_s + seconds:
            await many(done, 500)
            done += 500
        return done * len(ZONES) / (time.monotonic() - began_s)

    return asyncio.run(main())


def at_loss(port: int, count: int) -> tuple[float, float]:
    """Of `count` single lookups by 50 threads: p99 in seconds, and the share incomplete."""
    took_s: list[float] = []
    incomplete = 0
    with Resolver(ZONES, [f"127.0.0.1:{port}"], reasons=False) as resolver:

        def look_up(thread: int) -> None:
            nonlocal incomplete
            for number in range(count // 50):
                began_s = time.monotonic()
                found = resolver.check(bytes([12, thread, number >> 8 & 255, number & 255]))
                took_s.append(time.monotonic() - began_s)
                incomplete += not found.complete

        threads = [threading.Thread(target=look_up, args=(thread,)) for thread in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return statistics.quantiles(took_s, n=100)[-1], incomplete / len(took_s)


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


async def open_load(port: int, rate: float, seconds: float) -> tuple[float, list[float]]:
    """`rate` lookups a second, however many are under way: complete ones a second, and the most MiB in each quarter.

    The cache is full soon, so that it is not what grows.
    """
    complete = 0
    async with Resolver(ZONES, [f"127.0.0.1:{port}"], reasons=False, cache_size=CACHE_SIZE) as resolver:
        tasks: set[asyncio.Task[None]] = set()

        async def one(number: int) -> None:
            nonlocal complete
            found = await resolver.check_async(number.to_bytes(4, "big"))
            complete += found.complete

        most_mib, began_s, number = [0.0] * 4, time.monotonic(), 0
        while (passed_s := time.monotonic() - began_s) < seconds:
            while number < passed_s * rate:
                task = asyncio.ensure_future(one(0x0C000000 + number))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                number += 1
            quarter = int(passed_s / seconds * 4)
            most_mib[quarter] = max(most_mib[quarter], resident_mib())
            await asyncio.sleep(0.005)
        goodput = complete / seconds
        await asyncio.gather(*tasks)
    return goodput, most_mib


def beside_a_stream(port: int, seconds: float) -> tuple[list[float], list[list[float]]]:
    """Milliseconds of single lookups alone, and in each quarter of a stream of 2,500: p50 and p99 of each."""
    took_s: list[tuple[float, float]] = []
    stop = threading.Event()
    with Resolver(ZONES, [f"127.0.0.1:{port}"], reasons=False) as resolver:

        def single() -> None:
            number = 0
            while not stop.wait(0.005):
                number += 1
                began_s = time.monotonic()
                resolver.check(bytes([13, 0, number >> 8 & 255, number & 255]))
                took_s.append((began_s, time.monotonic() - began_s))

        thread = threading.Thread(target=single)
        thread.start()
        time.sleep(seconds)
        alone = [took * 1000 for _, took in took_s]
        took_s.clear()
        begun_s = time.monotonic()
        for _ in resolver.check_many(subjects(begun_s + seconds), window=2500):
            pass
        stop.set()
        thread.join()
    quarters: list[list[float]] = [[], [], [], []]
    for began_s, took in took_s:
        quarters[min(int(4 * (began_s - begun_s) / seconds), 3)].append(took * 1000)
    return alone, quarters


def _middle_and_end(values: list[float]) -> list[float]:
    return [statistics.median(values), statistics.quantiles(values, n=100)[-1]]


def rates(program: Path, seconds: float, rounds: int) -> None:
    names = ("check_many", "pycares", "aiodns", "pydnsbl")
    rows = []
    for delay_ms in DELAYS_MS:
        found: dict[str, list[float]] = {name: [] for name in names}
        lost = 0.0
        for _ in range(rounds):
            for name, took in found.items():
                with nameserver(program, delay_ms) as port:
                    if name == "check_many":
                        rate, share = ours(port, seconds)
                        lost = max(lost, share)
                    else:
                        rate = raw(port, seconds) if name == "pycares" else peer(name, port, seconds)
                    took.append(rate)
        ratio = median(found["check_many"]) / median(found["pycares"])
        rows.append([f"{delay_ms}", *(spread(of) for of in found.values()), f"{ratio:.2f}", f"{lost:.2%}"])
        verdict(f"queries/s at {delay_ms} ms, times pycares", ratio, TARGET, at_least=True)
    table(["delay ms", *(f"{name} q/s" for name in names), "ratio", "incomplete"], rows)


def loss(program: Path) -> None:
    rows = []
    for percent in LOSSES_PERCENT:
        with nameserver(program, 20, percent) as port:
            p99_s, share = at_loss(port, LOSS_LOOKUPS)
        rows.append([f"{percent} %", f"{p99_s:.2f}", f"{share:.2%}", f"{LOSS_LOOKUPS:,}"])
        if percent <= 5:
            verdict(f"incomplete at {percent} % loss, of a thousand", share * 1000, 1.0, at_least=False)
        if percent == 5:
            verdict("p99 of a lookup at 5 % loss, seconds", p99_s, P99_S, at_least=False)
    table(["loss", "p99 s", "incomplete", "lookups"], rows)


def load(program: Path, seconds: float) -> None:
    rows, at_once = [], 0.0
    for times in LOADS:
        with nameserver(program, 50, 0, CAPACITY * len(ZONES)) as port:
            goodput, most_mib = asyncio.run(open_load(port, times * CAPACITY, seconds))
        at_once = goodput if times == 1 else at_once
        rows.append([f"{times:g}", f"{goodput:,.0f}", *(f"{mib:.1f}" for mib in most_mib)])
        verdict(
            f"MiB more in the last quarter than in the third, at {times:g} times",
            most_mib[3] - most_mib[2],
            1.0,
            at_least=False,
        )
        if times > 1:
            verdict(
                f"goodput at {times:g} times capacity, of that at once", goodput / at_once, 0.8, at_least=True
            )
    table(
        ["load / capacity", "complete lookups/s", *(f"MiB, quarter {number}" for number in (1, 2, 3, 4))],
        rows,
    )


def fair(program: Path, seconds: float) -> None:
    """A check beside a stream; and beside one that asks for half a minute more than the nameserver can do."""
    rows: list[list[str]] = []

    def beside(name: str, rate: float, seconds: float) -> tuple[list[float], list[float], list[list[float]]]:
        with nameserver(program, 20, rate=rate) as port:
            alone, quarters = beside_a_stream(port, seconds)
        found = _middle_and_end(alone), _middle_and_end([took for quarter in quarters for took in quarter])
        for of, (p50, p99) in zip(("alone", "beside 2,500"), found, strict=True):
            rows.append([of + name, f"{p50:.1f}", f"{p99:.1f}"])
        return *found, quarters

    before, after, _ = beside("", 0, seconds)
    verdict("p99 beside a stream, times that alone", after[1] / before[1], 1.5, at_least=False)
    *_, quarters = beside(", 8,000 queries/s at most", 8_000, max(seconds, 30.0))
    first, last = statistics.median(quarters[0]), statistics.median(quarters[3])
    verdict("p50 in the last quarter of a long stream, by the first's", last / first, 1.2, at_least=False)
    table(["single lookup", "p50 ms", "p99 ms"], rows)


def silent_s(port: int, pid: int) -> float:
    """Seconds until a stream has its pace again, once the nameserver that was silent for 2 s answers."""
    ends_s: list[float] = []
    began_s = time.monotonic()

    def stop_and_go() -> None:
        time.sleep(3)
        os.kill(pid, signal.SIGSTOP)
        time.sleep(2)
        os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=stop_and_go)
    thread.start()
    with Resolver(ZONES, [f"127.0.0.1:{port}"], reasons=False) as resolver:
        for found in resolver.check_many(subjects(began_s + 9), window=WINDOW):
            if getattr(found, "complete", False):
                ends_s.append(time.monotonic() - began_s)
    thread.join()
    before = sum(1 <= end_s < 3 for end_s in ends_s) / 2
    for tenth in range(50, 90):
        if sum(tenth / 10 <= end_s < tenth / 10 + 0.5 for end_s in ends_s) * 2 >= 0.8 * before:
            return tenth / 10 - 5
    return float("inf")


def back(program: Path) -> None:
    with running(program, 20, 0, 0) as (port, pid):
        verdict("seconds to the pace before a silence of 2 s", silent_s(port, pid), 2.0, at_least=False)


def many(program: Path) -> None:
    """10,000 gathered, and 64 zones with a window of 1,024."""

    async def gathered(port: int) -> float:
        async with Resolver(ZONES, [f"127.0.0.1:{port}"], deadline_s=30, reasons=False) as resolver:
            found = await asyncio.gather(*map(resolver.check_async, range_of(10_000)))
        return sum(not one.complete for one in found)

    with nameserver(program, 20) as port:
        verdict("10,000 gathered: incomplete", asyncio.run(gathered(port)), 0, at_least=False)
    zones = [f"zone{number}.bl.example" for number in range(64)]
    with nameserver(program, 20) as port, Resolver(zones, [f"127.0.0.1:{port}"], deadline_s=30) as resolver:
        found = list(resolver.check_many(range_of(2048), window=1024))
        incomplete = sum(not getattr(one, "complete", False) for one in found)
        verdict("64 zones, window 1,024: incomplete", incomplete, 0, at_least=False)


def range_of(count: int) -> list[bytes]:
    return [(0x0E000000 + number).to_bytes(4, "big") for number in range(count)]


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    parts = sys.argv[3:] or ["rates", "loss", "load", "fair", "back", "many"]
    with built() as program:
        if "rates" in parts:
            rates(program, seconds, rounds)
        if "loss" in parts:
            loss(program)
        if "load" in parts:
            load(program, 20.0 if rounds >= 5 else max(seconds, 5.0))
        if "fair" in parts:
            fair(program, seconds)
        if "back" in parts:
            back(program)
        if "many" in parts:
            many(program)


if __name__ == "__main__":
    main()
