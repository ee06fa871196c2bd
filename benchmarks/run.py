"""Run all benchmarks, each with a limit of time, and write RESULTS.md and results.json anew: `make bench`.

A benchmark that fails or takes too long says so in its place, and the others run all the same. Servers are started
and stopped by the benchmarks; what one leaves behind when it is stopped goes with its process group.

    python benchmarks/run.py [NAME ...] [--python PYTHON]
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from common import HERE, RECORD

LIMIT_S = 150.0
LIMITS_S = {
    "bulk": 480.0,
    "cache": 240.0,
    "lists": 300.0,
    "lookup": 240.0,
    "network": 480.0,
    "policyd": 300.0,
    "postscreen": 180.0,
    "stream": 180.0,
}
"""How long each may take. They took 25 minutes in all on 2026-11-27, on a slow machine of two cores."""

ORDER = ("micro", "cache", "resolver", "lookup", "zones", "cli", "policyd", "postscreen")
"""These first, in this order: where the machine is wanted quiet."""

ARGUMENTS = {
    "policyd": ["--memory-requests", "200000", "--seconds", "3", "--requests", "1000"],
    "lookup": ["--lookups", "4000", "--single", "1000"],
    "network": ["2", "3"],
}
"""Less than the whole run that each makes alone."""

NOT_MEASURED = """\
Lists over a real network, a recursive resolver in between (but see bench_network.py), and anything on more than one
machine. Everything shares the processors with the servers it asks and with whatever else the machine does; figures
of two machines, or of two days, are not to be compared, ratios of one run are. Contestants that keep many queries on
their way are given no more than rbldnsd's socket buffer holds (157 small datagrams). policyd-weight is not among the
peers: it asks nameservers on port 53 only."""


def names() -> list[str]:
    found = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    return [name for name in ORDER if name in found] + [name for name in found if name not in ORDER]


def command(name: str, python: str) -> list[str]:
    return [python, str(HERE / f"bench_{name}.py"), *ARGUMENTS.get(name, [])]


def run_one(name: str, python: str) -> dict[str, Any]:
    """Run one benchmark to its end or its limit; its record, with how it ended."""
    limit_s = LIMITS_S.get(name, LIMIT_S)
    with tempfile.TemporaryDirectory(prefix="dnsbl-bench-") as folder:
        path = Path(folder) / "record.json"
        process = subprocess.Popen(
            command(name, python),
            env=os.environ | {RECORD: str(path), "PYTHONPATH": str(HERE.parent), "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        started = time.monotonic()
        try:
            code = process.wait(limit_s)
            ended = "" if code == 0 else f"ended with {code}: see what it printed"
        except subprocess.TimeoutExpired:
            ended = f"stopped after {limit_s:g} s"
        finally:
            _stop_group(process)
        record: dict[str, Any] = {"tables": [], "targets": [], "notes": []}
        with contextlib.suppress(OSError, ValueError):
            record |= json.loads(path.read_text())
    return record | {"ended": ended, "took_s": round(time.monotonic() - started, 1)}


def _stop_group(process: subprocess.Popen[bytes]) -> None:
    """What a benchmark has started and did not stop, and itself if it is still there."""
    for sign, wait_s in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait_s)


# ---- what was measured on what ----


def machine() -> dict[str, str]:
    """What the figures depend on, by name."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _first_line(["git", "-C", str(HERE.parent), "describe", "--always", "--dirty"]),
        "CPU": f"{model}, {os.cpu_count()} processors, load {load} at the start",
        "system": platform.platform(),
        "Python": platform.python_version(),
        **{name: _version(name) for name in ("pycares", "aiodns", "pydnsbl", "aiodnsbl", "dnspython")},
        "c-ares": _cares(),
        "rbldnsd": _first_line(["rbldnsd", "-h"]),
        "Postfix": _first_line(["postconf", "-h", "mail_version"]),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except ModuleNotFoundError:
        return "not installed"


def _cares() -> str:
    import pycares

    return str(pycares.ARES_VERSION)


def _first_line(words: list[str]) -> str:
    program = shutil.which(words[0]) or shutil.which(words[0], path="/usr/sbin:/sbin")
    if program is None:
        return "not installed"
    done = subprocess.run([program, *words[1:]], capture_output=True, text=True, timeout=30, check=False)
    return (done.stdout or done.stderr).strip().partition("\n")[0] or "unknown"


# ---- the page ----


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _section(name: str, record: dict[str, Any]) -> list[str]:
    text = ast.get_docstring(ast.parse((HERE / f"bench_{name}.py").read_text())) or ""
    about = " ".join(text.partition("\n\n")[0].split())
    lines = [f"## bench_{name}.py", "", f"{about} ({record['took_s']:g} s)", ""]
    if record["ended"]:
        lines += [f"**Not finished: {record['ended']}.**", ""]
    for each in record["tables"]:
        lines += [_row(each["head"]), _row(["---"] + ["---:"] * (len(each["head"]) - 1))]
        lines += [*map(_row, each["rows"]), ""]
    for target in record["targets"]:
        lines.append(f"- {'reached' if target['reached'] else '**missed**'}: {target['what']}")
    lines += [f"- {text}" for text in record["notes"]]
    return [*lines, ""]


def page(about: dict[str, str], records: dict[str, dict[str, Any]]) -> str:
    """RESULTS.md."""
    lines = [
        "# Results of the last run", "",
        "Written by `make bench`; what each benchmark asks, and how, stands at its top and in README.md. Where a "
        "range is given it is from the lowest to the highest run.", "",
        *[f"- {name}: {value}" for name, value in about.items()], "",
        "Not measured: " + " ".join(NOT_MEASURED.split()), "",
    ]  # fmt: skip
    for name, record in records.items():
        lines += _section(name, record)
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("names", nargs="*", metavar="NAME", help="only these, and RESULTS.md stays as it is")
    options.add_argument("--python", default=sys.executable)
    given = options.parse_args()
    about, records = machine(), {}
    for name in given.names or names():
        print(f"\n== bench_{name}.py", flush=True)
        records[name] = run_one(name, given.python)
        if records[name]["ended"]:
            print(f"bench_{name}.py: {records[name]['ended']}", flush=True)
        # After each, so that a run that is stopped leaves what it has.
        (HERE / "results.json").write_text(
            json.dumps({"about": about, "benchmarks": records}, indent=1) + "\n"
        )
        if not given.names:
            (HERE / "RESULTS.md").write_text(page(about, records))
    missed = [
        target["what"] for record in records.values() for target in record["targets"] if not target["reached"]
    ]
    print(f"\n{len(missed)} figures missed" + "".join(f"\n  {what}" for what in missed))
    if any(record["ended"] for record in records.values()):
        sys.exit("some benchmarks did not finish")


if __name__ == "__main__":
    main()
