"""One million addresses through `check_many`: resident memory once the cache is full, and the pace.

Two zones of a real rbldnsd on loopback, every address asked once; every 16th is a domain or a text that is no
subject, so that the whole path of a long audit is walked. The yardstick is the process's own memory when the
cache (its usual size) has been filled three times over: TLRUCache keeps marks of entries that it has dropped,
up to one for each that it holds, and has as many by then.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from common import ZONES, rbldnsd, table, verdict

from dnsbl import Resolver, SubjectError

SUBJECTS = 1_000_000
EVERY = 100_000
TURNS = 3
GROWTH_MIB = 2.0
"""What the allocator may move by; one leaked lookup in a hundred would be tens of MiB."""


def resident_mib() -> float:
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20
    # macOS: the highest so far, in bytes, which is flat too if memory is.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def subjects(count: int) -> Iterator[object]:
    for number in range(count):
        if number % 32 == 0:
            yield f"not a subject {number}"
        elif number % 32 == 16:
            yield f"host{number}.example.com"  # no zone here takes domains
        else:
            yield (0xC6000000 + number).to_bytes(4, "big")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else SUBJECTS
    rows, full_mib, most_mib, errors = [], 0.0, 0.0, 0
    with rbldnsd() as port, Resolver(ZONES[:2], [f"127.0.0.1:{port}"], deadline_s=10) as resolver:
        started = time.monotonic()
        for number, found in enumerate(resolver.check_many(subjects(count)), 1):
            errors += isinstance(found, SubjectError)
            if number % EVERY == 0:
                info, now_mib = resolver.cache_info(), resident_mib()
                pace = EVERY / (time.monotonic() - started)
                started = time.monotonic()
                rows.append([f"{number:,}", f"{info.currsize:,}", f"{now_mib:.1f}", f"{pace:,.0f}"])
                if number >= TURNS * info.maxsize:
                    full_mib = full_mib or now_mib
                    most_mib = max(most_mib, now_mib)
        in_flight = resolver.stats()["in_flight"]
    table(["subjects so far", "names held", "resident MiB", "subjects/s"], rows)
    print()
    print(f"errors in place: {errors:,}; in flight at the end: {in_flight}")
    verdict("MiB more than when the cache was full", most_mib - full_mib, GROWTH_MIB, at_least=False)


if __name__ == "__main__":
    main()
