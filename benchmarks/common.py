"""What the benchmarks share: a real rbldnsd on loopback, runs in processes of their own, and the table.

Nothing here asks anything beyond loopback. Each contestant runs in its own process, whose CPU time is the
operating system's account of it; contestants take turns, run by run, so that a machine whose speed drifts
slows all of them alike.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ZONES = tuple(f"zone{number}.bl.example" for number in range(1, 7))
LISTED = "192.0.2.99"
RUNS = 5

RECORD = "DNSBL_BENCH_RECORD"
"""An environment variable: the file that a benchmark's tables and figures go to as JSON, for `run.py`."""

_recorded: dict[str, list[Any]] = {"tables": [], "targets": [], "notes": []}

_ZONE_FILE = f"""$SOA 3600 ns.bl.example hostmaster.bl.example 1 3600 600 86400 3600
$NS 3600 ns.bl.example
$TTL 3600
:127.0.0.2:$ is listed
127.0.0.2
{LISTED}
"""


PORT_53 = "127.0.0.9"
"""Where the server is started for those that ask port 53 only."""


def may_use_port_53() -> bool:
    """Whether this user may listen there, and nobody does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((PORT_53, 53))
        except OSError:
            return False
    return True


def need(program: str, package: str) -> str:
    """The path of a program; ends the benchmark with one line if it is not there."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if found is None:
        sys.exit(f"this benchmark needs {program}: apt install {package}")
    return found


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def rbldnsd(
    zones: Sequence[str] = ZONES, address: str = "127.0.0.1", port: int | None = None
) -> Iterator[int]:
    """rbldnsd with six ip4set zones on loopback; gives its port. Ends the benchmark if it does not start."""
    program = need("rbldnsd", "rbldnsd")
    folder = Path(tempfile.mkdtemp(prefix="dnsbl-bench-"))
    folder.chmod(0o755)
    (folder / "zone").write_text(_ZONE_FILE)
    port = port or free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    data = [f"{zone}:ip4set:zone" for zone in zones]
    server = subprocess.Popen(
        [program, "-n", *user, "-w", str(folder), "-b", f"{address}/{port}", *data],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await_answer(address, port, f"2.0.0.127.{zones[0]}")
        yield port
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder)


def _await_answer(address: str, port: int, name: str) -> None:
    question = b"\0\1\1\0\0\1\0\0\0\0\0\0"
    question += b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((address, port))
        client.settimeout(0.1)
        for _ in range(100):
            try:
                client.send(question)
                client.recv(512)
                return
            except OSError:
                time.sleep(0.05)
    sys.exit("rbldnsd did not answer on loopback within 10 s")


def run(script: Path, *args: object, timeout_s: float = 300.0) -> dict[str, float]:
    """Run one contestant; its last line is a JSON object of figures."""
    command = [sys.executable, str(script), *map(str, args)]
    environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
    environment.pop(RECORD, None)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout_s, check=False, env=environment
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command[1:])} failed:\n{done.stderr}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float], form: str = ",.0f") -> str:
    """`median (lowest to highest)`."""
    return f"{format(median(values), form)} ({format(min(values), form)} to {format(max(values), form)})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, and keep it for the record."""
    _recorded["tables"].append({"head": list(head), "rows": [list(row) for row in rows]})
    widths = [max(len(line[column]) for line in [head, *rows]) for column in range(len(head))]
    for line in [head, *rows]:
        first, *rest = (
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        print("  ".join([first, *rest]).rstrip())


def verdict(what: str, value: float, target: float, *, at_least: bool) -> None:
    """One line on a figure to reach; a miss is said, not hidden."""
    met = value >= target if at_least else value <= target
    word = "at least" if at_least else "at most"
    line = f"{what}: {value:.2f}, to be {word} {target:g}"
    _recorded["targets"].append({"reached": met, "what": line})
    print(f"{'reached' if met else 'MISSED '}  {line}")


def worst_ratio(ours: Sequence[float], theirs: Sequence[float], *, at_least: bool) -> float:
    """Of the runs' ratios, ours to theirs in the same round, the one that speaks most against us."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return min(ratios) if at_least else max(ratios)


def note(text: str) -> None:
    """Print a line that belongs to the results, and keep it: what was left out, and why."""
    _recorded["notes"].append(text)
    print(text)


def _write_record() -> None:
    if path := os.environ.get(RECORD):
        Path(path).write_text(json.dumps(_recorded))


atexit.register(_write_record)
