"""The cache on disk: no file, however bad, raises, goes beyond a bound, or warns more than once."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import crc32

import pytest

from dnsbl.cache.answers import Key
from dnsbl.cache.entry import Entry, Held, HeldTexts, pack, unpack
from dnsbl.cache.file import _START, MAGIC, MAX_FILE_BYTES, _foreign, load_cache, save_cache
from dnsbl.model import Status, Wire

ZONES = ("bl.example.com", "allow.example.com", "dbl.example.com")
WALL = 1_764_000_000.0
V4 = b"\xc0\x00\x02\x63"


def good_file() -> bytes:
    """Two entries, with addresses, texts and a failure among them."""
    held = {0: Held(Wire(Status.OK, 0, (0x7F000002, 0x7F000004)), 60), 1: Held(Wire(Status.NXDOMAIN, 3), 300)}
    listed = pack(held, {0: HeldTexts((b"caf\xe9", b""), 90)}, 0)
    failed = pack({2: Held(Wire(Status.RCODE, 2), 5)}, {}, 0)
    assert listed is not None
    assert failed is not None
    with TemporaryDirectory() as directory:
        path = Path(directory, "c")
        save_cache(path, [(V4, listed), ("example.com", failed)], ZONES, now=0, wall_now=WALL)
        return path.read_bytes()


def load(path: Path) -> dict[Key, Entry]:
    found = load_cache(path, ZONES, now=77.0, wall_now=WALL, max_entries=100)
    return {key: unpack(entry, 77.0) for key, entry in found}


def only_warning(caplog: pytest.LogCaptureFixture) -> str:
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("dnsbl.cache", "WARNING")
    return record.getMessage()


def resealed(body: bytes, version: int = 1) -> bytes:
    return _START.pack(MAGIC, version, crc32(body)) + body


BAD = {
    "empty": lambda data: b"",
    "text": lambda data: b"127.0.0.2 listed\n",
    "pickle": lambda data: b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00}\x94.",
    "only the magic": lambda data: data[:8],
    "cut short": lambda data: data[:-1],
    "cut short, checksum right": lambda data: resealed(data[_START.size : -1]),
    "too long": lambda data: data + b"\0",
    "too long, checksum right": lambda data: resealed(data[_START.size :] + b"\0"),
    "of the future": lambda data: resealed(data[_START.size :], 2),
    "of the past": lambda data: resealed(data[_START.size :], 0),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_file_gives_nothing_and_one_warning(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "c"
    path.write_bytes(BAD[kind](good_file()))
    assert load(path) == {}
    warning = only_warning(caplog)
    assert str(path) in warning
    assert "\n" not in warning


def test_a_file_that_others_could_have_made_gives_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "c"
    path.write_bytes(good_file())
    path.chmod(0o666)
    assert load(path) == {}
    assert only_warning(caplog).endswith(
        "saved cache ignored: everybody may write to it, and could have anybody listed"
    )
    caplog.clear()
    path.chmod(0o640)
    assert set(load(path)) == {V4, "example.com"}
    assert caplog.records == []


def test_only_our_own_files_and_those_of_root_are_read(tmp_path: Path) -> None:
    path = tmp_path / "c"
    path.touch(0o600)
    about = path.stat()
    assert _foreign(about, os.geteuid()) == ""
    if about.st_uid:
        assert _foreign(about, 0).startswith(f"it belongs to user {about.st_uid}")
    else:
        assert _foreign(about, 1000) == ""
        os.chown(path, 1234, -1)
        assert load(path) == {}
        assert _foreign(path.stat(), 0).startswith("it belongs to user 1234")
        assert _foreign(path.stat(), 1234) == ""


def test_a_link_in_the_place_of_the_file_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    other, path = tmp_path / "other", tmp_path / "c"
    other.write_text("an older cache")
    path.symlink_to(other)
    save_cache(path, [], ZONES, now=0, wall_now=WALL)
    assert path.is_symlink()
    assert other.read_bytes().startswith(MAGIC)
    assert other.stat().st_mode & 0o777 == 0o600


def test_any_byte_changed_gives_nothing(tmp_path: Path) -> None:
    path, good = tmp_path / "c", good_file()
    path.write_bytes(good)
    assert len(load(path)) == 2
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :])
        assert load(path) == {}, at


def body(
    key: bytes = b"\x04\x04" + V4,
    answers: tuple[bytes, ...] = (),
    texts: tuple[bytes, ...] = (),
    zones: int = 3,
    written: float = WALL,
) -> bytes:
    """A file's body with one entry, built from what the format says; `key` with its kind and length."""
    names = b"".join(bytes([len(name)]) + name.encode() for name in (ZONES * 30)[:zones])
    counts = struct.pack("<dHI", written, zones, 1)
    return (
        counts + names + key[:2] + bytes([len(answers), len(texts)]) + key[2:] + b"".join((*answers, *texts))
    )


def answer(
    zone: int = 0, status: int = 0, rcode: int = 0, addresses: tuple[int, ...] = (0x7F000002,)
) -> bytes:
    count = len(addresses)
    return struct.pack(f"<BBhIB{count}I", zone, status, rcode, 600, count, *addresses)


def text(zone: int = 0, count: int = 1, length: int = 10) -> bytes:
    return struct.pack("<BIB", zone, 600, count) + count * (struct.pack("<H", length) + b"x" * length)


def domain(name: bytes) -> bytes:
    return bytes([0, len(name)]) + name


GOOD = {
    "answer": body(answers=(answer(),)),
    "most addresses": body(answers=(answer(addresses=tuple(range(16))),)),
    "most texts": body(texts=(text(count=4, length=512),)),
    "domain": body(domain(b"a" * 253), (answer(),)),
    "rcode": body(answers=(answer(0, 3, 4095, ()), answer(1, 4, -1, ()))),
    "most zones": body(answers=(answer(),), zones=64),
}
IMPOSSIBLE = {
    "too many zones": body(answers=(answer(),), zones=65),
    "no such zone": body(answers=(answer(zone=3),)),
    "no such zone of a text": body(texts=(text(zone=3),)),
    "status": body(answers=(answer(status=6),)),
    "rcode too high": body(answers=(answer(rcode=4096),)),
    "rcode too low": body(answers=(answer(rcode=-2),)),
    "too many addresses": body(answers=(answer(addresses=tuple(range(17))),)),
    "too many texts": body(texts=(text(count=5),)),
    "too long a text": body(texts=(text(length=513),)),
    "address of 5 bytes": body(b"\x04\x05" + bytes(5), (answer(),)),
    "IPv6 address of 4 bytes": body(b"\x06\x04" + V4, (answer(),)),
    "unknown kind of key": body(b"\x05\x04" + V4, (answer(),)),
    "domain without a name": body(domain(b""), (answer(),)),
    "domain too long": body(domain(b"a" * 254), (answer(),)),
    "domain with capitals": body(domain(b"Example.com"), (answer(),)),
    "domain with a space": body(domain(b"example com"), (answer(),)),
    "domain beyond ASCII": body(domain(b"ex\xc3\xa4mple.com"), (answer(),)),
    "written never": body(answers=(answer(),), written=float("nan")),
    "written before time": body(answers=(answer(),), written=-1.0),
    "written at the end of time": body(answers=(answer(),), written=float("inf")),
}


@pytest.mark.parametrize("kind", GOOD)
def test_what_is_just_within_bounds_is_taken(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "c"
    path.write_bytes(resealed(GOOD[kind]))
    assert len(load(path)) == 1
    assert caplog.records == []


@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_what_is_just_beyond_gives_nothing_and_one_warning(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "c"
    path.write_bytes(resealed(IMPOSSIBLE[kind]))
    assert load(path) == {}
    assert "damaged" in only_warning(caplog)


def test_addresses_are_put_in_order(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(resealed(body(answers=(answer(addresses=(9, 2, 9, 5)),))))
    assert load(tmp_path / "c")[V4].answers[0].wire.addresses == (2, 5, 9)


@pytest.mark.parametrize("kind", ["directory", "pipe", "huge"])
def test_what_is_no_file_of_ours_gives_nothing_and_one_warning(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "odd"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        with open(path, "wb") as file:
            file.write(MAGIC)
            file.truncate(MAX_FILE_BYTES + 1)
    before = len(os.listdir("/dev/fd"))
    assert load(path) == {}
    assert ("larger" if kind == "huge" else "not a regular file") in only_warning(caplog)
    assert len(os.listdir("/dev/fd")) == before
