"""Queries a second, and lookups at loss, where the nameserver is some way off: delay_server.c on loopback.

`check_many` with a window of 2,000 over six zones, beside raw pycares callbacks with 1,500 in flight.
Arguments: seconds of each measurement (3), and the rounds (1).
"""

from __future__ import annotations

import contextlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pycares
from common import ZONES, median, need, table, verdict

from dnsbl import Resolver

DELAYS_MS = (0, 5, 20, 50)
LOSSES_PERCENT = (1, 5, 20)
WINDOW = 2000
RAW_IN_FLIGHT = 1500
TARGET = 1.3
P99_S = 1.3


@contextlib.contextmanager
def built() -> Iterator[Path]:
    """The nameserver, compiled."""
    folder = Path(tempfile.mkdtemp(prefix="dnsbl-bench-"))
    program = folder / "delay_server"
    source = Path(__file__).parent / "delay_server.c"
    subprocess.run([need("cc", "gcc"), "-O2", "-o", str(program), str(source)], check=True)
    try:
        yield program
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def nameserver(program: Path, delay_ms: float, loss_percent: float = 0) -> Iterator[int]:
    """It runs; gives its port."""
    command = [str(program), str(delay_ms), str(loss_percent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        yield int(server.stdout.readline())
        server.stdin.close()


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


def at_loss(port: int, seconds: float) -> tuple[float, float, int]:
    """Of single lookups by 20 threads: p99 in seconds, the share incomplete, how many."""
    took_s: list[float] = []
    incomplete = 0
    end_s = time.monotonic() + seconds
    with Resolver(ZONES, [f"127.0.0.1:{port}"], reasons=False) as resolver:

        def look_up(thread: int) -> None:
            nonlocal incomplete
            number = 0
            while time.monotonic() < end_s:
                number += 1
                began_s = time.monotonic()
                found = resolver.check(bytes([12, thread, number >> 8 & 255, number & 255]))
                took_s.append(time.monotonic() - began_s)
                incomplete += not found.complete

        threads = [threading.Thread(target=look_up, args=(thread,)) for thread in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return statistics.quantiles(took_s, n=100)[-1], incomplete / len(took_s), len(took_s)


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    rows = []
    with built() as program:
        for delay_ms in DELAYS_MS:
            mine, theirs, lost = [], [], 0.0
            for _ in range(rounds):
                with nameserver(program, delay_ms) as port:
                    rate, share = ours(port, seconds)
                    mine.append(rate)
                    lost = max(lost, share)
                with nameserver(program, delay_ms) as port:
                    theirs.append(raw(port, seconds))
            ratio = median(mine) / median(theirs)
            rates = [f"{median(mine):,.0f}", f"{median(theirs):,.0f}"]
            rows.append([f"{delay_ms}", *rates, f"{ratio:.2f}", f"{lost:.2%}"])
            verdict(f"queries/s at {delay_ms} ms, times pycares", ratio, TARGET, at_least=True)
        table(["delay ms", "check_many q/s", "pycares q/s", "ratio", "incomplete"], rows)
        rows = []
        for loss in LOSSES_PERCENT:
            with nameserver(program, 20, loss) as port:
                p99_s, share, count = at_loss(port, seconds)
            rows.append([f"{loss} %", f"{p99_s:.2f}", f"{share:.2%}", f"{count:,}"])
            if loss == 5:
                verdict("p99 of a lookup at 5 % loss, seconds", p99_s, P99_S, at_least=False)
        table(["loss", "p99 s", "incomplete", "lookups"], rows)


if __name__ == "__main__":
    main()
