"""Log records that are made under a lock and handed to their loggers after it.

A log handler is foreign code: it may be slow, and it may call the resolver.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

MAX_LINES: Final = 1000
"""Lines kept until somebody hands them on; the oldest go first."""

Say: TypeAlias = Callable[..., None]
"""Called with a logger, a level, a text and what belongs into the text."""


def say_now(logger: logging.Logger, level: int, text: str, *values: object) -> None:
    """Log at once: for whoever holds no lock."""
    logger.log(level, text, *values)


class Journal:
    """`say` keeps a line, under any lock; `emit` logs what was kept, under none. Any thread."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: deque[tuple[logging.Logger, int, str, tuple[object, ...]]] = deque(maxlen=MAX_LINES)

    def say(self, logger: logging.Logger, level: int, text: str, *values: object) -> None:
        if logger.isEnabledFor(level):
            self._lines.append((logger, level, text, values))

    def emit(self) -> None:
        while self._lines:
            try:
                logger, level, text, values = self._lines.popleft()
            except IndexError:  # another thread took the last one
                return
            logger.log(level, text, *values)
