"""What a cached `check` costs, what a cached subject takes, and what one dead list of six costs the others.

Cached: six zones that all said no, the usual case of a mail server, read as `listed`, `complete` and `score`;
a second row reads every answer too. Beside them, in turn and in the same run, a bare TLRUCache lookup and
uncached checks of one thread against rbldnsd. A thousand subjects take turns, so that no one entry stays in
the processor's cache.

Dead list: a loopback server in a process of its own answers for six zones, then falls silent for one of
them. Uncached lookups before, until the breaker opens, and after; all healthy is the yardstick.
"""

from __future__ import annotations

import gc
import ipaddress
import itertools
import multiprocessing
import time
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import Connection

from cachetools import TLRUCache
from common import RUNS, ZONES, median, rbldnsd, spread, table, verdict

from dnsbl import Resolver, Verdict
from dnsbl.testing import DnsblServer, silence

CALLS = 20_000
SUBJECTS = 1_000
UNCACHED = 2_000
LOOKUPS = 2_000
DEADLINE_S = 1.0
MEMORY_SUBJECTS = 20_000

PACKED_US = 3.0
TEXT_US = 4.0
TIMES_FASTER = 40.0
BYTES = 600.0
HEALTHY_TIMES = 1.25
"""A p99 within a quarter of the healthy one's is back at its level: two healthy runs differ by as much."""


def mean_us(call: Callable[[object], object], subjects: Sequence[object], calls: int) -> float:
    turns = itertools.islice(itertools.cycle(subjects), calls)
    started = time.perf_counter()
    for subject in turns:
        call(subject)
    return (time.perf_counter() - started) / calls * 1e6


def packed(numbers: Iterable[int]) -> list[bytes]:
    return [(0xC6330000 + number).to_bytes(4, "big") for number in numbers]  # 198.51.0.0 and on


# ---- a cached check ----


def reader(resolver: Resolver) -> Callable[[object], object]:
    def read(subject: object) -> object:
        found = resolver.check(subject)
        return found.listed, found.complete, found.score

    return read


def reader_of_all(resolver: Resolver) -> Callable[[object], object]:
    def read(subject: object) -> object:
        found = resolver.check(subject)
        return found.listed, found.complete, found.score, [answer.outcome for answer in found.answers]

    return read


def cached() -> None:
    keys = packed(range(SUBJECTS))
    forms: dict[str, Sequence[object]] = {
        "bytes": keys,
        "address object": [ipaddress.IPv4Address(key) for key in keys],
        "text": [str(ipaddress.IPv4Address(key)) for key in keys],
        "IPv6 text": [f"2001:db8::{number:x}:1" for number in range(SUBJECTS)],
    }
    bare: TLRUCache[object, bytes] = TLRUCache(80_000, lambda key, value, at: at + 1000)
    for key in keys:
        bare[key] = key * 40
    took: dict[str, list[float]] = {}
    with rbldnsd() as port, Resolver(ZONES, [f"127.0.0.1:{port}"], deadline_s=10) as resolver:
        for subjects in forms.values():
            for found in resolver.check_many(subjects):
                assert isinstance(found, Verdict)
                assert found.complete
        fresh = iter(packed(range(100_000, 100_000 + RUNS * UNCACHED)))
        for _ in range(RUNS):
            row = took.setdefault("TLRUCache, bare: get", [])
            row.append(mean_us(bare.get, keys, CALLS))
            for form, subjects in forms.items():
                took.setdefault(form, []).append(mean_us(reader(resolver), subjects, CALLS))
            row = took.setdefault("bytes, every answer read", [])
            row.append(mean_us(reader_of_all(resolver), keys, CALLS // 10))
            once = list(itertools.islice(fresh, UNCACHED))
            took.setdefault("uncached", []).append(mean_us(reader(resolver), once, UNCACHED))
    yardstick = median(took["TLRUCache, bare: get"])
    rows = [[name, spread(us, ".2f"), f"{median(us) / yardstick:.1f}"] for name, us in took.items()]
    table(["one check, six zones", "us: median (range)", "x bare get"], rows)
    print()
    for form, most in (("bytes", PACKED_US), ("address object", PACKED_US), ("text", TEXT_US)):
        verdict(
            f"us per cached check from {form}, worst of {RUNS} runs", max(took[form]), most, at_least=False
        )
        verdict(f"us per cached check from {form}, median", median(took[form]), most, at_least=False)
    faster = [slow / quick for slow, quick in zip(took["uncached"], took["bytes"], strict=True)]
    verdict("times faster than uncached, worst run", min(faster), TIMES_FASTER, at_least=True)


# ---- memory ----


def memory() -> None:
    with (
        rbldnsd() as port,
        Resolver(ZONES, [f"127.0.0.1:{port}"], deadline_s=10, cache_size=MEMORY_SUBJECTS) as resolver,
    ):
        each: list[float] = []
        for _ in range(RUNS):
            resolver.flush()
            gc.collect()
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            for found in resolver.check_many(packed(range(MEMORY_SUBJECTS))):
                assert isinstance(found, Verdict)
                assert found.complete
            del found
            while resolver.stats()["in_flight"]:
                time.sleep(0.05)
            each.append((tracemalloc.get_traced_memory()[0] - before) / MEMORY_SUBJECTS)
            tracemalloc.stop()
            assert resolver.cache_info().currsize == MEMORY_SUBJECTS
    table(["memory", "bytes: median (range)"], [["a cached clean subject, six zones", spread(each)]])
    print()
    verdict("bytes per cached clean subject, worst run", max(each), BYTES, at_least=False)


# ---- one dead list of six ----


def serve(control: Connection) -> None:
    """The six zones in a process of its own; each message is the zone to fall silent, or nothing to heal."""
    with DnsblServer(zones=ZONES) as server:
        control.send(server.nameserver)
        while (name := control.recv()) is not None:
            for zone in ZONES:
                server.zone(zone).heal()
            if name:
                server.zone(name).fault(silence())
            server.clear()
            control.send(None)


def percentile(values: Sequence[float], percent: float) -> float:
    return sorted(values)[int(len(values) * percent / 100)]


def look_up(resolver: Resolver, numbers: Iterable[int], until_open: str = "") -> list[float]:
    """Milliseconds of each uncached lookup, in turn; `until_open`: only until that zone is set aside."""
    took = []
    for subject in packed(numbers):
        took.append(resolver.check(subject).elapsed_s * 1e3)
        if until_open and resolver.stats()["zones"][until_open]["breaker"]["state"] != "closed":
            break
    return took


def dead_list() -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    nameserver = ours.recv()
    found: dict[str, list[list[float]]] = {
        "all healthy": [],
        "until the breaker opens": [],
        "once it is open": [],
    }
    for _ in range(RUNS):
        ours.send("")
        ours.recv()
        with Resolver(ZONES, [nameserver], deadline_s=DEADLINE_S, reasons=False) as resolver:
            found["all healthy"].append(look_up(resolver, range(LOOKUPS)))
            ours.send(ZONES[3])
            ours.recv()
            found["until the breaker opens"].append(look_up(resolver, range(50_000, 50_100), ZONES[3]))
            found["once it is open"].append(look_up(resolver, range(100_000, 100_000 + LOOKUPS)))
    ours.send(None)
    server.join()
    rows = []
    for name, runs in found.items():
        p50, p99 = ([percentile(run, percent) for run in runs] for percent in (50, 99))
        rows.append([name, spread([len(run) for run in runs]), spread(p50, ".2f"), spread(p99, ".2f")])
    head = [f"one of six lists silent, deadline {DEADLINE_S:g} s", "lookups", "p50 ms", "p99 ms"]
    table(head, rows)
    print()
    healthy, after = (
        median([percentile(run, 99) for run in found[name]]) for name in ("all healthy", "once it is open")
    )
    verdict("p99 once the breaker is open, times the healthy", after / healthy, HEALTHY_TIMES, at_least=False)


def main() -> None:
    cached()
    print()
    memory()
    print()
    dead_list()


if __name__ == "__main__":
    main()
