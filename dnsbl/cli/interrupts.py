"""Ctrl-C that never falls into the middle of a write."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Self


class Interrupts:
    """Within it, SIGINT and SIGTERM raise KeyboardInterrupt; inside `held()` only when that ends."""

    def __init__(self) -> None:
        self.is_held = self.is_pending = False
        self._holding = _Held(self)
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def held(self) -> _Held:
        """What is done here is done whole; an interrupt meanwhile is raised after it."""
        return self._holding

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.is_held:
            self.is_pending = True
        else:
            raise KeyboardInterrupt


class _Held:
    """What `Interrupts.held` gives: a class, since a row of a bulk run enters it each time."""

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts

    def __enter__(self) -> None:
        self._interrupts.is_held = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._interrupts.is_held = False
        if self._interrupts.is_pending and error is None:
            self._interrupts.is_pending = False
            raise KeyboardInterrupt
