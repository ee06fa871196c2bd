"""One cache entry: what the zones said of one asked name, as objects and packed into one `bytes`.

Packed: `HEADER`, then for each answer `_PART` and what it counts: addresses (32 bits each), or texts (16
bits of length, then the bytes). The form is this process's own; `dnsbl.cache.file` has another for files.

Pure: no state, no clock, no I/O. Zones are small numbers, 0 to 63: the index in the resolver's tuple of
zones. Times are seconds on whatever clock the caller uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct, unpack_from
from struct import pack as struct_pack
from typing import NamedTuple

from dnsbl.model import Status, Wire

MAX_ZONES = 64
MAX_ADDRESSES = 16
"""As many as the engine takes from one answer. More are not held: cutting them could change a verdict."""
MAX_TEXTS = 4
MAX_TEXT_BYTES = 512
"""Of one zone's TXT answer, the first 4 texts are held, of each the first 512 bytes."""
ALL_ZONES = (1 << MAX_ZONES) - 1

HEADER = Struct("=ddQQ")
"""What each entry starts with: the soonest expiry of its A answers, the latest expiry of anything in it,
the bit mask of zones whose A answer is in it, and of those the ones that said anything but a plain
negative (NXDOMAIN, or NOERROR without an address). Bit n is zone n."""

_PART = Struct("=BBhBd")
"""Zone, status, rcode, how many addresses or texts follow, expiry."""
_TEXTS = 255
"""In the place of a status: this part is a TXT answer."""
_LENGTH = Struct("=H")
_NEGATIVE = frozenset({Status.OK.value, Status.NXDOMAIN.value})


class Held(NamedTuple):
    """A zone's A answer and when it expires."""

    wire: Wire
    expires: float


class HeldTexts(NamedTuple):
    """A zone's TXT answer, one `bytes` per record as it came (strings joined), and when it expires.

    Empty: there is no TXT record, or asking for it failed; not to be asked again before `expires`.
    """

    texts: tuple[bytes, ...]
    expires: float


class Entry(NamedTuple):
    """One unpacked entry: answers by zone index."""

    answers: dict[int, Held]
    texts: dict[int, HeldTexts]


def pack(answers: Mapping[int, Held], texts: Mapping[int, HeldTexts], now: float) -> bytes | None:
    """One entry from what is valid at `now`; None if nothing is. See the module's docstring for the form.

    Texts come first, then answers that are more than a plain negative, then the others, so that a reader
    interested in listings can stop early.
    """
    soonest, latest = float("inf"), now
    present = notable = 0
    first: list[bytes] = [_pack_texts(zone, held) for zone, held in texts.items() if held.expires > now]
    if first:
        latest = max(held.expires for held in texts.values())
    last: list[bytes] = []
    for zone, ((status, rcode, addresses), expires) in answers.items():
        count = len(addresses)
        if expires <= now or count > MAX_ADDRESSES:
            continue
        present |= 1 << zone
        if expires < soonest:
            soonest = expires
        if expires > latest:
            latest = expires
        part = _PART.pack(zone, status, rcode, count, expires)
        if count or status not in _NEGATIVE:
            notable |= 1 << zone
            first.append(part + struct_pack(f"={count}I", *addresses))
        else:
            last.append(part)
    if not first and not last:
        return None
    return b"".join((HEADER.pack(soonest, latest, present, notable), *first, *last))


def _pack_texts(zone: int, held: HeldTexts) -> bytes:
    texts = [text[:MAX_TEXT_BYTES] for text in held.texts[:MAX_TEXTS]]
    head = _PART.pack(zone, _TEXTS, 0, len(texts), held.expires)
    return head + b"".join(_LENGTH.pack(len(text)) + text for text in texts)


def unpack(entry: bytes, now: float, zones: int = ALL_ZONES) -> Entry:
    """What of a packed entry is valid at `now`, of the zones in the bit mask `zones`.

    >>> held = Held(Wire(Status.OK, 0, (0x7F000002,)), expires=60.0)
    >>> entry = pack({3: held}, {3: HeldTexts((b"see https://example.com/",), 60.0)}, now=0.0)
    >>> unpack(entry, 59.9).answers == {3: held}, unpack(entry, 60.0)
    (True, Entry(answers={}, texts={}))
    """
    answers: dict[int, Held] = {}
    texts: dict[int, HeldTexts] = {}
    at, end = HEADER.size, len(entry)
    _, _, left, _ = HEADER.unpack_from(entry)
    left &= zones
    while at < end:
        zone, status, rcode, count, expires = _PART.unpack_from(entry, at)
        at += _PART.size
        if status == _TEXTS:
            found, at = _unpack_texts(entry, at, count)
            if now < expires and zones >> zone & 1:
                texts[zone] = HeldTexts(found, expires)
            continue
        if not left:
            break
        if left >> zone & 1:
            left ^= 1 << zone
            if now < expires:
                addresses = unpack_from(f"={count}I", entry, at) if count else ()
                answers[zone] = Held(Wire(status, rcode, addresses), expires)
        at += 4 * count
    return Entry(answers, texts)


def _unpack_texts(entry: bytes, at: int, count: int) -> tuple[tuple[bytes, ...], int]:
    texts = []
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(entry, at)
        at += _LENGTH.size
        texts.append(entry[at : at + length])
        at += length
    return tuple(texts), at
