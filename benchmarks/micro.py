"""One operation each, timed by pytest-benchmark: what lookups and policy requests are made of.

    make bench-save       run these and keep the figures
    make bench-compare    run them again; what is a fifth slower than the saved run fails

Nothing is asked: no server, no socket. What one name, one answer or one request costs beside what others take for
the same stands in `group`s of the table.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

import dns.name
import dns.reversename
import pytest

from dnsbl import Resolver
from dnsbl.cache.clock import now
from dnsbl.cache.entry import Held, pack, unpack
from dnsbl.model import Status, Verdict, Wire
from dnsbl.names._qname import parse_address, reverse_name
from dnsbl.policy.protocol import Attributes, RequestReader
from dnsbl.policy.rules import compile_rules
from dnsbl.subject import parse_subject
from dnsbl.zones.catalogue import load
from dnsbl.zones.interpret import read
from dnsbl.zones.replyfilter import parse_reply_filter

Benchmark = Callable[..., Any]

V4, V6, ZONE = "192.0.2.99", "2001:db8::1:2:3", "bl.example.com"
KEY4, KEY6 = ipaddress.ip_address(V4).packed, ipaddress.ip_address(V6).packed
CLEAN, LISTED = Wire(Status.NXDOMAIN, 3), Wire(Status.OK, 0, (0x7F000002, 0x7F000004))
REQUEST = (
    b"request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\nclient_address=192.0.2.99\n"
    b"client_name=unknown\nclient_port=51234\nreverse_client_name=host.example.net\nserver_port=25\n"
    b"helo_name=mail.example.net\nsender=sender@example.net\nrecipient=user@example.com\ninstance=1a2b.3.0\n"
    b"size=12345\nsasl_username=\nencryption_protocol=TLSv1.3\n\n"
)


# ---- names ----


@pytest.mark.benchmark(group="reversal, IPv4")
def test_reverse4_ours(benchmark: Benchmark) -> None:
    benchmark(reverse_name, KEY4, ZONE)


@pytest.mark.benchmark(group="reversal, IPv4")
def test_reverse4_ipaddress(benchmark: Benchmark) -> None:
    benchmark(lambda: ipaddress.IPv4Address(KEY4).reverse_pointer.removesuffix("in-addr.arpa") + ZONE)


@pytest.mark.benchmark(group="reversal, IPv4")
def test_reverse4_dnspython(benchmark: Benchmark) -> None:
    origin = dns.name.from_text(ZONE)
    benchmark(lambda: dns.reversename.from_address(V4, v4_origin=origin).to_text())


@pytest.mark.benchmark(group="reversal, IPv6")
def test_reverse6_ours(benchmark: Benchmark) -> None:
    benchmark(reverse_name, KEY6, ZONE)


@pytest.mark.benchmark(group="reversal, IPv6")
def test_reverse6_ipaddress(benchmark: Benchmark) -> None:
    benchmark(lambda: ipaddress.IPv6Address(KEY6).reverse_pointer.removesuffix("ip6.arpa") + ZONE)


@pytest.mark.benchmark(group="reversal, IPv6")
def test_reverse6_dnspython(benchmark: Benchmark) -> None:
    origin = dns.name.from_text(ZONE)
    benchmark(lambda: dns.reversename.from_address(V6, v6_origin=origin).to_text())


@pytest.mark.benchmark(group="parse an address")
def test_parse_ours(benchmark: Benchmark) -> None:
    benchmark(parse_address, V4)


@pytest.mark.benchmark(group="parse an address")
def test_parse_ipaddress(benchmark: Benchmark) -> None:
    benchmark(ipaddress.ip_address, V4)


@pytest.mark.benchmark(group="parse a subject")
@pytest.mark.parametrize("text", [V4, V6, "mail.example.com", "https://user@www.example.com:8080/path"])
def test_subject(benchmark: Benchmark, text: str) -> None:
    benchmark(parse_subject, text)


# ---- answers ----


@pytest.mark.benchmark(group="interpret an answer")
@pytest.mark.parametrize("wire", [CLEAN, LISTED], ids=["clean", "listed"])
def test_interpret(benchmark: Benchmark, wire: Wire) -> None:
    zones, _ = load().build(["zen.spamhaus.org"])
    benchmark(read, zones[0], wire)


@pytest.mark.benchmark(group="reply filter")
def test_filter_parse(benchmark: Benchmark) -> None:
    benchmark(parse_reply_filter, "127.0.0.[2..11]")


@pytest.mark.benchmark(group="reply filter")
def test_filter_match(benchmark: Benchmark) -> None:
    benchmark(parse_reply_filter("127.0.0.[2..11]").matches, 0x7F000004)


@pytest.mark.benchmark(group="cache entry, six zones")
@pytest.mark.parametrize("wire", [CLEAN, LISTED], ids=["clean", "listed"])
def test_pack(benchmark: Benchmark, wire: Wire) -> None:
    answers = {zone: Held(wire, 1000.0) for zone in range(6)}
    benchmark(pack, answers, {}, 0.0)


@pytest.mark.benchmark(group="cache entry, six zones")
@pytest.mark.parametrize("wire", [CLEAN, LISTED], ids=["clean", "listed"])
def test_unpack(benchmark: Benchmark, wire: Wire) -> None:
    entry = pack({zone: Held(wire, 1000.0) for zone in range(6)}, {}, 0.0)
    benchmark(unpack, entry, 0.0)


# ---- a cached check ----


def cached_resolver(wire: Wire) -> Resolver:
    """Six zones whose answers for 192.0.2.99 are in the cache; the documentation net is asked about here."""
    resolver = Resolver(
        [f"zone{number}.bl.example" for number in range(6)],
        ["127.0.0.1:9"],
        check_private=True,
        reasons=False,
    )
    resolver._core.cache.put(KEY4, {zone: Held(wire, now() + 1e6) for zone in range(6)})
    return resolver


@pytest.mark.benchmark(group="cached check, six zones")
@pytest.mark.parametrize("subject", [KEY4, ipaddress.ip_address(V4), V4], ids=["bytes", "object", "text"])
def test_cached_clean(benchmark: Benchmark, subject: object) -> None:
    resolver = cached_resolver(CLEAN)
    assert benchmark(lambda: resolver.check(subject).listed) is False


@pytest.mark.benchmark(group="cached check, six zones")
def test_cached_listed(benchmark: Benchmark) -> None:
    resolver = cached_resolver(LISTED)
    assert benchmark(lambda: resolver.check(KEY4).listed) is True


@pytest.mark.benchmark(group="cached check, six zones")
def test_cached_every_answer_read(benchmark: Benchmark) -> None:
    resolver = cached_resolver(CLEAN)
    assert len(benchmark(lambda: resolver.check(KEY4).answers)) == 6


# ---- policy ----


def parsed(data: bytes) -> Attributes:
    reader = RequestReader()
    reader.feed(data)
    request = reader.next()
    assert request is not None
    return request


@pytest.mark.benchmark(group="policy request")
def test_policy_parse(benchmark: Benchmark) -> None:
    assert benchmark(parsed, REQUEST)["client_address"] == V4


@pytest.mark.benchmark(group="policy request")
@pytest.mark.parametrize("wire", [CLEAN, LISTED], ids=["clean", "listed"])
def test_policy_rules(benchmark: Benchmark, wire: Wire) -> None:
    policy, request = compile_rules({}), parsed(REQUEST)
    verdicts: dict[str, Verdict] = {"client": cached_resolver(wire).check(KEY4)}

    def decide() -> str:
        return policy.decision(request, policy.candidates(request), verdicts).action

    assert benchmark(decide).startswith("DUNNO" if wire is CLEAN else "REJECT")
