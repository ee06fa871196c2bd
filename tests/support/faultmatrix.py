"""The fault matrix: each test shows one fault, what is promised for it, and what was seen; docs/faults.md is the table.

A row that is not seen as the page has it fails. `FAULTS_WRITE=1 python -m pytest tests/faults` writes the page.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
HEAD = """# Faults

What is promised when something goes wrong, and what was seen: `tests/faults` makes each fault happen and fails if
this table says anything else. `FAULTS_WRITE=1 python -m pytest tests/faults` writes it anew.

"Ended in time" means by its deadline, with some seconds of grace for a busy machine. No wrong verdict: none said of a
list what it did not say. The clocks: deadlines, pauses and tries run on `CLOCK_MONOTONIC`; how old an answer is, on
`CLOCK_BOOTTIME`; only the cache file, log lines and expiry notes in list files know the wall clock.
SIGSTOP lasts 2 s in the tests; with `FAULTS_STOP_S=10` the same was seen (2026-11-27).

| fault | promised | seen | shown by |
|---|---|---|---|
"""

Report = Callable[[str, str, str], None]
rows: dict[str, str] = {}
writing = os.environ.get("FAULTS_WRITE") == "1"


def child_environment() -> dict[str, str]:
    """For a process of its own, which finds the same packages and tests/support."""
    tests = str(Path(__file__).parents[1])
    found = [tests, str(Path(tests).parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, found))}
