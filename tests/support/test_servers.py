"""The real servers for tests start, answer, stop, come back, and leave nothing behind."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

import dns.exception
import dns.message
import dns.query
import dns.rcode
import pytest
from support import servers
from support.mailserver import Postfix, swaks
from support.servers import NameServer, Rbldnsd, Server, ServerError, Unbound, needs

LISTED_IP4, CLEAN_IP4 = "99.2.0.192.bl.example", "98.2.0.192.bl.example"
LISTED_IP6 = "1" + ".0" * 23 + ".8.b.d.0.1.0.0.2.bl.example"
LISTS = {
    "bl.example": {"ip4set": ":4:listed $\n192.0.2.99", "ip6trie": ":127.0.0.6:\n2001:db8::1"},
    "uri.example": {"dnset": ":8:bad domain\n.example.com"},
    "all.example": {"combined": "$DATASET ip4set @\n:2:\n192.0.2.0/24\n$DATASET ip4set sub\n198.51.100.1"},
}


def ask(server: NameServer, name: str, kind: str = "A") -> list[str]:
    """The records' texts, or the rcode's name if there are none."""
    query = dns.message.make_query(name, kind)
    reply = dns.query.udp(query, "127.0.0.1", port=server.port, timeout=3)
    records = [record.to_text() for rrset in reply.answer for record in rrset]
    return records or [dns.rcode.to_text(reply.rcode())]


def group_members(group: int) -> list[str]:
    """The commands of the processes of a group, those already dead but not yet reaped left out (Linux)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().rpartition(")")
        except OSError:
            continue
        state, _parent, pgrp = rest.split()[:3]
        if int(pgrp) == group and state not in "ZX":
            found.append(name)
    return found


class RefusingPolicy(socketserver.ThreadingTCPServer):
    """A policy service that refuses everything; `lines` are what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), RefusingHandler)
        self.address = f"inet:127.0.0.1:{self.server_address[1]}"
        self.lines: list[str] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.01,)).start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.shutdown()
        self.server_close()


class RefusingHandler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, RefusingPolicy)
        for line in self.rfile:
            self.server.lines.append(line.decode().rstrip("\n"))
            if line == b"\n":
                self.wfile.write(b"action=REJECT not today\n\n")


def test_rbldnsd_serves_every_kind_of_data_set() -> None:
    with Rbldnsd(LISTS) as rbldnsd:
        assert ask(rbldnsd, LISTED_IP4) == ["127.0.0.4"]
        assert ask(rbldnsd, LISTED_IP4, "TXT") == ['"listed 192.0.2.99"']
        assert ask(rbldnsd, LISTED_IP6) == ["127.0.0.6"]
        assert ask(rbldnsd, "www.example.com.uri.example") == ["127.0.0.8"]
        assert ask(rbldnsd, "7.2.0.192.all.example") == ["127.0.0.2"]
        assert ask(rbldnsd, "1.100.51.198.sub.all.example") == ["127.0.0.2"]
        assert ask(rbldnsd, CLEAN_IP4) == ["NXDOMAIN"]


def test_rbldnsd_stops_and_comes_back_on_its_port() -> None:
    with Rbldnsd(LISTS) as rbldnsd:
        port = rbldnsd.port
        rbldnsd.stop()
        with pytest.raises((dns.exception.Timeout, ConnectionRefusedError)):
            dns.query.udp(dns.message.make_query(LISTED_IP4, "A"), "127.0.0.1", port=port, timeout=0.3)
        rbldnsd.start()
        assert rbldnsd.port == port
        assert ask(rbldnsd, LISTED_IP4) == ["127.0.0.4"]


def test_unbound_asks_rbldnsd_and_caches() -> None:
    with Rbldnsd(LISTS) as rbldnsd, Unbound(dict.fromkeys(LISTS, rbldnsd.nameserver)) as unbound:
        assert ask(unbound, LISTED_IP4) == ["127.0.0.4"]
        assert ask(unbound, LISTED_IP6) == ["127.0.0.6"]
        assert ask(unbound, CLEAN_IP4) == ["NXDOMAIN"]
        assert ask(unbound, "example.com.uri.example", "TXT") == ['"bad domain"']
        assert ask(unbound, "www.example.org") == ["REFUSED"]
        rbldnsd.stop()
        assert ask(unbound, LISTED_IP4) == ["127.0.0.4"]


def test_unbound_and_rbldnsd_come_back() -> None:
    with Rbldnsd(LISTS) as rbldnsd, Unbound(dict.fromkeys(LISTS, rbldnsd.nameserver)) as unbound:
        port = unbound.port
        rbldnsd.stop()
        unbound.stop()
        with pytest.raises((dns.exception.Timeout, ConnectionRefusedError)):
            dns.query.udp(dns.message.make_query(LISTED_IP4, "A"), "127.0.0.1", port=port, timeout=0.3)
        rbldnsd.start()
        unbound.start()
        assert unbound.port == port
        assert ask(unbound, LISTED_IP4) == ["127.0.0.4"]


def test_postfix_takes_a_message_and_discards_it() -> None:
    with Postfix() as postfix:
        session = swaks(postfix.server, client="192.0.2.99")
        assert session.accepted, session.text
        assert session.reply_to("RCPT").startswith("250 ")
        assert "client=client.example[192.0.2.99]" in postfix.log()
        assert "to=<user@example.com>" in postfix.wait_for_log("status=sent")[0]


def test_postfix_refuses_a_foreign_recipient_with_its_text() -> None:
    with Postfix() as postfix:
        session = swaks(postfix.server, client="192.0.2.99", recipient="user@elsewhere.example")
        assert not session.accepted
        assert session.reply_to("RCPT").startswith("554 5.7.1 <user@elsewhere.example>: Relay access denied")


def test_postfix_asks_its_policy_service() -> None:
    with RefusingPolicy() as policy, Postfix(policy=policy.address) as postfix:
        session = swaks(postfix.server, client="192.0.2.99", xclient="LOGIN=joe")
        assert (
            session.reply_to("RCPT") == "554 5.7.1 <user@example.com>: Recipient address rejected: not today"
        )
        assert "client_address=192.0.2.99" in policy.lines
        assert "sasl_username=joe" in policy.lines


def test_postfix_on_ipv6_and_an_ipv6_client() -> None:
    with Postfix() as postfix:
        session = swaks(postfix.server_ip6, client="2001:db8::9")
        assert session.accepted, session.text
        assert "client=client.example[2001:db8::9]" in postfix.log()


def test_postfix_takes_more_main_cf_lines_and_comes_back() -> None:
    main_cf = "smtpd_client_restrictions = check_client_access static:{450 4.7.1 later}"
    with Postfix(main_cf=main_cf) as postfix:
        port = postfix.port
        postfix.stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1)
        postfix.start()
        session = swaks(postfix.server, client="192.0.2.99")
        assert "450 4.7.1" in session.reply_to("RCPT")
        assert "later" in session.reply_to("RCPT")


def test_postfix_is_not_run_by_another_user_than_root(monkeypatch: pytest.MonkeyPatch) -> None:
    needs("postfix")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("CI", "")
    with pytest.raises(pytest.skip.Exception, match="not run, missing: root"):
        Postfix()


def test_a_server_that_cannot_start_says_why() -> None:
    rbldnsd = Rbldnsd({"bl.example": {"bogus": ""}})
    with pytest.raises(ServerError, match=r"(?s)rbldnsd ended with 1: .*bogus"):
        rbldnsd.__enter__()
    assert not rbldnsd.directory.exists()


MAKERS: dict[str, Callable[[], Server]] = {
    "rbldnsd": lambda: Rbldnsd(LISTS),
    "unbound": lambda: Unbound({}),
    "postfix": Postfix,
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_nothing_is_left_even_after_a_failure(make: Callable[[], Server]) -> None:
    server = make()
    groups: list[int] = []

    def fail_while_it_runs() -> None:
        with server:
            assert server._process
            groups.append(server._process.pid)
            assert group_members(groups[0])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_while_it_runs()
    assert group_members(groups[0]) == []
    assert not server.directory.exists()


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_taken_port_is_noticed_and_another_one_found(
    make: Callable[[], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = servers.free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        udp.bind(("127.0.0.1", taken))
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind(("127.0.0.1", taken))
        tcp.listen()
        free = servers.free_port()
        ports = iter([taken, free])
        monkeypatch.setattr(servers, "free_port", lambda: next(ports))
        with make() as server:
            assert server.port == free
