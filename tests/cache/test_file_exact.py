"""The cache's file to the byte: how much is written, of which size it may be, to the tenth of a second."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cache.test_cachefile_hostile import V4, WALL, ZONES, only_warning

from dnsbl.cache import file
from dnsbl.cache.answers import Key
from dnsbl.cache.entry import Entry, Held, HeldTexts, pack, unpack
from dnsbl.cache.file import _foreign, load_cache, save_cache, zone_id
from dnsbl.model import Status, Wire

LISTED = Wire(Status.OK, 0, (0x7F000002, 0x7F000004))
ENTRY = Entry(
    {0: Held(LISTED, 60.0), 2: Held(Wire(Status.RCODE, 2), 5.0)}, {0: HeldTexts((b"caf\xe9", b""), 90.0)}
)
_PARTS = (
    "0000000058020000020200007f0400007f"  # zone 0: OK, 60 s, two addresses
    "020302003200000000"  # zone 2: SERVFAIL, 5 s, none
    "0084030000020400636166e90000"  # zone 0: 90 s, two texts
)
FILE = bytes.fromhex(
    "89444e53424c0d0a" "0100" "f4471e1b"  # magic, version, CRC-32
    "000000402049da41" "0300" "02000000"  # written, zones, entries
    "0e626c2e6578616d706c652e636f6d" "11616c6c6f772e6578616d706c652e636f6d" "0f64626c2e6578616d706c652e636f6d"
    "04040201" "c0000263" + _PARTS + "00090201" "612e6578616d706c65" + _PARTS
)  # fmt: skip


def packed(entry: Entry = ENTRY) -> bytes:
    found = pack(entry.answers, entry.texts, 0.0)
    assert found is not None
    return found


def load(
    path: Path, after_s: float = 0.0, wall: float = WALL, max_ttl_s: float = 86_400.0
) -> dict[Key, Entry]:
    """Read by a process whose timer began elsewhere, `after_s` later."""
    found = load_cache(path, ZONES, now=77.0, wall_now=wall + after_s, max_entries=100, max_ttl_s=max_ttl_s)
    return {key: unpack(entry, 77.0) for key, entry in found}


def test_the_form_is_that_of_version_1(tmp_path: Path) -> None:
    """What an earlier release of this form has written is read, and the other way about."""
    save_cache(tmp_path / "c", [(V4, packed()), ("a.example", packed())], ZONES, now=0.0, wall_now=WALL)
    assert (tmp_path / "c").read_bytes() == FILE
    (tmp_path / "old").write_bytes(FILE)
    expected = Entry(
        {0: Held(LISTED, 77 + 60), 2: Held(Wire(Status.RCODE, 2), 77 + 5)},
        {0: HeldTexts((b"caf\xe9", b""), 77 + 90)},
    )
    assert load(tmp_path / "old") == {V4: expected, "a.example": expected}


def test_a_zone_has_the_id_it_had_before_the_restart() -> None:
    assert zone_id("bl.example.com", []) == "bl.example.com"
    assert (
        zone_id("bl.example.com", ["192.0.2.1:53", "[2001:db8::1]:53"])
        == "bl.example.com 3d49b5eb4ad85925a59d674b4ba3de62"
    )
    assert zone_id("bl.example.com", ["[2001:db8::1]:53", "192.0.2.1:53"]) != zone_id(
        "bl.example.com", ["192.0.2.1:53", "[2001:db8::1]:53"]
    )


# ---- times ----


def test_what_is_left_is_rounded_down_to_a_tenth_of_a_second(tmp_path: Path) -> None:
    entry = Entry({0: Held(LISTED, 60.19)}, {1: HeldTexts((b"why",), 60.99)})
    save_cache(tmp_path / "c", [(V4, packed(entry))], ZONES, now=10.0, wall_now=WALL)
    found = load(tmp_path / "c", after_s=20.0)[V4]
    assert found.answers[0].expires == pytest.approx(77 + 30.1)
    assert found.texts[1].expires == pytest.approx(77 + 30.9)


def test_an_answer_of_decades_is_held_for_a_day(tmp_path: Path) -> None:
    entry = Entry({0: Held(LISTED, 1e9)}, {1: HeldTexts((b"why",), 1e9)})
    save_cache(tmp_path / "c", [(V4, packed(entry))], ZONES, now=0.0, wall_now=WALL)
    ((_, found),) = load_cache(tmp_path / "c", ZONES, now=77.0, wall_now=WALL, max_entries=1)
    assert unpack(found, 77.0) == ({0: Held(LISTED, 77 + 86_400)}, {1: HeldTexts((b"why",), 77 + 86_400)})
    assert load(tmp_path / "c", max_ttl_s=600.0)[V4].answers == {0: Held(LISTED, 77 + 600)}


def test_a_machine_that_begins_in_1970_finds_what_it_saved(tmp_path: Path) -> None:
    """Small machines have no clock that runs while they are off."""
    save_cache(tmp_path / "c", [(V4, packed())], ZONES, now=0.0, wall_now=0.0)
    assert load(tmp_path / "c", after_s=10.0, wall=0.0)[V4].answers == {0: Held(LISTED, 77 + 50)}


def test_a_file_of_the_far_future_is_damaged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_cache(tmp_path / "c", [(V4, packed())], ZONES, now=0.0, wall_now=1e12)
    assert load(tmp_path / "c") == {}
    assert only_warning(caplog).endswith("saved cache ignored: damaged: impossible counts")


# ---- sizes ----


def test_entries_are_written_up_to_the_last_byte_there_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    entries: list[tuple[Key, bytes]] = [
        (V4, packed()),
        ("a.example", packed()),
        ("b.example", packed()),
        ("c.example", packed()),
    ]
    path = tmp_path / "c"
    save_cache(path, entries, ZONES, now=0.0, wall_now=WALL)
    size = path.stat().st_size
    monkeypatch.setattr(file, "MAX_FILE_BYTES", size)
    assert save_cache(path, entries, ZONES, now=0.0, wall_now=WALL) == 4
    assert len(load(path)) == 4
    assert caplog.records == []
    monkeypatch.setattr(file, "MAX_FILE_BYTES", size - 1)
    assert load(path) == {}
    assert only_warning(caplog).endswith(f"saved cache ignored: larger than {size - 1} bytes")
    caplog.clear()
    assert save_cache(path, entries, ZONES, now=0.0, wall_now=WALL) == 3
    assert only_warning(caplog) == f"{path}: 3 of 4 entries fit"
    caplog.clear()
    assert list(load(path)) == [V4, "a.example", "b.example"]
    monkeypatch.setattr(file, "MAX_FILE_BYTES", len(FILE) - 1)
    assert save_cache(path, entries, ZONES, now=0.0, wall_now=WALL) == 1
    assert only_warning(caplog) == f"{path}: 1 of 4 entries fit"


def test_no_file_is_larger_than_256_mib(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open(tmp_path / "c", "wb") as sparse:
        sparse.truncate(256 * 1024 * 1024 + 1)
    assert load(tmp_path / "c") == {}
    assert only_warning(caplog).endswith("saved cache ignored: larger than 268435456 bytes")


# ---- whose it is ----


@pytest.mark.parametrize(
    ("owner", "mode", "why"),
    [
        (1000, 0o600, ""),
        (0, 0o600, ""),
        (0, 0o664, ""),
        (1, 0o600, "it belongs to user 1, who could have anybody listed"),
        (1001, 0o600, "it belongs to user 1001, who could have anybody listed"),
        (1000, 0o602, "everybody may write to it, and could have anybody listed"),
        (0, 0o666, "everybody may write to it, and could have anybody listed"),
    ],
)
def test_a_file_is_read_that_nobody_but_its_reader_and_root_could_have_made(
    owner: int, mode: int, why: str
) -> None:
    about = os.stat_result((stat.S_IFREG | mode, 1, 1, 1, owner, owner, 100, 0, 0, 0))
    assert _foreign(about, 1000) == why


@pytest.mark.parametrize("kind", ["directory", "pipe"])
def test_nothing_but_a_file_is_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "odd"
    path.mkdir() if kind == "directory" else os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file: give the path of a file"):
        save_cache(path, [], ZONES, now=0.0, wall_now=WALL)
    assert os.listdir(tmp_path) == ["odd"]
