"""What can happen to the process: no descriptors, no memory, no disk, stopped, forked, closed at any time, clocks."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from support.asking import eventually
from support.faultmatrix import Report, child_environment
from support.servers import needs, report_missing

from dnsbl import Outcome, Resolver
from dnsbl.errors import ClosedError
from dnsbl.testing import DnsblServer, delay, silence, truncated

ZONES = ["one.example", "two.example"]
LISTED, CLEAN = "192.0.2.1", "192.0.2.2"
HERE = Path(__file__)
STOP_S = float(os.environ.get("FAULTS_STOP_S", "2"))


def served(server: DnsblServer) -> DnsblServer:
    for name in ZONES:
        server.zone(name).list(LISTED, txt="seen")
    return server


def program(name: str, *arguments: str, preload: str = "", wrap: tuple[str, ...] = ()) -> str:
    """What the function of this file prints in a process of its own."""
    command = [*wrap, sys.executable, str(HERE), name, *arguments]
    env = {**child_environment(), "LD_PRELOAD": preload}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=110, check=False)
    if "unshare" in wrap and "Operation not permitted" in done.stderr:
        report_missing(f"the right to make a mount namespace ({done.stderr.strip()})")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def preload(tmp_path_factory: pytest.TempPathFactory) -> str:
    """preload.c, built."""
    needs("cc")
    made = tmp_path_factory.mktemp("preload") / "preload.so"
    source = HERE.with_name("preload.c")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", made, source, "-ldl"], check=True)
    return str(made)


# ---- cancel and close in every state ----


def over_tcp(server: DnsblServer) -> None:
    server.fault(silence(), transport="tcp")
    server.fault(truncated())


STATES: dict[str, Callable[[DnsblServer], None]] = {
    "just asked": lambda server: server.fault(silence()),
    "in flight": lambda server: server.fault(delay(30)),
    "half answered": lambda server: server.zone(ZONES[0]).fault(silence()),
    "over TCP": over_tcp,
    "being asked why": lambda server: server.fault(silence(), types="TXT"),
    "answered": lambda server: None,
}


@pytest.mark.parametrize("ending", ["cancel", "close"])
def test_cancel_and_close(fault: Report, ending: str) -> None:
    """In each state a lookup can be in: it ends, and no thread or descriptor is left."""
    before = len(os.listdir("/proc/self/fd"))
    ends: Counter[str] = Counter()
    for state, arrange in STATES.items():
        with DnsblServer(zones=ZONES) as server:
            arrange(served(server))
            ends[asyncio.run(end_one(server, state, ending))] += 1
    assert eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)
    allowed = {"cancel": {"cancelled", "answered"}, "close": {"closed", "answered"}}[ending]
    seen = "each ended at once, no descriptor left" if set(ends) <= allowed else str(dict(ends))
    fault(f"{ending} in every state ({', '.join(STATES)})", "the lookup ends, nothing is left behind", seen)


async def end_one(server: DnsblServer, state: str, ending: str) -> str:
    resolver = Resolver(ZONES, [server.nameserver], deadline_s=30.0, timeout_s=20.0, reason_timeout_s=20.0)
    task = asyncio.ensure_future(resolver.check_async(LISTED))
    if state == "answered":
        await task
    elif state != "just asked":
        while not server.count():
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.02)
    if ending == "cancel":
        task.cancel()
    else:
        await asyncio.to_thread(resolver.close)
    try:
        async with asyncio.timeout(20):
            verdict = await task
        outcomes = {answer.outcome for answer in verdict.answers}
        said = "answered" if Outcome.NOT_LISTED not in outcomes else "wrong"
    except asyncio.CancelledError:
        said = "cancelled"
    except ClosedError:
        said = "closed"
    resolver.close()
    return said


# ---- descriptors, memory, disk ----


def test_descriptors(fault: Report) -> None:
    with DnsblServer(zones=ZONES) as server:
        seen = program("no_descriptors", served(server).nameserver)
    fault("out of descriptors", "incomplete or one clear error; right again when there are some", seen)


def no_descriptors(nameserver: str) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    said = []
    for warm in (False, True):
        with Resolver(ZONES, [nameserver], deadline_s=1.0, cache_size=0) as resolver:
            if warm:
                resolver.check(CLEAN, deadline_s=20.0)
            taken = []
            with suppress(OSError):
                while True:
                    taken.append(os.open("/dev/null", os.O_RDONLY))
            try:
                wrong = any(a.outcome is Outcome.NOT_LISTED for a in resolver.check(LISTED).answers)
                said.append("wrong" if wrong else "no wrong answer")
            except (MemoryError, OSError) as error:
                said.append(str(error))
            for descriptor in taken:
                os.close(descriptor)
            again = eventually(lambda: resolver.check(LISTED, deadline_s=5.0).complete)
            said.append("then complete" if again else "then not complete")
    print(f"before the first lookup: {said[0]}, {said[1]}; later: {said[2]}, {said[3]}")


def test_memory(fault: Report, preload: str) -> None:
    """Each allocation that the engine and c-ares make in some lookups, over UDP and TCP, fails once."""
    with DnsblServer(zones=ZONES) as server:
        served(server).zone(ZONES[1]).fault(truncated())
        seen = program("no_memory", server.nameserver, preload=preload)
    promised = "MemoryError or incomplete, never wrong, never a crash; right again afterwards"
    fault("out of memory at each allocation of the engine and of c-ares", promised, seen)


def no_memory(nameserver: str) -> None:
    library = ctypes.CDLL(None)
    said: Counter[str] = Counter()
    course(nameserver)
    library.faults_memory(0)
    course(nameserver)
    count = library.faults_allocations()
    library.faults_memory(-1)
    step = max(1, count // 60)  # all of them with FAULTS_EACH=1: minutes
    for nth in range(1, count + 1, 1 if os.environ.get("FAULTS_EACH") == "1" else step):
        library.faults_memory(nth)
        said[course(nameserver)] += 1
        library.faults_memory(-1)
    right = course(nameserver)
    wrong = sum(number for what, number in said.items() if what not in ("right", "incomplete", "MemoryError"))
    print(f"{wrong} wrong or crashed; afterwards: {right}" if count > 100 else f"only {count} allocations")


def course(nameserver: str) -> str:
    """A new resolver, a listed and a clean address, reasons, TCP; what became of it."""
    try:
        with Resolver(ZONES, [nameserver], deadline_s=1.0, timeout_s=0.1) as resolver:
            found = [resolver.check(LISTED), resolver.check(CLEAN)]
    except MemoryError:
        return "MemoryError"
    for verdict, wrong in zip(found, (Outcome.NOT_LISTED, Outcome.LISTED), strict=True):
        if wrong in {answer.outcome for answer in verdict.answers}:
            return f"wrong: {verdict}"
    return "right" if all(verdict.complete for verdict in found) else "incomplete"


def test_disk_full(fault: Report, tmp_path: Path) -> None:
    """A cache file on a file system of 64 KiB, in a mount namespace; and output to /dev/full."""
    if not shutil.which("unshare"):
        report_missing("util-linux")
    mount = f'mount -t tmpfs -o size=64k none {tmp_path} && exec "$@"'
    with DnsblServer(zones=ZONES) as server:
        wrap = ("unshare", "-rm", "sh", "-c", mount, "sh")
        seen = program("full_disk", served(server).nameserver, str(tmp_path), wrap=wrap)
        with open("/dev/full", "w") as full:
            command = [
                sys.executable,
                "-m",
                "dnsbl",
                "check",
                LISTED,
                "-z",
                ZONES[0],
                "-n",
                server.nameserver,
            ]
            done = subprocess.run(
                command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
            )
    lines = done.stderr.strip().splitlines()
    said = f"exit {done.returncode}, {len(lines)} line" if len(lines) == 1 else done.stderr
    promised = "one clear error; what was written before stays whole"
    fault("disk full: save_cache, and the command's output", promised, f"{seen}; the command: {said}")


def full_disk(nameserver: str, directory: str) -> None:
    path = Path(directory) / "cache"
    with Resolver(ZONES, [nameserver], deadline_s=5.0) as resolver:
        resolver.check(LISTED)
        resolver.save_cache(path)
        before = path.read_bytes()
        for number in range(700):
            resolver.check(f"198.51.{number >> 8}.{number & 255}")
        (Path(directory) / "fill").write_bytes(bytes(65536 - 3 * 4096 - len(before) // 4096 * 4096))
        try:
            resolver.save_cache(path)
            said = "saved"
        except OSError as error:
            said = os.strerror(error.errno or 0)
    left = sorted(each.name for each in Path(directory).iterdir())
    whole = "whole" if path.read_bytes() == before else "spoilt"
    print(f"{said}; the old file {whole}, {'no other left' if left == ['cache', 'fill'] else left}")


# ---- time ----


def test_clock(fault: Report, preload: str) -> None:
    with DnsblServer(zones=ZONES) as server:
        for name in ZONES:
            server.zone(name).list(LISTED, ttl=3600)
            server.zone(name).list(CLEAN, ttl=1)
        seen = program("jumping_clock", server.nameserver, preload=preload)
    fault("wall clock jumps a day forward and a day back", "no lookup and no answer's age notices", seen)


def jumping_clock(nameserver: str) -> None:
    library = ctypes.CDLL(None)
    said = []
    with Resolver(ZONES, [nameserver], deadline_s=10.0, ttl_min_s=0) as resolver:
        assert resolver.check(LISTED).complete
        began = time.time()
        for days in (1, -1):
            library.faults_clock(ctypes.c_longlong(days * 86_400))
            assert abs(time.time() - began - days * 86_400) < 3600, "the clock did not jump"
            held = resolver.check_cached(LISTED)
            assert resolver.check(CLEAN).complete
            gone = eventually(lambda: resolver.check_cached(CLEAN) is None)
            hour, second = "lost" if held is None else "kept", "gone" if gone else "kept"
            said.append(f"{days:+d} day: an answer of an hour {hour}, one of a second {second}")
    print("; ".join(said))


def test_stopped(fault: Report) -> None:
    """SIGSTOP for FAULTS_STOP_S seconds (2; give 10 for the length the page names), with lookups under way."""
    with DnsblServer(zones=ZONES) as server:
        served(server).fault(delay(0.3))
        child = subprocess.Popen(
            [sys.executable, str(HERE), "lookups", server.nameserver],
            env=child_environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
        child.send_signal(signal.SIGSTOP)
        time.sleep(STOP_S)
        child.send_signal(signal.SIGCONT)
        seen = child.stdout.readline().strip()
        child.stdout.close()
        assert child.wait(60) == 0
    fault("SIGSTOP and SIGCONT with lookups under way", "they end soon after; later ones are right", seen)


def lookups(nameserver: str) -> None:
    with Resolver(ZONES, [nameserver], deadline_s=1.0, cache_size=0) as resolver:
        outcomes: list[set[Outcome]] = []

        def one() -> None:
            outcomes.append({answer.outcome for answer in resolver.check(LISTED).answers})

        threads = [threading.Thread(target=one) for _ in range(20)]
        for thread in threads:
            thread.start()
        print("begun", flush=True)
        for thread in threads:
            thread.join(30)
        ended = len(outcomes) == 20 and not any(Outcome.NOT_LISTED in each for each in outcomes)
        after = eventually(lambda: resolver.check(LISTED, deadline_s=10.0).complete)
    print(
        f"{'all ended, none wrong' if ended else outcomes}; later: {'complete' if after else 'not complete'}"
    )


# ---- fork and threads; resolv.conf ----


def test_fork_and_threads(fault: Report) -> None:
    with DnsblServer(zones=ZONES) as server:
        seen = program("forks", served(server).nameserver)
    fault("fork while other threads look up", "the child's lookups are right, the parent's go on", seen)


def forks(nameserver: str) -> None:
    ended = threading.Event()
    wrong: list[object] = []
    with Resolver(ZONES, [nameserver], deadline_s=10.0, cache_size=0) as resolver:

        def busy() -> None:
            while not ended.is_set():
                if not resolver.check(LISTED).listed:
                    wrong.append("a thread's")

        threads = [threading.Thread(target=busy) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(10):
            child = os.fork()
            if child == 0:
                signal.alarm(60)
                os._exit(0 if resolver.check(LISTED).listed and not resolver.check(CLEAN).listed else 1)
            if os.waitpid(child, 0)[1]:
                wrong.append("a child's")
        ended.set()
        for thread in threads:
            thread.join()
    print(f"10 children, 4 threads: {len(wrong)} wrong")


def test_resolv_conf(fault: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is replaced while lookups go on; its nameserver of before is gone."""
    path = tmp_path / "resolv.conf"
    monkeypatch.setattr("dnsbl.lookup.resolvconf.PATH", str(path))
    monkeypatch.setattr("dnsbl.lookup.resolvconf.LOOK_EVERY_S", 0.0)
    with DnsblServer(zones=ZONES) as old, DnsblServer(zones=ZONES) as new:
        path.write_text(f"nameserver {old.nameserver}\n")
        for server in (old, new):
            served(server)
        with Resolver(ZONES, deadline_s=10.0, cache_size=0) as resolver:
            before = resolver.check(LISTED).complete
            old.stop()
            other = tmp_path / "other"
            other.write_text(f"nameserver {new.nameserver}\n")
            other.replace(path)
            after = eventually(
                lambda: resolver.check(LISTED).complete and not resolver.check(CLEAN).listed, 30.0
            )
    seen = f"before: {'complete' if before else 'not'}; after: {'complete' if after else 'not'}"
    fault("resolv.conf replaced in mid-run, its old nameserver gone", "the new one is asked within 5 s", seen)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
