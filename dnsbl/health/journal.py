"""Log records that are made under a lock and handed to their loggers after it.

A log handler is foreign code: it may be slow, and it may call the resolver.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

MAX_LINES: Final = 1000
"""Lines kept until somebody hands them on; the oldest go first."""

PATIENCE_S: Final = 0.02
"""How long a lookup waits for log handlers; less than it may be late."""

Say: TypeAlias = Callable[..., None]
"""Called with a logger, a level, a text and what belongs into the text."""


def say_now(logger: logging.Logger, level: int, text: str, *values: object) -> None:
    """Log at once: for whoever holds no lock."""
    logger.log(level, text, *values)


class Journal:
    """`say` keeps a line, under any lock; `emit` logs what was kept, under none. Any thread.

    Handlers run in a thread of their own, which ends with the last line: a slow one holds no lookup up for
    longer than `PATIENCE_S`, and a quick one has done its work when `emit` returns.
    """

    def __init__(self) -> None:
        self._lines: deque[tuple[logging.Logger, int, str, tuple[object, ...]]] = deque(maxlen=MAX_LINES)
        self.after_fork()

    def after_fork(self) -> None:
        """In the child there is no thread that hands lines on."""
        self._starting = threading.Lock()
        self._emitter: threading.Thread | None = None

    @property
    def waiting(self) -> bool:
        """Some line has not been handed on."""
        return bool(self._lines)

    def say(self, logger: logging.Logger, level: int, text: str, *values: object) -> None:
        if logger.isEnabledFor(level):
            self._lines.append((logger, level, text, values))

    def emit(self) -> None:
        if not self._lines or not self._starting.acquire(blocking=False):
            return
        try:
            running = self._emitter
            if running is not None and running.is_alive():
                return  # it takes these lines too, or the next call does
            emitter = self._emitter = threading.Thread(target=self._run, name="dnsbl-log", daemon=True)
            try:
                emitter.start()
            except RuntimeError:  # no thread to be had, as at the interpreter's end
                self._emitter = None
                self._run()
                return
        finally:
            self._starting.release()
        emitter.join(PATIENCE_S)

    def _run(self) -> None:
        while self._lines:
            try:
                logger, level, text, values = self._lines.popleft()
            except IndexError:  # another thread took the last one
                return
            logger.log(level, text, *values)
