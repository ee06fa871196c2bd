"""The cache on disk with entries and files of any kind: what is written comes back, and nothing raises."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from cache.test_cachefile_hostile import WALL, ZONES, good_file, resealed
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsbl.cache.answers import Key
from dnsbl.cache.entry import MAX_ADDRESSES, MAX_TEXT_BYTES, MAX_TEXTS, Entry, Held, HeldTexts, pack, unpack
from dnsbl.cache.file import _START, MAGIC, load_cache, save_cache
from dnsbl.model import Status, Wire

WIRES = st.builds(
    Wire,
    st.sampled_from([int(status) for status in Status if status is not Status.UNSENT]),
    st.integers(-1, 4095),
    st.lists(st.integers(0, 2**32 - 1), max_size=MAX_ADDRESSES, unique=True).map(
        lambda found: tuple(sorted(found))
    ),
)

TENTHS = st.integers(1, 864_000).map(lambda tenths: tenths / 10)

KEYS = st.one_of(
    st.binary(min_size=4, max_size=4),
    st.binary(min_size=16, max_size=16),
    st.from_regex(r"[a-z0-9-]{1,60}(\.[a-z0-9-]{1,60}){0,3}", fullmatch=True),
)


@settings(deadline=None)
@given(
    st.dictionaries(
        KEYS,
        st.tuples(
            st.dictionaries(st.integers(0, 2), st.tuples(WIRES, TENTHS), min_size=1),
            st.dictionaries(
                st.integers(0, 2),
                st.tuples(st.lists(st.binary(max_size=512), max_size=4), TENTHS),
                max_size=2,
            ),
        ),
        max_size=5,
    )
)
def test_any_entries_come_back_not_longer_lived(
    wanted: dict[Key, tuple[dict[int, tuple[Wire, float]], dict[int, tuple[list[bytes], float]]]],
) -> None:
    """Exact but for the rounding of the expiry, which is down by less than 0.2 s."""
    entries: list[tuple[Key, bytes]] = []
    for key, (answers, texts) in wanted.items():
        held = {zone: Held(wire, ttl_s) for zone, (wire, ttl_s) in answers.items()}
        held_texts = {zone: HeldTexts(tuple(found), ttl_s) for zone, (found, ttl_s) in texts.items()}
        entry = pack(held, held_texts, 0.0)
        assert entry is not None
        entries.append((key, entry))
    with TemporaryDirectory() as directory:
        path = Path(directory, "c")
        save_cache(path, entries, ZONES, now=0.0, wall_now=WALL)
        found = dict(load_cache(path, ZONES, now=0.0, wall_now=WALL, max_entries=100))
    for key, entry in entries:
        before = unpack(entry, 0.2)
        after = unpack(found[key], 0.0) if key in found else Entry({}, {})
        for zone, was in before.answers.items():
            assert after.answers[zone].wire == was.wire
            assert was.expires - 0.2 < after.answers[zone].expires <= was.expires
        for zone, was_texts in before.texts.items():
            assert after.texts[zone].texts == was_texts.texts
            assert was_texts.expires - 0.2 < after.texts[zone].expires <= was_texts.expires


def within_bounds(found: list[tuple[Key, bytes]], max_entries: int) -> None:
    assert len(found) <= max_entries
    for key, entry in found:
        assert (len(key) in (4, 16)) if isinstance(key, bytes) else (0 < len(key) <= 253 and key.isascii())
        answers, texts = unpack(entry, 77.0)
        for zone, (wire, expires) in answers.items():
            assert 0 <= zone < len(ZONES)
            Status(wire.status)
            assert -1 <= wire.rcode <= 4095
            assert len(wire.addresses) <= MAX_ADDRESSES
            assert list(wire.addresses) == sorted(set(wire.addresses))
            assert 77 < expires <= 77 + 86_400
        for zone, held in texts.items():
            assert 0 <= zone < len(ZONES)
            assert len(held.texts) <= MAX_TEXTS
            assert all(len(text) <= MAX_TEXT_BYTES for text in held.texts)
            assert 77 < held.expires <= 77 + 86_400


QUIET = settings(max_examples=300, deadline=None)


def load_bytes(data: bytes, max_entries: int = 2) -> list[tuple[Key, bytes]]:
    with TemporaryDirectory() as directory:
        path = Path(directory, "c")
        path.write_bytes(data)
        return load_cache(path, ZONES, now=77.0, wall_now=WALL, max_entries=max_entries)


@QUIET
@given(st.binary(max_size=300), st.sampled_from(["bare", "magic", "sealed"]))
def test_arbitrary_bytes_never_raise(data: bytes, kind: str) -> None:
    whole = {"bare": data, "magic": MAGIC + data, "sealed": resealed(data)}[kind]
    within_bounds(load_bytes(whole), 2)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """The body of a good file with bytes set, cut out or put in, behind a checksum that is right again."""
    body = bytearray(good_file()[_START.size :])
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(body) - 1))
        body[at : at + draw(st.integers(0, 8))] = draw(st.binary(max_size=8))
        body = body or bytearray(1)
    return resealed(bytes(body))


@QUIET
@given(mutated())
def test_mutated_files_never_raise_and_stay_within_bounds(data: bytes) -> None:
    within_bounds(load_bytes(data, 3), 3)
