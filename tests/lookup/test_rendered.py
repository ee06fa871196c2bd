"""Texts of verdicts that are kept: never another answer than the cache's, never one past its time."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from dnsbl import Resolver
from dnsbl.cache.clock import now
from dnsbl.lookup import rendered
from dnsbl.lookup.rendered import RenderedVerdicts
from dnsbl.testing import DnsblServer
from dnsbl.testing.faults import rcode


@pytest.fixture
def resolver(dnsbl_server: DnsblServer) -> Iterator[Resolver]:
    dnsbl_server.zone("bl.example.com").list("192.0.2.99", txt='100 % "spam" {subject} \\ %s')
    dnsbl_server.zone("bl2.example.com")
    with Resolver(
        zones=["bl.example.com", "bl2.example.com"], nameservers=[dnsbl_server.nameserver]
    ) as found:
        yield found


def kept(resolver: Resolver, texts: RenderedVerdicts, subject: str) -> bytes | None:
    """What is kept once the subject was asked twice, as the cache then has all of it."""
    for _ in range(2):
        texts.render(subject, resolver.check(subject))
    return texts.get(subject)


@pytest.mark.parametrize("subject", ["192.0.2.99", "192.0.2.1", "2001:db8::1"])
def test_it_is_the_verdict(resolver: Resolver, subject: str) -> None:
    """But for the times, which go on."""
    texts = resolver.rendered()
    text = kept(resolver, texts, subject)
    assert text is not None
    found, verdict = json.loads(text), resolver.check(subject).to_dict()
    assert list(found) == list(verdict)
    for one, other in zip([found, *found["answers"]], [verdict, *verdict["answers"]], strict=True):
        assert list(one) == list(other)
        assert {name: one[name] for name in one if name not in ("ttl_s", "elapsed_s", "answers")} == {
            name: other[name] for name in other if name not in ("ttl_s", "elapsed_s", "answers")
        }
        assert one["ttl_s"] == pytest.approx(other["ttl_s"], abs=5)
    assert 0 <= found["elapsed_s"] < 5


def test_a_flush_ends_it(resolver: Resolver) -> None:
    texts = resolver.rendered()
    assert kept(resolver, texts, "192.0.2.99")
    resolver.flush("192.0.2.99")
    assert texts.get("192.0.2.99") is None
    assert kept(resolver, texts, "192.0.2.99")


def test_a_newer_answer_ends_it(dnsbl_server: DnsblServer, resolver: Resolver) -> None:
    texts = resolver.rendered()
    assert kept(resolver, texts, "192.0.2.1")
    dnsbl_server.zone("bl2.example.com").list("192.0.2.1")
    resolver.flush("192.0.2.1", "bl2.example.com")
    assert resolver.check("192.0.2.1").listed
    assert texts.get("192.0.2.1") is None
    text = kept(resolver, texts, "192.0.2.1")
    assert text is not None
    assert json.loads(text)["listings"] == ["bl2.example.com"]


def test_its_time_ends_it(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = resolver.rendered()
    assert kept(resolver, texts, "192.0.2.99")
    late = now() + 400.0  # TTL 300
    monkeypatch.setattr(rendered, "clock", lambda: late)
    assert texts.get("192.0.2.99") is None


def test_a_zone_set_aside_ends_it(resolver: Resolver) -> None:
    texts = resolver.rendered()
    assert kept(resolver, texts, "192.0.2.99")
    with resolver._core.lock:
        resolver._core.breaker.set_aside(1, "broken")
    assert texts.get("192.0.2.99") is None


def test_what_is_incomplete_is_not_kept(dnsbl_server: DnsblServer, resolver: Resolver) -> None:
    dnsbl_server.zone("bl2.example.com").fault(rcode("SERVFAIL"))
    texts = resolver.rendered()
    assert kept(resolver, texts, "192.0.2.99") is None


def test_few_are_kept(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendered, "MOST", 2)
    texts = resolver.rendered()
    for subject in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        assert kept(resolver, texts, subject)
    assert texts.get("192.0.2.1") is None
    assert texts.get("192.0.2.3") is not None


def test_hits_are_counted(resolver: Resolver) -> None:
    texts = resolver.rendered()
    kept(resolver, texts, "192.0.2.1")
    before = resolver.stats()["zones"]["bl.example.com"]["cache_hits"]
    texts.get("192.0.2.1")
    assert resolver.stats()["zones"]["bl.example.com"]["cache_hits"] == before + 1
