"""What the resolver's tests share: a resolver on the loopback server, outcomes by zone, and times."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dnsbl
from dnsbl import Outcome, Resolver, Verdict, Zone, ZoneAnswer
from dnsbl.testing import DnsblServer

GRACE_S = 0.05
"""How much later than its deadline a lookup may end."""


def resolver_for(server: DnsblServer, *zones: str | Zone, **settings: Any) -> Resolver:
    """A resolver that asks `server` only; its deadline is short, but no healthy lookup waits for it."""
    settings.setdefault("deadline_s", 2.0)
    return Resolver(zones, [server.nameserver], **settings)


def with_zones(server: DnsblServer, *names: str) -> tuple[str, ...]:
    """Make these zones on the server."""
    for name in names:
        server.zone(name)
    return names


def outcomes(verdict: Verdict) -> list[Outcome]:
    return [answer.outcome for answer in verdict.answers]


def answer_of(verdict: Verdict, zone: str) -> ZoneAnswer:
    return next(answer for answer in verdict.answers if answer.zone == zone)


def eventually(condition: Callable[[], object], within_s: float = 3.0) -> bool:
    """Whether the condition comes true in that time."""
    end_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.01)
    return True


def check_on_time(took_s: Sequence[float], deadline_s: float) -> None:
    """Lookups that nobody answered ended at their deadline: none before it, most within the grace.

    Other processes may hold one of several up for a moment; what is late by design is late every time.
    """
    ordered = sorted(took_s)
    assert ordered[0] >= deadline_s - 0.002, ordered
    assert ordered[len(ordered) // 2] <= deadline_s + GRACE_S, ordered
    assert ordered[-1] <= deadline_s + 1.0, ordered


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What the call returned and how many seconds it took."""
    started_s = time.monotonic()
    result = call()
    return result, time.monotonic() - started_s


def in_threads(count: int, call: Callable[[int], Any]) -> list[Any]:
    """`call(number)` in so many threads that start together; the results in order, or the first error."""
    start = threading.Barrier(count)
    results: list[Any] = [None] * count
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            start.wait(10)
            results[number] = call(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads)
    return results


def descriptors() -> int:
    """Open file descriptors of this process."""
    return len(os.listdir("/dev/fd")) - 1  # the one that lists them


def os_threads() -> int:
    """Threads of this process, those that Python does not know of too (Linux; elsewhere Python's own)."""
    tasks = "/proc/self/task"
    return len(os.listdir(tasks)) if os.path.isdir(tasks) else threading.active_count()


def run_python(script: str, *arguments: str, timeout_s: float = 30.0, before: Sequence[str] = ()) -> str:
    """Run a script in a Python of its own, in development mode with warnings as errors; its output.

    before: a command that runs it.

    Fails unless it exits with 0 and writes nothing to its standard error.
    """
    done = subprocess.run(
        [*before, sys.executable, "-X", "dev", "-W", "error", "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(dnsbl.__file__).parents[1])},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", done.stderr
    return done.stdout
