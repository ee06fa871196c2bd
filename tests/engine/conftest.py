"""An engine for one test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dnsbl.engine._engine import Engine


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close()
