"""Resolvers at a fork(): none happens while a lock is held, or the child's cache would be half written.

`os.register_at_fork` cannot be undone, so the hooks are here once and know the cores by weak reference. What
a signal handler raises while the locks are waited for is raised again when they have been given back: hooks
that end half way would leave them held for ever.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol


class Forkable(Protocol):
    """Something with a lock that is held over every fork."""

    lock: Any
    inside: Callable[[], bool]

    def after_fork(self) -> None:
        """In the child, in its only thread."""


_cores: weakref.WeakSet[Forkable] = weakref.WeakSet()
_lock = threading.RLock()
"""Held while a core is added, and over a fork: exactly the locks taken before it are given back after it."""
_held: list[tuple[Forkable, Any]] = []
_raised: list[BaseException] = []


def add(core: Forkable) -> None:
    """Have `core.lock` held over every fork from now on, and `core.after_fork` called in the child."""
    with _lock:
        _cores.add(core)


def _take(lock: Any, owned: Callable[[], bool]) -> None:
    """Take a lock, whatever signal handlers raise meanwhile."""
    before = owned()
    while True:
        try:
            lock.acquire()
            return
        except BaseException as error:
            _raised.append(error)
            if owned() and not before:
                return


def _before() -> None:
    _take(_lock, _lock._is_owned)  # type: ignore[attr-defined]
    for core in list(_cores):
        _take(core.lock, core.inside)
        _held.append((core, core.lock))


def _interrupt_after_fork() -> None:
    """Interrupt the main thread as soon as it is no longer in `_in_parent`."""
    main = threading.main_thread().ident
    frame: FrameType | None
    while True:
        frame = sys._current_frames().get(main or 0)
        while frame is not None and frame.f_code is not _in_parent.__code__:
            frame = frame.f_back
        if frame is None:
            break
        time.sleep(0.001)
    _thread.interrupt_main()


def _in_parent() -> None:
    for _, lock in _held:
        lock.release()
    _held.clear()
    _lock.release()
    raised, _raised[:] = _raised[:], []
    for error in raised:
        if isinstance(error, KeyboardInterrupt):
            # From a thread, once this hook has ended: what is raised while a hook runs is only printed. No
            # `threading.Thread`, whose start() waits and so could still be the one that is interrupted.
            _thread.start_new_thread(_interrupt_after_fork, ())
        else:
            raise error


def _in_child() -> None:
    for core, _ in _held:
        core.after_fork()
    _held.clear()
    _raised.clear()
    _lock.release()


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
