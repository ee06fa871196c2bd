"""How a command run in the test's own process ended: its exit code, and what it wrote."""

from __future__ import annotations

from typing import NamedTuple


class Ended(NamedTuple):
    code: int
    out: str
    err: str
