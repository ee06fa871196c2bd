"""The rows of the fault matrix, see support/faultmatrix.py."""

from __future__ import annotations

import pytest
from support.faultmatrix import HEAD, PAGE, Report, rows, writing


@pytest.fixture
def fault(request: pytest.FixtureRequest) -> Report:
    """`fault(what, promised, seen)`: one row of the page."""
    known = "" if writing else PAGE.read_text()

    def report(what: str, promised: str, seen: str) -> None:
        place = f"{request.path.name}::{request.node.originalname}"
        row = f"| {what} | {promised} | {seen} | `{place}` |\n"
        rows[what] = row
        assert writing or row in known, f"docs/faults.md has no such row: {row}"

    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    if writing and rows:
        PAGE.write_text(HEAD + "".join(rows.values()))
