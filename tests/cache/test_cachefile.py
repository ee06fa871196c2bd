"""The cache on disk: what is written comes back, and no longer lived than before."""

from __future__ import annotations

import logging
import os
import resource
import stat
from pathlib import Path

import pytest

from dnsbl.cache.answers import AnswerCache, Key
from dnsbl.cache.entry import Entry, Held, HeldTexts, pack, unpack
from dnsbl.cache.file import load_cache, save_cache
from dnsbl.model import Status, Wire

ZONES = ("bl.example.com", "allow.example.com", "dbl.example.com")
NOW, WALL = 5_000.0, 1_764_000_000.0
LISTED = Wire(Status.OK, 0, (0x7F000002, 0x7F000004))
CLEAN = Wire(Status.NXDOMAIN, 3)
V4, V6, DOMAIN = b"\xc0\x00\x02\x63", bytes.fromhex("20010db8" + "00" * 11 + "01"), "example.com"


def packed(entry: Entry) -> bytes:
    found = pack(entry.answers, entry.texts, NOW)
    assert found is not None
    return found


def sample() -> list[tuple[Key, bytes]]:
    texts = {0: HeldTexts((b"caf\xe9", b""), NOW + 90)}
    return [
        (V4, packed(Entry({0: Held(LISTED, NOW + 60), 1: Held(CLEAN, NOW + 300)}, texts))),
        (V6, packed(Entry({1: Held(CLEAN, NOW + 300)}, {}))),
        (DOMAIN, packed(Entry({2: Held(Wire(Status.RCODE, 2), NOW + 5)}, {}))),
    ]


def load(
    path: Path, zones: tuple[str, ...] = ZONES, after_s: float = 0.0, **bounds: float
) -> dict[Key, Entry]:
    """Read by a process whose timer began elsewhere, `after_s` later."""
    found = load_cache(
        path,
        zones,
        now=77.0,
        wall_now=WALL + after_s,
        max_entries=int(bounds.pop("max_entries", 100)),
        **bounds,
    )
    return {key: unpack(entry, 77.0) for key, entry in found}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "answers.cache"
    assert save_cache(path, sample(), ZONES, now=NOW, wall_now=WALL) == 3
    return path


def test_everything_comes_back(path: Path) -> None:
    found = load(path)
    assert list(found) == [V4, V6, DOMAIN]
    assert found[V4].answers == {0: Held(LISTED, 77 + 60), 1: Held(CLEAN, 77 + 300)}
    assert found[V4].texts == {0: HeldTexts((b"caf\xe9", b""), 77 + 90)}
    assert found[DOMAIN].answers == {2: Held(Wire(Status.RCODE, 2), 77 + 5)}


def test_expiry_is_by_wall_clock(path: Path) -> None:
    found = load(path, after_s=61)
    assert list(found) == [V4, V6]
    assert found[V4].answers == {1: Held(CLEAN, 77 + 239)}
    assert found[V4].texts == {0: HeldTexts((b"caf\xe9", b""), 77 + 29)}
    assert load(path, after_s=300) == {}


def test_clock_set_back_lengthens_nothing(path: Path) -> None:
    assert load(path, after_s=-10 * 365 * 86_400) == load(path)


def test_nothing_is_valid_beyond_the_ceiling(path: Path) -> None:
    for entry in load(path, max_ttl_s=10).values():
        assert all(held.expires <= 77 + 10 for held in entry.answers.values())
        assert all(held.expires <= 77 + 10 for held in entry.texts.values())


def test_zones_are_found_by_their_ids(path: Path) -> None:
    found = load(path, zones=("new.example.com", "dbl.example.com", "bl.example.com"))
    assert list(found) == [V4, DOMAIN]
    assert found[V4].answers == {2: Held(LISTED, 77 + 60)}
    assert found[V4].texts.keys() == {2}
    assert found[DOMAIN].answers.keys() == {1}


def test_no_more_entries_than_fit_and_the_newest_stay(path: Path) -> None:
    assert list(load(path, max_entries=2)) == [V6, DOMAIN]
    assert load(path, max_entries=0) == {}


def test_a_cache_goes_through_the_file(tmp_path: Path) -> None:
    before = AnswerCache(100, lambda: NOW)
    for n in range(50):
        before.put(bytes([192, 0, 2, n]), {0: Held(LISTED, NOW + n), 1: Held(CLEAN, NOW + 50)})
    save_cache(tmp_path / "c", before.items(), ZONES, now=NOW, wall_now=WALL)
    after = AnswerCache(100, lambda: 77.0)
    after.put(bytes([192, 0, 2, 7]), {0: Held(CLEAN, 77.0 + 1)})
    for key, entry in load_cache(tmp_path / "c", ZONES, now=77.0, wall_now=WALL + 10, max_entries=100):
        after.fill(key, entry)
    assert after.info().currsize == 50
    held = after.get(bytes([192, 0, 2, 7]))
    assert held is not None
    assert unpack(held, 77.0).answers == {0: Held(CLEAN, 78.0), 1: Held(CLEAN, 117.0)}
    held = after.get(bytes([192, 0, 2, 30]))
    assert held is not None
    assert unpack(held, 77.0).answers == {0: Held(LISTED, 97.0), 1: Held(CLEAN, 117.0)}


def test_written_for_the_owner_only_and_nothing_left_beside_it(path: Path) -> None:
    path.chmod(0o644)
    old = os.umask(0)
    try:
        save_cache(path, sample(), ZONES, now=NOW, wall_now=WALL)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == [path.name]


def test_failed_write_leaves_the_old_file_and_no_other(path: Path) -> None:
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (32, limits[1]))  # as if the disk were full
    try:
        with pytest.raises(OSError, match="too large"):
            save_cache(path, sample()[:1], ZONES, now=NOW, wall_now=WALL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_directory_that_is_not_there_is_an_error_when_saving(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        save_cache(tmp_path / "no" / "cache", sample(), ZONES, now=NOW, wall_now=WALL)


def test_missing_file_is_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert load(tmp_path / "none") == {}
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
