"""One contestant of bench_lookup.py, in a process of its own: `contestants.py NAME PORT OFFSET LOOKUPS MODE`.

MODE `many`: as many lookups at once as the contestant keeps up, 256 at most; prints queries, wall and CPU
seconds. MODE `single`: one lookup after the other; prints the percentiles of their latency. Every address is
asked once per run and is listed nowhere; every contestant asks the same six zones.
"""

from __future__ import annotations

import asyncio
import ctypes
import ipaddress
import json
import os
import resource
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import HERE, PORT_53, ZONES

WINDOW = 256
"""Lookups in flight that dnsbl is given; it paces its queries itself."""
PEER_WINDOW = 16
"""Lookups in flight that the others are given: more queries at once overrun the server's socket buffer, and
each lost one then costs them a timeout."""
FIRST = int(ipaddress.IPv4Address("11.0.0.0"))


def packed(offset: int, count: int) -> list[bytes]:
    return [(FIRST + offset + number).to_bytes(4, "big") for number in range(count)]


def texts(offset: int, count: int) -> list[str]:
    return [str(ipaddress.IPv4Address(FIRST + offset + number)) for number in range(count)]


def reversed_name(text: str) -> str:
    return ".".join(reversed(text.split(".")))


# ---- dnsbl: the engine alone, and the whole Resolver ----


def engine(port: int) -> tuple[Callable[[int, int], None], Callable[[int, int], list[float]]]:
    from dnsbl.engine._engine import Completions, Engine, Plan

    loop, completions = Engine(), Completions()
    number = loop.nameserver_set([f"127.0.0.1:{port}"])
    plan = Plan(ZONES, [number] * len(ZONES), [1.0] * len(ZONES))
    every = range(len(ZONES))

    def many(offset: int, count: int) -> None:
        waiting, source = 0, iter(packed(offset, count))
        while True:
            while waiting < WINDOW and (address := next(source, None)) is not None:
                loop.submit(loop.fan(plan, address, every), completions, 3.0)
                waiting += 1
            if not waiting:
                return
            for ticket in completions.wait(5.0):
                assert len(ticket.fan.answers()) == len(ZONES)
                waiting -= 1
            loop.retired()

    def single(offset: int, count: int) -> list[float]:
        def one(address: bytes) -> None:
            ticket = loop.submit(loop.fan(plan, address, every), completions, 3.0)
            completions.wait(5.0)
            assert len(ticket.fan.answers()) == len(ZONES)
            loop.retired()

        return timed(one, packed(offset, count))

    return many, single


def resolver(port: int) -> tuple[Callable[[int, int], None], Callable[[int, int], list[float]]]:
    from dnsbl import Resolver, Verdict

    ours = Resolver(zones=ZONES, nameservers=[f"127.0.0.1:{port}"])

    def many(offset: int, count: int) -> None:
        done = 0
        for verdict in ours.check_many(packed(offset, count), window=WINDOW):
            assert isinstance(verdict, Verdict)
            assert not verdict.listed
            done += verdict.complete
        assert done == count

    def single(offset: int, count: int) -> list[float]:
        def one(address: bytes) -> None:
            verdict = ours.check(address)
            assert verdict.complete
            assert not verdict.listed

        return timed(one, packed(offset, count))

    return many, single


# ---- the others ----


def pycares(port: int) -> tuple[Callable[[int, int], None], Callable[[int, int], list[float]]]:
    """Raw callbacks in Python, the channel's own event thread, as pycares 5 is meant to be used."""
    import threading

    import pycares as cares

    channel = cares.Channel(servers=["127.0.0.1"], udp_port=port, tcp_port=port, timeout=5.0, tries=2)
    done = threading.Condition()
    state = {"answered": 0}

    def answered(result: object, error: int | None) -> None:
        with done:
            state["answered"] += 1
            done.notify()

    def ask(text: str) -> None:
        name = reversed_name(text)
        for zone in ZONES:
            channel.query(f"{name}.{zone}", cares.QUERY_TYPE_A, callback=answered)

    def wait_for(count: int) -> None:
        with done:
            done.wait_for(lambda: state["answered"] >= count)

    def many(offset: int, count: int) -> None:
        state["answered"] = 0
        for number, text in enumerate(texts(offset, count)):
            ask(text)
            wait_for((number + 1 - PEER_WINDOW) * len(ZONES))
        wait_for(count * len(ZONES))

    def single(offset: int, count: int) -> list[float]:
        def one(text: str) -> None:
            state["answered"] = 0
            ask(text)
            wait_for(len(ZONES))

        return timed(one, texts(offset, count))

    return many, single


def asynchronous(
    look_up: Callable[[str], object], window: int = PEER_WINDOW
) -> tuple[Callable[[int, int], object], ...]:
    """`many` and `single` of a contestant whose lookup is a coroutine."""

    async def many(offset: int, count: int) -> None:
        source = iter(texts(offset, count))

        async def worker() -> None:
            for text in source:
                await look_up(text)  # type: ignore[misc]

        await asyncio.gather(*(worker() for _ in range(window)))

    async def single(offset: int, count: int) -> list[float]:
        out = []
        for text in texts(offset, count):
            start = time.perf_counter()
            await look_up(text)  # type: ignore[misc]
            out.append(time.perf_counter() - start)
        return out

    return many, single


def aiodns(port: int) -> tuple[Callable[[int, int], object], ...]:
    import aiodns as library

    def build() -> Callable[[str], object]:
        dns = library.DNSResolver(
            nameservers=["127.0.0.1"], udp_port=port, tcp_port=port, timeout=5.0, tries=2
        )

        async def ask(name: str) -> object:
            try:
                return await dns.query_dns(name, "A")
            except library.error.DNSError:
                return None

        async def look_up(text: str) -> object:
            name = reversed_name(text)
            return await asyncio.gather(*(ask(f"{name}.{zone}") for zone in ZONES))

        return look_up

    return lazily(build)


def pydnsbl(port: int) -> tuple[Callable[[int, int], object], ...]:
    import warnings

    warnings.simplefilter("ignore")
    import aiodns as library
    from pydnsbl import DNSBLIpChecker
    from pydnsbl.providers import Provider

    def build() -> Callable[[str], object]:
        loop = asyncio.get_running_loop()
        checker = DNSBLIpChecker(
            providers=[Provider(zone) for zone in ZONES], concurrency=PEER_WINDOW * len(ZONES), loop=loop
        )
        checker._resolver = library.DNSResolver(
            nameservers=["127.0.0.1"], udp_port=port, tcp_port=port, timeout=5.0, tries=2, loop=loop
        )
        check: Callable[[str], object] = checker.check_async
        return check

    return lazily(build)


def aiodnsbl(port: int) -> tuple[Callable[[int, int], object], ...]:
    """aiodnsbl 1.0.0 names a class that pycares 5 has no more, in an annotation: given one, it runs."""
    import warnings

    import pycares as cares

    warnings.simplefilter("ignore")
    cares.ares_query_a_result = object  # type: ignore[attr-defined]
    import aiodns as library
    from aiodnsbl import DNSBLChecker
    from aiodnsbl.providers import Provider

    def build() -> Callable[[str], object]:
        checker = DNSBLChecker(
            providers=[Provider(zone) for zone in ZONES], concurrency=PEER_WINDOW * len(ZONES)
        )
        checker._resolver = library.DNSResolver(
            nameservers=["127.0.0.1"], udp_port=port, tcp_port=port, timeout=5.0, tries=2
        )
        look_up: Callable[[str], object] = checker.check_async
        return look_up

    return lazily(build)


def dnspython(port: int) -> tuple[Callable[[int, int], object], ...]:
    import dns.asyncresolver
    import dns.exception

    def build() -> Callable[[str], object]:
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers, resolver.port, resolver.lifetime = ["127.0.0.1"], port, 5.0

        async def ask(name: str) -> object:
            try:
                return await resolver.resolve(name, "A", search=False)
            except dns.exception.DNSException:
                return None

        async def look_up(text: str) -> object:
            name = reversed_name(text)
            return await asyncio.gather(*(ask(f"{name}.{zone}") for zone in ZONES))

        return look_up

    return lazily(build)


def resolver_async(port: int) -> tuple[Callable[[int, int], object], ...]:
    """check_async, gathered: as many coroutines as `WINDOW`."""

    def build() -> Callable[[str], object]:
        from dnsbl import Resolver

        return Resolver(zones=ZONES, nameservers=[f"127.0.0.1:{port}"]).check_async

    return lazily(build, WINDOW)


def adnshost(_port: int) -> tuple[Callable[[int, int], None], ...]:
    """adnshost of adns-tools, fed through a pipe; at port 53, see bench_lookup.py. Its CPU time is its feeder's
    and its own."""
    command = ["adnshost", "+e", "--config", f"nameserver {PORT_53}", "-ta", "-Vq", "-a", "-f"]

    def many(offset: int, count: int) -> None:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            asked = answered = 0
            for text in texts(offset, count):
                name = reversed_name(text)
                process.stdin.write("".join(f"{name}.{zone}\n" for zone in ZONES).encode())
                process.stdin.flush()
                asked += len(ZONES)
                while asked - answered >= PEER_WINDOW * len(ZONES):
                    assert process.stdout.readline()
                    answered += 1
            process.stdin.close()
            answered += len(process.stdout.readlines())
            assert answered == asked

    return many, many


def lazily(
    build: Callable[[], Callable[[str], object]], window: int = PEER_WINDOW
) -> tuple[Callable[[int, int], object], ...]:
    """Contestants that must be made inside the running loop."""
    made: list[Callable[[str], object]] = []

    def look_up(text: str) -> object:
        if not made:
            made.append(build())
        return made[0](text)

    return asynchronous(look_up, window)


def bare(port: int) -> tuple[Callable[[int, int], object], ...]:
    """bare.c, with the function table that the engine's own loop would be given."""
    library = build_bare()
    from dnsbl.engine import cares

    cares.check()
    options = cares.Options(ctypes.cast(library.bare_socket, ctypes.c_void_p).value or 0, 0)
    found = cares.addresses()
    names = ("init_options", "set_servers_csv", "destroy", "query_dnsrec", "process_fd")

    class Table(ctypes.Structure):
        _fields_ = (("pointers", ctypes.c_void_p * 6), ("optmask", ctypes.c_int))

    pointers = (ctypes.c_void_p * 6)(*(found[f"ares_{name}"] for name in names), options.loopback)
    given = Table(pointers, options.optmask_loopback)
    zones = (ctypes.c_char_p * len(ZONES))(*(zone.encode() for zone in ZONES))
    library.bare_run.restype = library.bare_single.restype = ctypes.c_long

    def many(offset: int, count: int) -> None:
        answered = library.bare_run(
            ctypes.byref(given), f"127.0.0.1:{port}".encode(), zones, len(ZONES), ctypes.c_uint32(offset),
            ctypes.c_long(count),
        )  # fmt: skip
        assert answered == count * len(ZONES), (answered, options)  # options: alive as long as this

    def single(offset: int, count: int) -> list[float]:
        took = (ctypes.c_double * count)()
        answered = library.bare_single(
            ctypes.byref(given), f"127.0.0.1:{port}".encode(), zones, len(ZONES), ctypes.c_uint32(offset),
            ctypes.c_long(count), took,
        )  # fmt: skip
        assert answered == count * len(ZONES)
        return list(took)

    return many, single


def build_bare() -> ctypes.CDLL:
    root = HERE.parent
    target = Path(tempfile.mkdtemp(prefix="dnsbl-bare-")) / "bare.so"
    compiler = os.environ.get("CC") or (sysconfig.get_config_var("CC") or "cc").split()[0]
    subprocess.run(
        [compiler, "-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O2", "-shared", "-fPIC", f"-I{root / 'src_c'}",
         str(HERE / "bare.c"), str(root / "src_c" / "qname.c"), "-o", str(target)],
        check=True,
    )  # fmt: skip
    library = ctypes.CDLL(str(target))
    target.unlink()
    target.parent.rmdir()
    return library


def timed(one: Callable[..., None], items: list[bytes] | list[str]) -> list[float]:
    out = []
    for item in items:
        start = time.perf_counter()
        one(item)
        out.append(time.perf_counter() - start)
    return out


CONTESTANTS: dict[str, Callable[[int], tuple[Any, ...]]] = {
    "engine": engine, "resolver": resolver, "pycares": pycares, "aiodns": aiodns, "pydnsbl": pydnsbl,
    "bare": bare, "async": resolver_async, "aiodnsbl": aiodnsbl, "dnspython": dnspython,
    "adnshost": adnshost,
}  # fmt: skip


async def as_coroutine(
    many: Callable[..., Any], single: Callable[..., Any], mode: str, offset: int, count: int
) -> list[float]:
    job = many if mode == "many" else single
    if not asyncio.iscoroutinefunction(job):
        return job(offset, count) or []
    return await job(offset, count) or []


def main() -> None:
    name, port, offset, count, mode = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5]
    many, single = CONTESTANTS[name](port)
    warm = max(10, min(50 if mode == "single" else 500, count // 10))
    if asyncio.iscoroutinefunction(many):
        with asyncio.Runner() as runner:
            runner.run(as_coroutine(many, single, mode, offset + count, warm))
            wall, cpu, latencies = measure(
                lambda: runner.run(as_coroutine(many, single, mode, offset, count))
            )
    else:
        job = many if mode == "many" else single
        job(offset + count, warm)
        wall, cpu, latencies = measure(lambda: job(offset, count))
    queries = count * len(ZONES)
    figures = {"queries_s": queries / wall, "cpu_us": cpu / queries * 1e6}
    if latencies:
        latencies = sorted(latencies)
        figures["p50_us"] = latencies[len(latencies) // 2] * 1e6
        figures["p99_us"] = latencies[len(latencies) * 99 // 100] * 1e6
    print(json.dumps(figures))
    sys.stdout.flush()
    os._exit(0)  # the others' channels and loops are not to be torn down within anybody's figures


def cpu_s() -> float:
    """Of this process and of the children it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measure(job: Callable[[], object]) -> tuple[float, float, list[float]]:
    wall, cpu = time.perf_counter(), cpu_s()
    result = job()
    return time.perf_counter() - wall, cpu_s() - cpu, result or []  # type: ignore[return-value]


if __name__ == "__main__":
    main()
