"""Lists of plain addresses, CIDRs and ranges, Spamhaus DROP as text and as JSON lines.

One entry a line. `#` and `;` start a comment, at the start of a line or after an entry; `//` does not, and
such a line is bad. Windows line ends and a byte order mark are dropped. An entry with host bits set
(192.0.2.67/24) is bad, as for rbldnsd: who wrote it may have meant the host or the network.

Short forms are not taken here (`198.51.100`); they are rbldnsd's. In DROP the comment after an entry is the
number of its listing (SBL...), and becomes the reason. DROP's JSON lines are an object a line with `cidr` and
`sblid`, and metadata on the last (`type`, `timestamp`, `records`); there is no formal description.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from dnsbl.lists.builder import Group
from dnsbl.lists.context import Reading
from dnsbl.lists.record import DEFAULT_ADDRESS
from dnsbl.names._qname import parse_address

_COMMENT: Final = re.compile(r"[#;]")
_EXPIRES: Final = re.compile(r"[#;]\s*Expires:\s*(\S.{0,60})", re.IGNORECASE)
_SBL: Final = re.compile(r"SBL[0-9]+", re.ASCII)
_LISTED: Final = 1  # the number of Group's value without a text
_LENGTHS: Final = {
    size: {str(bits): ((1 << (8 * size - bits)) - 1, bits) for bits in range(8 * size + 1)}
    for size in (4, 16)
}
"""By the bytes of an address: prefix length as text -> host part, length."""
_ALONE: Final = {4: (0, 32), 16: (0, 128)}
MAX_AGE_S: Final = 7 * 86_400
"""DROP is made daily; JSON that says it is older than this is warned of."""

Network = tuple[int, int, int, bool]
"""First address, last address, rank, and whether it is IPv4."""


def read_plain(reading: Reading, lines: Iterable[str], *, notes: bool) -> None:
    """Read plain lines; `notes`: keep SBL numbers in comments as reasons, as in DROP."""
    group = reading.group()
    entries = {4: group.ip4, 16: group.ip6}
    for number, line in enumerate(lines, 1):
        text = line.strip()
        note = ""
        if not text or text[0] in "#;":
            _take_expiry(reading, text, number)
            continue
        if "#" in text or ";" in text:
            text, _, rest = _split(text)
            if notes and (found := _SBL.search(rest)):
                note = found[0]
        reading.lines += 1
        address, slash, length = text.partition("/")
        key = parse_address(address)
        if key is not None and not note:  # nearly every line; what is left is for parse_network
            size, first = len(key), int.from_bytes(key)
            host = _LENGTHS[size].get(length) if slash else _ALONE[size]
            if host is not None and not first & host[0] and not (slash and _is_mapped(address, size)):
                entries[size].append((first, first | host[0], host[1], _LISTED))
                continue
        network = parse_network(text)
        if isinstance(network, str):
            reading.line = number
            reading.refuse(network)
            continue
        _add(group, network, group.value(DEFAULT_ADDRESS, _quoted(note)) if note else _LISTED)


def _split(text: str) -> tuple[str, str, str]:
    found = _COMMENT.search(text)
    assert found is not None
    return text[: found.start()].rstrip(), found[0], text[found.end() :]


def _quoted(note: str) -> str:
    """A reason as a template: a dollar sign in it stands for itself."""
    return note.replace("$", "$$")


def _add(group: Group, network: Network, value: int) -> None:
    first, last, rank, is_ip4 = network
    (group.ip4 if is_ip4 else group.ip6).append((first, last, rank, value))


def _is_mapped(address: str, size: int) -> bool:
    """Whether 4 bytes were written as IPv6 (`::ffff:192.0.2.0`); a prefix length then counts from 128."""
    return size == 4 and ":" in address


def parse_network(text: str) -> Network | str:
    """An address, CIDR or range `A-B`, or why it is none."""
    address, slash, length = text.partition("/")
    key = parse_address(address)
    if key is None:
        return _parse_range(text)
    bits = 8 * len(key)
    first = int.from_bytes(key)
    if not slash:
        return first, first, bits, bits == 32
    is_number = length.isdecimal() and length.isascii() and len(length) <= 3
    if _is_mapped(address, len(key)) or not is_number or int(length) > bits:
        return _folded(text, address, length)
    hosts = (1 << (bits - int(length))) - 1
    if first & hosts:
        right = parse_address_text(first & ~hosts, len(key))
        return f"{text[:60]} has host bits set: write {right}/{length}, or {address} alone"
    return first, first | hosts, int(length), bits == 32


def parse_address_text(number: int, size: int) -> str:
    """An address as text, from its number and its size in bytes."""
    from dnsbl.names._qname import format_address

    return format_address(number.to_bytes(size))


def _folded(text: str, address: str, length: str) -> Network | str:
    """`::ffff:192.0.2.0/120`: the network of an IPv4-mapped address is that of the IPv4 address."""
    if ":" in address and length.isdecimal() and length.isascii() and 96 <= int(length[:4]) <= 128:
        key = parse_address(address)
        assert key is not None
        return parse_network(f"{parse_address_text(int.from_bytes(key), 4)}/{int(length) - 96}")
    return f"{text[:60]!r} is not a valid CIDR: use a prefix length from 0 to {128 if ':' in address else 32}"


def _parse_range(text: str) -> Network | str:
    first_text, dash, last_text = text.partition("-")
    first, last = parse_address(first_text.strip()), parse_address(last_text.strip())
    if not dash or first is None or last is None or len(first) != len(last):
        return (
            f"{text[:60]!r} is not a valid address: use 192.0.2.1, 192.0.2.0/24, 192.0.2.1-192.0.2.9 or IPv6"
        )
    if first > last:
        return f"{text[:60]!r} is not a valid range: its end is before its start"
    bits = 8 * len(first)
    return int.from_bytes(first), int.from_bytes(last), bits, bits == 32


def _take_expiry(reading: Reading, comment: str, number: int) -> None:
    found = _EXPIRES.match(comment) if comment else None
    if found:
        from email.utils import parsedate_to_datetime  # takes long, and few lists have a date

        try:
            when = parsedate_to_datetime(found[1])
        except ValueError:
            reading.warn(f"Expires: {found[1]!r} is not a date", number)
            return
        reading.expire((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())


def read_drop_json(reading: Reading, lines: Iterable[str]) -> None:
    """Read DROP's JSON lines."""
    group, records = reading.group(), None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        reading.line = number
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict) and "cidr" not in found and found.get("type") == "metadata":
            records = found.get("records")
            _take_timestamp(reading, found.get("timestamp"))
            continue
        reading.lines += 1
        _take_object(reading, group, found)
    if isinstance(records, int) and records != reading.lines:
        reading.warn(f"the file has {reading.lines} entries, its metadata says {records}: is it whole?", 0)


def _take_object(reading: Reading, group: Group, found: Any) -> None:
    if not isinstance(found, dict) or not isinstance(found.get("cidr"), str):
        reading.refuse('not an entry of DROP: an object with "cidr" is needed on each line')
        return
    network = parse_network(found["cidr"])
    if isinstance(network, str):
        reading.refuse(network)
        return
    note = found.get("sblid")
    value = group.value(DEFAULT_ADDRESS, _quoted(note[:200])) if isinstance(note, str) and note else _LISTED
    _add(group, network, value)


def _take_timestamp(reading: Reading, stamp: object) -> None:
    if type(stamp) in (int, float) and isinstance(stamp, int | float) and 0 < stamp < 2**40:
        reading.expire(stamp + MAX_AGE_S)
        if stamp > reading.now + 86_400:
            when = datetime.fromtimestamp(stamp, UTC) if stamp < 2**36 else stamp
            reading.warn(f"its own date, {when}, is in the future", 0)
