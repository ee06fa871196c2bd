"""What the answer cache costs: time per call beside a bare TLRUCache lookup, and bytes per entry.

An entry is a clean subject: six zones, all NXDOMAIN. The bare TLRUCache holds values of the same size under
the same keys. Times are of one thread without the resolver's lock, on a warm cache; the resolver's own cost
(parsing the subject, the lock, the verdict) is measured in bench_resolver.py. Memory is what tracemalloc
counts, keys and all of TLRUCache's structures included, not what the operating system hands out.
"""

from __future__ import annotations

import gc
import time
import timeit
import tracemalloc
from collections.abc import Callable
from random import Random

from cachetools import TLRUCache
from common import RUNS, median, spread, table, verdict

from dnsbl.cache.answers import AnswerCache
from dnsbl.cache.entry import HEADER, Held, HeldTexts, pack, unpack
from dnsbl.model import Status, Wire

ENTRIES = 80_000
CALLS = 40_000
WANTED = 0b111111
CLEAN = Wire(Status.NXDOMAIN, 3)
LISTED = Wire(Status.OK, 0, (0x7F000002, 0x7F00000A))
BYTES_AT_MOST = 600


def clean_answers(expires: float) -> dict[int, Held]:
    return {zone: Held(CLEAN, expires + zone) for zone in range(6)}


def contestants() -> dict[str, Callable[[], object]]:
    """What is timed, by name; each call is one operation."""
    now = time.monotonic()
    keys = [n.to_bytes(4, "big") for n in range(ENTRIES)]
    clean = clean_answers(now + 10_000)
    listed = clean | {0: Held(LISTED, now + 10_000)}
    texts = {0: HeldTexts((b"https://www.example.com/query/192.0.2.99",), now + 10_000)}
    entry = pack(clean, {}, now)
    entry_listed = pack(listed, texts, now)
    assert entry is not None
    assert entry_listed is not None
    bare: TLRUCache[bytes, bytes] = TLRUCache(ENTRIES, lambda key, value, at: at + 10_000)
    bare_full: TLRUCache[bytes, bytes] = TLRUCache(ENTRIES, lambda key, value, at: at + 10_000)
    cache, cache_full = AnswerCache(ENTRIES), AnswerCache(ENTRIES)
    for key in keys:
        bare[key] = bare_full[key] = bytes(bytearray(entry))
        cache.put(key, clean)
        cache_full.put(key, clean)
    turn = iter(range(10**12))

    def is_clean() -> bool:
        found = cache.get(keys[next(turn) % ENTRIES])
        if found is None:
            return False
        soonest, _, present, notable = HEADER.unpack_from(found)
        return now < soonest and present & WANTED == WANTED and not notable & WANTED

    def fresh(step: int = 1 << 31) -> bytes:
        return (step + next(turn)).to_bytes(4, "big")

    return {
        "(the loop and choosing a key)": lambda: keys[next(turn) % ENTRIES],
        "TLRUCache, bare: cache[key]": lambda: bare[keys[next(turn) % ENTRIES]],
        "TLRUCache, bare: cache.get(key)": lambda: bare.get(keys[next(turn) % ENTRIES]),
        "get": lambda: cache.get(keys[next(turn) % ENTRIES]),
        "get, and is it clean?": is_clean,
        "unpack, all six clean": lambda: unpack(entry, now),
        "unpack, the one listing and its text": lambda: unpack(entry_listed, now, 1),
        "TLRUCache, bare: cache[key] = value, full": lambda: bare_full.__setitem__(fresh(), entry),
        "put, six zones, full": lambda: cache_full.put(fresh(), clean),
        "put into an entry that is there": lambda: cache.put(keys[0], {0: listed[0]}),
    }


def times() -> None:
    calls = contestants()
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(RUNS):
        for name, call in calls.items():
            found[name].append(timeit.timeit(call, number=CALLS) / CALLS * 1e9)
    yardstick = median(found["TLRUCache, bare: cache[key]"])
    rows = [[name, spread(values), f"{median(values) / yardstick:.1f}"] for name, values in found.items()]
    table(["one call", "ns: median (range)", "x bare cache[key]"], rows)


def some_clean_answers(random: Random) -> dict[int, Held]:
    """With TTLs as they vary in life: TLRUCache keeps a mark of an evicted entry until its expiry is next."""
    return clean_answers(time.monotonic() + random.uniform(300, 3600))


def bytes_per_entry(entries: int, key_bytes: int) -> tuple[float, float]:
    """After filling an empty cache, and the highest while three times as many more go through it."""
    random = Random(20261125)
    gc.collect()
    tracemalloc.start()
    cache = AnswerCache(entries)
    start, _ = tracemalloc.get_traced_memory()
    for n in range(entries):
        cache.put(n.to_bytes(key_bytes, "big"), some_clean_answers(random))
    filled = tracemalloc.get_traced_memory()[0] - start
    highest = filled
    for n in range(entries, 4 * entries):
        cache.put(n.to_bytes(key_bytes, "big"), some_clean_answers(random))
        if n % 500 == 0:
            highest = max(highest, tracemalloc.get_traced_memory()[0] - start)
    tracemalloc.stop()
    return filled / entries, highest / entries


def memory() -> None:
    rows: list[list[str]] = []
    most: dict[int, tuple[float, float]] = {}
    for entries in (ENTRIES, 100_000):
        both = [bytes_per_entry(entries, key_bytes) for key_bytes in (4, 16)]
        for kind, (filled, highest) in zip(("IPv4", "IPv6"), both, strict=True):
            rows.append([f"{entries:,} {kind}", f"{filled:.0f}", f"{highest:.0f}"])
        most[entries] = max(filled for filled, _ in both), max(highest for _, highest in both)
    table(["cache size, full of clean subjects", "bytes each, filled", "highest in use"], rows)
    print()
    for entries, (filled, highest) in most.items():
        what = f"bytes per clean subject in a cache of {entries:,}"
        verdict(f"{what}, filled", filled, BYTES_AT_MOST, at_least=False)
        verdict(f"{what}, highest in use", highest, BYTES_AT_MOST, at_least=False)


if __name__ == "__main__":
    times()
    print()
    memory()
