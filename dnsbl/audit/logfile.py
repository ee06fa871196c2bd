"""Log files as lines: plain, gzip or xz, and the journal's export; in flat memory, whatever they hold."""

from __future__ import annotations

import gzip
import io
import lzma
import sys
import time
from collections.abc import Iterator
from typing import BinaryIO, Final, cast

from dnsbl.audit.maillog import Event, Unreadable, parse_line, parse_message
from dnsbl.errors import InputError

MAX_LINE: Final = 65_536
"""Bytes of a line or a journal field; a longer one is skipped and counts as one that cannot be read."""
JOURNAL: Final = (b"__CURSOR=", b"__REALTIME_TIMESTAMP=")


def read_log(path: str) -> Iterator[Event | Unreadable | None]:
    """What each line of a log says: an event; None, another daemon's; Unreadable.

    path: a file, or `-` for standard input. Raises OSError where it cannot be read, and InputError where
    what is packed in it is damaged, after what could be read.
    """
    with _open(path) as file:
        try:
            first = file.readline(MAX_LINE)
            if first.startswith(JOURNAL):
                yield from _journal(first, file)
            else:
                yield from _lines(first, file)
        except (EOFError, lzma.LZMAError, gzip.BadGzipFile) as error:
            raise InputError(f"{path}: damaged, read up to there: {error}", path) from None


def _open(path: str) -> BinaryIO:
    source: str | int = sys.stdin.fileno() if path == "-" else path
    file = open(source, "rb", closefd=path != "-")  # noqa: SIM115  # the caller closes it
    start = file.peek(6)
    if start.startswith(b"\x1f\x8b"):
        return cast(BinaryIO, _Closing(file, gzip.GzipFile(fileobj=file)))
    if start.startswith(b"\xfd7zXZ\x00"):
        return cast(BinaryIO, _Closing(file, lzma.LZMAFile(file)))
    return file


class _Closing:
    """A packed file, which closes the one below it too."""

    def __init__(self, below: BinaryIO, above: gzip.GzipFile | lzma.LZMAFile) -> None:
        self._below = below
        self._above = io.BufferedReader(above, 1 << 16)
        self.readline, self.read = self._above.readline, self._above.read

    def __enter__(self) -> _Closing:
        return self

    def __exit__(self, *failure: object) -> None:
        self._above.close()
        self._below.close()


def _lines(line: bytes, file: BinaryIO) -> Iterator[Event | Unreadable | None]:
    broken = Unreadable()
    while line:
        if len(line) == MAX_LINE and not line.endswith(b"\n"):
            while (rest := file.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                pass
            yield broken
        elif line != b"\n":
            try:
                yield parse_line(line.rstrip(b"\r\n"))
            except Unreadable:
                yield broken
        line = file.readline(MAX_LINE)


def _journal(line: bytes, file: BinaryIO) -> Iterator[Event | Unreadable | None]:
    """The entries of `journalctl -o export` (systemd: docs/JOURNAL_EXPORT_FORMATS.md)."""
    entry: dict[bytes, bytes] = {}
    while line:
        if line == b"\n":
            if entry:
                yield _entry(entry)
            entry = {}
        else:
            name, equals, value = line.rstrip(b"\n").partition(b"=")
            if not equals:
                value = _binary(file)
            if len(entry) < 256:
                entry[name] = value
        line = file.readline(MAX_LINE)
    if entry:
        yield _entry(entry)


def _binary(file: BinaryIO) -> bytes:
    """A field that is not text: its size in 8 bytes, little-endian, then its bytes and a line end."""
    size = int.from_bytes(file.read(8), "little")
    value = file.read(min(size, MAX_LINE))
    left = size + 1 - len(value)
    while left > 0 and (skipped := len(file.read(min(left, MAX_LINE)))):
        left -= skipped
    return value


def _entry(entry: dict[bytes, bytes]) -> Event | Unreadable | None:
    message, stamp = entry.get(b"MESSAGE"), entry.get(b"__REALTIME_TIMESTAMP", b"")
    if message is None or not stamp.isdigit() or len(stamp) > 17:
        return Unreadable()
    tag = entry.get(b"SYSLOG_IDENTIFIER", b"")
    if not tag.endswith((b"postscreen", b"smtpd", b"cleanup")):
        return None
    when = time.strftime("%Y-%m-%d %H", time.localtime(int(stamp) // 1_000_000))
    try:
        return parse_message(tag, message, when)
    except Unreadable as error:
        return error
