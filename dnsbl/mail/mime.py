"""A message's bytes to its headers and its text parts, bounded in parts, depth and bytes.

Header blocks are read by the standard library's `email` with policy compat32: its modern parser is quadratic
on hostile headers (cpython#136063), and compat32 keeps their text as it stands. The body is cut into parts
here, because `email.feedparser` looks at every enclosing boundary for each line and recurses for each level:
on 1 MiB of nested multiparts it takes seconds and ends in RecursionError. What is left out is reported.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message as EmailMessage
from email.parser import BytesHeaderParser
from email.policy import compat32
from typing import Final, NamedTuple

_END_OF_HEADERS: Final = re.compile(rb"\r?\n\r?\n|\A\r?\n")
_NOT_BASE64: Final = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
)
_TAG_START: Final = re.compile(r"<(?:html|body|a|img|div|table|p)\b", re.IGNORECASE)

# Codecs that are not a message's, and of which some are quadratic (punycode, idna).
_NO_CHARSETS: Final = frozenset({"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape"})


class Limits(NamedTuple):
    """How much of a message is looked at. What is beyond is reported, never silently dropped.

    message_bytes: of the message as a whole. header_bytes: of each header block. parts: MIME parts of any
    kind. depth: of multiparts in multiparts. text_bytes: of all text parts together, decoded or not.
    links: in all parts. domains, emails, urls: different ones that are asked about.
    """

    message_bytes: int = 8 << 20
    header_bytes: int = 256 << 10
    parts: int = 100
    depth: int = 12
    text_bytes: int = 1 << 20
    links: int = 5000
    domains: int = 100
    emails: int = 30
    urls: int = 100


class TextPart(NamedTuple):
    """number: which part of the message, from 1. kind: text/plain, text/html ... text: decoded."""

    number: int
    kind: str
    text: str

    @property
    def is_html(self) -> bool:
        """Whether mail programs show it as HTML."""
        return "html" in self.kind


@dataclass(slots=True)
class Reader:
    """Walks one message. left_out: one line for each limit that was met."""

    limits: Limits
    left_out: dict[str, None] = field(default_factory=dict)
    _parts: int = 0
    _text_bytes: int = 0

    def headers_and_body(self, data: bytes) -> tuple[EmailMessage, bytes]:
        """A header block, parsed, and what follows the first empty line."""
        found = _END_OF_HEADERS.search(data)
        head, body = (data[: found.end()], data[found.end() :]) if found else (data, b"")
        if len(head) > self.limits.header_bytes:
            self._leave_out(f"headers beyond {self.limits.header_bytes} bytes")
            head = head[: self.limits.header_bytes].rpartition(b"\n")[0] + b"\n\n"
        parsed = BytesHeaderParser(policy=compat32).parsebytes(head)
        rest = parsed.get_payload()
        if isinstance(rest, str) and rest.strip():  # a line that is no header ends the headers
            body = rest.encode("utf-8", "surrogateescape") + body
        return parsed, body

    def text_parts(self, headers: EmailMessage, body: bytes, depth: int = 0) -> Iterator[TextPart]:
        """Every text part, decoded, in order; attached messages and text files are read too."""
        self._parts += 1
        number = self._parts
        kind, boundary, charset, encoding = _content_of(headers)
        if kind == "message/rfc822" or (boundary and kind.startswith("multipart/")):
            if depth >= self.limits.depth:
                self._leave_out(f"parts nested deeper than {self.limits.depth}")
                return
            inner = [body] if kind == "message/rfc822" else _split(body, boundary)
            for part in inner:
                if self._parts >= self.limits.parts:
                    self._leave_out(f"parts beyond {self.limits.parts}")
                    return
                yield from self.text_parts(*self.headers_and_body(part), depth + 1)
            return
        if not kind.startswith(("text/", "multipart/")) and "html" not in kind:
            return
        text = self._decoded(body, encoding, charset)
        if kind == "text/plain" and _TAG_START.match(text.lstrip()[:20]):
            kind = "text/html"  # without a type of its own, some programs show it so
        yield TextPart(number, kind, text)

    def _decoded(self, body: bytes, encoding: str, charset: str) -> str:
        room = self.limits.text_bytes - self._text_bytes
        if len(body) > room:
            self._leave_out(f"text beyond {self.limits.text_bytes} bytes")
            body = body[:room]
        self._text_bytes += len(body)
        return _as_text(_transfer_decoded(body, encoding), charset)

    def _leave_out(self, what: str) -> None:
        self.left_out[what] = None


def _content_of(headers: EmailMessage) -> tuple[str, bytes, str, str]:
    """Content type, boundary, charset and transfer encoding, each with its default; raises nothing."""
    for name in ("Content-Type", "Content-Transfer-Encoding"):
        value = headers.get(name)
        if value is not None and len(str(value)) > 2000:
            headers.replace_header(name, str(value)[:2000])  # its parameters are split in quadratic time
    try:
        kind = headers.get_content_type()
        boundary = str(headers.get_boundary() or "")[:200].encode("utf-8", "surrogateescape")
        charset = headers.get_content_charset() or ""
    except Exception:  # the parser of parameters raises many kinds of error on malformed ones
        kind, boundary, charset = "text/plain", b"", ""
    encoding = str(headers.get("Content-Transfer-Encoding", "")).strip().lower()
    return kind, boundary, charset, encoding


def _split(body: bytes, boundary: bytes) -> Iterator[bytes]:
    """The parts between delimiter lines (RFC 2046 section 5.1.1); lazily, and linear in the body."""
    delimiter = re.compile(rb"^--" + re.escape(boundary) + rb"(--)?[ \t]*\r?(?:\n|\Z)", re.MULTILINE)
    start = -1
    for found in delimiter.finditer(body):
        if start >= 0:
            yield body[start : found.start()]
        if found[1]:
            return
        start = found.end()
    if start >= 0:
        yield body[start:]


def _transfer_decoded(body: bytes, encoding: str) -> bytes:
    if encoding == "quoted-printable":
        return binascii.a2b_qp(body)
    if encoding == "base64":
        digits = body.translate(None, _NOT_BASE64)
        digits = digits[: len(digits) - (len(digits) % 4 == 1)]
        return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))
    return body


def _as_text(data: bytes, charset: str) -> str:
    """Text in the charset it names, else in UTF-8, else in Latin-1; what cannot be read becomes U+FFFD."""
    name = charset.strip().lower().replace("-", "_")
    if name and name not in _NO_CHARSETS:
        try:
            return data.decode(name, "replace")
        except (LookupError, ValueError):
            pass
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
