"""A million entries in a list file: load time, memory, and the time of a look-up, beside other ways.

    python benchmarks/bench_lists.py [--entries N] [--rbldnsd PROGRAM]

Needs pytricia and py-radix (the group `bench`) to have them beside it, and rbldnsd for the last line. Times
are of the processor, the best of several rounds, so that other work on the machine counts little; rbldnsd's
are by the clock, over loopback.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import socket
import statistics
import subprocess
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common import table

from dnsbl import Resolver
from dnsbl.lists.read import read
from dnsbl.zones.zone import Zone

ROUNDS = 5
LOOKUPS = 50_000


def networks(count: int) -> list[str]:
    """Different /24s in random places, in order, as a list of this size has them."""
    chance = random.Random(1)
    blocks = sorted(chance.sample(range(1 << 16, 224 << 16), count))
    return [f"{block >> 16}.{block >> 8 & 255}.{block & 255}.0/24" for block in blocks]


def keys() -> list[bytes]:
    chance = random.Random(2)
    return [chance.randbytes(4) for _ in range(LOOKUPS)]


def networks6(count: int) -> list[str]:
    """Different /64s in random places, in order."""
    chance = random.Random(3)
    blocks = sorted(chance.sample(range(0x2000 << 48, 0x3000 << 48), count))
    return [
        f"{block >> 48:x}:{block >> 32 & 0xFFFF:x}:{block >> 16 & 0xFFFF:x}:{block & 0xFFFF:x}::/64"
        for block in blocks
    ]


def addresses6(count: int) -> list[str]:
    """Different addresses in random places, in order."""
    return [line.removesuffix("/64") + "1" for line in networks6(count)]


def names(count: int) -> list[str]:
    """Different names of 19 to 27 characters, half of them with all below them."""
    chance = random.Random(4)
    return [
        f"{'.' if number & 1 else ''}{block:x}.example{number % 1000}.com"
        for number, block in enumerate(chance.sample(range(1 << 40), count))
    ]


def others(count: int) -> Iterator[list[str]]:
    """What is no IPv4: loaded as a file's text, looked up by the list's own way in."""
    chance = random.Random(5)
    keys6 = [(0x20 + chance.randrange(16)).to_bytes() + chance.randbytes(15) for _ in range(LOOKUPS)]
    subjects = [f"www.{chance.getrandbits(40):x}.example{chance.randrange(1000)}.com" for _ in range(LOOKUPS)]
    for title, format, make, looked_up in (
        ("IPv6 /64s, address as bytes", "plain", networks6, keys6),
        ("IPv6 addresses, address as bytes", "plain", addresses6, keys6),
        ("names, by suffix too (four look-ups)", "dnset", names, subjects),
    ):
        text = ("\n".join(make(count)) + "\n").encode()
        data, load_s = loaded(lambda text=text, format=format: read(text, format))
        size = memory_per_entry(lambda text=text, format=format: read(text, format), count)
        yield row(title, load_s, size, best_us(data.lists, looked_up))


def percentiles(times: list[float]) -> str:
    """Median and 99th percentile, in us."""
    return f"{statistics.median(times):.1f}; {sorted(times)[int(len(times) * 0.99)]:.1f}"


def each_us(look: Callable[[Any], object], subjects: list[Any]) -> list[float]:
    """The clock's time of every call."""
    times = []
    for subject in subjects:
        start = time.perf_counter()
        look(subject)
        times.append((time.perf_counter() - start) * 1e6)
    return times


def best_us(look: Callable[[Any], object], subjects: list[Any]) -> float:
    """Microseconds of one call."""
    found = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for subject in subjects:
            look(subject)
        found.append((time.process_time() - start) / len(subjects) * 1e6)
    return min(found)


def loaded(make: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    made = make()
    return made, time.process_time() - start


def memory_per_entry(make: Callable[[], Any], entries: int) -> float:
    """Bytes that Python allocates for what stays, for each entry; what a library takes past it is unseen."""
    tracemalloc.start()
    made = make()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del made
    return size / entries


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def row(name: str, load_s: float | str, size: float | str, look_us: float | str) -> list[str]:
    """Of the table; shown at once, since some take a minute."""
    cells = [f"{each:.2f}" if isinstance(each, float) else each for each in (load_s, size, look_us)]
    print("  ".join([name, *cells]), flush=True)
    return [name, *cells]


def bench_library(name: str, lines: list[str], subjects: list[str]) -> list[str]:
    before = resident()
    if name == "pytricia":
        import pytricia

        def make() -> Any:
            tree = pytricia.PyTricia(32)
            for line in lines:
                tree[line] = 1
            return tree

        tree, load_s = loaded(make)
        look: Callable[[Any], object] = tree.get
    else:
        import radix

        def make() -> Any:
            tree = radix.Radix()
            for line in lines:
                tree.add(line)
            return tree

        tree, load_s = loaded(make)
        look = tree.search_best
    return row(
        f"{name}, address as text", load_s, (resident() - before) / len(lines), best_us(look, subjects)
    )


def bench_rbldnsd(program: str, path: Path, subjects: list[bytes]) -> list[str]:
    """The clock's time of one query after another, over loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    command = [program, "-n", "-c", "0", "-b", f"127.0.0.1/{port}", f"bl.example:ip4trie:{path}"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        times = ask_rbldnsd(port, subjects[:20_000])
    finally:
        server.terminate()
        server.wait()
    return row("rbldnsd over loopback, median; 99th percentile", "", "", percentiles(times))


def ask_rbldnsd(port: int, subjects: list[bytes]) -> list[float]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        sock.settimeout(0.2)
        for _ in range(150):  # until it has loaded
            try:
                sock.send(question(b"\x7f\0\0\2"))
                sock.recv(512)
                break
            except OSError:
                time.sleep(0.2)
        times = []
        for subject in subjects:
            packet = question(subject)
            start = time.perf_counter()
            sock.send(packet)
            sock.recv(512)
            times.append((time.perf_counter() - start) * 1e6)
    return times


def question(key: bytes) -> bytes:
    labels = [*(str(octet) for octet in reversed(key)), "bl", "example"]
    name = b"".join(bytes([len(label)]) + label.encode() for label in labels)
    return b"\0\1\1\0\0\1\0\0\0\0\0\0" + name + b"\0\0\1\0\1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--rbldnsd", default="/usr/sbin/rbldnsd", help="the program; empty: leave it out")
    options = parser.parse_args()
    lines, subjects = networks(options.entries), keys()
    text = ("\n".join(lines) + "\n").encode()
    texts = [socket.inet_ntoa(subject) for subject in subjects]
    data, load_s = loaded(lambda: read(text, "plain"))
    size = memory_per_entry(lambda: read(text, "plain"), options.entries)
    rows = [
        row("dnsbl.lists, address as bytes", load_s, size, best_us(data._sets[0]._ip4.value_at, subjects))
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "list.txt"
        path.write_bytes(text)
        path.chmod(0o644)
        Path(folder).chmod(0o755)
        with Resolver([Zone.from_file(path, format="plain")]) as resolver:
            clean = [subject for subject in subjects if not data.lists(subject)]
            rows += [
                row("Resolver.check, not listed, from bytes", "", "", best_us(resolver.check, clean)),
                row("the same, median; 99th percentile", "", "", percentiles(each_us(resolver.check, clean))),
            ]
        for name in ("pytricia", "radix"):  # each in a process of its own, for its memory to be seen
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                rows.append(pool.apply(bench_library, (name, lines, texts)))
        rows += others(options.entries)
        if options.rbldnsd:
            rows.append(bench_rbldnsd(options.rbldnsd, path, subjects))
    print()
    table([f"{options.entries:,} entries", "load s", "bytes an entry", "look-up us"], rows)


if __name__ == "__main__":
    main()
