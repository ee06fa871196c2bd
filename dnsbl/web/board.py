"""The monitor's state file, read only: what is watched, what stands where, and what changed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Error as SqliteError
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dnsbl.errors import InputError
from dnsbl.monitor.entry import LISTED, UNKNOWN, Change, Entry, by_number
from dnsbl.monitor.state import Reader
from dnsbl.web.guard import Refusal

if TYPE_CHECKING:
    from dnsbl.web.app import Services

MAX_ENTRIES: Final = 100_000
MAX_CHANGES: Final = 50
MAX_ID: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Watched:
    """One watched subject on all its lists. unknown: lists of which nothing is known now."""

    subject: str
    via: tuple[str, ...]
    listed: tuple[Entry, ...]
    unknown: tuple[Entry, ...]
    lists: int
    asked_at: float | None
    due_at: float

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "subject": self.subject,
            "via": list(self.via),
            "listed": [entry.to_dict() for entry in self.listed],
            "unknown": [entry.to_dict() for entry in self.unknown],
            "lists": self.lists,
            "asked_at": self.asked_at,
            "due_at": self.due_at,
        }


@dataclass(frozen=True, slots=True)
class Board:
    """All of it: the listed first, then those of which something is unknown. meta: as `Reader.meta`."""

    watched: tuple[Watched, ...]
    changes: tuple[Change, ...]
    meta: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "watched": [each.to_dict() for each in self.watched],
            "changes": [change.to_dict() for change in self.changes],
            "meta": self.meta,
        }


def read_board(path: Path, subject: str | None = None, before: int | None = None) -> Board:
    """Read the state file. subject: only this one; before: only changes with a lower id.

    Raises InputError, one line, where the file is not there or cannot be read. Blocks: it reads a file.
    """
    try:
        with Reader(path) as reader:
            via = reader.subjects()
            of: dict[str, list[Entry]] = {}
            for count, entry in enumerate(reader.entries(subject)):
                if count >= MAX_ENTRIES:
                    break
                of.setdefault(entry.subject, []).append(entry)
            changes = reader.changes(subject, most=MAX_CHANGES, before=before)
            meta = reader.meta()
    except SqliteError as error:
        raise InputError(f"{path}: cannot be read: {error}", str(path)) from None
    watched = [_watched(name, via.get(name, ()), entries) for name, entries in of.items()]
    watched.sort(key=lambda each: (-len(each.listed), -len(each.unknown), by_number(each.subject)))
    return Board(tuple(watched), tuple(changes), meta)


def _watched(subject: str, via: tuple[str, ...], entries: list[Entry]) -> Watched:
    asked = [entry.asked_at for entry in entries if entry.asked_at is not None]
    return Watched(
        subject,
        via,
        tuple(entry for entry in entries if entry.standing == LISTED),
        tuple(entry for entry in entries if entry.status == UNKNOWN and entry.standing != LISTED),
        len(entries),
        max(asked, default=None),
        min(entry.due_at for entry in entries),
    )


async def watched(request: Request, services: Services) -> Response:
    """GET /watched"""
    path = services.settings.state
    if path is None:
        raise Refusal(404, "no monitor's state is shown: name its file with --state, or state under [serve]")
    query = request.query_params
    subject, before = query.get("subject"), before_of(query.get("before"))
    try:
        board = await asyncio.to_thread(read_board, path, subject, before)
    except InputError as error:
        raise Refusal(503, str(error)) from None
    return JSONResponse(board.to_dict())


def before_of(text: str | None) -> int | None:
    """The number of a change, from a query string; raises Refusal for what is none."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and int(text[:20]) <= MAX_ID):
        raise Refusal(400, f"before: {text[:40]!r} is not the number of a change")
    return int(text)
