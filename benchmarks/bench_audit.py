"""A generated Postfix log of 1,000,000 lines (seeded, genlog.py) read by `dnsbl audit`: time and memory.

Only the reading is measured; the lookups are bench_bulk.py's. The yardstick is `wc -l` on the same file.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from common import run, table, verdict
from genlog import lines

LINES = 1_000_000
SECONDS, MIB = 20.0, 500.0


def read(path: str) -> None:
    from dnsbl.audit.clients import Clients
    from dnsbl.audit.logfile import read_log

    clients, started = Clients(date(2026, 11, 27)), time.monotonic()
    clients.add_all(read_log(path))
    figures = {
        "s": time.monotonic() - started,
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        / (1024 if sys.platform != "darwin" else 2**20),
        "lines": clients.lines,
        "unparsed": clients.unparsed,
        "clients": len(clients.by_address),
    }
    print(json.dumps(figures))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mail.log"
        with path.open("w") as file:
            file.writelines(line + "\n" for line in lines(LINES))
        started = time.monotonic()
        subprocess.run(["wc", "-l", str(path)], check=True, stdout=subprocess.DEVNULL)
        yardstick_s = time.monotonic() - started
        found = run(Path(__file__), "read", path)
    counts = [f"{found[name]:,.0f}" for name in ("lines", "clients", "unparsed")]
    table(
        ["lines", "clients", "not readable", "seconds", "MiB", "wc -l, seconds"],
        [[*counts, f"{found['s']:.1f}", f"{found['mib']:.0f}", f"{yardstick_s:.2f}"]],
    )
    print()
    verdict("seconds for the log", found["s"], SECONDS, at_least=False)
    verdict("MiB at the most", found["mib"], MIB, at_least=False)


if __name__ == "__main__":
    if sys.argv[1:2] == ["read"]:
        read(sys.argv[2])
    else:
        main()
