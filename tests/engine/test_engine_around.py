"""The engine among what others do in its process: descriptors, forks, signals, the environment, missing functions."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings

import pytest
from support.asking import answer_from, eventually, plan_for

from dnsbl.engine import cares
from dnsbl.engine._engine import Completions, Engine, Plan
from dnsbl.model import Status
from dnsbl.testing import DnsblServer, silence

HEAD = """
import os, resource, signal, sys, time
from dnsbl.engine._engine import Engine, Plan, Completions
def ask(engine, last, within_s=20.0):
    plan = Plan(["bl.example"], [engine.nameserver_set([sys.argv[1]])], [0.5])
    completions, fan = Completions(), engine.fan(plan, bytes([192, 0, 2, last]), [0])
    ticket = engine.submit(fan, completions, within_s)
    while not ticket.done:
        completions.wait(0.1)
    return fan.answers()[0].status if fan.answers() else None
"""


@pytest.fixture(autouse=True)
def of_one_zone(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example")


def run_python(code: str, server: DnsblServer, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", HEAD + code, server.nameserver],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_descriptors_closed_by_others_do_not_spin_and_new_ones_are_made(dnsbl_server: DnsblServer) -> None:
    code = """
engine = Engine()
ask(engine, 1)
used = time.process_time()
os.closerange(3, 200)  # as one does who daemonizes
time.sleep(0.5)
used = time.process_time() - used
print(ask(engine, 2), "spins" if used > 0.4 else "rests")
os._exit(0)
"""
    assert run_python(code, dnsbl_server) == f"{int(Status.NXDOMAIN)} rests"


def test_a_child_keeps_none_of_the_parents_sockets(dnsbl_server: DnsblServer) -> None:
    code = """
import stat
def sockets():
    found = set()
    for number in range(3, 100):
        try:
            info = os.fstat(number)
        except OSError:
            continue
        if stat.S_ISSOCK(info.st_mode):
            found.add(info.st_ino)
    return found
engine = Engine()
ask(engine, 1)
parents = sockets()
assert parents
if (child := os.fork()) == 0:
    engine.abandon_after_fork()
    kept = sockets() & parents
    own = Engine()
    answered = ask(own, 2)
    print(len(kept), answered, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
    assert run_python(code, dnsbl_server) == f"0 {int(Status.NXDOMAIN)}"


def test_signals_of_a_fault_are_not_blocked_and_all_others_are(dnsbl_server: DnsblServer) -> None:
    code = """
engine = Engine()
ask(engine, 1)
for task in os.listdir("/proc/self/task"):
    if int(task) == os.getpid():
        continue
    text = open(f"/proc/self/task/{task}/status").read()
    blocked = int(text.split("SigBlk:")[1].split()[0], 16)
    own = [signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT]
    others = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGALRM]
    bit = lambda number: blocked >> number - 1 & 1
    print([bit(n) for n in own], [bit(n) for n in others])
"""
    assert run_python(code, dnsbl_server) == f"{[0] * 5} {[1] * 5}"


@pytest.mark.parametrize(
    "options", ["use-vc", "ndots:15 attempts:1 timeout:1 rotate", "edns0 trust-ad", "usevc no-tld-query"]
)
def test_what_the_environment_says_to_libc_counts_for_nothing(
    dnsbl_server: DnsblServer, options: str
) -> None:
    code = """
print(ask(Engine(), 9), os.environ["RES_OPTIONS"], os.environ["LOCALDOMAIN"])
"""
    out = run_python(code, dnsbl_server, RES_OPTIONS=options, LOCALDOMAIN="example.com")
    assert out == f"{int(Status.NXDOMAIN)} {options} example.com"
    asked = [(query.name.rstrip("."), query.transport) for query in dnsbl_server.queries]
    assert set(asked) == {("9.2.0.192.bl.example", "udp")}


def test_many_nameservers_at_once_while_the_environment_changes(dnsbl_server: DnsblServer) -> None:
    # More than are kept ahead, in a thread that does not hold Python's lock: none may be made there.
    code = """
import threading
stop = False
def change():
    while not stop:
        for n in range(2000):
            os.environ[f"V{n}"] = "x" * 20
        for n in range(2000):
            del os.environ[f"V{n}"]
thread = threading.Thread(target=change)
thread.start()
for turn in range(15):
    engine, completions = Engine(), Completions()
    sets = [engine.nameserver_set([f"127.0.0.1:{20000 + n}"]) for n in range(64)]
    plan = Plan(["x.example"] * 64, sets, [1.0] * 64)
    engine.submit(engine.fan(plan, bytes([1, 2, 3, 4]), range(64)), completions, 0.02, 0.0)
    completions.wait(0.1)
    engine.close()
stop = True
thread.join()
print("survived")
"""
    assert run_python(code, dnsbl_server) == "survived"


def test_sets_of_nameservers_are_given_back(engine: Engine, dnsbl_server: DnsblServer) -> None:
    for number in range(700):  # resolv.conf changes all the time
        chosen = engine.nameserver_set([f"127.0.0.1:{10_000 + number}"])
        Plan(["bl.example"], [chosen], [1.0], engine)
        if number % 100 == 99:  # nameservers are let go by the loop, when something is to be done
            assert answer_from(engine, [dnsbl_server.nameserver]).status == Status.NXDOMAIN
            time.sleep(0.6)
            assert answer_from(engine, [dnsbl_server.nameserver]).status == Status.NXDOMAIN


def test_a_set_in_use_is_kept(engine: Engine, dnsbl_server: DnsblServer) -> None:
    dnsbl_server.fault(silence(), times=1)
    chosen = engine.nameserver_set([dnsbl_server.nameserver])
    fan = engine.fan(Plan(["bl.example"], [chosen], [0.2], engine), b"\xc0\x00\x02\x63", [0])
    completions = Completions()
    ticket = engine.submit(fan, completions, 20.0)
    for number in range(250):
        other = engine.nameserver_set([f"127.0.0.1:{10_000 + number}"])
        assert other != chosen
        Plan(["bl.example"], [other], [1.0], engine)
    assert eventually(lambda: (completions.wait(0.1), ticket.done)[1])
    assert fan.answers()[0].status == Status.NXDOMAIN


def test_a_missing_function_is_told_of_once_and_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cares.EXTRAS, "ares_no_such_function", "its effect is lost")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            engine = Engine()
            plan_for(engine, ["127.0.0.1:9"])
            engine.close()
    told = [str(one.message) for one in caught if "ares_no_such_function" in str(one.message)]
    assert len(told) == 1
    assert "\n" not in told[0]
    assert "its effect is lost" in told[0]
    assert "install pycares" in told[0]
