"""From an address as text to a verdict, through every part, at a real rbldnsd: ip4set, ip6trie and dnset."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from support.servers import Rbldnsd

from dnsbl import Resolver, Verdict
from dnsbl.cli import main

ZONES = {
    "bl.example": {
        "ip4set": ":2:Listed, see https://bl.example/?$\n192.0.2.99\n203.0.113.255\n128.0.2.200 :4:four\n"
        "198.51.100.0/25 :10:a network\n!198.51.100.7\n",
        "ip6trie": ":3:Listed, see https://bl.example/?$\n2001:db8::2/128\n2001:db8:5::/48 :5:five\n",
    },
    "uri.example": {"dnset": ":127.0.0.8:Seen in spam: $\nexample.com\nxn--strae-oqa.example\n"},
}
LISTED = {
    "192.0.2.99": ("bl.example", "127.0.0.2", "Listed, see https://bl.example/?192.0.2.99"),
    "::ffff:192.0.2.99": ("bl.example", "127.0.0.2", "Listed, see https://bl.example/?192.0.2.99"),
    "203.0.113.255": ("bl.example", "127.0.0.2", "Listed, see https://bl.example/?203.0.113.255"),
    "128.0.2.200": ("bl.example", "127.0.0.4", "four"),
    "198.51.100.127": ("bl.example", "127.0.0.10", "a network"),
    "2001:db8::2": ("bl.example", "127.0.0.3", "Listed, see https://bl.example/?2001:db8::2"),
    "2001:DB8:0:0:0:0:0:2": ("bl.example", "127.0.0.3", "Listed, see https://bl.example/?2001:db8::2"),
    "2001:db8:5:ffff::1": ("bl.example", "127.0.0.5", "five"),
    "Example.COM.": ("uri.example", "127.0.0.8", "Seen in spam: example.com"),
    "https://www.straße.example/": ("uri.example", "127.0.0.8", "Seen in spam: xn--strae-oqa.example"),
}
UNLISTED = ("192.0.2.1", "198.51.100.7", "198.51.100.128", "2001:db8::3", "2001:db8:6::1", "example.net")
TOML = """
[resolver]
nameservers = ["{nameserver}"]
[[zone]]
name = "bl.example"
[[zone]]
name = "uri.example"
subjects = ["domain"]
"""


@pytest.fixture(scope="module")
def nameserver() -> Iterator[str]:
    with Rbldnsd(ZONES) as rbldnsd:
        yield rbldnsd.nameserver


@pytest.fixture(scope="module")
def config_file(nameserver: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("whole") / "dnsbl.toml"
    path.write_text(TOML.format(nameserver=nameserver))
    return str(path)


@pytest.fixture(scope="module")
def resolver(config_file: str) -> Iterator[Resolver]:
    from dnsbl.config.file import load

    with Resolver(config=load(config_file)) as resolver:
        yield resolver


def check_listed(verdict: Verdict, subject: str) -> None:
    zone, code, reason = LISTED[subject]
    assert (verdict.listed, verdict.complete, verdict.score) == (True, True, 1)
    (answer,) = verdict.listings
    assert (answer.zone, answer.codes, answer.reason) == (zone, (code,), reason)


@pytest.mark.parametrize("subject", LISTED)
def test_listed(resolver: Resolver, subject: str) -> None:
    resolver.flush()
    verdict = resolver.check(subject)
    check_listed(verdict, subject)
    assert 0 < (verdict.ttl_s or 0) <= 300
    again = resolver.check(subject)
    check_listed(again, subject)
    assert again.listings[0].cached
    check_listed(asyncio.run(resolver.check_async(subject)), subject)


@pytest.mark.parametrize("subject", UNLISTED)
def test_unlisted(resolver: Resolver, subject: str) -> None:
    resolver.flush()
    verdict = resolver.check(subject)
    assert (verdict.listed, verdict.complete, verdict.score, verdict.listings) == (False, True, 0, ())
    assert 0 < (verdict.ttl_s or 0) <= 300  # from the SOA record
    assert resolver.check_cached(subject) is not None


def test_a_stream(resolver: Resolver) -> None:
    resolver.flush()
    subjects = [*LISTED, *UNLISTED] * 10
    verdicts = list(resolver.check_many(subjects, ordered=True))
    for subject, verdict in zip(subjects, verdicts, strict=True):
        assert isinstance(verdict, Verdict)
        if subject in LISTED:
            check_listed(verdict, subject)
        else:
            assert (verdict.listed, verdict.complete) == (False, True)


def test_the_command(config_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", config_file, "--json", *LISTED]) == 1
    verdicts = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for subject, verdict in zip(LISTED, verdicts, strict=True):
        zone, code, reason = LISTED[subject]
        (answer,) = [answer for answer in verdict["answers"] if answer["zone"] == zone]
        assert (verdict["listings"], answer["codes"], answer["reason"]) == ([zone], [code], reason)
    assert main(["check", "--config", config_file, *UNLISTED]) == 0
    assert capsys.readouterr().out.count(": not listed\n") == len(UNLISTED)


def test_health(nameserver: str) -> None:
    """rbldnsd has only the test entries of its files: their absence is found, and with them all is well."""
    with Resolver(["bl.example"], [nameserver]) as emptied:
        assert [health.state.value for health in emptied.health()] == ["empty"]
        assert not emptied.check("192.0.2.99").complete
    entries = {
        "ip4set": ":2:t\n127.0.0.2\n",
        "ip6trie": ":2:t\n0:0:0:0:0:ffff:7f00:2/128\n",
    }
    with (
        Rbldnsd({"bl.example": entries}) as rbldnsd,
        Resolver(["bl.example"], [rbldnsd.nameserver]) as sound,
    ):
        assert [health.state.value for health in sound.health()] == ["healthy"]
