"""Whole messages against the loopback server: what is asked, and the one verdict."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dnsbl import Resolver, Zone
from dnsbl.errors import ConfigError
from dnsbl.subject.hashed import hash_label
from dnsbl.testing import DnsblServer

MESSAGE = b"""Received: from r1 (r1 [198.51.100.1]) by mx.example.org (Postfix) with ESMTPS id 1; x
Received: from s (s [192.0.2.99]) by r1 (Postfix) with ESMTP id 2; x
From: "service@bank.example" <Some.One+x@gmail.com>
Reply-To: fraud@reply.example
Message-ID: <1@id.example>
DKIM-Signature: v=1; a=rsa-sha256; d=signer.example;
 s=x; b=abc
Content-Type: multipart/alternative; boundary=b

--b
Content-Type: text/plain

see http://short.hbltest.com/AbC and http://good.example@evil.example:8080/x.
--b
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: quoted-printable

<a href=3D"http&#58;//www.ev&shy;il.example/">x</a><img src=3D"http://203.0.113.80/i.png">
--b--
"""


def zones() -> list[Zone]:
    return [
        Zone("ip.example"),
        Zone("dom.example", subjects=frozenset({"domain", "ip4"}), weight=2.0),
        Zone("ebl.example", subjects=frozenset({"email"}), hash="sha1", normal_form="msbl"),
        Zone("_url.hbl.dq.spamhaus.net", subjects=frozenset({"url"}), normal_form="spamhaus", key="s3cr3tk3y",
             key_place="_url.{key}.hbl.dq.spamhaus.net"),
        Zone("dwl.example", subjects=frozenset({"dkim"}), domain="host", weight=-1.0),
    ]  # fmt: skip


@pytest.fixture
def server(dnsbl_server: DnsblServer) -> DnsblServer:
    hbl = "_url.s3cr3tk3y.hbl.dq.spamhaus.net"
    for name in ("ip.example", "dom.example", "ebl.example", hbl, "dwl.example"):
        dnsbl_server.zone(name)
    dnsbl_server.zone("ip.example").list("192.0.2.99")
    dnsbl_server.zone("dom.example").list("evil.example")
    dnsbl_server.zone("ebl.example").list(hashlib.sha1(b"fraud@reply.example").hexdigest())
    dnsbl_server.zone(hbl).list(hashlib.sha1(b"short.hbltest.com/AbC").hexdigest(), "127.0.3.30")
    dnsbl_server.zone("dwl.example").list("signer.example")
    return dnsbl_server


def test_everything_is_asked_of_the_zones_that_take_it(server: DnsblServer) -> None:
    with Resolver(zones(), [server.nameserver], deadline_s=2.0) as resolver:
        verdict = resolver.check_message(MESSAGE, trusted=["198.51.100.0/24"])
    by = {(finding.kind, finding.verdict.subject): finding for finding in verdict.findings}
    assert set(by) == {
        ("hop", "192.0.2.99"), ("domain", "reply.example"), ("domain", "id.example"),
        ("domain", "signer.example"),
        ("domain", "short.hbltest.com"), ("domain", "evil.example"), ("domain", "www.evil.example"),
        ("ip", "203.0.113.80"), ("email", "some.one+x@gmail.com"), ("email", "fraud@reply.example"),
        ("url", "http://short.hbltest.com/AbC"), ("url", "http://evil.example/x"),
        ("url", "http://203.0.113.80/i.png"), ("dkim", "signer.example"),
    }  # fmt: skip
    assert {key for key, finding in by.items() if finding.verdict.listed} == {
        ("hop", "192.0.2.99"), ("domain", "evil.example"), ("domain", "www.evil.example"),
        ("email", "fraud@reply.example"), ("url", "http://short.hbltest.com/AbC"),
    }  # fmt: skip
    assert verdict.score == 1 + 2 + 1 + 1 - 1  # the two names of one domain count once
    assert verdict.listed
    assert verdict.complete
    assert by["domain", "www.evil.example"].where == ("link in part 3 (text/html)",)
    assert by["ip", "203.0.113.80"].where == ("image in part 3 (text/html)",)
    assert by["email", "fraud@reply.example"].where == ("Reply-To",)
    assert [hop.hop.address for hop in verdict.hop.skipped] == ["198.51.100.1"]
    assert verdict.harmless == ("gmail.com",)
    assert "Return-Path" in verdict.absent
    assert "From" not in verdict.absent


def asked_of(verdict: object, kind: str, zone: str) -> list[str]:
    return [
        answer.query_name
        for finding in verdict.findings  # type: ignore[attr-defined]
        if finding.kind == kind
        for answer in finding.verdict.answers
        if answer.zone == zone and answer.query_name
    ]


def test_the_names_that_are_asked(server: DnsblServer) -> None:
    """Hashes are those of the operators' normal forms; a key is never shown."""
    with Resolver(zones(), [server.nameserver], deadline_s=2.0) as resolver:
        verdict = resolver.check_message(MESSAGE, trusted=["198.51.100.0/24"])
    gmail = hashlib.sha1(b"someone@gmail.com").hexdigest()
    url = hashlib.sha1(b"short.hbltest.com/AbC").hexdigest()
    assert f"{gmail}.ebl.example" in asked_of(verdict, "email", "ebl.example")
    assert f"{url}._url.***.hbl.dq.spamhaus.net" in asked_of(verdict, "url", "_url.hbl.dq.spamhaus.net")
    assert asked_of(verdict, "dkim", "dwl.example") == ["signer.example.dwl.example"]
    assert asked_of(verdict, "ip", "ip.example") == []  # a list of mail servers is not asked about links
    assert asked_of(verdict, "ip", "dom.example") == ["80.113.0.203.dom.example"]
    assert "s3cr3tk3y" not in str(verdict.to_dict(explain=True))


def test_a_silent_zone_makes_it_incomplete(server: DnsblServer) -> None:
    with Resolver([Zone("nowhere.example", subjects=frozenset({"domain"}))], ["127.0.0.1:9"],
                  deadline_s=0.3, timeout_s=0.2) as resolver:  # fmt: skip
        verdict = resolver.check_message(MESSAGE)
    assert (verdict.listed, verdict.complete) == (False, False)


def test_what_stands_behind_a_link(server: DnsblServer) -> None:
    """On request: the address of a link's host is asked of a zone that takes link_a."""
    server.zone("host.example").list("www", "192.0.2.99")  # any name of the test server has its A records
    server.zone("a.example").list("192.0.2.99")
    message = b"From: x@y.example\n\nsee http://www.host.example/ and http://gone.host.example/"
    zone = Zone("a.example", subjects=frozenset({"link_a"}))
    with Resolver([zone], [server.nameserver], deadline_s=2.0) as resolver:
        verdict = resolver.check_message(message)
    assert [(f.kind, f.verdict.subject, f.where, f.verdict.listed) for f in verdict.findings] == [
        ("link_a", "192.0.2.99", ("address of www.host.example",), True)
    ]


def test_one_address_or_url_by_hash(server: DnsblServer) -> None:
    """Where no zone takes domains, `check` asks an e-mail address or URL by hash."""
    hashed = [zone for zone in zones() if zone.subjects & {"email", "url"}]
    with Resolver(hashed, [server.nameserver], deadline_s=2.0) as resolver:
        assert resolver.check("Fraud@reply.example").listed
        assert not resolver.check("other@reply.example").listed
        assert resolver.check("http://short.hbltest.com/AbC").listed
        assert not resolver.check("http://short.hbltest.com/").listed
    with Resolver(zones(), [server.nameserver], deadline_s=2.0) as resolver:
        assert resolver.check("a@evil.example").subject == "evil.example"


@contextmanager
def nameserver_of(records: dict[tuple[str, str], list[str]]) -> Iterator[str]:
    """A nameserver on loopback that has these records, by name and type, and no others."""
    import dns.message
    import dns.rdatatype
    import dns.rrset

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(0.05)
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                try:
                    data, peer = udp.recvfrom(4096)
                except TimeoutError:
                    continue
                reply = dns.message.make_response(dns.message.from_wire(data))
                question = reply.question[0]
                name, kind = question.name.to_text().rstrip("."), dns.rdatatype.to_text(question.rdtype)
                if values := records.get((name.lower(), kind)):
                    reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *values))
                udp.sendto(reply.to_wire(), peer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{udp.getsockname()[1]}"
        finally:
            done.set()
            thread.join()


def test_nameservers_behind_links() -> None:
    """On request: the addresses of the nameservers of a link's domain, of a zone that takes link_ns."""
    records = {
        ("shop.example", "NS"): ["ns1.dns.example.", "ns2.dns.example."],
        ("ns1.dns.example", "A"): ["192.0.2.53"],
        ("ns2.dns.example", "AAAA"): ["2001:db8::53"],
        ("53.2.0.192.ns.example", "A"): ["127.0.0.2"],
    }
    zone = Zone("ns.example", subjects=frozenset({"link_ns"}))
    message = b"From: x@y.example\n\n" + b"".join(b"http://h%d.shop.example/ " % n for n in range(25))
    with nameserver_of(records) as nameserver, Resolver([zone], [nameserver], deadline_s=4.0) as resolver:
        verdict = resolver.check_message(message)
    assert {f.verdict.subject: f.verdict.listed for f in verdict.findings} == {
        "192.0.2.53": True,
        "2001:db8::53": False,
    }
    assert verdict.findings[0].kind == "link_ns"
    assert verdict.findings[0].where[0] == "nameserver of h0.shop.example"
    assert verdict.left_out == ("addresses behind the hosts of links beyond 20",)


def test_in_an_event_loop(server: DnsblServer) -> None:
    async def both() -> None:
        async with Resolver(zones(), [server.nameserver], deadline_s=2.0) as resolver:
            awaited = await resolver.check_message_async(MESSAGE, trusted=["198.51.100.0/24"])
            blocking = resolver.check_message(MESSAGE, trusted=["198.51.100.0/24"])
        key = [(f.kind, f.verdict.subject, f.verdict.listed) for f in awaited.findings]
        assert key == [(f.kind, f.verdict.subject, f.verdict.listed) for f in blocking.findings]

    asyncio.run(both())


def test_an_authenticated_submission_asks_no_address(server: DnsblServer) -> None:
    message = b"Received: from pc (dsl [192.0.2.99]) by mx with ESMTPSA id 1\nFrom: a@b.example\n\nx"
    with Resolver([Zone("ip.example")], [server.nameserver]) as resolver:
        verdict = resolver.check_message(message)
    assert (verdict.findings, verdict.listed, verdict.complete) == ((), False, True)
    assert "authenticated" in verdict.hop.why


def test_a_zone_is_asked_only_for_its_kinds(server: DnsblServer) -> None:
    with Resolver([Zone("ip.example")], [server.nameserver]) as resolver:
        assert {f.kind for f in resolver.check_message(MESSAGE).findings} == {"hop"}


def test_a_wrong_network_is_an_error(server: DnsblServer) -> None:
    with Resolver([Zone("ip.example")], [server.nameserver]) as resolver, pytest.raises(ConfigError):
        resolver.check_message(MESSAGE, trusted=["no network"])


def test_the_truth_of_a_verdict_is_not_asked(server: DnsblServer) -> None:
    with (
        Resolver([Zone("ip.example")], [server.nameserver]) as resolver,
        pytest.raises(TypeError, match="listed"),
    ):
        bool(resolver.check_message(MESSAGE))


@pytest.mark.parametrize(
    ("kind", "text", "digest", "form", "label"),
    [
        # A user's debug log of the operator's plugin, in spamassassin-dqs#63.
        ("url", "https://fonts.googleapis.com/css2?family=X", "sha1", "spamhaus",
         "de3a274a294f996687e3e29faa9c8a0685be0fac"),
        ("url", "http://Example.com/UP%41", "sha1", "spamhaus", hashlib.sha1(b"example.com/upA").hexdigest()),
        ("url", "http://bit.ly/UP%41?q=1", "sha1", "spamhaus", hashlib.sha1(b"bit.ly/UPA").hexdigest()),
        ("url", "http://is.gd/Ab/c", "sha1", "spamhaus", hashlib.sha1(b"is.gd/Ab").hexdigest()),
        ("url", "http://u:p@example.com:80/ab", "sha1", "spamhaus",
         hashlib.sha1(b"example.com/ab").hexdigest()),
        ("url", "http://example.com/", "sha1", "spamhaus", None),
        ("url", "http://example.com/a/B?c#d", "md5", "surbl", hashlib.md5(b"example.com/a/B").hexdigest()),
        ("url", "http://example.com/ab", "sha1", "msbl", None),
        ("email", "A.B+tag@Example.com", "sha1", "msbl", hashlib.sha1(b"a.b@example.com").hexdigest()),
        ("email", "A.B+tag@GoogleMail.com", "sha1", "spamhaus", hashlib.sha1(b"ab@gmail.com").hexdigest()),
        ("email", "A.B@Example.com", "md5", "surbl", hashlib.md5(b"a.b@example.com").hexdigest()),
    ],
)  # fmt: skip
def test_hashes_of_the_forms_that_the_lists_take(
    kind: str, text: str, digest: str, form: str, label: str | None
) -> None:
    assert hash_label(kind, text, digest, form) == label


@pytest.mark.parametrize(
    ("kind", "text", "digest", "form", "label"),
    [
        # Test entries of Spamhaus HBL with the operator's hashes.
        ("email", "User+Tag@HBLtest.com", "sha256", "spamhaus",
         "F3PDGTMWU6LFIGDJC67YNIWRY5ZRM7ERLETNFO36QAEQPMBPW2DA"),
        ("url", "https://www.hbltest.com/test", "sha256", "spamhaus",
         "JRBRNOUNTQWKLOKRDDX5DC65YHFFJ4ZLJ5EXP7D6TWHJTDR23PSA"),
        ("url", "http://withqm.hbltest.com/openurl?lid=test", "sha256", "spamhaus",
         "EORVXYR6YPU2B54QOCEK4SS6XN3YXMHDQCFGHAEN4ZPMZ5QUSCVA"),
        # The names that Stalwart's tests expect to be asked of MSBL EBL and SURBL hashbl.
        ("email", "spammer1@spamcorp.net", "sha1", "msbl", "b4a64d60f67529b0b18df66ea2f292e09e43c975"),
        ("email", "spammer2@spamcorp.net", "sha1", "msbl", "a95bd658068a8315dc1864d6bb79632f47692621"),
        ("url", "https://bit.ly/abcde", "md5", "surbl", "ba76e47680ba70a0cbff8d6c92139683"),
        ("url", "https://drive.google.com/path/to/file.exe", "md5", "surbl",
         "0ac5b387a1c6d8461a78bbf7b172a2a1"),
        ("url", "https://cf-ipfs.com/other/path?query=true", "md5", "surbl",
         "ef6f530a68b77d782983e8712ff31fe5"),
    ],
)  # fmt: skip
def test_vectors_that_others_published(kind: str, text: str, digest: str, form: str, label: str) -> None:
    """Where each comes from is said in dnsbl/subject/hashed.py."""
    assert hash_label(kind, text, digest, form) == label.lower()


def test_a_base32_label_fits_a_name() -> None:
    label = hash_label("email", "a@example.com", "sha256", "plain")
    assert label is not None
    assert len(label) == 52
    assert label.isalnum()
