"""The pytest plugin: the fixture `dnsbl_server`.

    def test_my_policy(dnsbl_server):
        dnsbl_server.zone("bl.example").list("192.0.2.99")
        assert my_policy("192.0.2.99", nameserver=dnsbl_server.nameserver) == "REJECT"

Registered by the entry point `pytest11`; dnspython is imported when a test uses the fixture, not before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from dnsbl.testing.server import DnsblServer


@pytest.fixture
def dnsbl_server() -> Iterator[DnsblServer]:
    """A running `dnsbl.testing.DnsblServer` without zones; `dnsbl_server.zone(NAME)` adds one."""
    from dnsbl.testing.server import DnsblServer

    with DnsblServer() as server:
        yield server
