"""The daily budget: what it counts, when it warns, when it refuses, when it begins anew."""

from __future__ import annotations

import logging

import pytest

from dnsbl.health.budget import Budget
from dnsbl.zones.zone import Zone

DAY_S = 86_400
NOON = 20_000 * DAY_S + DAY_S // 2
LIMITED, FREE = 0, 1


def budget(limit: int = 100) -> Budget:
    return Budget([Zone("bl.example.com", daily_limit=limit), Zone("free.example.com")])


def test_zone_is_spent_at_its_limit_and_not_before() -> None:
    counted = budget(3)
    seen = []
    for _ in range(4):
        seen.append(counted.spent(LIMITED, NOON))
        counted.count(LIMITED, 1, NOON)
    assert seen == [False, False, False, True]


def test_zone_without_limit_is_never_spent() -> None:
    counted = budget()
    counted.count(FREE, 10**9, NOON)
    assert not counted.spent(FREE, NOON)
    assert counted.state(FREE, NOON) == (0, None, "ok")


def test_midnight_utc_begins_anew_without_any_query() -> None:
    counted = budget(10)
    counted.count(LIMITED, 10, NOON)
    assert counted.spent(LIMITED, NOON + DAY_S / 2 - 0.001)
    assert not counted.spent(LIMITED, NOON + DAY_S / 2)
    assert counted.state(LIMITED, NOON + DAY_S / 2) == (0, 10, "ok")


def test_state_is_of_today_though_nothing_else_was_asked_since_midnight() -> None:
    counted = budget(10)
    counted.count(LIMITED, 10, NOON)
    assert counted.state(LIMITED, NOON) == (10, 10, "spent")
    assert counted.state(LIMITED, NOON + DAY_S) == (0, 10, "ok")


def test_clock_set_back_a_day_does_not_leave_a_zone_spent_for_ever() -> None:
    counted = budget(10)
    counted.count(LIMITED, 10, NOON + 365 * DAY_S)
    assert not counted.spent(LIMITED, NOON)


@pytest.mark.parametrize(
    ("count", "state"), [(0, "ok"), (79, "ok"), (80, "low"), (99, "low"), (100, "spent"), (130, "spent")]
)
def test_state_for_stats(count: int, state: str) -> None:
    counted = budget(100)
    counted.count(LIMITED, count, NOON)
    assert counted.state(LIMITED, NOON) == (count, 100, state)


@pytest.mark.parametrize(("step", "lines"), [(1, 2), (7, 2), (50, 1), (100, 1), (1000, 1)])
def test_warns_once_at_80_percent_and_once_at_the_limit(
    step: int, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A step that passes 80 % and the limit at once says only that the limit is reached."""
    counted = budget(100)
    for day in range(2):
        caplog.clear()
        for _ in range(0, 300, step):
            counted.count(LIMITED, step, NOON + day * DAY_S)
        messages = [record.getMessage() for record in caplog.records]
        assert len(messages) == lines
        assert all("bl.example.com" in message for message in messages)
        assert "used up" in messages[-1]
        assert {record.name for record in caplog.records} == {"dnsbl.budget"}
        assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_what_is_given_back_is_not_said_to_be_used(caplog: pytest.LogCaptureFixture) -> None:
    counted = budget(100)
    counted.count(LIMITED, 100, NOON)
    caplog.clear()
    counted.count(LIMITED, -1, NOON)
    assert counted.state(LIMITED, NOON) == (99, 100, "low")
    assert caplog.records == []
