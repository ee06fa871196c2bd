"""Mail hosts that share their answers, as contrib/unbound has it: what one has asked, the others do not."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.servers import Server, Unbound, find_program

from dnsbl import Resolver, Verdict
from dnsbl.config.file import parse
from dnsbl.names._qname import reverse_name
from dnsbl.testing import DnsblServer

CONTRIB = Path(__file__).parents[1] / "contrib/unbound"
ZONE = "bl.example.com"
CLIENTS = [f"198.51.100.{number}" for number in range(1, 41)]


class Redis(Server):
    """A Redis that keeps nothing on disk."""

    program = "redis-server"

    def _command(self) -> Sequence[str]:
        return "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"

    def _answers(self) -> bool:
        asked = ["redis-cli", "-p", str(self.port), "ping"]
        return b"PONG" in subprocess.run(asked, capture_output=True, timeout=10, check=False).stdout


def cachedb_unbound() -> str | None:
    """An unbound that was built with cachedb: $DNSBL_UNBOUND, else the system's, if it was. Debian 12's is not."""
    program = os.environ.get("DNSBL_UNBOUND") or find_program("unbound")
    if program is None:
        return None
    said = subprocess.run([program, "-V"], capture_output=True, text=True, timeout=60, check=False).stdout
    return program if "cachedb" in said.partition("Linked modules:")[2] else None


def host_with_redis(redis: Redis, lists: DnsblServer) -> Unbound:
    """A mail host's unbound under contrib's configuration, with this Redis in the place of the one named there."""
    host = Unbound({ZONE: lists.nameserver})
    text = (CONTRIB / "shared-redis.conf").read_text()
    text = text.replace("192.0.2.10", "127.0.0.1").replace("6379", str(redis.port))
    assert 'module-config: "validator cachedb iterator"' in text  # no DNSSEC here: no validator
    path = host.directory / "shared.conf"
    path.write_text(text.replace("validator cachedb", "cachedb"))
    host._extra = f'include: "{path}"\nserver:'
    host.program = cachedb_unbound() or ""
    return host


def verdicts(nameservers: list[str], clients: list[str]) -> list[tuple[bool, bool]]:
    """What a mail host that starts anew says of these clients: listed, complete."""
    with Resolver([ZONE], nameservers, reasons=False) as resolver:
        found = list(resolver.check_many(clients, ordered=True))
    return [(verdict.listed, verdict.complete) for verdict in found if isinstance(verdict, Verdict)]


def asked(lists: DnsblServer) -> set[str]:
    """The names that the list was asked for."""
    return {query.name.lower() for query in lists.queries if query.type == "A"}


def names(clients: list[str]) -> set[str]:
    """Their query names."""
    return {reverse_name(socket.inet_aton(client), ZONE) for client in clients}


EXPECTED = [(number % 4 == 0, True) for number in range(1, 41)]


@pytest.fixture
def lists() -> DnsblServer:
    server = DnsblServer()
    zone = server.zone(ZONE)
    for client in CLIENTS[3::4]:
        zone.list(client)
    return server


def test_one_unbound_for_many_hosts_and_its_death(lists: DnsblServer) -> None:
    """shared-nameserver.toml: the second host's queries do not reach the list; without the shared one mail
    goes on through the host's own."""
    configured = parse((CONTRIB / "shared-nameserver.toml").read_text()).resolver.nameservers
    assert configured == ("192.0.2.53:53", "127.0.0.1:53")
    with lists, Unbound({ZONE: lists.nameserver}) as shared, Unbound({ZONE: lists.nameserver}) as own:
        assert verdicts([shared.nameserver, own.nameserver], CLIENTS) == EXPECTED
        assert asked(lists) >= names(CLIENTS)
        lists.clear()
        assert verdicts([shared.nameserver, own.nameserver], CLIENTS) == EXPECTED
        assert lists.count() == 0
        with Resolver([ZONE], [shared.nameserver, own.nameserver], reasons=False, cache_size=0) as resolver:
            for number, client in enumerate(CLIENTS):
                if number == 10:
                    shared.stop()
                verdict = resolver.check(client)
                assert (verdict.listed, verdict.complete) == EXPECTED[number]
        assert asked(lists) >= names(CLIENTS[10:])


if cachedb_unbound():  # where it is not, nothing can be run

    def test_two_hosts_on_one_redis_and_its_death(lists: DnsblServer) -> None:
        """shared-redis.conf: the same, by what is in Redis."""
        with (
            lists,
            Redis() as redis,
            host_with_redis(redis, lists) as one,
            host_with_redis(redis, lists) as two,
        ):
            assert verdicts([one.nameserver], CLIENTS) == EXPECTED
            assert asked(lists) >= names(CLIENTS)
            lists.clear()
            assert verdicts([two.nameserver], CLIENTS) == EXPECTED
            assert lists.count() == 0
            more = [f"203.0.113.{number}" for number in range(1, 41)]
            with Resolver([ZONE], [two.nameserver], reasons=False) as resolver:
                for number, client in enumerate(more):
                    if number == 10:
                        redis.stop()
                    verdict = resolver.check(client)
                    assert (verdict.listed, verdict.complete) == (False, True)
