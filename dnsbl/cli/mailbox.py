"""Messages from a file, stdin, an mbox or a Maildir, one after another, each bounded in memory."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from dnsbl.errors import ConfigError

MAX_MESSAGE: Final = 64 << 20
"""Bytes of one message that are kept in memory; the rest of a longer one is not read into it."""

_FROM_LINE: Final = re.compile(rb"From .*\d\d:\d\d.*\d{4}")
"""With a time and a year, as mbox writers make it (RFC 4155); a sentence that begins with From has none."""


class Source(NamedTuple):
    """name: the file, with the message's number behind it in an mbox. data: the message's bytes."""

    name: str
    data: bytes


def messages(path: str) -> Iterator[Source]:
    """Every message of `path`: `-` (stdin), a message's file, an mbox, or a Maildir (with cur and new).

    A file is an mbox if it begins with `From `. Raises OSError for what cannot be read, ConfigError for a
    folder that is no Maildir.
    """
    if path == "-":
        yield from _of_stream(sys.stdin.buffer, "-")
        return
    place = Path(path)
    if not place.is_dir():
        with place.open("rb") as stream:
            yield from _of_stream(stream, path)
        return
    folders = [place / name for name in ("new", "cur") if (place / name).is_dir()]
    if not folders:
        raise ConfigError(f"{path} is not a valid Maildir: use a folder with cur and new in it", path)
    for folder in folders:
        for file in sorted(folder.iterdir()):
            if file.is_file() and not file.name.startswith("."):
                with file.open("rb") as stream:
                    yield Source(str(file), stream.read(MAX_MESSAGE))


def _of_stream(stream: BinaryIO, name: str) -> Iterator[Source]:
    first = stream.readline(MAX_MESSAGE)
    if not first.startswith(b"From "):
        yield Source(name, first + stream.read(MAX_MESSAGE - len(first)))
        return
    for number, data in enumerate(_of_mbox(stream), 1):
        yield Source(f"{name}:{number}", data)


def _of_mbox(stream: BinaryIO) -> Iterator[bytes]:
    """The messages behind a first `From ` line; one more begins at each such line after an empty one."""
    lines: list[bytes] = []
    size = 0
    empty_before = False
    while line := stream.readline(1 << 20):
        if empty_before and line.startswith(b"From ") and _FROM_LINE.match(line[:400]):
            yield b"".join(lines)
            lines, size = [], 0
        elif size < MAX_MESSAGE:
            # `>From ` at a line's start is a quoted `From `: mboxrd(5).
            kept = line[1:] if re.match(rb">+From ", line) else line
            lines.append(kept)
            size += len(kept)
        empty_before = line in (b"\n", b"\r\n")
    yield b"".join(lines)
