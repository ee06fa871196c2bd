"""List files on disk: read whole, watched, and swapped in one step.

A file that changed is looked at again after a pause and read only when it has stood still for that long, and
what was read counts only if the file is still the same afterwards: a half-written one is never seen. Reading
runs in a thread of its own; look-ups meanwhile have the data of before. A file that cannot be used, or is
gone, leaves the data of before in force, with one warning.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from time import time
from typing import Final

from dnsbl.errors import InputError
from dnsbl.lists.builder import ListData
from dnsbl.lists.context import ListError
from dnsbl.lists.read import read

MAX_BYTES: Final = 512 << 20
"""Longest list file taken: some 25 million addresses."""
LOOK_S: Final = 2.0
"""How often a file is looked at, and how long it has to stand still before it is read."""

log = logging.getLogger("dnsbl.lists")

Stamp = tuple[int, int, int]
"""What tells that a file changed: inode, size, time of modification in ns."""


def stamp_of(path: Path) -> Stamp:
    """The present stamp of a file; raises OSError."""
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns


def load(
    path: Path | str, format: str = "auto", *, bad_share: float | None = None, survey: bool = False
) -> ListData:
    """Read a list file. Raises ListError, one line that names the file, for one that cannot be used."""
    path = Path(path)
    try:
        before = stamp_of(path)
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        whole = stamp_of(path) == before
    except OSError as error:
        raise ListError(f"list file {path}: cannot be read: {error.strerror}", str(path)) from None
    if len(data) > MAX_BYTES:
        raise ListError(f"list file {path}: longer than {MAX_BYTES} bytes; is it the right file?", str(path))
    if not whole:
        raise ListError(
            f"list file {path}: changed while it was read; rename a finished file into place", str(path)
        )
    try:
        return read(data, format, bad_share=bad_share, survey=survey)
    except InputError as error:
        raise ListError(f"list file {path}: {error}", error.text) from None


def warnings_of(path: Path | str, data: ListData, now: float) -> list[str]:
    """What an operator should be told of a file that is in use: bad lines, dates, the readers' warnings."""
    found = []
    if data.bad:
        line, message = data.problems[0]
        found.append(f"{path}:{line}: {message} ({data.bad} of {data.lines} entries are left out)")
    if data.expires is not None and data.expires < now:
        days = (now - data.expires) / 86_400
        found.append(
            f"{path}: out of date by its own word, for {days:.1f} days; it is used: look after its update"
        )
    found += [f"{path}{f':{line}' if line else ''}: {message}" for line, message in data.warnings[:3]]
    return found


class WatchedList:
    """A list file in use. `data` is always a whole list; it is replaced, never changed. Any thread.

    next_look: until then `data` is what `current` gives.

    Raises ListError when it is made, if the file cannot be used.
    """

    def __init__(
        self,
        path: Path | str,
        format: str = "auto",
        *,
        bad_share: float | None = None,
        look_s: float = LOOK_S,
    ) -> None:
        self.path, self.format, self.bad_share = Path(path), format, bad_share
        self._look_s = look_s
        self._stamp: Stamp | None = self._now()
        self.data = load(self.path, format, bad_share=bad_share)
        self._tell(self.data)
        self._seen = self._stamp
        self.next_look = 0.0
        self._expiry_told = self.data.expires is not None and self.data.expires < time()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def current(self, now: float) -> ListData:
        """The data. Looks at the file every `look_s` seconds, and waits for nothing.

        now: seconds of a clock that never goes back, the same one at each call.
        """
        if now >= self.next_look:
            self._look(now)
        return self.data

    def after_fork(self) -> None:
        """In the child: the lock may have been held, and the thread is not there."""
        self._lock, self._thread = threading.Lock(), None

    def _look(self, now: float) -> None:
        if not self._lock.acquire(blocking=False):
            return
        try:
            self.next_look = now + self._look_s
            expires = self.data.expires
            if expires is not None and expires < time() and not self._expiry_told:
                self._expiry_told = True
                self._tell(self.data)
            seen, self._seen = self._seen, self._now()
            if self._seen != seen or self._seen == self._stamp:
                return
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self.reload, args=(self._seen,), daemon=True)
                self._thread.start()
        finally:
            self._lock.release()

    def reload(self, stamp: Stamp | None) -> bool:
        """Read the file; False, with a warning and the old data kept, if it cannot be used."""
        try:
            data = load(self.path, self.format, bad_share=self.bad_share)
        except ListError as error:
            self._stamp = stamp
            log.warning("%s; the list of before stays in use", error)
            return False
        self.data, self._stamp = data, stamp
        self._expiry_told = data.expires is not None and data.expires < time()
        self._tell(data)
        log.info("%s: read again, %d entries", self.path, data.entries)
        return True

    def _now(self) -> Stamp | None:
        try:
            return stamp_of(self.path)
        except OSError:
            return None

    def _tell(self, data: ListData) -> None:
        for warning in warnings_of(self.path, data, time()):
            log.warning("%s", warning)
