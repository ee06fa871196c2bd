"""One line of a Postfix log, read: when, which client, and what became of it. No I/O, no state.

The forms are those of Postfix 3.4 to 3.10: smtpd(8), postscreen(8), cleanup(8) and their RELEASE_NOTES
("respectful_logging", 3.6, which writes ALLOWLISTED and DENYLISTED for WHITELISTED and BLACKLISTED).
Client ports (`smtpd_client_port_logging`) and clients without a host name (`[192.0.2.99]:57187`) are taken.
Bytes are read, not text: a log holds whatever clients sent.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, NamedTuple

from dnsbl.zones.secret import MASK, mask_keys

_HEAD: Final = re.compile(
    rb"(?:<\d{1,3}>)?"  # a priority, where a forwarder left it (RFC 3164 section 4.1.1)
    rb"(?:(?P<month>[A-Z][a-z]{2}) +(?P<day>\d{1,2}) (?P<hour>\d\d):\d\d:\d\d"
    rb"|(?P<date>\d{4}-\d\d-\d\d)[T ](?P<hour2>\d\d):\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)"
    rb" \S+ (?P<tag>[^\s\[:]+)(?:\[\d+\])?: "
)
"""Syslog's time (RFC 3164 section 4.1.2) or that of RFC 3339, the host, and the program."""

_ADDRESS: Final = rb"\[(?:IPv6:)?(?P<ip>[0-9A-Fa-f.:]{2,45})(?:%\w+)?\]"
_CLIENT: Final = rb"(?P<name>[^\s\[\],;]{0,255})" + _ADDRESS + rb"(?::(?P<port>\d{1,5}|unknown))?"

_SMTPD: Final = re.compile(
    rb"(?:(?P<connect>connect|lost connection after \S+|timeout after \S+|disconnect) from " + _CLIENT + rb")"
    rb"|(?P<qid>[0-9A-Za-z]{5,20}): client=" + _CLIENT.replace(b"?P<", b"?P<a") + rb"(?P<more>.*)"
    rb"|(?P<rqid>[0-9A-Za-z]{5,20}): (?:milter-|proxy-)?(?P<verb>reject|discard|hold)(?:_warning)?: "
    rb"(?P<stage>[A-Z-]{1,24}|header|body|milter)\b.{0,2000}? from "
    + _CLIENT.replace(b"?P<", b"?P<r")
    + rb"[:;] ?(?P<why>.*)",
    re.DOTALL,
)
_POSTSCREEN: Final = re.compile(
    rb"(?:(?P<word>CONNECT|PASS OLD|PASS NEW|(?:ALLOW|WHITE|DENY|BLACK)LISTED"
    rb"|(?:ALLOW|WHITE)LIST VETO|DISCONNECT"
    rb"|PREGREET \d+ after \S+|HANGUP after \S+|DNSBL rank -?\d+"
    rb"|(?:BARE NEWLINE|NON-SMTP COMMAND|COMMAND [A-Z]+(?: [A-Z]+)?)(?: after \S+)?)(?: from| for)? "
    + _CLIENT
    + rb"|NOQUEUE: reject: (?P<stage>[A-Z]+) from "
    + _CLIENT.replace(b"?P<", b"?P<r")
    + rb": ?(?P<why>.*))",
    re.DOTALL,
)
_DNSBL: Final = re.compile(rb"blocked using ([A-Za-z0-9._-]{1,255})")
_REPLY: Final = re.compile(rb"([245]\d\d)(?:[ -]([245]\.\d{1,3}\.\d{1,3}))?")
_MONTHS: Final = {
    name: number for number, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)
}
_WHOLE_MESSAGE: Final = frozenset({b"DATA", b"END-OF-MESSAGE", b"EOH", b"END-OF-HEADERS", b"header", b"body"})
"""Stages at which a message whose recipients were accepted is refused as a whole."""
_INTERESTING: Final = (b"postscreen", b"smtpd", b"cleanup")


class What(Enum):
    """What a line says of its client."""

    SEEN = "seen"  # it connected, left, or failed a test that refuses nothing by itself
    ACCEPTED = "accepted"
    AUTHENTICATED = "authenticated"  # accepted, and logged in
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"  # the message accepted before was rejected as a whole


class Event(NamedTuple):
    """A line about a client. time: `MM-DD HH` (no year) or `YYYY-MM-DD HH`, as the log has it; ip and name as
    the log has them, name empty or `unknown` where there is none; why: of a rejection, in a few words."""

    time: str
    ip: str
    name: str
    what: What
    why: str = ""
    connection: bool = False


class Unreadable(ValueError):
    """A line that is of no known form."""


def parse_line(line: bytes) -> Event | None:
    """The event of a line without its line end; None where it is not about a client of Postfix's.

    Raises Unreadable for a line without a known head, and for one of smtpd or postscreen that is cut off.

    >>> parse_line(b"Jan  2 03:04:05 mx postfix/smtpd[9]: connect from unknown[192.0.2.99]").ip
    '192.0.2.99'
    """
    head = _HEAD.match(line)
    if head is None:
        raise Unreadable
    tag = head["tag"]
    if not tag.endswith(_INTERESTING):
        return None
    return parse_message(tag, line[head.end() :], head)


def parse_message(tag: bytes, message: bytes, head: re.Match[bytes] | str) -> Event | None:
    """As `parse_line`, of a message whose head is known: its match, or its time as text."""
    if tag.endswith(b"postscreen"):
        if found := _POSTSCREEN.match(message):
            return _postscreen(found, head)
    elif found := _SMTPD.match(message):
        return _smtpd(found, head)
    if _CUT.match(message):  # the rest of what they write is not about what became of a client
        raise Unreadable
    return None


_CUT: Final = re.compile(
    rb"(?:connect|disconnect|CONNECT|DISCONNECT|PASS OLD|PASS NEW)(?: from)? [^\]]*$"
    rb"|\w{5,20}: client=[^\]]*$|NOQUEUE: reject: \w+ from [^\]]*$"
)


def _smtpd(found: re.Match[bytes], head: re.Match[bytes] | str) -> Event:
    if word := found["connect"]:
        return _event(head, found["ip"], found["name"], What.SEEN, connection=word == b"connect")
    if found["qid"]:
        more = found["more"]
        # A content filter hands the message back: the client is the first one.
        orig = _ORIGINAL.search(more)
        ip, name = (orig["ip"], orig["name"]) if orig else (found["aip"], found["aname"])
        logged_in = b" sasl_username=" in more or b" sasl_method=" in more
        return _event(head, ip, name, What.AUTHENTICATED if logged_in else What.ACCEPTED)
    what = What.REJECTED
    if b"_warning: " in found[0][:60] or found["verb"] == b"hold":
        what = What.SEEN
    elif found["rqid"] != b"NOQUEUE" and found["stage"] in _WHOLE_MESSAGE:
        what = What.WITHDRAWN
    return _event(head, found["rip"], found["rname"], what, why=reason(found["why"]))


_ORIGINAL: Final = re.compile(rb" orig_client=" + _CLIENT)


def _postscreen(found: re.Match[bytes], head: re.Match[bytes] | str) -> Event:
    if word := found["word"]:
        if word in (b"DENYLISTED", b"BLACKLISTED"):  # by postscreen_access_list
            return _event(head, found["ip"], found["name"], What.REJECTED, why="denylisted")
        return _event(head, found["ip"], found["name"], What.SEEN, connection=word == b"CONNECT")
    return _event(head, found["rip"], found["rname"], What.REJECTED, why=reason(found["why"]))


def _event(
    head: re.Match[bytes] | str, ip: bytes, name: bytes, what: What, why: str = "", connection: bool = False
) -> Event:
    return Event(
        head if isinstance(head, str) else time_of(head),
        ip.decode("ascii"),
        name.decode("ascii", "replace").lower(),
        what,
        why,
        connection,
    )


def time_of(head: re.Match[bytes]) -> str:
    """The hour of a line, in the log's own time zone."""
    if date := head["date"]:
        return f"{date.decode()} {head['hour2'].decode()}"
    month = _MONTHS.get(head["month"])
    if month is None:
        raise Unreadable
    return f"{month:02}-{int(head['day']):02} {head['hour'].decode()}"


def reason(why: bytes) -> str:
    """A rejection in a few words: the list that was asked, or the reply codes.

    >>> reason(b"554 5.7.1 Service unavailable; Client host [192.0.2.9] blocked using bl.example.com; x")
    'dnsbl bl.example.com'
    """
    if found := _DNSBL.search(why):
        name = found[1].decode().lower().rstrip(".")
        # The log may hold the key of a keyed zone, which no report tells.
        return f"dnsbl {mask_keys(name).removeprefix(MASK + '.')}"
    for words, text in _REASONS:
        if words in why:
            return text
    found = _REPLY.match(why)
    return f"reply {found[1].decode()}" if found else "other"


_REASONS: Final = (
    (b"Relay access denied", "relay access denied"),
    (b"User unknown", "user unknown"),
    (b"Greylist", "greylisted"),
    (b"greylist", "greylisted"),
    (b"cannot find your", "no host name"),
    (b"Helo command rejected", "helo"),
    (b"Sender address rejected", "sender"),
    (b"Recipient address rejected", "recipient"),
    (b"Service currently unavailable", "postscreen test, to come again"),
    (b"Protocol error", "protocol error"),
    (b"all server ports busy", "too busy"),
    (b"too many connections", "too many connections"),
)
