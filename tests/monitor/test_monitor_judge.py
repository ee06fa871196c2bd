"""The rules of what counts as a change (dnsbl/monitor/judge.py), each by its number, and against a plain model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dnsbl.monitor.entry import Change, Entry, Seen
from dnsbl.monitor.judge import judge

LISTED = Seen("listed", ("127.0.0.2",), "spam source", "sent spam", "https://bl.example/x")
CLEAR = Seen("clear")
FAILED = Seen("unknown", detail="timeout")


def run(*sights: Seen, confirm: int = 2, entry: Entry | None = None) -> tuple[Entry, list[Change]]:
    entry, changes = entry or Entry("192.0.2.99", "bl.example"), []
    for number, seen in enumerate(sights, 1):
        entry, change = judge(entry, seen, float(number), confirm)
        changes += [change] if change else []
    return entry, changes


def test_rule_1_a_failure_is_unknown_and_no_sight() -> None:
    entry, changes = run(LISTED, LISTED, FAILED)
    assert (entry.status, entry.standing, entry.listed_since, entry.detail) == (
        "unknown", "listed", 1.0, "timeout",
    )  # fmt: skip
    entry, changes = run(LISTED, FAILED, FAILED, LISTED)
    assert (entry.status, len(changes), changes[0].since) == ("listed", 1, 1.0)
    entry, changes = run(LISTED, LISTED, *[FAILED] * 20, LISTED, LISTED)
    assert (entry.status, [c.what for c in changes]) == ("listed", ["listed"])


def test_rule_2_and_3_a_flapping_list_makes_no_change() -> None:
    entry, changes = run(CLEAR, *[LISTED, CLEAR] * 10)
    assert (entry.status, changes) == ("clear", [])
    entry, changes = run(LISTED, LISTED, *[CLEAR, LISTED] * 10)
    assert (entry.status, [c.what for c in changes]) == ("listed", ["listed"])


def test_rule_3_confirm_may_be_set() -> None:
    assert len(run(LISTED, confirm=1)[1]) == 1
    assert run(*[LISTED] * 3, confirm=4)[1] == []
    assert run(*[LISTED] * 3, confirm=4)[0].detail == "seen listed 3 of 4 times"


def test_rule_4_the_first_clear_is_nothing_to_tell() -> None:
    entry, changes = run(CLEAR)
    assert (entry.status, entry.delisted_at, changes) == ("clear", None, [])


def test_rule_5_a_listing_and_its_end_are_told_once_with_all_that_is_known() -> None:
    entry, changes = run(CLEAR, *[LISTED] * 5, *[CLEAR] * 5)
    assert [(c.what, c.since, c.at) for c in changes] == [("listed", 2.0, 3.0), ("delisted", 7.0, 8.0)]
    assert {(c.codes, c.reason, c.delist_url) for c in changes} == {
        (("127.0.0.2",), "sent spam", "https://bl.example/x")
    }
    assert (entry.listed_since, entry.delisted_at, entry.since) == (None, 7.0, 7.0)


def test_other_codes_and_a_reason_that_does_not_come_are_no_change() -> None:
    other = Seen("listed", ("127.0.0.3", "127.0.0.4"))
    entry, changes = run(LISTED, LISTED, other)
    assert (len(changes), entry.codes, entry.reason) == (1, ("127.0.0.3", "127.0.0.4"), "sent spam")


@given(st.lists(st.sampled_from([LISTED, CLEAR, FAILED]), max_size=40), st.integers(1, 4))
def test_as_a_plain_model_says(sights: list[Seen], confirm: int) -> None:
    """Written the other way: by looking back over all sights instead of counting on."""
    words = [seen.status for seen in sights if seen.status != "unknown"]
    standing, expected = "", []
    for at in range(1, len(words) + 1):
        word = words[at - 1]
        enough = words[max(0, at - confirm) : at] == [word] * confirm
        if word != standing and (enough or (word == "clear" and not standing)):
            expected += [] if word == "clear" and not standing else [word]
            standing = word
    entry, changes = run(*sights, confirm=confirm)
    assert [("clear" if c.what == "delisted" else "listed") for c in changes] == expected
    assert entry.standing == standing
    assert entry.status in ("unknown", standing)
