"""The Resolver's life in threads and processes: shared, closed under load, forgotten, forked, interrupted."""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path

import pytest
from support.lookups import (
    descriptors,
    eventually,
    in_threads,
    os_threads,
    outcomes,
    resolver_for,
    run_python,
    timed,
    with_zones,
)

from dnsbl import ClosedError, Outcome, Resolver, Verdict
from dnsbl.testing import DnsblServer, delay, silence

TESTS = str(Path(__file__).parents[1])

# ---- forgetting to close ----


def test_a_forgotten_resolver_leaves_nothing_though_its_verdict_is_kept(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99")
    gc.collect()  # what other tests left
    threads, files = os_threads(), descriptors()

    def look_up() -> list[Verdict]:
        resolver = resolver_for(dnsbl_server, "bl.example")
        return [resolver.check(subject) for subject in ("192.0.2.98", "192.0.2.98", "192.0.2.99")]

    kept = look_up()
    gc.collect()
    # The kernel shows a thread for a moment after it was joined.
    assert eventually(lambda: os_threads() <= threads and descriptors() <= files)
    assert [outcomes(verdict) for verdict in kept] == [
        [Outcome.NOT_LISTED],
        [Outcome.NOT_LISTED],
        [Outcome.LISTED],
    ]


def test_2000_resolvers_created_and_closed_leave_nothing(dnsbl_server: DnsblServer) -> None:
    """G8, in a process of its own: descriptors, threads and memory are the same at the end."""
    dnsbl_server.zone("bl.example")
    out = run_python(
        """
import gc, os, resource, sys, threading
sys.path.insert(0, sys.argv[2])
from support.lookups import descriptors, eventually, os_threads
from dnsbl import Resolver, SubjectError

def once(number):
    with Resolver(["bl.example"], [sys.argv[1]], deadline_s=5) as resolver:
        if number % 4 == 0:
            assert resolver.check(f"192.0.2.{number % 250}").complete
        if number % 100 == 0:  # a name that cannot be encoded
            try:
                resolver.check("bad\\udcff.example")
            except SubjectError:
                pass

for number in range(200):
    once(number)
gc.collect()
before = descriptors(), os_threads()
kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for number in range(2000):
    once(number)
gc.collect()
# A thread that was joined is listed a moment longer.
print(eventually(lambda: descriptors() <= before[0] and os_threads() <= before[1]))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - kib) < 2000)
""",
        dnsbl_server.nameserver,
        TESTS,
        timeout_s=90,
    )
    assert out.split() == ["True", "True"]


# ---- 64 threads ----


def test_64_threads_asking_for_one_address_send_one_query_per_zone(dnsbl_server: DnsblServer) -> None:
    zones = with_zones(dnsbl_server, "a.example", "b.example", "c.example")
    dnsbl_server.fault(delay(0.2))
    for subject in ("192.0.2.1", "2001:db8::1"):
        dnsbl_server.clear()
        with resolver_for(dnsbl_server, *zones) as resolver:
            verdicts = in_threads(64, lambda _, subject=subject: resolver.check(subject))
        assert all(verdict.complete for verdict in verdicts)
        assert [dnsbl_server.count(zone) for zone in zones] == [1, 1, 1]


def test_64_threads_asking_for_many_addresses_each_get_their_own(dnsbl_server: DnsblServer) -> None:
    zone = dnsbl_server.zone("bl.example")
    for number in range(0, 256, 2):
        zone.list(f"192.0.2.{number}", codes=[f"127.0.1.{number}"])
    with resolver_for(dnsbl_server, "bl.example", reasons=False, deadline_s=10) as resolver:

        def look_up(thread: int) -> None:
            for step in range(50):
                number = (thread * 7 + step * 3) % 256
                verdict = resolver.check(f"192.0.2.{number}")
                assert verdict.complete
                codes = [code for answer in verdict.listings for code in answer.codes]
                assert codes == ([] if number % 2 else [f"127.0.1.{number}"])

        in_threads(64, look_up)
    assert dnsbl_server.count() == 256


# ---- close under load ----


def test_close_ends_lookups_in_flight_at_once_with_what_they_have(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("quick.example").list("192.0.2.0/24")
    dnsbl_server.zone("silent.example").fault(silence())
    threads = os_threads()
    resolver = resolver_for(dnsbl_server, "quick.example", "silent.example", deadline_s=30)
    started = threading.Event()

    def close_soon() -> float:
        started.wait(10)
        assert eventually(lambda: dnsbl_server.count("quick.example", "A") >= 16)
        time.sleep(0.05)  # for the answers to be there
        _, took_s = timed(resolver.close)
        return took_s

    def look_up(number: int) -> tuple[Verdict, float] | float:
        started.set()
        if number == 16:
            return close_soon()
        return timed(lambda: resolver.check(f"192.0.2.{number}"))

    *results, close_took_s = in_threads(17, look_up)
    assert close_took_s < 0.5
    for verdict, took_s in results:
        assert took_s < 5
        assert outcomes(verdict) == [Outcome.LISTED, Outcome.TIMEOUT]
        assert (verdict.listed, verdict.complete) == (True, False)
    with pytest.raises(ClosedError):
        resolver.check("192.0.2.1")
    assert eventually(lambda: os_threads() <= threads)  # no second engine was started for the reasons


def test_close_ends_a_stream_with_what_it_has(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("silent.example").fault(silence())
    resolver = resolver_for(dnsbl_server, "silent.example", deadline_s=30)
    closer = threading.Timer(0.2, resolver.close)
    closer.start()
    results, took_s = timed(lambda: list(resolver.check_many([f"192.0.2.{n}" for n in range(20)])))
    closer.join()
    assert took_s < 5
    assert [outcomes(verdict) for verdict in results] == [[Outcome.TIMEOUT]] * 20


def test_closing_and_looking_up_in_many_threads_at_once(dnsbl_server: DnsblServer) -> None:
    """Whoever comes too late is told so; nobody hangs, and no engine stays."""
    zones = with_zones(dnsbl_server, "a.example", "b.example")
    dnsbl_server.zone("a.example").list("192.0.2.0/24", txt="why")
    threads = os_threads()
    for _ in range(20):
        resolver = resolver_for(dnsbl_server, *zones)

        def use(number: int, resolver: Resolver = resolver) -> int:
            done = 0
            try:
                if number < 2:
                    time.sleep(0.005)
                    resolver.close()
                for step in range(100):
                    resolver.check(f"192.0.2.{(number * 31 + step) % 256}")
                    done += 1
            except ClosedError:
                return done
            raise AssertionError("never closed")

        in_threads(8, use)
    assert eventually(lambda: os_threads() <= threads)


# ---- fork ----

FORK = """
import os, sys, threading, time, warnings
from dnsbl import Resolver

warnings.filterwarnings("ignore", "This process", DeprecationWarning)  # of Python 3.12: fork beside threads

def child_of(run):
    pid = os.fork()
    if not pid:
        code = 1
        try:
            run()
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    return pid

def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def test_a_child_keeps_the_cache_and_starts_its_own_engine(dnsbl_server: DnsblServer) -> None:
    zones = with_zones(dnsbl_server, "a.example", "b.example")
    dnsbl_server.zone("a.example").list("192.0.2.0/24")
    out = run_python(
        FORK
        + """
resolver = Resolver(["a.example", "b.example"], [sys.argv[1]], deadline_s=5, reasons=False)
assert resolver.check("192.0.2.1").listed

def child():
    before = resolver.stats()["zones"]["a.example"]["queries"]
    assert resolver.check("192.0.2.1").answers[0].cached
    assert resolver.stats()["zones"]["a.example"]["queries"] == before == 1
    assert resolver.check("192.0.2.2").complete
    verdicts = resolver.check_many(["192.0.2.3", "198.51.100.1"], ordered=True)
    assert [verdict.listed for verdict in verdicts] == [True, False]
    import asyncio
    assert asyncio.run(resolver.check_async("192.0.2.5")).listed
    assert ended(child_of(lambda: resolver.check("192.0.2.6"))) == 0  # and a grandchild
    resolver.close()

pids = [child_of(child) for _ in range(3)]
assert resolver.check("192.0.2.4").listed  # the parent goes on
print([ended(pid) for pid in pids])
assert resolver.check("192.0.2.7").listed
resolver.close()
""",
        dnsbl_server.nameserver,
    )
    assert out.strip() == "[0, 0, 0]"
    assert zones


def test_fork_while_64_threads_look_up(dnsbl_server: DnsblServer) -> None:
    zones = with_zones(dnsbl_server, "a.example", "b.example")
    dnsbl_server.zone("a.example").list("192.0.2.0/24", txt="why")
    out = run_python(
        FORK
        + """
resolver = Resolver(["a.example", "b.example"], [sys.argv[1]], deadline_s=10)
stop, errors, counts = threading.Event(), [], [0] * 64

def look_up(thread):
    try:
        while not stop.is_set():
            number = thread * 1009 + counts[thread]
            verdict = resolver.check(f"192.0.{number // 256 % 256}.{number % 256}")
            assert verdict.complete, verdict.answers
            counts[thread] += 1
    except BaseException as error:
        errors.append(error)
        raise

def make():  # resolvers come and go meanwhile
    while not stop.is_set():
        Resolver(["a.example"], [sys.argv[1]])

threads = [threading.Thread(target=look_up, args=(number,)) for number in range(64)]
threads.append(threading.Thread(target=make))
for thread in threads:
    thread.start()

def child():
    for number in range(20):
        verdict = resolver.check(f"198.51.100.{number}")
        assert verdict.complete and not verdict.listed
    assert resolver.check("192.0.2.1").listed

codes = []
for _ in range(10):
    time.sleep(0.03)
    codes.append(ended(child_of(child)))
before, end = sum(counts), time.monotonic() + 10
while sum(counts) == before and time.monotonic() < end:
    time.sleep(0.01)
print(codes, sum(counts) > before)
stop.set()
for thread in threads:
    thread.join(15)
print([thread.is_alive() for thread in threads].count(True), errors)
resolver.close()
""",
        dnsbl_server.nameserver,
        timeout_s=60,
    )
    assert out.splitlines() == [f"{[0] * 10} True", "0 []"]
    assert zones


def test_a_process_pool_that_forks(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.7")
    out = run_python(
        """
import multiprocessing, sys, warnings
from dnsbl import Resolver
warnings.filterwarnings("ignore", "This process", DeprecationWarning)
resolver = Resolver(["bl.example"], [sys.argv[1]], deadline_s=5)

def listed(number):
    return resolver.check(f"192.0.2.{number}").listed

if __name__ == "__main__":
    resolver.check("192.0.2.1")
    with multiprocessing.get_context("fork").Pool(3) as pool:
        print([number for number, found in enumerate(pool.map(listed, range(20))) if found])
        pool.close()
        pool.join()
    assert resolver.check("192.0.2.2").complete
""",
        dnsbl_server.nameserver,
    )
    assert out.strip() == "[7]"


# ---- the interpreter's end, and Ctrl-C ----


@pytest.mark.parametrize("left", ["idle", "in flight in a thread", "in a generator", "in a loop"])
def test_the_interpreter_ends_cleanly_without_close(dnsbl_server: DnsblServer, left: str) -> None:
    dnsbl_server.zone("bl.example")
    dnsbl_server.zone("silent.example").fault(silence())
    started_s = time.monotonic()
    run_python(
        """
import sys, threading, time
from dnsbl import Resolver
left = sys.argv[2]
resolver = Resolver(["bl.example"], [sys.argv[1]])
assert resolver.check("192.0.2.1").complete
silent = Resolver(["silent.example"], [sys.argv[1]], deadline_s=60)
if left == "in flight in a thread":
    threading.Thread(target=silent.check, args=("192.0.2.2",), daemon=True).start()
elif left == "in a generator":
    stream = resolver.check_many(f"192.0.2.{number}" for number in range(100))
    next(stream)
elif left == "in a loop":
    import asyncio
    async def main():
        task = asyncio.create_task(silent.check_async("192.0.2.2"))
        await asyncio.sleep(0.05)
        task.cancel()
    asyncio.run(main())
time.sleep(0.1)
""",
        dnsbl_server.nameserver,
        left,
    )
    assert time.monotonic() - started_s < 10


@pytest.mark.parametrize("way", ["check", "check_many"])
def test_ctrl_c_ends_a_blocking_lookup_within_a_fifth_of_a_second(
    dnsbl_server: DnsblServer, way: str
) -> None:
    dnsbl_server.zone("silent.example").fault(silence())
    out = run_python(
        """
import os, signal, sys, threading, time
from dnsbl import Resolver
resolver = Resolver(["silent.example"], [sys.argv[1]], deadline_s=30)
calls = {
    "check": lambda: resolver.check("192.0.2.1"),
    "check_many": lambda: list(resolver.check_many(["192.0.2.1"])),
}
sent = []
def interrupt():
    time.sleep(0.3)
    sent.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)
for _ in range(3):  # the resolver is as usable as before
    threading.Thread(target=interrupt).start()
    try:
        calls[sys.argv[2]]()
    except KeyboardInterrupt:
        print(time.monotonic() - sent[-1])
resolver.close()
""",
        dnsbl_server.nameserver,
        way,
    )
    delays_s = sorted(map(float, out.split()))
    assert len(delays_s) == 3
    assert delays_s[1] < 0.2
