"""The environment of a child whose lines are not counted, where coverage runs the tests."""

from __future__ import annotations

import os


def uncounted() -> dict[str, str]:
    """For one that may not write: it would fail to save its count, and say so."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
