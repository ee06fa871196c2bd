"""The loopback server as its users see it: entries, negative answers, counting, start and stop."""

from __future__ import annotations

import dns.message
import dns.query

from dnsbl.testing import DnsblServer


def test_fixture_answers(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99", codes=["127.0.0.4"])
    query = dns.message.make_query("99.2.0.192.bl.example", "A")
    reply = dns.query.udp(query, "127.0.0.1", port=dnsbl_server.port, timeout=2)
    assert [record.to_text() for record in reply.answer[0]] == ["127.0.0.4"]
