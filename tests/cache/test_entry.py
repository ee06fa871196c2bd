"""One cache entry: what is packed comes back, as long as it is valid, and no larger than it may be."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dnsbl.cache.answers import AnswerCache
from dnsbl.cache.entry import (
    HEADER,
    MAX_ADDRESSES,
    MAX_TEXT_BYTES,
    MAX_TEXTS,
    Entry,
    Held,
    HeldTexts,
    pack,
    unpack,
)
from dnsbl.model import Status, Wire

WIRES = st.builds(
    Wire,
    st.sampled_from([int(status) for status in Status]),
    st.integers(-1, 4095),
    st.lists(st.integers(0, 2**32 - 1), max_size=MAX_ADDRESSES).map(tuple),
)
ZONES = st.integers(0, 63)
EXPIRES = st.floats(0, 1e9)
ANSWERS = st.dictionaries(ZONES, st.builds(Held, WIRES, EXPIRES), max_size=64)
TEXTS = st.dictionaries(
    ZONES,
    st.builds(
        HeldTexts, st.lists(st.binary(max_size=MAX_TEXT_BYTES), max_size=MAX_TEXTS).map(tuple), EXPIRES
    ),
    max_size=5,
)


def plain(wire: Wire) -> bool:
    return not wire.addresses and wire.status in (Status.OK, Status.NXDOMAIN)


@settings(deadline=None)
@given(ANSWERS, TEXTS, EXPIRES, EXPIRES, st.integers(0, 2**64 - 1))
def test_unpack_gives_what_was_packed_and_is_valid(
    answers: dict[int, Held], texts: dict[int, HeldTexts], packed_at: float, later: float, wanted: int
) -> None:
    entry = pack(answers, texts, packed_at)
    valid = {zone: of for zone, of in answers.items() if of.expires > packed_at}
    valid_texts = {zone: of for zone, of in texts.items() if of.expires > packed_at}
    if entry is None:
        assert not valid
        assert not valid_texts
        return
    soonest, latest, present, notable = HEADER.unpack_from(entry)
    assert present == sum(1 << zone for zone in valid)
    assert notable == sum(1 << zone for zone, of in valid.items() if not plain(of.wire))
    assert soonest == min((of.expires for of in valid.values()), default=float("inf"))
    assert latest == max(
        *(of.expires for of in valid.values()), *(of.expires for of in valid_texts.values()), 0.0
    )
    at = max(packed_at, later)
    found = unpack(entry, at, wanted)
    assert found.answers == {z: of for z, of in valid.items() if of.expires > at and wanted >> z & 1}
    assert found.texts == {z: of for z, of in valid_texts.items() if of.expires > at and wanted >> z & 1}


def test_texts_are_bounded() -> None:
    texts = tuple(bytes([65 + n]) * 65_000 for n in range(20))
    entry = pack({}, {0: HeldTexts(texts, 10)}, 0)
    assert entry is not None
    assert unpack(entry, 0).texts[0].texts == tuple(text[:MAX_TEXT_BYTES] for text in texts[:MAX_TEXTS])
    assert len(entry) < MAX_TEXTS * (MAX_TEXT_BYTES + 2) + 64


def test_answer_with_too_many_addresses_is_not_held_rather_than_cut() -> None:
    most = {0: Held(Wire(Status.OK, 0, tuple(range(MAX_ADDRESSES))), 10)}
    entry = pack(most, {}, 0)
    assert entry is not None
    assert unpack(entry, 0).answers == most
    many = Wire(Status.OK, 0, tuple(range(MAX_ADDRESSES + 1)))
    assert pack({0: Held(many, 10)}, {}, 0) is None


LISTED = Held(Wire(Status.OK, 0, (0x7F000002, 0x7F000004)), 60.0)
CLEAN = Held(Wire(Status.NXDOMAIN, 3, ()), 30.0)
FAILED = Held(Wire(Status.TIMEOUT, -1, ()), 40.0)
NO_ADDRESS = Held(Wire(Status.OK, 0, ()), 50.0)
ANSWERED = {0: LISTED, 1: CLEAN, 2: FAILED, 62: NO_ADDRESS, 63: LISTED}
SAID = {1: HeldTexts((b"why", b""), 70.0), 63: HeldTexts((), 20.0)}


def test_an_entry_of_each_kind_of_answer() -> None:
    entry = pack(ANSWERED, SAID, 0.0)
    assert entry is not None
    assert HEADER.unpack_from(entry) == (30.0, 70.0, 1 << 63 | 1 << 62 | 0b111, 1 << 63 | 0b101)
    assert unpack(entry, 0.0) == Entry(ANSWERED, SAID)
    for zone in range(64):
        expected = ANSWERED.get(zone)
        assert unpack(entry, 0.0, 1 << zone).answers == ({zone: expected} if expected else {})
        assert unpack(entry, 0.0, 1 << zone).texts == ({zone: SAID[zone]} if zone in SAID else {})


def test_what_expires_now_is_no_longer_valid() -> None:
    entry = pack(ANSWERED, SAID, 0.0)
    assert entry is not None
    assert unpack(entry, 20.0).texts.keys() == {1}
    assert unpack(entry, 50.0).answers.keys() == {0, 63}
    assert unpack(entry, 70.0) == Entry({}, {})
    assert pack(ANSWERED, SAID, 70.0) is None
    packed_later = pack(ANSWERED, SAID, 50.0)
    assert packed_later == pack({0: LISTED, 63: LISTED}, {1: SAID[1]}, 50.0)


def test_a_reader_stops_at_the_last_answer_it_wants() -> None:
    """What is no plain negative comes first: of a listing's entry the many plain answers are not read."""
    entry = pack({1: CLEAN, 2: CLEAN, 3: LISTED}, {}, 0.0)
    assert entry is not None
    assert unpack(entry[:-1], 0.0, 1 << 3).answers == {3: LISTED}


def test_a_packed_entry_is_held_as_what_is_in_it() -> None:
    packed = pack({1: CLEAN}, {}, 0.0)
    assert packed is not None
    cache = AnswerCache(10, lambda: 20.0)
    cache.put_packed("new.example", packed)
    assert cache.get("new.example") == packed
    for key, others, together in (
        ("held.example", {0: LISTED}, {0: LISTED, 1: CLEAN}),
        ("over.example", {0: Held(LISTED.wire, 20.5)}, {0: Held(LISTED.wire, 20.5), 1: CLEAN}),
    ):
        cache.put(key, others)
        cache.put_packed(key, packed)
        entry = cache.get(key)
        assert entry is not None
        assert unpack(entry, 20.0).answers == together
    nothing = AnswerCache(0)
    nothing.put_packed("new.example", packed)
    nothing.put("new.example", {1: CLEAN})
    assert nothing.items() == []
