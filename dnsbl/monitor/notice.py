"""What is told of changes: the JSON of a notice, and its text for people. Pure.

A notice is of one change (`event` is `listed` or `delisted`), or of all changes of a round together
(`summary`) where they are many: whoever moves a network does not want a thousand mails.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from dnsbl.monitor.entry import LISTED, Change
from dnsbl.text.reason import clean_text

MAX_IN_SUMMARY: Final = 1_000
"""Changes written out in one summary; of the rest there is the number."""
VERSION: Final = 1


def make_notices(changes: Sequence[Change], summary_above: int) -> list[dict[str, Any]]:
    """The notices of one round. Each has an `id` that stays the same when it has to be sent again.

    summary_above: more changes than that become one summary.
    """
    if len(changes) > summary_above and len(changes) > 1:
        return [_summary(changes)]
    return [
        _told(change) | {"version": VERSION, "event": change.what, "id": notice_id(change)}
        for change in changes
    ]


def _told(change: Change) -> dict[str, Any]:
    return change.to_dict() | {"at": stamp(change.at), "since": stamp(change.since)}


def _summary(changes: Sequence[Change]) -> dict[str, Any]:
    listed = sum(change.what == LISTED for change in changes)
    return {
        "version": VERSION,
        "event": "summary",
        "id": notice_id(changes[-1]),
        "at": stamp(changes[-1].at),
        "listed": listed,
        "delisted": len(changes) - listed,
        "changes": [_told(change) for change in changes[:MAX_IN_SUMMARY]],
        "more": max(0, len(changes) - MAX_IN_SUMMARY),
    }


def notice_id(change: Change) -> str:
    """A change's number is the state file's own; its time tells it from that of another file."""
    return f"{int(change.at)}-{change.id}"


def stamp(at: float) -> str:
    """A time as RFC 3339 has it, in UTC.

    >>> stamp(1_700_000_000)
    '2023-11-14T22:13:20Z'
    """
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def headline(notice: Mapping[str, Any]) -> str:
    """One line, as a mail's subject.

    >>> headline({"event": "listed", "subject": "192.0.2.99", "zone": "bl.example"})
    '192.0.2.99 is listed by bl.example'
    """
    if notice["event"] == "summary":
        return f"{notice['listed']} listed, {notice['delisted']} delisted"
    did = "is listed by" if notice["event"] == LISTED else "is no longer listed by"
    return clean_text(f"{notice['subject']} {did} {notice['zone']}", 200)


def text_of(notice: Mapping[str, Any]) -> str:
    """The notice in words, some lines; no line holds a control character, whatever a list wrote."""
    if notice["event"] != "summary":
        return "\n".join(_lines(notice)) + "\n"
    lines = [f"{headline(notice)}, at {notice['at']}.", ""]
    for change in notice["changes"]:
        first, *rest = _lines(change | {"event": change["what"]})
        lines += [first, *(f"    {line}" for line in rest if not line.startswith("at:"))]
    if notice["more"]:
        lines += ["", f"and {notice['more']:,} more: dnsbl monitor --status"]
    return "\n".join(lines) + "\n"


def _lines(notice: Mapping[str, Any]) -> Iterator[str]:
    yield headline(notice)
    via = [item for item in notice["via"] if item != notice["subject"]]
    values = {
        "watched as": ", ".join(via),
        "at": notice["at"],
        "first seen": notice["since"],
        "codes": " ".join(notice["codes"]),
        "meaning": notice["meaning"],
        "reason": notice["reason"],
        "what to do": notice["delist_url"] if notice["event"] == LISTED else "",
    }
    for name, value in values.items():
        if value:
            yield f"{name}: {clean_text(str(value), 500)}"
