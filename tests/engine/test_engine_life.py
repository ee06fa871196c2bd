"""The engine's beginning and end: close, interpreter exit, fork, signals, threads and event loops."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest
from support.asking import ADDRESS, KEY, answer_from, eventually, look_up, plan_for, wait_done

from dnsbl.engine._engine import Completions, Engine, Plan
from dnsbl.errors import ClosedError
from dnsbl.model import Status
from dnsbl.testing import DnsblServer, delay, silence

IN_FLIGHT = """
import os, sys, threading, time
from dnsbl.engine._engine import Engine, Plan, Completions
engine = Engine()
number = engine.nameserver_set([sys.argv[1]])
plan = Plan(["bl.example"] * 6, [number] * 6, [30.0] * 6)
completions = Completions()
tickets = [engine.submit(engine.fan(plan, bytes([10, 0, 0, i]), range(6)), completions, 30.0) for i in range(100)]
"""


def run_python(code: str, server: DnsblServer) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        # That threads and fork() need care, as Python 3.12 warns, is what is tested.
        [
            sys.executable,
            "-X",
            "dev",
            "-W",
            "ignore::DeprecationWarning",
            "-c",
            code,
            server.nameserver,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def descriptors_and_threads() -> tuple[int, int]:
    return len(os.listdir("/dev/fd")), os_threads()


def os_threads() -> int:
    """Threads of this process as the system counts them; where it does not say, those Python knows."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return threading.active_count()


# ---- close ----


def test_close_with_questions_in_flight(engine: Engine, dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").fault(silence())
    plan = plan_for(engine, [dnsbl_server.nameserver], ["bl.example"] * 6)
    completions = Completions()
    tickets = [
        engine.submit(engine.fan(plan, bytes([10, 0, i // 250, i % 250]), range(6)), completions, 30.0)
        for i in range(500)
    ]
    assert eventually(lambda: dnsbl_server.count() > 100)
    began_s = time.monotonic()
    engine.close()
    assert time.monotonic() - began_s < 1.0
    assert set(completions.wait(0)) == set(tickets)
    assert all(ticket.done and ticket.fan.finished for ticket in tickets)
    assert {answer.status for answer in tickets[-1].fan.answers().values()} <= {Status.TIMEOUT, Status.UNSENT}
    engine.close()


def test_close_wakes_those_who_wait(engine: Engine, dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").fault(silence())
    plan = plan_for(engine, [dnsbl_server.nameserver])
    took_s: list[float] = []

    def wait() -> None:
        completions = Completions()
        ticket = engine.submit(engine.fan(plan, KEY, [0]), completions, 30.0)
        began_s = time.monotonic()
        wait_done(completions, ticket)
        took_s.append(time.monotonic() - began_s)

    threads = [threading.Thread(target=wait) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: dnsbl_server.count() == 8)
    engine.close()
    for thread in threads:
        thread.join(10)
    assert len(took_s) == 8
    assert max(took_s) < 5


def test_close_from_many_threads_while_others_submit(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example")
    for _ in range(20):
        engine = Engine()
        plan = plan_for(engine, [dnsbl_server.nameserver])
        barrier = threading.Barrier(6)

        def submit(engine: Engine = engine, plan: Plan = plan, barrier: threading.Barrier = barrier) -> None:
            completions = Completions()
            barrier.wait(10)
            with suppress(ClosedError):
                while True:
                    wait_done(completions, engine.submit(engine.fan(plan, KEY, [0]), completions, 10.0))
                    engine.retired()

        def close(engine: Engine = engine, barrier: threading.Barrier = barrier) -> None:
            barrier.wait(10)
            time.sleep(0.005)
            engine.close()

        threads = [
            threading.Thread(target=target) for target in (submit, submit, submit, close, close, close)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()


def test_2000_engines_leave_nothing_behind(dnsbl_server: DnsblServer) -> None:
    """Case G8; every twentieth is closed with questions in flight, one name in some cannot be made."""
    dnsbl_server.zone("bl.example").fault(silence())

    def once(number: int) -> None:
        engine = Engine()
        if number % 20 == 0:
            completions = Completions(with_fd=True)
            fan = engine.fan(plan_for(engine, [dnsbl_server.nameserver]), KEY, [0])
            engine.submit(fan, completions, 30.0)
        if number % 100 == 0:
            with pytest.raises(UnicodeEncodeError):
                engine.fan(plan_for(engine, [dnsbl_server.nameserver]), "\udcff.example", [0])
        engine.close()

    once(0)
    gc.collect()
    before = descriptors_and_threads()
    for number in range(2000):
        once(number)
    gc.collect()
    # A thread that was joined is listed a moment longer.
    assert eventually(lambda: all(map(int.__le__, descriptors_and_threads(), before)))


def test_an_engine_in_a_reference_cycle_is_collected(dnsbl_server: DnsblServer) -> None:
    """Its thread goes on until the collector comes, so nothing it uses may go before."""
    dnsbl_server.zone("bl.example").fault(silence())
    before = os_threads()
    for _ in range(20):
        engine = Engine()
        plan = plan_for(engine, [dnsbl_server.nameserver], timeout_s=0.001)
        fan = engine.fan(plan, KEY, [0], tag=[engine])
        engine.submit(fan, Completions(), 30.0)
        del engine, fan
        gc.collect()
        assert eventually(lambda: os_threads() <= before)


# ---- the interpreter's end ----


@pytest.mark.parametrize(
    "ending",
    [
        "",  # with everything alive
        "engine.close()",
        "del tickets, completions",
        "del engine",
        "threading.Thread(target=completions.wait, args=(30,), daemon=True).start(); time.sleep(0.1)",
        "sys.exit(0)",
    ],
)
def test_interpreter_exit_with_questions_in_flight(dnsbl_server: DnsblServer, ending: str) -> None:
    dnsbl_server.zone("bl.example").fault(silence())
    began_s = time.monotonic()
    done = run_python(IN_FLIGHT + ending, dnsbl_server)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert time.monotonic() - began_s < 20


# Before each fork() the engine's thread has time to fall asleep: the address sanitizer's allocator does not
# survive one while another thread allocates.


def test_fork_and_a_new_engine(dnsbl_server: DnsblServer) -> None:
    """The child gives up the parent's engine and makes its own; the parent's goes on."""
    dnsbl_server.zone("bl.example").list(ADDRESS)
    dnsbl_server.fault(delay(0.5), times=1)
    done = run_python(
        """
import gc, os, sys, time
from dnsbl.engine._engine import Engine, Plan, Completions

def ask(engine):
    plan = Plan(["bl.example"], [engine.nameserver_set([sys.argv[1]])], [1.0])
    fan = engine.fan(plan, bytes([192, 0, 2, 99]), [0])
    return fan, engine.submit(fan, completions, 10.0)

engine, completions = Engine(), Completions()
fan, ticket = ask(engine)
with_descriptor = Completions(with_fd=True)
time.sleep(0.2)
pid = os.fork()
if pid == 0:
    engine.abandon_after_fork()
    del ticket, fan
    completions = Completions()
    engine = Engine()
    fan, ticket = ask(engine)
    while not ticket.done:
        completions.wait(10)
    print("child", fan.answers()[0].addresses, flush=True)
    del with_descriptor
    engine.close()
    gc.collect()
    sys.exit(7)  # by the usual way: the interpreter is torn down
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
while not ticket.done:
    completions.wait(10)
print("parent", fan.answers()[0].addresses)
""",
        dnsbl_server,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n") == ["child (2130706434,)", "parent (2130706434,)", ""]


@pytest.mark.parametrize("ending", ["engine.close()", "del engine", "", "del completions, tickets"])
def test_fork_without_a_word(dnsbl_server: DnsblServer, ending: str) -> None:
    """A child that knows nothing of the engine it has inherited ends like any other."""
    dnsbl_server.zone("bl.example").fault(silence())
    done = run_python(
        IN_FLIGHT.replace("range(100)", "range(10)")
        + f"""
time.sleep(0.2)
pid = os.fork()
if pid == 0:
    {ending or "pass"}
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
""",
        dnsbl_server,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ---- signals and event loops ----


def test_ctrl_c_ends_a_wait(engine: Engine, dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").fault(silence())
    completions = Completions()
    ticket = engine.submit(
        engine.fan(plan_for(engine, [dnsbl_server.nameserver]), KEY, [0]), completions, 30.0
    )
    sent_s: list[float] = []

    def interrupt() -> None:
        time.sleep(0.15)
        sent_s.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            completions.wait(20)
        assert time.monotonic() - sent_s[0] < 0.2
    finally:
        signal.signal(signal.SIGINT, before)
        thread.join()
    assert not ticket.done
    assert completions.wait(0) == []


def test_a_waiter_with_a_descriptor(engine: Engine, dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list(ADDRESS)
    plan = plan_for(engine, [dnsbl_server.nameserver])
    completions = Completions(with_fd=True)
    assert Completions().fileno() == -1
    assert select.select([completions.fileno()], [], [], 0)[0] == []
    tickets = [engine.submit(engine.fan(plan, KEY, [0]), completions, 5.0) for _ in range(3)]
    assert eventually(lambda: all(ticket.done for ticket in tickets))
    assert select.select([completions.fileno()], [], [], 5)[0] == [completions.fileno()]
    assert set(completions.drain()) == set(tickets)
    assert select.select([completions.fileno()], [], [], 0)[0] == []
    assert completions.drain() == []
    wait_done(completions, engine.submit(engine.fan(plan, KEY, [0]), completions, 5.0))


def test_an_event_loop_is_woken(engine: Engine, dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list(ADDRESS)
    dnsbl_server.fault(delay(0.05))

    async def main() -> list[tuple[int, ...]]:
        loop = asyncio.get_running_loop()
        completions = Completions(with_fd=True)

        def ready() -> None:
            for ticket in completions.drain():
                ticket.owner.set_result(ticket.fan.answers()[0].addresses)

        loop.add_reader(completions.fileno(), ready)
        plan = plan_for(engine, [dnsbl_server.nameserver])
        futures = [loop.create_future() for _ in range(50)]
        for i, future in enumerate(futures):
            engine.submit(engine.fan(plan, bytes([192, 0, 2, 50 + i]), [0]), completions, 5.0, owner=future)
        try:
            return await asyncio.wait_for(asyncio.gather(*futures), 10)
        finally:
            loop.remove_reader(completions.fileno())

    answers = asyncio.run(main())
    assert answers == [()] * 49 + [(0x7F000002,)]


def test_many_threads_each_with_its_own_waiter(engine: Engine, dnsbl_server: DnsblServer) -> None:
    zone = dnsbl_server.zone("bl.example")
    for i in range(256):
        zone.list(f"192.0.2.{i}", codes=[f"127.0.1.{i}"])
    plan = plan_for(engine, [dnsbl_server.nameserver])
    wrong: list[object] = []

    def ask(first: int) -> None:
        for step in range(40):
            last = (first * 40 + step) % 256
            answers = look_up(engine, plan, bytes([192, 0, 2, last]), deadline_s=10.0).answers()
            if answers[0].addresses != (0x7F000100 + last,):
                wrong.append(answers)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []
    assert eventually(lambda: engine.retired() or engine.in_flight == 0)
    assert answer_from(engine, [dnsbl_server.nameserver]).status == Status.OK
