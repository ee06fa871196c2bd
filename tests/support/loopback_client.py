"""Asking the loopback server with dnspython, for the tests beside this file."""

from __future__ import annotations

import ipaddress

import dns.message
import dns.query
import dns.rcode

from dnsbl.testing import DnsblServer

TIMEOUT_S = 3.0


def exchange(
    server: DnsblServer, name: str, kind: str = "A", *, tcp: bool = False, edns: int = -1, payload: int = 1232
) -> dns.message.Message:
    """One question, one reply, which dnspython has checked to belong together."""
    query = dns.message.make_query(name, kind, use_edns=edns, payload=payload)
    host, _, port = server.nameserver.rpartition(":")
    send = dns.query.tcp if tcp else dns.query.udp
    # One record each: dnspython's RRsets would drop equal records and change their order.
    return send(query, host.strip("[]"), port=int(port), timeout=TIMEOUT_S, one_rr_per_rrset=True)


def ask(server: DnsblServer, name: str, kind: str = "A", *, tcp: bool = False) -> list[str]:
    """The records' texts in the order of the reply; without one, the rcode's name."""
    reply = exchange(server, name, kind, tcp=tcp)
    return texts(reply) or [dns.rcode.to_text(reply.rcode())]


def texts(reply: dns.message.Message) -> list[str]:
    """The answer section's records as text, in the order of the wire, equal ones included."""
    return [record.to_text() for rrset in reply.answer for record in rrset]


def name_of(address: str, zone: str = "bl.example") -> str:
    """The name asked for an address, made by `ipaddress`, not by what is tested."""
    reverse = ipaddress.ip_address(address).reverse_pointer
    return f"{reverse.rpartition('.')[0].rpartition('.')[0]}.{zone}"
