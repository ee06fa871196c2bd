"""`dnsbl policyd` beside postfwd2: requests a second, CPU a request, latency under a steady load, memory.

Both ask the same six zones of one rbldnsd on loopback, in one run, by turns; medians, the spread and the
worst of the rounds are shown, and the ratio of the medians. The requests are those of Postfix 3.7, each with
an `instance` of its own, so that nothing but the caches is shared between them.

What favours postfwd2: it does not log (`--perfmon`), `dnsbl policyd` logs every decision; it runs without
Perl's taint checks (with them it cannot be pointed at another nameserver). Not measured: Postfix itself, a
network, zones that answer slowly. The client is Python and shares the machine's processors with the servers.

    python benchmarks/bench_policyd.py                       # the whole run: about ten minutes
    python benchmarks/bench_policyd.py --rounds 1 --requests 500 --memory-requests 20000 --seconds 2
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from common import LISTED, ZONES, free_port, median, need, rbldnsd, spread, table, verdict

ROOT = Path(__file__).parents[1]
START_S = 60.0

TARGET_CACHED = 12.0
TARGET_UNCACHED = 12.0
TARGET_CACHED_CPU_US = 25.0
TARGET_UNCACHED_CPU_US = 120.0
TARGET_P99_MS = 2.0
TARGET_GROWTH_KIB = 4_096

REQUEST = """\
request=smtpd_access_policy
protocol_state=RCPT
protocol_name=ESMTP
client_address={client}
client_name=unknown
client_port=51234
reverse_client_name=host.example.net
server_address=192.0.2.25
server_port=25
helo_name=mail.example.net
sender=sender@example.net
recipient=user@example.com
recipient_count=0
queue_id=
instance={instance}
size=12345
etrn_domain=
stress=
sasl_method=
sasl_username=
sasl_sender=
ccert_subject=
ccert_issuer=
ccert_fingerprint=
ccert_pubkey_fingerprint=
encryption_protocol=TLSv1.3
encryption_cipher=TLS_AES_256_GCM_SHA384
encryption_keysize=256
policy_context=

"""


class Requests:
    """Makes requests, each with an instance of its own. Unlisted clients are of 198.18.0.0 and on."""

    def __init__(self) -> None:
        self._instances = iter(range(1, 1 << 60))
        self._fresh = iter(range(1 << 16, 1 << 20))

    def cached(self, count: int, clients: int = 200) -> list[bytes]:
        """Requests of a few clients, over and over; one in fifty is of the listed one."""
        return [self._make(number % clients if number % 50 else None) for number in range(count)]

    def uncached(self, count: int) -> list[bytes]:
        """Requests of clients that were not seen before."""
        return [self._make(next(self._fresh)) for _ in range(count)]

    def _make(self, client: int | None) -> bytes:
        """One request; client: which, None for the listed one."""
        address = LISTED
        if client is not None:
            address = f"{198 + (client >> 18)}.{18 + (client >> 16 & 3)}.{client >> 8 & 255}.{client & 255}"
        instance = f"1a2b.{next(self._instances):x}.0"
        return REQUEST.format(client=address, instance=instance).encode()


# Servers


def wait_for(port: int) -> None:
    end = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


@contextmanager
def program(*command: str, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, start_new_session=True, **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def policyd(directory: Path, nameserver_port: int) -> Iterator[tuple[int, int]]:
    """Our daemon with its built-in rules and its log in a file; gives port and process id."""
    port = free_port()
    zones = [argument for zone in ZONES for argument in ("-z", zone)]
    (directory / "empty.toml").write_text("")
    with (
        (directory / "policyd.log").open("wb") as log,
        program(
            sys.executable, "-m", "dnsbl", "policyd", "--listen", f"127.0.0.1:{port}", *zones,
            "--nameserver", f"127.0.0.1:{nameserver_port}", "--config", str(directory / "empty.toml"),
            stderr=log, cwd=ROOT,
        ) as process,
    ):  # fmt: skip
        wait_for(port)
        yield port, process.pid


@contextmanager
def postfwd2(directory: Path, nameserver_port: int) -> Iterator[int]:
    """postfwd2 with one rule over the same zones; its DNS and request caches are on, as by default."""
    source = need("postfwd2", "postfwd")
    script = directory / "postfwd2"
    script.write_text(Path(source).read_text(errors="surrogateescape").replace("/perl -T", "/perl", 1))
    rules = directory / "postfwd.cf"
    rules.write_text(f"id=RBL; rbl={', '.join(ZONES)}; rblcount>=1; action=REJECT listed: $$dnsbltext\n")
    port, cache_port = free_port(), free_port()
    pid_file = directory / "postfwd2.pid"
    user, group = ("nobody", "nogroup") if os.geteuid() == 0 else (str(os.geteuid()), str(os.getegid()))
    subprocess.run(
        ["perl", str(script), "-f", str(rules), "--server_socket", f"tcp:127.0.0.1:{port}",
         "--cache_socket", f"tcp:127.0.0.1:{cache_port}", "--pidfile", str(pid_file),
         "-u", user, "-g", group, "--perfmon", "--min_servers", "20"],
        env={**os.environ, "RES_NAMESERVERS": "127.0.0.1", "RES_OPTIONS": f"port:{nameserver_port}"},
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(port)
    time.sleep(1.0)
    try:
        yield port
    finally:
        os.kill(int(pid_file.read_text()), signal.SIGTERM)


# Clients


def connect(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def one_by_one(port: int, requests: Sequence[bytes]) -> float:
    """One connection, one request at a time; gives requests per second."""
    with connect(port) as sock:
        started = time.perf_counter()
        for request in requests:
            sock.sendall(request)
            reply = sock.recv(4096)
            while not reply.endswith(b"\n\n"):
                reply += _more(sock)
        return len(requests) / (time.perf_counter() - started)


def _more(sock: socket.socket) -> bytes:
    data = sock.recv(4096)
    if not data:
        raise SystemExit("the server closed the connection")
    return data


def on_many(port: int, requests: Sequence[bytes], connections: int) -> float:
    """Each connection has one request under way at any time; gives requests per second."""
    left = iter(requests)
    socks = {sock.fileno(): sock for sock in (connect(port) for _ in range(connections))}
    poll = select.epoll()
    for fd in socks:
        poll.register(fd, select.EPOLLIN)
    started = time.perf_counter()
    for sock in socks.values():
        sock.sendall(next(left))
    under_way = len(socks)
    while under_way:
        for fd, _ in poll.poll():
            if not socks[fd].recv(4096).endswith(b"\n\n"):
                continue  # the end of the reply is still to come
            request = next(left, None)
            if request is None:
                under_way -= 1
            else:
                socks[fd].sendall(request)
    took_s = time.perf_counter() - started
    poll.close()
    for sock in socks.values():
        sock.close()
    return len(requests) / took_s


def steady(port: int, requests: Sequence[bytes], rate: float, connections: int) -> list[float]:
    """Requests at fixed times, spread over the connections; gives each one's milliseconds, sorted.

    Counted from when a request was due, so that a server that stalls is not spared the ones held up.
    """
    socks = [connect(port) for _ in range(connections)]
    due: list[list[float]] = [[] for _ in socks]
    places = {sock.fileno(): place for place, sock in enumerate(socks)}
    poll = select.epoll()
    for fd in places:
        poll.register(fd, select.EPOLLIN)
    latencies: list[float] = []
    started = time.perf_counter() + 0.01
    sent = 0
    while len(latencies) < len(requests):
        now = time.perf_counter()
        while sent < len(requests) and started + sent / rate <= now:
            place = sent % connections
            due[place].append(started + sent / rate)
            socks[place].sendall(requests[sent])
            sent += 1
        wait_s = started + sent / rate - time.perf_counter() if sent < len(requests) else 1.0
        for fd, _ in poll.poll(max(wait_s, 0)):
            place = places[fd]
            replies = socks[place].recv(65536).count(b"\n\n")
            now = time.perf_counter()
            latencies += [(now - at) * 1000 for at in due[place][:replies]]
            del due[place][:replies]
    poll.close()
    for sock in socks:
        sock.close()
    return sorted(latencies)


def flood(port: int, make: Callable[[int], list[bytes]], count: int) -> None:
    """`count` requests on one connection, fifty at a time."""
    with connect(port) as sock:
        for _ in range(count // 50):
            sock.sendall(b"".join(make(50)))
            replies = 0
            while replies < 50:
                replies += _more(sock).count(b"\n\n")


def resident_kib(pid: int) -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmRSS" in line)
    return int(line.split()[1])


TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """What a process has used so far, user and system, in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


# The run


def cpu(port: int, pid: int, requests: Requests, options: argparse.Namespace) -> None:
    """Of the daemon alone, a request, over many connections; the client's is not counted."""
    rows = []
    for kind, count, most in (
        ("cached", options.requests * 10, TARGET_CACHED_CPU_US),
        ("uncached", options.requests * 2, TARGET_UNCACHED_CPU_US),
    ):
        used = []
        for _ in range(options.rounds):
            made = requests.cached(count) if kind == "cached" else requests.uncached(count)
            before = cpu_s(pid)
            on_many(port, made, options.connections)
            used.append((cpu_s(pid) - before) / count * 1e6)
        rows.append([f"{kind}, {options.connections} connections", spread(used, ".1f")])
        verdict(f"us of CPU a request, {kind} (worst {max(used):.1f})", median(used), most, at_least=False)
    table(["dnsbl policyd", "us of CPU a request"], rows)


def compare(name: str, ours: list[float], theirs: list[float], target: float) -> None:
    ratio = median(ours) / median(theirs)
    print()
    verdict(f"{name}, in postfwd2's", ratio, target, at_least=True)
    rows = [[who, spread(values)] for who, values in (("dnsbl policyd", ours), ("postfwd2", theirs))]
    table([f"{name}, median of {len(ours)} (lowest to highest)", "requests/s"], rows)
    print(f"  our worst in postfwd2's best: {min(ours) / max(theirs):.1f}")


def check(port: int, requests: Requests) -> None:
    """Both reject the listed client and no other, or there is nothing to compare."""
    for request, wanted in zip(requests.cached(2), (b"action=REJECT", b"action=DUNNO"), strict=True):
        with connect(port) as sock:
            sock.sendall(request)
            reply = _more(sock)
        if not reply.startswith(wanted):
            raise SystemExit(f"port {port}: {reply!r} instead of {wanted!r}; is a server still starting?")


def throughput(ours: int, theirs: int, requests: Requests, options: argparse.Namespace) -> None:
    kinds = ("cached", "uncached", "many", "many uncached")
    results: dict[tuple[str, int], list[float]] = {
        (kind, port): [] for kind in kinds for port in (ours, theirs)
    }
    for port in (ours, theirs):
        check(port, requests)
        one_by_one(port, requests.cached(400))
    for _ in range(options.rounds):
        for port in (theirs, ours):
            count = options.requests * (10 if port == ours else 1)
            results["cached", port].append(one_by_one(port, requests.cached(count)))
            results["many", port].append(on_many(port, requests.cached(count), options.connections))
            results["uncached", port].append(one_by_one(port, requests.uncached(count // 5)))
            made = requests.uncached(count // 5)
            results["many uncached", port].append(on_many(port, made, options.connections))
    for kind, name, target in (
        ("cached", "cached, one connection", TARGET_CACHED),
        ("uncached", "uncached, one connection", TARGET_UNCACHED),
        ("many", f"cached, {options.connections} connections", TARGET_CACHED),
        ("many uncached", f"uncached, {options.connections} connections", TARGET_UNCACHED),
    ):
        compare(name, results[kind, ours], results[kind, theirs], target)


def latency(port: int, requests: Requests, options: argparse.Namespace) -> None:
    rate, connections = 2_000.0, 100
    worst = []
    for _ in range(options.rounds):
        times = steady(port, requests.cached(int(rate * options.seconds)), rate, connections)
        worst.append((times[len(times) // 2], times[len(times) * 99 // 100], times[-1]))
    print()
    what = f"p99 in ms of cached requests, {rate:,.0f} a second over {connections} connections"
    verdict(what, median([row[1] for row in worst]), TARGET_P99_MS, at_least=False)
    for p50, p99, longest in worst:
        print(f"  p50 {p50:.2f} ms, p99 {p99:.2f} ms, longest {longest:.2f} ms")


def memory(port: int, pid: int, requests: Requests, options: argparse.Namespace) -> None:
    """A tenth to fill what is to be filled; what comes after must not need more."""
    sizes = []
    for _ in range(10):
        flood(port, lambda count: requests.cached(count, 10_000), options.memory_requests // 10)
        sizes.append(resident_kib(pid))
    print()
    what = f"KiB of growth over {options.memory_requests:,} requests, after the first tenth"
    verdict(what, sizes[-1] - sizes[0], TARGET_GROWTH_KIB, at_least=False)
    print("  KiB after each tenth: " + " ".join(f"{size:,}" for size in sizes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--requests", type=int, default=2_000, help="postfwd2's per round; ours get ten times as many"
    )
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10.0, help="of steady load per round")
    parser.add_argument("--memory-requests", type=int, default=1_000_000)
    options = parser.parse_args()
    requests = Requests()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dnsbl-bench-")))
        directory.chmod(0o755)
        dns = stack.enter_context(rbldnsd())
        ours, pid = stack.enter_context(policyd(directory, dns))
        theirs = stack.enter_context(postfwd2(directory, dns))
        throughput(ours, theirs, requests, options)
        cpu(ours, pid, requests, options)
        latency(ours, requests, options)
        memory(ours, pid, requests, options)


if __name__ == "__main__":
    main()
