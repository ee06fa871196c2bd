"""The running daemon's control socket: `stats`, `flush [SUBJECT]`, `recheck`, one line in, one of JSON out.

A UNIX socket of mode 0600: only the daemon's own user and root may ask. It serves one line a connection.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from dnsbl.errors import DnsblError, InputError
from dnsbl.policyd.addresses import UnixAddress
from dnsbl.policyd.listeners import Listener, open_listener

MAX_LINE_BYTES: Final = 2_000
MAX_ANSWER_BYTES: Final = 1 << 20
READ_S: Final = 5.0
ANSWER_S: Final = 30.0
NAME: Final = "control"
"""The socket's name in systemd's RuntimeDirectory=."""
DEFAULT_CONTROL: Final = Path("/run/dnsbl/control")
"""Where the unit in contrib/ has it."""

Command = Callable[[str], Awaitable[dict[str, Any]]]
"""Takes what follows the command's name. DnsblError is told to whoever asks."""


def default_path(env: Mapping[str, str] = os.environ) -> Path | None:
    """In the first of systemd's $RUNTIME_DIRECTORY, where there is one."""
    first = env.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(first) / NAME if first else None


class ControlServer:
    """Serves commands on a path until `close`."""

    def __init__(self, path: Path, commands: Mapping[str, Command]) -> None:
        """Raises ListenError where the path cannot be listened on."""
        self._commands = commands
        self._listener: Listener = open_listener(UnixAddress(str(path.absolute())), mode=0o600)
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(
            self._serve, sock=self._listener.sock, limit=MAX_LINE_BYTES
        )

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, TimeoutError):  # gone, or a line too long
            async with asyncio.timeout(READ_S):
                line = await reader.readline()
            answer = await self._answer(line.decode("utf-8", "replace").strip())
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def _answer(self, line: str) -> dict[str, Any]:
        name, _, rest = line.partition(" ")
        command = self._commands.get(name)
        if command is None:
            return {"error": f"unknown command {name[:40]!r}; there are {', '.join(self._commands)}"}
        try:
            async with asyncio.timeout(ANSWER_S):
                return await command(rest.strip())
        except (DnsblError, TimeoutError) as error:
            return {"error": str(error) or f"{name} took too long"}


def ask(path: Path, line: str) -> dict[str, Any]:
    """Ask a running daemon. Raises InputError, one line, where none answers there or it refuses."""
    data = b""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(ANSWER_S + READ_S)
            sock.connect(str(path))
            sock.sendall(line.encode() + b"\n")
            while not data.endswith(b"\n") and len(data) < MAX_ANSWER_BYTES:
                piece = sock.recv(65_536)
                if not piece:
                    break
                data += piece
        answer: dict[str, Any] = json.loads(data)
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "no answer"
        raise InputError(
            f"no daemon answers on {path}: {why}; is it running, with control = in [policy] naming this "
            "path, and are you its user or root?",
            str(path),
        ) from None
    if "error" in answer:
        raise InputError(str(answer["error"]), line)
    return answer
