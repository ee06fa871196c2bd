"""Many items through one Resolver: each distinct subject is asked once, each item gets its row.

The rules:
1. An item that is no subject has its error for a row; it takes no query.
2. A subject that was answered earlier in this run has that answer's row; the rows are kept in a file of their
   own (SQLite, deleted at the end), so that memory stays flat however many there are.
3. A subject under way is given to the resolver again, which asks a question under way only once.
4. Rules 1 and 2 hand the resolver a mark in the subject's place, which comes back at once, in its place, so
   that the resolver's window bounds everything that waits, in order or not.
"""

from __future__ import annotations

import marshal
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from dnsbl.audit.items import Item
from dnsbl.errors import SubjectError
from dnsbl.model import Verdict
from dnsbl.subject import parse_subject

if TYPE_CHECKING:
    from dnsbl.audit.terms import Terms
    from dnsbl.resolver import Resolver

_MARK: Final = object()
"""What is given to the resolver in the place of an item whose row is known: no subject, so it comes back."""


class Done(NamedTuple):
    """An item and its row; verdict: None where nothing was asked for it."""

    item: Item
    row: Any
    verdict: Verdict | None
    error: str | None


class Answered:
    """The rows of subjects answered so far, by subject, in a temporary file."""

    def __init__(self) -> None:
        # An empty name is a file of SQLite's own in TMPDIR, gone when it is closed.
        self._file = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._file.execute("PRAGMA journal_mode = OFF")
        self._file.execute("PRAGMA synchronous = OFF")
        self._file.execute("PRAGMA cache_size = -16384")  # KiB
        self._file.execute("CREATE TABLE answered (subject BLOB PRIMARY KEY, row BLOB) WITHOUT ROWID")
        self._file.execute("BEGIN")
        self._lock = threading.Lock()
        self._get = "SELECT row FROM answered WHERE subject = ?"
        self._put = "INSERT OR IGNORE INTO answered VALUES (?, ?)"

    def get(self, subject: str | bytes) -> Any:
        """The row of a subject, or None."""
        with self._lock:
            found = self._file.execute(self._get, (subject,)).fetchone()
        return None if found is None else marshal.loads(found[0])

    def put(self, subject: str | bytes, row: Any) -> None:
        """Keep a row: text, numbers, None, and tuples and lists of them."""
        with self._lock:
            self._file.execute(self._put, (subject, marshal.dumps(row)))

    def close(self) -> None:
        self._file.close()


class Bulk:
    """One bulk run.

    resolver: who is asked. form: a verdict's row; error_form: that of an item with an error. ordered: rows in
    the order of the items. terms: stops the run before a list's free limit is passed, and keeps the pace.
    window: lookups at once.
    """

    def __init__(
        self,
        resolver: Resolver,
        form: Callable[[Verdict], Any],
        error_form: Callable[[str], Any],
        *,
        ordered: bool = False,
        terms: Terms | None = None,
        window: int = 256,
    ) -> None:
        self._resolver, self._form, self._error_form = resolver, form, error_form
        self._ordered, self._terms, self._window = ordered, terms, window
        self.answered = Answered()
        self._waiting: dict[str | bytes, deque[Item]] = {}  # as they come: items by subject
        self._settled: deque[Done] = deque()  # as they come: those whose row is known
        self._line: deque[tuple[Item, str | bytes | None, Done | None]] = deque()  # in order: all

    def run(self, items: Iterable[Item]) -> Iterator[Done]:
        """Each item's row. Ends early, without an error, where `terms` says so."""
        results = self._resolver.check_many(self._subjects(items), ordered=self._ordered, window=self._window)
        for result in results:
            yield self._in_order(result) if self._ordered else self._as_it_comes(result)

    def close(self) -> None:
        self.answered.close()

    def _subjects(self, items: Iterable[Item]) -> Iterator[object]:
        """What the resolver is given for each item: its subject, or the mark."""
        for item in items:
            key, done = self._known(item)
            if done is None and self._terms is not None and not self._terms.admit(key):
                return
            if self._ordered:
                self._line.append((item, key, done))
            elif done is not None:
                self._settled.append(done)
            else:
                self._waiting.setdefault(key, deque()).append(item)
            yield _MARK if done is not None else key

    def _known(self, item: Item) -> tuple[str | bytes, Done | None]:
        """The item's subject as a key, and its row if it is known without asking."""
        try:
            if isinstance(item.subject, SubjectError):
                raise item.subject
            key = parse_subject(item.subject).key
        except SubjectError as error:
            return "", Done(item, self._error_form(str(error)), None, str(error))
        row = self.answered.get(key)
        return key, None if row is None else Done(item, row, None, None)

    def _in_order(self, result: Verdict | SubjectError) -> Done:
        item, key, done = self._line.popleft()
        if done is not None:
            return done
        return self._new(item, key or "", result)

    def _as_it_comes(self, result: Verdict | SubjectError) -> Done:
        if isinstance(result, SubjectError):
            return self._settled.popleft()
        key = parse_subject(result.subject).key
        items = self._waiting[key]
        item = items.popleft()
        if not items:
            del self._waiting[key]
        return self._new(item, key, result)

    def _new(self, item: Item, key: str | bytes, result: Verdict | SubjectError) -> Done:
        assert isinstance(result, Verdict), "the subject was parsed before"
        row = self._form(result)
        self.answered.put(key, row)
        return Done(item, row, result, None)
