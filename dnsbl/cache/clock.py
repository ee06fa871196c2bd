"""The one clock of lookups and cache: it goes on while the machine sleeps, where the system has such a one.

A laptop or a paused virtual machine that wakes after a night holds no answer whose time ran out meanwhile.
The engine stamps answers by the same clock.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Final

CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

now: Final = partial(time.clock_gettime, CLOCK)
"""Seconds since some fixed moment; never goes back."""
