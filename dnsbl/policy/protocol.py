"""Postfix's SMTP access policy delegation protocol: bytes in, requests out, an action in, a reply out.

The protocol is that of Postfix's SMTPD_POLICY_README: a request is `name=value` lines, ended by an empty
line; the reply is one `action=...` line and an empty line; the connection is used again. Nothing here does
I/O or knows what an attribute means.

What the protocol leaves open, and what is done here:

- A name given twice: the last value counts (the manual allows the first or the last).
- A value may hold `=` and any byte but NUL and newline. What is not UTF-8 is kept (surrogateescape).
- A name is not empty. A request without attributes is a request. Nothing is carried over from one request
  to the next.
- A request over `MAX_REQUEST_BYTES` or `MAX_ATTRIBUTES`, or with a line that is not an attribute, is an error,
  after which no more is read: in trouble, says the manual, log, send no reply, and disconnect.
"""

from __future__ import annotations

from dnsbl.errors import DnsblError

REQUEST_TYPE = "smtpd_access_policy"
"""The value of the attribute `request` in what Postfix asks."""

MAX_REQUEST_BYTES = 65_536
"""The longest request, the empty line that ends it included. Postfix sends about 1,000 bytes."""

MAX_ATTRIBUTES = 200
"""The most lines in a request, repeated names included. Postfix 3.9 sends about 35."""

MAX_ACTION_BYTES = 512
"""The longest action. An SMTP reply line holds no more (RFC 5321 section 4.5.3.1.5)."""

Attributes = dict[str, str]
"""One request. Every value as it was sent; bytes that are not UTF-8 as surrogates U+DC80 to U+DCFF."""


class ProtocolError(DnsblError):
    """The other side does not speak the protocol; its connection cannot be used any more."""


class RequestReader:
    r"""Takes bytes in pieces of any size and gives requests, in the order in which they were sent.

    >>> reader = RequestReader()
    >>> reader.feed(b"request=smtpd_access_policy\nclient_address=192.0.2.99\n\nrequest=smt")
    >>> reader.next()
    {'request': 'smtpd_access_policy', 'client_address': '192.0.2.99'}
    >>> reader.next() is None, reader.size_bytes
    (True, 11)
    """

    __slots__ = ("_buffer", "_checked", "_lines", "_searched")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._forget()

    @property
    def size_bytes(self) -> int:
        """How many bytes are held that `next` has not given yet."""
        return len(self._buffer)

    def feed(self, data: bytes | memoryview) -> None:
        """Take what was read. The caller stops reading while `next` still has requests to give."""
        self._buffer += data

    def next(self) -> Attributes | None:
        """The next request, or None until more bytes come. Raises ProtocolError, and then every time."""
        buffer = self._buffer
        if not buffer:
            return None
        if buffer[:1] == b"\n":  # the empty line alone
            del buffer[:1]
            return {}
        end = buffer.find(b"\n\n", self._searched)
        if end < 0:
            self._check_unfinished()
            return None
        if end + 2 > MAX_REQUEST_BYTES:
            raise _too_long()
        attributes = _parse(buffer[:end].decode("utf-8", "surrogateescape"))
        del buffer[: end + 2]
        self._forget()
        return attributes

    def _forget(self) -> None:
        self._searched = 0  # no end of the request before this offset
        self._checked = 0  # the lines before this offset are attributes
        self._lines = 0  # how many they are

    def _check_unfinished(self) -> None:
        """Find what is wrong with a request before its end, which may never come."""
        buffer = self._buffer
        if len(buffer) > MAX_REQUEST_BYTES:
            raise _too_long()
        self._searched = len(buffer) - 1
        end = buffer.rfind(b"\n", self._checked)
        if end < 0:
            return
        text = buffer[self._checked : end].decode("utf-8", "surrogateescape")
        lines = self._lines + text.count("\n") + 1
        if lines > MAX_ATTRIBUTES:
            raise _too_many()
        _parse(text)
        self._lines = lines
        self._checked = end + 1


def format_reply(action: str) -> bytes:
    r"""The reply that carries an action: `action=...` and an empty line, printable ASCII, bounded.

    Whatever the action holds, there is one attribute in the reply: a run of control characters and spaces
    becomes one space, other characters outside ASCII become `?` (an SMTP reply is ASCII, RFC 5321 section
    4.2, and Postfix drops an action that is not UTF-8), and what is over `MAX_ACTION_BYTES` is cut off.
    Raises ValueError where nothing is left: Postfix would take that for OK.

    >>> format_reply("REJECT listed\r\naction=OK")
    b'action=REJECT listed action=OK\n\n'
    """
    if not (action.isascii() and action.isprintable() and len(action) <= MAX_ACTION_BYTES):
        action = clean_text(action, MAX_ACTION_BYTES)
    if not action or action.isspace():
        raise ValueError("an empty action")
    return b"action=%b\n\n" % action.encode("ascii")


def clean_text(text: str, max_chars: int) -> str:
    r"""The text in printable ASCII, without control characters, at most `max_chars` long.

    What is beyond four times `max_chars` is not looked at.

    >>> clean_text("see\x00\r\n  http://example.com/caf\u00e9", 100)
    'see http://example.com/caf?'
    """
    if text.isascii() and text.isprintable() and len(text) <= max_chars and "  " not in text:
        return text.strip(" ")
    spaced = "".join(c if c.isprintable() else " " for c in text[: 4 * max_chars])
    words = " ".join(spaced.split())
    return words.encode("ascii", "replace").decode("ascii")[:max_chars].rstrip()


def _parse(text: str) -> Attributes:
    lines = text.split("\n")
    if len(lines) > MAX_ATTRIBUTES:
        raise _too_many()
    try:
        # A line without "=" gives a list of one, which dict() refuses: the check costs nothing.
        attributes = dict([line.split("=", 1) for line in lines])
    except ValueError:
        raise _no_attribute(next(line for line in lines if "=" not in line)) from None
    if "" in attributes:
        raise _no_attribute(next(line for line in lines if line.startswith("=")))
    if "\0" in text:
        raise _no_attribute(next(line for line in lines if "\0" in line))
    return attributes


def _too_long() -> ProtocolError:
    return ProtocolError(f"a request of more than {MAX_REQUEST_BYTES} bytes")


def _too_many() -> ProtocolError:
    return ProtocolError(f"a request of more than {MAX_ATTRIBUTES} attributes")


def _no_attribute(line: str) -> ProtocolError:
    return ProtocolError(f"a line that is not an attribute (name=value): {line[:60]!a}")
