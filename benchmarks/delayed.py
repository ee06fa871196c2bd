"""delay_server.c, a nameserver some way off: compiled, and run on loopback."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from common import need


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
def running(program: Path, *arguments: float) -> Iterator[tuple[int, int]]:
    """The nameserver's port and process id."""
    command = [str(program), *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        yield int(server.stdout.readline()), server.pid
        server.stdin.close()


@contextlib.contextmanager
def nameserver(program: Path, delay_ms: float, loss_percent: float = 0, rate: float = 0) -> Iterator[int]:
    """It runs; gives its port."""
    with running(program, delay_ms, loss_percent, rate) as (port, _):
        yield port
