"""Patterns from files, `file:/etc/dnsbl/ours.txt`: one a line, `#` begins a comment. Read again when changed.

A file is compiled when the configuration is read, where a fault in it is a fault in the configuration. Later
`refresh`, called now and then and off the event loop, looks at its size and times; where a new content is no
good, the old one stays in use, with one line in the log for each such content.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

MAX_BYTES: Final = 1 << 20
MAX_LINES: Final = 20_000

Test = Callable[[str], bool]
Compile = Callable[[Iterable[str]], Test]
_Mark = tuple[int, int, int]


class Renewed(NamedTuple):
    """A file that changed. good: its new content is in use. message: one line."""

    good: bool
    message: str


class PatternFiles:
    """The files of one configuration."""

    def __init__(self) -> None:
        self._files: list[_File] = []

    def watch(self, path: str, compile_: Compile) -> Test:
        """The test that the file's lines make, whatever they become. Raises ValueError, one line."""
        file = _File(Path(path), compile_)
        self._files.append(file)
        return file

    def refresh(self) -> list[Renewed]:
        """Read again what has changed; gives each file that has, good or not."""
        return [renewed for file in self._files if (renewed := file.refresh())]


class _File:
    def __init__(self, path: Path, compile_: Compile) -> None:
        self._path = path
        self._compile = compile_
        self._mark: _Mark | None = None
        self._test = self._read()

    def __call__(self, text: str) -> bool:
        return self._test(text)

    def refresh(self) -> Renewed | None:
        if self._mark == self._look():
            return None
        try:
            self._test = self._read()
        except ValueError as error:
            return Renewed(False, f"{error}; what it held before stays in use")
        return Renewed(True, f"{self._path} has changed and is read again")

    def _look(self) -> _Mark:
        """What changes when the file does. A file that is gone is told of once."""
        try:
            found = os.stat(self._path)
        except OSError:
            return (0, 0, 0)
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> Test:
        self._mark = self._look()  # before: what changes while it is read is read again
        try:
            with open(os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise ValueError(f"{self._path} is not a regular file")
                data = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise ValueError(f"cannot read {self._path}: {error.strerror or error}") from None
        if len(data) > MAX_BYTES:
            raise ValueError(f"{self._path} is larger than {MAX_BYTES:,} bytes")
        return self._compile_lines(data.decode("utf-8", "replace").splitlines())

    def _compile_lines(self, lines: list[str]) -> Test:
        texts: list[str] = []
        for number, line in enumerate(lines, 1):
            text = line.partition("#")[0].strip()
            if not text:
                continue
            try:
                self._compile([text])
            except ValueError as error:
                raise ValueError(f"{self._path}:{number}: {error}") from None
            texts.append(text)
        if len(texts) > MAX_LINES:
            raise ValueError(f"{self._path} has {len(texts):,} entries; at most {MAX_LINES:,}")
        return self._compile(texts)
