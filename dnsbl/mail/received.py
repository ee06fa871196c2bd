"""One Received header as a hop: who handed the message to whom, by which protocol.

What it does: finds the address that the receiving host saw, in the shapes mail servers write it (RFC 5321
section 4.4 and far from it). What it does not: it never takes an address from HELO, ident or `by`, which
the sender or nobody vouches for, and it never guesses: no address found is no address.

How each writes a host that connected from 192.0.2.10:

    Postfix     from HELO (NAME [192.0.2.10]) by HOST (Postfix) with ESMTP id ...
    Exim        from NAME ([192.0.2.10] helo=HELO ident=USER) by HOST with esmtp (Exim 4.98) ...
                from [192.0.2.10] (helo=HELO) by HOST ...
    Sendmail    from HELO (USER@NAME [192.0.2.10] (may be forged)) by HOST (8.18.1/8.18.1) with ESMTP ...
    qmail       from NAME (HELO HELO) (USER@192.0.2.10) by HOST with SMTP; ...
    Exchange    from HELO (192.0.2.10) by HOST (198.51.100.1) with Microsoft SMTP Server id ...
    fetchmail   from SERVER [192.0.2.10] by HOST with POP3 (fetchmail-6.5.2) for ...
    others      from 192.0.2.10 by HOST ...
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from dnsbl.names._qname import format_address, parse_address

MAX_CHARS: Final = 4096
"""Of one header, unfolded; what comes after is not read. RFC 5322 section 2.1.1 allows 998 a line."""
MAX_DEPTH: Final = 16
"""Nested comments; deeper ones are read as part of the one around them."""

_AUTHENTICATED_PROTOCOLS: Final = frozenset(
    {"esmtpa", "esmtpsa", "lmtpa", "lmtpsa", "utf8smtpa", "utf8smtpsa", "utf8lmtpa", "utf8lmtpsa", "asmtp"}
)
"""RFC 3848 and RFC 6531 section 4.3 in lower case; asmtp is what Exim wrote before version 4.34."""

_KEYWORDS: Final = frozenset({"by", "with", "id", "for", "via"})
_FOLD: Final = re.compile(r"[\x00-\x20\x7f]+")
_PIECE: Final = re.compile(r"[()]|\\.|[^()\\]+|\\")
_SENDERS_WORD: Final = re.compile(r"(?:^|[\s(])(?:helo|ehlo|ident)(?:=|\s)", re.IGNORECASE)
_HELO: Final = re.compile(r"(?:^|[\s(])(?:helo|ehlo)(?:=|\s+)(\S+)", re.IGNORECASE)
_LITERAL: Final = re.compile(r"\[([^\[\]\s]{0,80})\]")
_PORT_ONLY: Final = re.compile(r"port=[0-9]+\s*", re.IGNORECASE)
_AUTHENTICATED: Final = re.compile(
    r"\s*(?:smtp-?auth\b|auth\s+(?:sender|user|bits|id)\b|authenticated\b|auth=|\S+ authenticated user)",
    re.IGNORECASE,
)
_CUT_BEFORE_BY: Final = re.compile(r"\sby\s")


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of a message's way, as the receiving host wrote it down.

    address: the IP address that the receiving host saw, canonical text (RFC 5952 for IPv6, IPv4-mapped as
        IPv4, without a scope id); None where it wrote none.
    helo: what the client called itself, or the name written for it; chosen by the client. None: not written.
    by: the receiving host's name for itself, or None.
    protocol: the words after `with`, as they stand: ESMTPS, esmtpsa, POP3, Microsoft SMTP Server. Or None.
    authenticated: the receiving host says that the client had logged in (RFC 3848, or in a comment).
    local: no network peer is named at all: a local delivery or submission.
    """

    address: str | None = None
    helo: str | None = None
    by: str | None = None
    protocol: str | None = None
    authenticated: bool = False
    local: bool = False


def parse_received(value: str | bytes) -> Hop:
    """A Received header's value (with or without `Received:`, folded or not) as a hop. Raises nothing.

    Bytes are read as Latin-1. Text that is no Received header gives a hop without anything in it.

    >>> parse_received("from x ([192.0.2.10] helo=[198.51.100.9]) by mx.example.org").address
    '192.0.2.10'
    """
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    text = _FOLD.sub(" ", text[: 2 * MAX_CHARS]).strip()[:MAX_CHARS]
    if text[:9].lower() == "received:":
        text = text[9:].lstrip()
    clauses = _clauses(_tokens(text))
    words, comments = clauses.get("from", ([], []))
    protocol = " ".join(clauses.get("with", ([], []))[0])[:80] or None
    by = next(iter(clauses.get("by", ([], []))[0]), None)
    local = (not words and not comments) or (protocol or "").lower() == "local"
    return Hop(
        address=None if local else _address(words, comments),
        helo=_helo(words, comments),
        by=by,
        protocol=protocol,
        authenticated=_authenticated(protocol, clauses),
        local=local,
    )


Clause = tuple[list[str], list[str]]
"""Its words and its comments."""


def _tokens(text: str) -> list[tuple[str, bool]]:
    """Words, and comments (True) without their outer parentheses, up to the date; linear in the text."""
    tokens: list[tuple[str, bool]] = []
    comment: list[str] = []
    depth = 0
    for found in _PIECE.finditer(text):
        piece = found.group()
        if piece == "(" and depth < MAX_DEPTH:
            depth += 1
            if depth == 1:
                comment, opened = [], found.end()
                continue
        elif piece == ")" and depth:
            depth -= 1
            if depth == 0:
                tokens.append(("".join(comment).strip(), True))
                continue
        if depth:
            comment.append(piece)
            continue
        before, date, _ = piece.partition(";")
        tokens += [(word, False) for word in before.split()]
        if date:
            return tokens
    if depth:  # never closed: the comment ends where the next clause begins
        rest = text[opened:]
        end = _CUT_BEFORE_BY.search(rest)
        tokens.append((rest[: end.start()].strip() if end else rest, True))
        tokens += [(word, False) for word in _words_of(rest[end.start() :])] if end else []
    return tokens


def _words_of(text: str) -> list[str]:
    """The words outside parentheses of a malformed tail."""
    return re.sub(r"\([^()]*\)|[()]", " ", text).partition(";")[0].split()


def _clauses(tokens: list[tuple[str, bool]]) -> dict[str, Clause]:
    """`from`, `by`, `with` ... with what stands in each; of a clause that comes twice the first counts.

    Comments before `from` (Sendmail's local submission) and stray words belong to no clause.
    """
    clauses: dict[str, Clause] = {}
    current: Clause = ([], [])
    for at, (text, is_comment) in enumerate(tokens):
        if is_comment:
            current[1].append(text)
            continue
        word = text.lower()
        helo = at == 1 and tokens[0] == ("from", False) and ("by", False) in tokens[2:]
        starts = word == "from" if not clauses else word in _KEYWORDS and not helo
        if at == 0 and word in _KEYWORDS:
            starts = True
        if not starts:
            current[0].append(text)
            continue
        current = ([], [])
        clauses.setdefault(word, current)
    return clauses


def _address(words: list[str], comments: list[str]) -> str | None:
    """Of a from clause. The first comment that speaks of an address decides; else the words may."""
    vouched = [_PORT_ONLY.sub("", _without_senders_words(comment)).strip() for comment in comments]
    own = _first_literal(words) or (_literal(words[0]) if words else None)
    if comments and vouched[0] == "" and own is not None and _literal(words[0]) == own:
        return own  # Exim's `from [192.0.2.10] (helo=x)`: what follows can only come from the HELO
    for text in vouched:
        if "[" in text:
            return _literal_in(text)
        if found := _bare_in(text):
            return found
    if found := _first_literal(words[1:]):
        return found  # fetchmail's `from pop.example.com [192.0.2.10]`
    if any(text and not _AUTHENTICATED.match(text) and not text.startswith("using ") for text in vouched):
        return None  # the host wrote of the client, without an address: what stands before is its HELO
    return own


def _without_senders_words(comment: str) -> str:
    """A comment up to HELO or ident, where the client's own words begin."""
    found = _SENDERS_WORD.search(comment)
    return comment[: found.start()] if found else comment


def _literal_in(text: str) -> str | None:
    """The address in brackets; a name before it cannot hold brackets, so the first is the host's."""
    found = _LITERAL.search(text)
    return _canonical(found[1]) if found else None


def _bare_in(text: str) -> str | None:
    """The address where a comment is nothing else, but for a name or ident before it."""
    words = text.split()
    if not 1 <= len(words) <= 2:
        return None
    return _canonical(words[-1].rpartition("@")[2])


def _first_literal(words: list[str]) -> str | None:
    return next((found for word in words if word.startswith("[") and (found := _literal(word))), None)


def _literal(word: str) -> str | None:
    """A word that is an address, in brackets or not; a port behind the bracket is dropped."""
    found = _LITERAL.match(word)
    return _canonical(found[1] if found else word)


def _canonical(text: str) -> str | None:
    bare = text[5:] if text[:5].lower() == "ipv6:" else text
    key = parse_address(bare.partition("%")[0])
    return format_address(key) if key else None


def _helo(words: list[str], comments: list[str]) -> str | None:
    for comment in comments:
        if found := _HELO.search(comment):
            return found[1]
    return words[0] if words else None


def _authenticated(protocol: str | None, clauses: dict[str, Clause]) -> bool:
    if protocol and protocol.split()[0].lower() in _AUTHENTICATED_PROTOCOLS:
        return True
    said = [comment for name in ("from", "by", "with") for comment in clauses.get(name, ([], []))[1]]
    return any(_AUTHENTICATED.match(_without_senders_words(comment)) for comment in said)
