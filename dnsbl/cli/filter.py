"""`dnsbl filter`: a message from stdin to stdout, with what the zones say of it in X-DNSBL-* headers.

For Postfix's pipe(8) transports and for procmail-like use. The message passes whole, byte for byte, whatever
is found: only the headers are added, on top, and headers of the same names that came with it are removed,
for anybody could have written those. Exit codes are those of sysexits.h. Postfix's pipe(8) bounces a message
on all of them but 0 and 75: contrib/content-filter makes a failure of any kind a 75, so that the message is
kept and tried again.

Headers (the names' beginning is `--prefix`):

    X-DNSBL-Status      listed | not listed | incomplete; then score=N and zones=A,B
    X-DNSBL-Listed      one for each finding: KIND SUBJECT; zones=A,B; in=WHERE
    X-DNSBL-Hop         the first untrusted hop's address, or why there is none
"""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from dnsbl.cli import CLOSED, complain
from dnsbl.cli.message import message_options, read_harmless
from dnsbl.cli.options import config_option, deadline_option, nameserver_option, open_resolver, zone_option
from dnsbl.errors import DnsblError

if TYPE_CHECKING:
    from dnsbl.lookup.message import MessageVerdict

EX_OK: Final = 0
EX_DATAERR: Final = 65
EX_IOERR: Final = 74
EX_TEMPFAIL: Final = 75
EX_CONFIG: Final = 78

NOT_READABLE: Final = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP)
"""What is wrong with a file that was named, and does not pass by itself."""

MAX_MESSAGE: Final = 256 << 20
"""Bytes of a message; postconf(5) message_size_limit is 10 MB by default. A longer one ends with 65."""
MAX_LISTED: Final = 20
"""X-DNSBL-Listed headers."""
MAX_LINE: Final = 900
"""Characters of a header; RFC 5322 section 2.1.1 allows 998 a line."""

_PREFIX: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,60}")
_END_OF_HEADERS: Final = re.compile(rb"^\r?\n", re.MULTILINE)
_UNSAFE: Final = re.compile(r"[^\x20-\x7e]")


@click.command("filter")
@click.option("--prefix", default="X-DNSBL", show_default=True, help="The beginning of the headers' names.")
@message_options
@zone_option
@nameserver_option
@deadline_option
@config_option
def command(
    prefix: str,
    trusted: tuple[str, ...],
    harmless_path: Path | None,
    zones: tuple[str, ...],
    nameservers: tuple[str, ...],
    deadline_s: float | None,
    config_path: Path | None,
) -> int:
    """Read a message from stdin and write it to stdout with X-DNSBL-* headers.

    Exit code: 0; 65 a message that is empty or too large; 74 stdin or stdout failed; 75 a failure that may
    pass; 78 the configuration or an option is wrong. On any but 0 nothing is written.
    """
    if not _PREFIX.fullmatch(prefix):
        complain(f"--prefix {prefix!r} is not a valid header name: use letters, digits and hyphens")
        return EX_CONFIG
    for stream in ("stdin", "stdout"):
        if stream in CLOSED:
            complain(f"{stream}: it is closed, and a message goes from stdin to stdout")
            return EX_IOERR
    try:
        data = sys.stdin.buffer.read(MAX_MESSAGE + 1)
    except OSError as error:
        complain(f"stdin: {error.strerror}")
        return EX_IOERR
    if not data or len(data) > MAX_MESSAGE:
        complain("the message is empty" if not data else f"the message is larger than {MAX_MESSAGE} bytes")
        return EX_DATAERR
    try:
        harmless = read_harmless(harmless_path)
        with open_resolver(zones, nameservers, deadline_s, config_path, prove=True) as (resolver, _):
            verdict = resolver.check_message(data, trusted=trusted or None, harmless=harmless)
    except DnsblError as error:
        complain(str(error))
        return EX_CONFIG
    except OSError as error:
        complain(f"{error.filename or 'a file'}: {error.strerror}")
        return EX_CONFIG if error.errno in NOT_READABLE else EX_TEMPFAIL
    except MemoryError:
        complain("not enough memory for this message")
        return EX_TEMPFAIL
    return _write(with_headers(data, verdict, prefix))


def _write(data: bytes) -> int:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        complain(f"stdout: {error.strerror}")
        return EX_IOERR
    return EX_OK


def with_headers(data: bytes, verdict: MessageVerdict, prefix: str) -> bytes:
    """The message with headers that tell the verdict, those of the same names removed.

    An mbox's `From ` line stays first. Line ends are as in the message's first line.
    """
    end = b"\r\n" if data[: data.find(b"\n") + 1].endswith(b"\r\n") else b"\n"
    envelope = b""
    if data.startswith(b"From "):
        envelope, newline, data = data.partition(b"\n")
        envelope += newline
    found = _END_OF_HEADERS.search(data)
    head, rest = (data[: found.start()], data[found.start() :]) if found else (data, b"")
    forged = re.compile(
        rb"^" + re.escape(prefix.encode("ascii")) + rb"-[!-9;-~]*[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)",
        re.IGNORECASE | re.MULTILINE,
    )
    added = b"".join(f"{prefix}-{line}".encode("ascii") + end for line in header_lines(verdict))
    return envelope + added + forged.sub(b"", head) + rest


def header_lines(verdict: MessageVerdict) -> Iterator[str]:
    """`Status: listed; ...` and so on: ASCII, without control characters, at most 900 characters a line."""
    state = "listed" if verdict.listed else "not listed"
    status = (
        f"Status: {state if verdict.listed or verdict.complete else 'incomplete'}; score={verdict.score:g}"
    )
    if verdict.zones:
        status += f"; zones={','.join(verdict.zones)}"
    yield _safe(status)
    for finding in verdict.listings[:MAX_LISTED]:
        listed_by = ",".join(answer.zone for answer in finding.verdict.listings)
        where = ", ".join(finding.where)
        yield _safe(f"Listed: {finding.kind} {finding.verdict.subject}; zones={listed_by}; in={where}")
    yield _safe(f"Hop: {verdict.hop.address or verdict.hop.why}")


def _safe(text: str) -> str:
    return _UNSAFE.sub("?", text)[:MAX_LINE]
