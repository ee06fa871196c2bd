"""Resolvers at a fork(): none happens while a lock is held, or the child's cache would be half written.

`os.register_at_fork` cannot be undone, so the hooks are here once and know the cores by weak reference.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dnsbl.lookup.core import Core

_cores: weakref.WeakSet[Core] = weakref.WeakSet()
_lock = threading.RLock()
"""Held while a core is added, and over a fork: exactly the locks taken before it are given back after it."""
_forking: list[Core] = []


def add(core: Core) -> None:
    """Have `core.lock` held over every fork from now on, and `core.after_fork` called in the child."""
    with _lock:
        _cores.add(core)


def _before() -> None:
    _lock.acquire()
    _forking.extend(_cores)
    for core in _forking:
        core.lock.acquire()


def _in_parent() -> None:
    for core in _forking:
        core.lock.release()
    _forking.clear()
    _lock.release()


def _in_child() -> None:
    for core in _forking:
        core.after_fork()
    _forking.clear()
    _lock.release()


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
