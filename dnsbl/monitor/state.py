"""What the monitor knows, in an SQLite file that survives the process at any moment.

One process writes (`State`), held to that by a lock on `FILE.lock` which the system drops when the process
ends, however it ends. Any number read meanwhile (`Reader`), in other processes too; no reader waits for the
writer, nor it for them (WAL). What one round brings appears in one transaction or not at all.

The tables: `entry`, one row a subject and list (`Entry`; `watched` is 0 for one that is watched no more);
`change`, each listing that began or ended (`Change`); `subject`, through which watched item a subject came;
`spent`, queries by list and day; `notice`, what is still to be sent; `meta`, numbers by name.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, Self

from dnsbl.errors import InputError
from dnsbl.monitor.entry import Change, Entry

VERSION: Final = 1
BUSY_S: Final = 10.0
MAX_CHANGES: Final = 100_000
"""Changes kept; the oldest go first."""

_SCHEMA: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value REAL) WITHOUT ROWID;
CREATE TABLE subject (subject TEXT PRIMARY KEY, via TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE entry (
    subject TEXT NOT NULL, zone TEXT NOT NULL, status TEXT NOT NULL, since REAL NOT NULL,
    standing TEXT NOT NULL, listed_since REAL, delisted_at REAL, sightings INTEGER NOT NULL,
    first_sight REAL, asked_at REAL, due_at REAL NOT NULL, codes TEXT NOT NULL, meaning TEXT NOT NULL,
    reason TEXT NOT NULL, delist_url TEXT NOT NULL, detail TEXT NOT NULL,
    watched INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (subject, zone)
) WITHOUT ROWID;
CREATE TABLE change (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, subject TEXT NOT NULL, zone TEXT NOT NULL,
    what TEXT NOT NULL, since REAL NOT NULL, codes TEXT NOT NULL, meaning TEXT NOT NULL,
    reason TEXT NOT NULL, delist_url TEXT NOT NULL, via TEXT NOT NULL
);
CREATE INDEX change_of ON change (subject, id);
CREATE TABLE spent (zone TEXT PRIMARY KEY, day INTEGER NOT NULL, queries INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE notice (
    id INTEGER PRIMARY KEY AUTOINCREMENT, sink TEXT NOT NULL, made_at REAL NOT NULL, body TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0, try_at REAL NOT NULL
);
"""

_ENTRY: Final = tuple(field.name for field in fields(Entry))
_CHANGE: Final = tuple(field.name for field in fields(Change))
_LISTS: Final = ("codes", "via")


class StateError(InputError):
    """A state file that cannot be used: another monitor has it, or it is none."""


class Reader:
    """The state, read only: for a page, a status command, another process. A context manager.

    Raises StateError where there is no such file, or it is no state of a monitor.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise StateError(f"{self.path}: no such state file: start `dnsbl monitor` with it", str(path))
        self._file = _open_read_only(self.path)
        try:
            _check_version(self._file, self.path)
        except BaseException:
            self._file.close()
            raise

    def entries(
        self, subject: str | None = None, zone: str | None = None, *, watched: bool = True
    ) -> Iterator[Entry]:
        """Every entry, or those of a subject, of a zone, or of both; by subject and zone.

        watched: False gives those that are watched no more instead.
        """
        where, values = _where({"watched": int(watched), "subject": subject, "zone": zone})
        query = f"SELECT {', '.join(_ENTRY)} FROM entry{where} ORDER BY subject, zone"
        for row in self._file.execute(query, values):
            yield Entry(**_from_row(_ENTRY, row))

    def next_due(self) -> float | None:
        """When the first entry is due; None: there is none."""
        due: float | None = self._file.execute("SELECT min(due_at) FROM entry WHERE watched").fetchone()[0]
        return due

    def changes(
        self, subject: str | None = None, zone: str | None = None, most: int = 100, before: int | None = None
    ) -> list[Change]:
        """The last `most` changes, the newest first; before: only those with a lower `id`, to page on."""
        where, values = _where({"subject": subject, "zone": zone})
        if before is not None:
            where, values = f"{where} {'AND' if where else 'WHERE'} id < ?", [*values, before]
        query = f"SELECT {', '.join(_CHANGE)} FROM change{where} ORDER BY id DESC LIMIT ?"
        rows = self._file.execute(query, [*values, most])
        return [Change(**_from_row(_CHANGE, row)) for row in rows]

    def subjects(self) -> dict[str, tuple[str, ...]]:
        """Every watched subject, and the host names and ranges through which it is."""
        rows = self._file.execute("SELECT subject, via FROM subject ORDER BY subject")
        return {subject: tuple(json.loads(via)) for subject, via in rows}

    def meta(self) -> dict[str, float]:
        """Of the last round: `round` (its number), `round_at`, `round_took_s`, and `next_round_at`."""
        return dict(self._file.execute("SELECT name, value FROM meta"))

    def spent(self, day: int) -> dict[str, int]:
        """Queries by zone of a day (days since 1970-01-01 UTC)."""
        return dict(self._file.execute("SELECT zone, queries FROM spent WHERE day = ?", (day,)))

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()


class State(Reader):
    """The state, for the one process that writes it; the file is made if it is not there.

    Raises StateError where another process has it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lock = _lock(self.path)
        try:
            self._file = _open_for_writing(self.path)
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        super().close()
        os.close(self._lock)

    @contextmanager
    def change(self) -> Iterator[None]:
        """All that is written within appears together, or, after an error or the process's end, not at all."""
        self._file.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._file.execute("COMMIT")
        except BaseException:
            if self._file.in_transaction:  # a full disk may have ended it already
                self._file.execute("ROLLBACK")
            raise

    def put_subjects(self, subjects: Mapping[str, Sequence[str]]) -> None:
        """What is watched from now on, each with the items through which it is."""
        self._file.execute("DELETE FROM subject")
        rows = [(subject, json.dumps(list(via))) for subject, via in subjects.items()]
        self._file.executemany("INSERT INTO subject VALUES (?, ?)", rows)

    def put_entries(self, entries: Iterable[Entry]) -> None:
        query = f"INSERT OR REPLACE INTO entry ({', '.join(_ENTRY)}) VALUES ({_marks(_ENTRY)})"
        self._file.executemany(query, (_to_row(_ENTRY, entry) for entry in entries))

    def put_aside(self, pairs: Iterable[tuple[str, str]], until: float) -> None:
        """Entries, by subject and zone, that are watched no more. Those last asked before `until` are forgotten;
        the others come back as they were when they are put again."""
        self._file.executemany("UPDATE entry SET watched = 0 WHERE subject = ? AND zone = ?", pairs)
        self._file.execute("DELETE FROM entry WHERE NOT watched AND coalesce(asked_at, 0) < ?", (until,))

    def add_change(self, change: Change) -> int:
        """Keep a change; its number."""
        names = _CHANGE[:-1]  # its id is given here
        query = f"INSERT INTO change ({', '.join(names)}) VALUES ({_marks(names)})"
        number = self._file.execute(query, _to_row(names, change)).lastrowid or 0
        self._file.execute("DELETE FROM change WHERE id <= ?", (number - MAX_CHANGES,))
        return number

    def put_meta(self, **values: float) -> None:
        self._file.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())

    def spend(self, zone: str, day: int, queries: int) -> None:
        """Count queries of a day; a negative number takes back what was counted and not sent."""
        self._file.execute(
            "INSERT INTO spent VALUES (?1, ?2, max(0, ?3)) ON CONFLICT (zone) DO UPDATE SET "
            "queries = CASE day WHEN ?2 THEN max(0, queries + ?3) ELSE max(0, ?3) END, day = ?2",
            (zone, day, queries),
        )

    # ---- what is to be sent ----

    def add_notice(self, sink: str, body: Mapping[str, Any], now: float) -> None:
        query = "INSERT INTO notice (sink, made_at, body, try_at) VALUES (?, ?, ?, ?)"
        self._file.execute(query, (sink, now, json.dumps(body), now))

    def notices(self) -> list[tuple[int, str, float, dict[str, Any], int, float]]:
        """What is still to be sent, oldest first: id, sink, made_at, body, tries, try_at."""
        query = "SELECT id, sink, made_at, body, tries, try_at FROM notice ORDER BY id"
        rows = self._file.execute(query)
        return [(id, sink, made, json.loads(body), tries, at) for id, sink, made, body, tries, at in rows]

    def drop_notice(self, id: int) -> None:
        """It was sent, or is given up."""
        self._file.execute("DELETE FROM notice WHERE id = ?", (id,))

    def defer_notice(self, id: int, try_at: float) -> None:
        """It could not be sent; to be tried again then."""
        self._file.execute("UPDATE notice SET tries = tries + 1, try_at = ? WHERE id = ?", (try_at, id))


def _lock(path: Path) -> int:
    """The lock on a state file, as a descriptor: open as long as it is held."""
    beside = path.with_name(path.name + ".lock")
    try:
        lock = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StateError(f"{beside}: cannot be opened: {error.strerror}", str(beside)) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
        os.close(lock)
        who = f" (process {holder})" if holder.isdigit() else ""
        raise StateError(
            f"{path}: another monitor{who} writes it: stop that one, or give this one another state file",
            str(path),
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _open_for_writing(path: Path) -> sqlite3.Connection:
    try:
        file = sqlite3.connect(path, BUSY_S, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise StateError(f"{path}: cannot be opened: {error}", str(path)) from None
    try:
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = FULL")  # one transaction a round: it can afford the disk's time
        if file.execute("PRAGMA user_version").fetchone()[0] == 0 and _is_empty(file):
            file.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
        _check_version(file, path)
    except sqlite3.Error as error:
        file.close()
        raise StateError(f"{path}: not a state file of the monitor: {error}", str(path)) from None
    except BaseException:
        file.close()
        raise
    return file


def _open_read_only(path: Path) -> sqlite3.Connection:
    name = path.absolute().as_uri()
    try:
        file = sqlite3.connect(f"{name}?mode=ro", BUSY_S, uri=True, check_same_thread=False)
        with suppress(sqlite3.OperationalError):
            file.execute("SELECT count(*) FROM sqlite_master")
            return file
        file.close()
        # A reader that may not write beside the file needs the writer's -shm file; without a writer nothing
        # changes, and none is needed.
        return sqlite3.connect(f"{name}?immutable=1", BUSY_S, uri=True, check_same_thread=False)
    except sqlite3.Error as error:
        raise StateError(f"{path}: cannot be read: {error}", str(path)) from None


def _is_empty(file: sqlite3.Connection) -> bool:
    return bool(file.execute("SELECT count(*) = 0 FROM sqlite_master").fetchone()[0])


def _check_version(file: sqlite3.Connection, path: Path) -> None:
    try:
        found = file.execute("PRAGMA user_version").fetchone()[0]
        file.execute("SELECT count(*) FROM meta")
    except sqlite3.Error as error:
        raise StateError(f"{path}: not a state file of the monitor: {error}", str(path)) from None
    if found != VERSION:
        raise StateError(f"{path}: a state file of version {found}; this program has {VERSION}", str(path))


def _where(given: Mapping[str, str | int | None]) -> tuple[str, list[Any]]:
    wanted = {name: value for name, value in given.items() if value is not None}
    text = " AND ".join(f"{name} = ?" for name in wanted)
    return (f" WHERE {text}" if text else ""), list(wanted.values())


def _marks(names: Sequence[str]) -> str:
    return ", ".join("?" * len(names))


def _to_row(names: Sequence[str], value: Entry | Change) -> list[Any]:
    row = list(attrgetter(*names)(value))
    for at, name in enumerate(names):
        if name in _LISTS:
            row[at] = json.dumps(row[at])
    return row


def _from_row(names: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    return {
        name: tuple(json.loads(value)) if name in _LISTS else value
        for name, value in zip(names, row, strict=True)
    }
