"""`dnsbl serve`: cached lookups a second over HTTP, beside an empty reply of the same framework and server.

    python benchmarks/bench_serve.py [RUNS]

Six zones on a real rbldnsd, one server process, one client process with 16 connections, all on loopback; the
contestants take turns. A second figure is of a subject that all zones list: more text in each reply.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import common

CONNECTIONS = 16
SECONDS = 3.0
TARGET_PER_S = 3_000

EMPTY = """
import sys
sys.path.insert(0, {root!r})
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

async def empty(request):
    return Response(b"")

app = Starlette(routes=[Route("/", empty)])
uvicorn.run(app, port={port}, lifespan="off", access_log=False, log_level="error", ws="none", http="httptools")
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def server(command: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {"PYTHONPATH": str(common.HERE.parent)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        else:
            sys.exit("the server did not start within 15 s")
        yield process
    finally:
        process.terminate()
        process.wait()


def ask(sock: socket.socket, request: bytes) -> bytes:
    sock.sendall(request)
    return receive(sock)


def receive(sock: socket.socket) -> bytes:
    """One reply with a Content-Length."""
    data = sock.recv(65_536)
    while b"\r\n\r\n" not in data:
        data += sock.recv(65_536)
    head, _, body = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        sys.exit(f"the server answered {head[:80]!r}")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0])
    while len(body) < length:
        body += sock.recv(65_536)
    return body


def rate(port: int, path: str) -> float:
    """Replies a second over all connections, each with one request under way."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    socks = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
    for sock in socks:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ask(sock, request)
        sock.sendall(request)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        for sock in socks:
            receive(sock)
            sock.sendall(request)
        count += CONNECTIONS
    took_s = time.perf_counter() - start
    for sock in socks:
        sock.close()
    return count / took_s


def main(runs: int) -> None:
    figures: dict[str, list[float]] = {"empty reply": [], "clean": [], "listed by six": []}
    empty_port, port = free_port(), free_port()
    with common.rbldnsd() as nameserver, tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "dnsbl.toml"
        zones = "".join(f'[[zone]]\nname = "{zone}"\n' for zone in common.ZONES)
        config.write_text(
            f'[resolver]\nnameservers = ["127.0.0.1:{nameserver}"]\n{zones}[serve]\nrate_per_s = 0\n'
        )
        ours = [sys.executable, "-m", "dnsbl", "serve", f"--config={config}", f"--listen=127.0.0.1:{port}"]
        bare = [sys.executable, "-c", EMPTY.format(root=str(common.HERE.parent), port=empty_port)]
        with server(bare, empty_port), server(ours, port):
            for _ in range(runs):
                figures["empty reply"].append(rate(empty_port, "/"))
                figures["clean"].append(rate(port, "/check/192.0.2.1"))
                figures["listed by six"].append(rate(port, f"/check/{common.LISTED}"))
    common.table(
        ["cached, over HTTP", "replies/s"], [[name, common.spread(f)] for name, f in figures.items()]
    )
    clean, empty = common.median(figures["clean"]), common.median(figures["empty reply"])
    listed = common.median(figures["listed by six"])
    common.verdict("clean, replies/s", clean, TARGET_PER_S, at_least=True)
    common.verdict("listed, replies/s", listed, TARGET_PER_S, at_least=True)
    common.verdict("clean against an empty reply", clean / empty, 0.5, at_least=True)
    common.verdict("listed against an empty reply", listed / empty, 0.5, at_least=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else common.RUNS)
