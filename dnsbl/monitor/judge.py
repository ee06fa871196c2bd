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
    entry = replace(entry, asked_at=now)
    if seen.status == UNKNOWN:
        return _with_status(replace(entry, detail=seen.detail), UNKNOWN, now), None
    before = entry
    if seen.status == LISTED:
        entry = replace(
            entry,
            codes=seen.codes,
            meaning=seen.meaning,
            reason=seen.reason or entry.reason,  # a reason may come late; the listing's last is as good
            delist_url=seen.delist_url,
        )
    if seen.status == entry.standing:
        entry = replace(entry, sightings=0, first_sight=None, detail="")
        return _with_status(entry, seen.status, now), None
    sightings = entry.sightings + 1
    first_sight = now if entry.first_sight is None else entry.first_sight
    is_first_word = entry.standing == "" and seen.status == CLEAR
    if not is_first_word and sightings < confirm:
        detail = f"seen {seen.status} {sightings} of {confirm} times"
        entry = replace(entry, sightings=sightings, first_sight=first_sight, detail=detail)
        return _with_status(entry, entry.standing or UNKNOWN, now), None
    entry = replace(entry, standing=seen.status, sightings=0, first_sight=None, detail="")
    if seen.status == LISTED:
        entry = replace(entry, listed_since=first_sight)
        return _with_status(entry, LISTED, first_sight), _change(entry, LISTED, first_sight, now)
    entry = replace(entry, listed_since=None)
    if is_first_word:
        return _with_status(entry, CLEAR, now), None
    entry = replace(entry, delisted_at=first_sight)
    return _with_status(entry, CLEAR, first_sight), _change(before, "delisted", first_sight, now)


def _with_status(entry: Entry, status: Status, since: float) -> Entry:
    if entry.status == status and entry.since:
        return entry
    return replace(entry, status=status, since=since)


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
