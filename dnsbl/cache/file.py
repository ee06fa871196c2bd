"""The answer cache on disk, so that a restart does not ask every list again.

`save_cache` writes what `AnswerCache.items` gives, `load_cache` reads it back for `AnswerCache.fill`. These
two do file I/O and nothing else here does; neither touches a cache, so no lock need be held meanwhile.

The file is data only, little-endian: magic, version, CRC-32 of all that follows; when it was written (wall
clock), how many zone ids and entries; the zone ids; the entries. Zones are told apart by id, not by index,
so a changed configuration keeps what still applies. Times are what was left when the file was written, in
tenths of a second: a clock set back cannot lengthen them.

What is read is not trusted: a file that another user could have made gives nothing, every count and length is
checked, and a file that is damaged, foreign or of another version is left alone with one warning (logger
`dnsbl.cache.answers`) and gives nothing.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
from collections import deque
from collections.abc import Callable, Sequence
from struct import Struct, unpack_from
from struct import pack as struct_pack
from typing import Any
from zlib import crc32

from dnsbl.cache.answers import Key
from dnsbl.cache.entry import (
    MAX_ADDRESSES,
    MAX_TEXT_BYTES,
    MAX_TEXTS,
    MAX_ZONES,
    Entry,
    Held,
    HeldTexts,
    pack,
    unpack,
)
from dnsbl.model import Status, Wire

MAGIC = b"\x89DNSBL\r\n"
VERSION = 1
MAX_FILE_BYTES = 256 * 1024 * 1024
MAX_DOMAIN_BYTES = 253
MAX_RCODE = 4095
"""RFC 6891 section 6.1.3: an rcode has 12 bits."""

_START = Struct("<8sHI")
"""Magic, version, CRC-32 of the rest."""
_COUNTS = Struct("<dHI")
"""When written, in seconds since 1970; zone ids; entries."""
_ENTRY = Struct("<BBBB")
"""Kind of key (4, 6, or 0 for a domain), its bytes, A answers, TXT answers."""
_ANSWER = Struct("<BBhIB")
"""Zone, status, rcode, tenths of a second left, addresses."""
_TEXTS = Struct("<BIB")
"""Zone, tenths of a second left, texts."""
_LENGTH = Struct("<H")
_BYTE = Struct("<B")
_DOMAIN = re.compile(r"[!-@\[-~]+").fullmatch
"""Visible ASCII without capitals."""
_KEY_BYTES = {4: 4, 6: 16}
_STATUSES = frozenset(Status) - {Status.UNSENT}
_TENTHS_MAX = 0xFFFF_FFFF

_log = logging.getLogger("dnsbl.cache")


class _UnusableError(Exception):
    """Why a file gives nothing."""


def save_cache(
    path: str | os.PathLike[str],
    entries: Sequence[tuple[Key, bytes]],
    zone_ids: Sequence[str],
    *,
    now: float,
    wall_now: float,
) -> int:
    """Write `entries`, as `AnswerCache.items` gives them, to `path`; returns how many were written.

    zone_ids: by zone index, what names a zone beyond restarts (no secret; at most 255 bytes each in UTF-8).
    now: the cache's timer; wall_now: `time.time()`.

    The file appears whole or not at all (written beside `path`, synced, renamed), readable by its owner
    only; a symbolic link stays, and what it points to is replaced). What would make it larger than 256 MiB is
    left out. Raises OSError where it cannot be written, and where `path` is not a regular file.
    """
    chunks: list[bytes] = [b"", *(_sized(zone_id) for zone_id in zone_ids)]
    size = _START.size + _COUNTS.size + sum(map(len, chunks))
    written = 0
    for key, packed in entries:
        chunk = _write_entry(key, unpack(packed, now), now)
        size += len(chunk)
        if size > MAX_FILE_BYTES:
            _log.warning("%s: %d of %d entries fit", os.fspath(path), written, len(entries))
            break
        chunks.append(chunk)
        written += 1
    chunks[0] = _COUNTS.pack(wall_now, len(zone_ids), written)
    body = b"".join(chunks)
    _replace(os.fspath(path), _START.pack(MAGIC, VERSION, crc32(body)) + body)
    return written


def load_cache(
    path: str | os.PathLike[str],
    zone_ids: Sequence[str],
    *,
    now: float,
    wall_now: float,
    max_entries: int,
    max_ttl_s: float = 86_400.0,
) -> list[tuple[Key, bytes]]:
    """What `save_cache` wrote to `path` and is still valid, oldest first, for `AnswerCache.fill`.

    zone_ids, now, wall_now: as for `save_cache`; answers of zones not among the ids are left out.
    max_entries: only that many, the newest. max_ttl_s: nothing is valid for longer than that from now.

    Never raises because of the file: one that is missing gives nothing (logged as information), one that
    cannot be read or used gives nothing and one warning.
    """
    try:
        return _read_entries(_read_file(path), zone_ids, now, wall_now, max_entries, max_ttl_s)
    except FileNotFoundError:
        _log.info("%s: no saved cache there", os.fspath(path))
    except OSError as error:
        _log.warning("%s: saved cache not read: %s", os.fspath(path), error.strerror)
    except _UnusableError as error:
        _log.warning("%s: saved cache ignored: %s", os.fspath(path), error)
    return []


def zone_id(name: str, nameservers: Sequence[str]) -> str:
    """What names a zone in a file: its name and, where it has its own nameservers, those too.

    Two zones of one name behind different nameservers may be two lists.
    """
    from hashlib import sha256  # takes 2 ms to import, and is rarely needed

    own = sha256(" ".join(nameservers).encode()).hexdigest()[:32] if nameservers else ""
    return f"{name} {own}".rstrip()


def _sized(text: str) -> bytes:
    encoded = text.encode()
    return bytes([len(encoded)]) + encoded


def _write_entry(key: Key, entry: Entry, now: float) -> bytes:
    raw = key if isinstance(key, bytes) else key.encode("ascii")
    kind = 0 if isinstance(key, str) else 4 if len(key) == 4 else 6
    parts = [_ENTRY.pack(kind, len(raw), len(entry.answers), len(entry.texts)), raw]
    for zone, (wire, expires) in entry.answers.items():
        count = len(wire.addresses)
        parts.append(_ANSWER.pack(zone, wire.status, wire.rcode, _tenths(expires - now), count))
        parts.append(struct_pack(f"<{count}I", *wire.addresses))
    for zone, held in entry.texts.items():
        parts.append(_TEXTS.pack(zone, _tenths(held.expires - now), len(held.texts)))
        parts += (_LENGTH.pack(len(text)) + text for text in held.texts)
    return b"".join(parts)


def _tenths(seconds: float) -> int:
    """Rounded down: an answer is never held longer for having been saved."""
    return min(int(seconds * 10), _TENTHS_MAX)


def _replace(path: str, data: bytes) -> None:
    import tempfile  # slow to import, and rarely needed

    path = os.path.realpath(path)
    if os.path.lexists(path) and not os.path.isfile(path):
        raise OSError(errno.EINVAL, "not a regular file: give the path of a file", path)
    directory, name = os.path.split(path)
    handle, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=directory)  # mode 0600
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    directory_handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(directory_handle)  # else the new name may be lost with the power
    finally:
        os.close(directory_handle)


def _foreign(about: os.stat_result, user: int) -> str:
    """Why others may have made up what the file holds; empty where only `user` and root could."""
    if about.st_uid not in (user, 0):
        return f"it belongs to user {about.st_uid}, who could have anybody listed"
    if about.st_mode & stat.S_IWOTH:
        return "everybody may write to it, and could have anybody listed"
    return ""


def _read_file(path: str | os.PathLike[str]) -> bytes:
    # Without O_NONBLOCK, opening a named pipe would wait for a writer.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise _UnusableError("not a regular file")
        if about.st_size > MAX_FILE_BYTES:
            raise _UnusableError(f"larger than {MAX_FILE_BYTES} bytes")
        if why := _foreign(about, os.geteuid()):
            raise _UnusableError(why)
        with open(handle, "rb", closefd=False) as file:
            return file.read(about.st_size)
    finally:
        os.close(handle)


def _read_entries(
    data: bytes, zone_ids: Sequence[str], now: float, wall_now: float, max_entries: int, max_ttl_s: float
) -> list[tuple[Key, bytes]]:
    if not data.startswith(MAGIC):
        raise _UnusableError("not a saved cache")
    reader = _Reader(data)
    _, version, checksum = reader.take(_START)
    if version != VERSION:
        raise _UnusableError(f"format version {version}, this is version {VERSION}")
    if crc32(memoryview(data)[_START.size :]) != checksum:
        raise _UnusableError("damaged: the checksum does not match")
    written, zone_count, entry_count = reader.take(_COUNTS)
    if zone_count > MAX_ZONES or not 0 <= written < 1e12:
        raise _UnusableError("damaged: impossible counts")
    index = {zone_id: zone for zone, zone_id in enumerate(zone_ids)}
    zones = [
        index.get(reader.take_bytes(*reader.take(_BYTE)).decode(errors="replace")) for _ in range(zone_count)
    ]
    base: float = now - max(0.0, wall_now - written)

    def expires(tenths: int) -> float:
        return min(base + tenths / 10, now + max_ttl_s)

    found: deque[tuple[Key, bytes]] = deque(maxlen=max_entries)
    for _ in range(entry_count):
        key, entry = _read_entry(reader, zones, expires)
        packed = pack(entry.answers, entry.texts, now)
        if packed is not None:
            found.append((key, packed))
    if reader.at != len(data):
        raise _UnusableError("damaged: more data than entries")
    return list(found)


class _Reader:
    """Takes a file apart from front to back; raises rather than read past its end."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, form: Struct) -> tuple[Any, ...]:
        return form.unpack(self.take_bytes(form.size))

    def take_bytes(self, length: int) -> bytes:
        found = self.data[self.at : self.at + length]
        if len(found) < length:
            raise _UnusableError("damaged: it ends too soon")
        self.at += length
        return found


def _read_entry(
    reader: _Reader, zones: Sequence[int | None], expires: Callable[[int], float]
) -> tuple[Key, Entry]:
    kind, key_bytes, answer_count, text_count = reader.take(_ENTRY)
    key = _read_key(kind, reader.take_bytes(key_bytes))
    answers: dict[int, Held] = {}
    for _ in range(answer_count):
        zone, wire, tenths = _read_answer(reader, zones)
        if zone is not None:
            answers[zone] = Held(wire, expires(tenths))
    texts: dict[int, HeldTexts] = {}
    for _ in range(text_count):
        number, tenths, count = reader.take(_TEXTS)
        if number >= len(zones) or count > MAX_TEXTS:
            raise _UnusableError("damaged: impossible texts")
        found = tuple(_read_text(reader) for _ in range(count))
        zone = zones[number]
        if zone is not None:
            texts[zone] = HeldTexts(found, expires(tenths))
    return key, Entry(answers, texts)


def _read_key(kind: int, raw: bytes) -> Key:
    if kind == 0:
        domain = raw.decode("ascii", "replace")
        if len(raw) <= MAX_DOMAIN_BYTES and _DOMAIN(domain):
            return domain
    elif len(raw) == _KEY_BYTES.get(kind):
        return raw
    raise _UnusableError("damaged: impossible key")


def _read_answer(reader: _Reader, zones: Sequence[int | None]) -> tuple[int | None, Wire, int]:
    number, status, rcode, tenths, count = reader.take(_ANSWER)
    if number >= len(zones) or status not in _STATUSES or not -1 <= rcode <= MAX_RCODE:
        raise _UnusableError("damaged: impossible answer")
    if count > MAX_ADDRESSES:
        raise _UnusableError("damaged: too many addresses")
    addresses = unpack_from(f"<{count}I", reader.take_bytes(4 * count))
    return zones[number], Wire(status, rcode, tuple(sorted(set(addresses)))), tenths


def _read_text(reader: _Reader) -> bytes:
    (length,) = reader.take(_LENGTH)
    if length > MAX_TEXT_BYTES:
        raise _UnusableError("damaged: too long a text")
    return reader.take_bytes(length)
