"""One server for the tests of this folder that change nothing of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.webserver import Serve, config

from dnsbl.monitor.entry import Change, Entry, What
from dnsbl.monitor.state import State
from dnsbl.testing import DnsblServer

SCRIPT = "<script>alert(1)</script>"
HOSTILE = f"{SCRIPT}<img src=x onerror=alert(1)>\x1b[2J\x00\r\nX-Evil: 1 \u202e \"'&" + "A" * 10_000


@pytest.fixture(scope="session")
def web_lists() -> Iterator[DnsblServer]:
    """192.0.2.99 is listed by two of three zones; 192.0.2.66 with a hostile reason."""
    with DnsblServer() as server:
        for zone in ("bl.example", "bl2.example"):
            server.zone(zone).list("192.0.2.99", txt="spam source https://bl.example/")
            server.zone(zone).list("198.51.100.0/24", txt="all of it")
        server.zone("bl.example").list("192.0.2.66", txt=HOSTILE)
        server.zone("clean.example")
        yield server


@pytest.fixture(scope="session")
def state_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A monitor's state: one subject listed, one clean, one unknown; one of them with a hostile reason."""
    path = tmp_path_factory.mktemp("monitor") / "state.sqlite"
    at = 1_790_000_000.0
    listed = Entry(
        "192.0.2.25", "bl.example", "listed", at, "listed", at, asked_at=at, due_at=at + 60,
        codes=("127.0.0.2",), reason=f"spam {SCRIPT}", delist_url="javascript:alert(1)",
    )  # fmt: skip
    clear = Entry("192.0.2.26", "bl.example", "clear", at, "clear", asked_at=at, due_at=at + 60)
    unknown = Entry("mail.example.com", "bl.example", "unknown", at, due_at=at + 60, detail="timeout")
    with State(path) as state, state.change():
        state.put_subjects({"192.0.2.25": ["mail.example.com"], "192.0.2.26": [], "mail.example.com": []})
        state.put_entries([listed, clear, unknown])
        for number in range(60):
            what: What = "listed" if number % 2 else "delisted"
            state.add_change(
                Change(
                    at + number,
                    "192.0.2.25",
                    "bl.example",
                    what,
                    at,
                    ("127.0.0.2",),
                    "",
                    f"change {number} {SCRIPT}",
                )
            )
        state.put_meta(round=3, round_at=at)
    return str(path)


@pytest.fixture(scope="session")
def web(web_lists: DnsblServer, state_file: str) -> Iterator[Serve]:
    with Serve(config(web_lists, "rate_per_s = 0"), "--state", state_file) as server:
        yield server
