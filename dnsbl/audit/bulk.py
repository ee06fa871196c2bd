"""Many items through one Resolver: each distinct subject is asked once, each item gets its row.

The rules:
1. An item that is no subject has its error for a row; it takes no query.
2. A subject that was answered earlier in this run has that answer's row; the rows are kept in temporary files
   (SQLite), so that memory stays flat however many there are.
3. A subject under way is given to the resolver again, which asks a question under way only once; it counts as
   repeated too, and takes nothing of a list's free queries.
4. Rules 1 and 2 hand the resolver a mark in the subject's place, which comes back at once, in its place, so
   that the resolver's window bounds everything that waits, in order or not.
"""

from __future__ import annotations

import marshal
import sqlite3
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from dnsbl.audit.items import Item
from dnsbl.errors import InputError, SubjectError
from dnsbl.model import Verdict
from dnsbl.names._qname import parse_address
from dnsbl.subject import address_key, parse_subject

if TYPE_CHECKING:
    from dnsbl.audit.terms import Terms
    from dnsbl.resolver import Resolver

_MARK: Final = object()
"""What is given to the resolver in the place of an item whose row is known: no subject, so it comes back."""


_NOT_UTF8: Final = "\N{REPLACEMENT CHARACTER}"
"""What stands in an item for bytes that are not UTF-8."""


class Done(NamedTuple):
    """An item and its row; verdict: None where nothing was asked for it: it is repeated, or has an error."""

    item: Item
    row: Any
    verdict: Verdict | None
    error: str | None


_BITS: Final = 1 << 26
_WAITING: Final = 4096


class Answered:
    """The rows of subjects answered so far, by subject, in temporary files.

    They are looked for only where a subject may have come before: two bits for each, 8 MiB in all, tell of nearly
    every other one that it is new. Rows go to a log, four thousand at a time, and from there into a table when one
    is first looked for: most inputs are of distinct subjects, and an entry in a table costs the most of it all.
    """

    def __init__(self) -> None:
        self._bits = bytearray(_BITS // 8)
        self._waiting: dict[str | bytes, Any] = {}
        self._log: IO[bytes] | None = tempfile.TemporaryFile()  # noqa: SIM115
        # An empty name is a file of SQLite's own in TMPDIR, gone when it is closed.
        self._file = sqlite3.connect("", isolation_level=None)
        self._file.execute("PRAGMA journal_mode = OFF")
        self._file.execute("PRAGMA synchronous = OFF")
        self._file.execute("PRAGMA cache_size = -16384")  # KiB
        self._file.execute("CREATE TABLE answered (subject BLOB PRIMARY KEY, row BLOB) WITHOUT ROWID")
        self._file.execute("BEGIN")
        self._get = "SELECT row FROM answered WHERE subject = ?"
        self._put = "INSERT OR IGNORE INTO answered VALUES (?, ?)"

    def get(self, subject: str | bytes) -> Any:
        """The row of a subject, or None: it is new, and `put` may follow."""
        number, bits = hash(subject), self._bits  # 64 bits that differ from process to process
        one, other = number & (_BITS - 1), number >> 32 & (_BITS - 1)
        if not (bits[one >> 3] >> (one & 7) & bits[other >> 3] >> (other & 7) & 1):
            bits[one >> 3] |= 1 << (one & 7)
            bits[other >> 3] |= 1 << (other & 7)
            return None
        if subject in self._waiting:
            return self._waiting[subject]
        if self._log is not None:
            with _telling_no_room():
                self._index(self._log)
        found = self._file.execute(self._get, (subject,)).fetchone()
        return None if found is None else marshal.loads(found[0])

    def put(self, subject: str | bytes, row: Any) -> None:
        """Keep the row of a subject that `get` was asked for: text, numbers, None, and tuples and lists of them."""
        self._waiting.setdefault(subject, row)
        if len(self._waiting) >= _WAITING:
            with _telling_no_room():
                if self._log is None:
                    self._add(self._waiting)
                else:
                    marshal.dump(self._waiting, self._log)
            self._waiting.clear()

    def _add(self, rows: dict[str | bytes, Any]) -> None:
        self._file.executemany(self._put, [(subject, marshal.dumps(row)) for subject, row in rows.items()])

    def _index(self, log: IO[bytes]) -> None:
        """Put the log's rows into the table, where all go from now on."""
        end = log.tell()
        log.seek(0)
        while log.tell() < end:
            self._add(marshal.load(log))
        log.close()
        self._log = None

    def close(self) -> None:
        self._file.close()
        if self._log is not None:
            with suppress(OSError):  # what could not be written is not needed any more
                self._log.close()


@contextmanager
def _telling_no_room() -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        folder = tempfile.gettempdir()
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"temporary files in {folder}: {reason}: set TMPDIR to a folder with room", folder
        ) from None


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
        # By subject the first item under way, and the others of it, where there are any.
        self._waiting: dict[str | bytes, Item] = {}
        self._more: dict[str | bytes, deque[Item]] = {}
        self._settled: deque[Done] = deque()  # as they come: the items whose row is known
        self._line: deque[str | bytes | Done] = deque()  # in order: the subjects and known rows, by turns

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
            key, asked, done = self._known(item)
            if done is None:
                if key in self._waiting:
                    self._more.setdefault(key, deque()).append(item)
                elif self._terms is None or self._terms.admit(key):
                    self._waiting[key] = item
                else:
                    return
            if self._ordered:
                self._line.append(done or key)
            elif done is not None:
                self._settled.append(done)
            yield asked

    def _known(self, item: Item) -> tuple[str | bytes, object, Done | None]:
        """The item's key (as in `Subject`; empty: it is no subject), what the resolver is given, and a known row."""
        try:
            if isinstance(item.subject, SubjectError):
                raise item.subject
            # Of an address its bytes: what is known of one without asking is found by them at once.
            key: str | bytes | None = address_key(item.subject)
            asked: object = key
            if key is None:
                asked = subject = parse_subject(item.subject)
                key = subject.key
        except SubjectError as error:
            text = str(error) if _NOT_UTF8 not in item.given else f"not UTF-8 text: {item.given[:80]}"
            return "", _MARK, Done(item, self._error_form(text), None, text)
        row = self.answered.get(key)
        return (key, asked, None) if row is None else (key, _MARK, Done(item, row, None, None))

    def _in_order(self, result: Verdict | SubjectError) -> Done:
        first = self._line.popleft()
        return first if isinstance(first, Done) else self._new(first, result)

    def _as_it_comes(self, result: Verdict | SubjectError) -> Done:
        if isinstance(result, SubjectError):
            return self._settled.popleft()
        return self._new(parse_address(result.subject) or result.subject, result)

    def _new(self, key: str | bytes, result: Verdict | SubjectError) -> Done:
        """The row of the first item under way with this subject, or of the next."""
        assert isinstance(result, Verdict), "the subject was parsed before"
        row = self._form(result)
        if (item := self._waiting.pop(key, None)) is None:
            more = self._more[key]
            item = more.popleft()
            if not more:
                del self._more[key]
            return Done(item, row, None, None)
        self.answered.put(key, row)
        return Done(item, row, result, None)
