"""What a round's sight changes of an entry, and when that is a change to tell of. Pure.

The rules, in this order:

1. `unknown` (the list failed, refused, or is itself broken) changes nothing that stands: it is no sight. It
   neither ends nor begins a listing, and does not break a row of sights.
2. A sight of what stands ends the row of sights to the contrary.
3. A sight to the contrary counts once `confirm` of them came in a row; until then what stood stands.
4. The first word about an entry counts at once if it is `clear`: there is nothing to tell.
5. A listing that counts is a change, and so is its end; each is told once, because it changes what stands.

Codes and reasons are kept as they were seen last and are never a change: their order means nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from dnsbl.monitor.entry import CLEAR, LISTED, UNKNOWN, Change, Entry, Seen, Status


def judge(entry: Entry, seen: Seen, now: float, confirm: int = 2) -> tuple[Entry, Change | None]:
    """The entry after one more sight, and the change it makes, if any. confirm: sights it takes; from 1.

    >>> entry = Entry("192.0.2.99", "bl.example")
    >>> entry, change = judge(entry, Seen("listed", ("127.0.0.2",)), 100.0)
    >>> entry.status, change
    ('unknown', None)
    >>> entry, change = judge(entry, Seen("listed", ("127.0.0.2",)), 200.0)
    >>> entry.status, entry.listed_since, change.what
    ('listed', 100.0, 'listed')
    """
    after: dict[str, Any] = {"asked_at": now}
    if seen.status == UNKNOWN:
        return _after(entry, after | {"detail": seen.detail}, UNKNOWN, now), None
    if seen.status == LISTED:
        # A reason may come late; the listing's last is as good.
        after |= {"codes": seen.codes, "meaning": seen.meaning, "reason": seen.reason or entry.reason}
        after["delist_url"] = seen.delist_url
    if seen.status == entry.standing:
        return _after(entry, after | _NO_ROW, seen.status, now), None
    sightings = entry.sightings + 1
    first_sight = now if entry.first_sight is None else entry.first_sight
    is_first_word = entry.standing == "" and seen.status == CLEAR
    if not is_first_word and sightings < confirm:
        after |= {"sightings": sightings, "first_sight": first_sight}
        after["detail"] = f"seen {seen.status} {sightings} of {confirm} times"
        return _after(entry, after, entry.standing or UNKNOWN, now), None
    after |= _NO_ROW | {"standing": seen.status}
    after["listed_since"] = first_sight if seen.status == LISTED else None
    if is_first_word:
        return _after(entry, after, CLEAR, now), None
    if seen.status == CLEAR:
        after["delisted_at"] = first_sight
    done = _after(entry, after, seen.status, first_sight)
    return done, _change(done, seen.status, first_sight, now)


_NO_ROW: Final[dict[str, Any]] = {"sightings": 0, "first_sight": None, "detail": ""}


def _after(entry: Entry, changes: dict[str, Any], status: Status, since: float) -> Entry:
    if entry.status != status or not entry.since:
        changes |= {"status": status, "since": since}
    return replace(entry, **changes)


def _change(entry: Entry, what: str, since: float, now: float) -> Change:
    return Change(
        at=now,
        subject=entry.subject,
        zone=entry.zone,
        what="listed" if what == LISTED else "delisted",
        since=since,
        codes=entry.codes,
        meaning=entry.meaning,
        reason=entry.reason,
        delist_url=entry.delist_url,
    )
