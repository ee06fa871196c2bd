"""What the tests of `dnsbl bulk` share: the zones asked, how a run ended, and its rows read back."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas
from support.ended import Ended

from dnsbl.testing import DnsblServer

ZONE, OTHER = "bl.example.com", "bl.example.net"
LISTED = "192.0.2.99"


Bulk = Callable[..., Ended]


def json_rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of an output, by pandas, ordered by item."""
    if path.suffix == ".jsonl":
        frame = pandas.read_json(path, lines=True)
    else:
        frame = pandas.read_csv(path) if path.suffix == ".csv" else pandas.read_parquet(path)
    rows: list[dict[str, Any]] = frame.sort_values("item").to_dict("records")
    return rows


def chunks(fd: int) -> Iterator[str]:
    """What a program writes to a terminal, of which this is the other end."""
    while True:
        try:
            data = os.read(fd, 65_536)
        except OSError:
            return
        if not data:
            return
        yield data.decode(errors="replace")


def wait_for_queries(server: DnsblServer, count: int) -> None:
    """Until it was asked so many."""
    end_s = time.monotonic() + 60
    while server.count() < count:
        assert time.monotonic() < end_s
        time.sleep(0.02)
