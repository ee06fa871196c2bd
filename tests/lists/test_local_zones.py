"""A list file as a zone: the same answers as from DNS, without a query."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from dnsbl import Resolver
from dnsbl.config.file import parse as parse_config
from dnsbl.errors import ConfigError, ZoneError
from dnsbl.model import Outcome
from dnsbl.testing import DnsblServer
from dnsbl.zones.zone import Zone, parse_zone

DROP = "; Spamhaus DROP List\n192.0.2.0/24 ; SBL1\n2001:db8::/32 ; SBL2\n"


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    path = tmp_path / "drop.txt"
    path.write_text(DROP)
    return path


def test_a_file_answers_as_a_zone_does(drop: Path) -> None:
    """Code, reason, score; no engine is started."""
    with Resolver([Zone.from_file(drop, weight=3)]) as resolver:
        verdict = resolver.check("192.0.2.9")
        answer = verdict.answers[0]
        assert (answer.zone, answer.outcome, answer.codes) == ("drop", Outcome.LISTED, ("127.0.0.2",))
        assert (answer.reason, answer.score, verdict.score) == ("SBL1", 3.0, 3.0)
        assert (answer.query_name, answer.ttl_s, verdict.complete) == (None, None, True)
        assert resolver.check("::ffff:192.0.2.9").answers[0].reason == "SBL1"
        assert resolver.check("2001:db8::1").answers[0].reason == "SBL2"
        clean = resolver.check("198.51.100.1")
        assert (clean.listed, clean.complete, clean.answers[0].outcome) == (False, True, Outcome.NOT_LISTED)
        assert resolver.check("example.com").answers[0].outcome is Outcome.NOT_LISTED
        assert resolver._core.upstream.engine is None


def test_a_private_address_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("10.0.0.0/8\n")
    with Resolver([Zone.from_file(tmp_path / "own.txt")]) as resolver:
        assert resolver.check("10.1.2.3").listed
        assert not resolver.check("192.168.0.1").listed


def test_names_and_codes_of_an_rbldnsd_file(tmp_path: Path) -> None:
    path = tmp_path / "names.rbldnsd"
    path.write_text(":127.0.1.2:$ is listed\n.example.org\n!good.example.org\n")
    with Resolver([f"file:{path}=127.0.1.2*4"]) as resolver:
        verdict = resolver.check("www.example.org")
        assert (verdict.score, verdict.answers[0].reason) == (4.0, "example.org is listed")
        assert not resolver.check("good.example.org").listed


def test_mixed_with_a_zone_that_is_asked(drop: Path) -> None:
    """Both answer, each in its place, from the network and from the cache."""
    with DnsblServer() as server:
        server.zone("bl.example").list("192.0.2.9", codes=["127.0.0.4"])
        with Resolver(["bl.example", f"file:{drop}*2"], [server.nameserver], check_private=True) as resolver:
            for _ in range(2):
                assert [answer.score for answer in resolver.check("192.0.2.9").answers] == [1.0, 2.0]
                assert [answer.score for answer in resolver.check("192.0.2.8").answers] == [0.0, 2.0]
                clean = resolver.check("198.51.100.7")
                assert [answer.outcome for answer in clean.answers] == [Outcome.NOT_LISTED] * 2
                assert clean.complete
            assert resolver.check_cached("198.51.100.7") is not None


def test_configuration_names_a_file(drop: Path) -> None:
    config = parse_config(
        '[[zone]]\nname = "drop.example"\nfile = "drop.txt"\nformat = "drop"\nweight = 5\n',
        path=drop.parent / "dnsbl.toml",
    )
    with Resolver(config=config) as resolver:
        assert resolver.check("192.0.2.1").score == 5.0
    with pytest.raises(ConfigError, match=r"dnsbl\.toml:4.*not a valid list format"):
        parse_config('[[zone]]\nname = "a.example"\nfile = "x"\nformat = "csv"\n')
    with pytest.raises(ConfigError, match="means nothing for a list file"):
        parse_config('[[zone]]\nname = "a.example"\nfile = "x"\ntimeout_s = 1\n')


def test_each_zone_has_a_share_of_bad_entries_of_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By `from_file` and in dnsbl.toml; it holds for the file that takes the old one's place, too."""
    path = tmp_path / "own.txt"
    path.write_text("192.0.2.1\n192.0.2.300\n2001:db8::/129\n")
    with pytest.raises(ZoneError, match=r"zone own: .*2 of 3 entries are bad \(more than bad_share, 5 %\)"):
        Resolver([Zone.from_file(path)])
    with Resolver([Zone.from_file(path, bad_share=0.7)]) as resolver:
        assert resolver.check("192.0.2.1").listed
    toml = '[[zone]]\nname = "own.example"\nfile = "own.txt"\nbad_share = {}\n'
    with Resolver(config=parse_config(toml.format(0.7), path=tmp_path / "dnsbl.toml")) as resolver:
        watch_fast(resolver)
        assert resolver.check("192.0.2.1").listed
        path.write_text("192.0.2.2\n192.0.2.300\n2001:db8::/129\n")  # as bad as before: taken
        wait_until(path, resolver, "192.0.2.2", listed=True)
        path.write_text("192.0.2.3\n192.0.2.300\n192.0.2.301\n2001:db8::/129\n")
        for _ in range(200):
            if "stays in use" in caplog.text:
                break
            resolver.check("192.0.2.2")
            time.sleep(0.02)
        assert "3 of 4 entries are bad (more than bad_share, 70 %)" in caplog.text
        assert resolver.check("192.0.2.2").listed
    with pytest.raises(ConfigError, match=r"dnsbl\.toml:4: bad_share: 5 is out of range; give 0 to 1"):
        parse_config(toml.format(5))
    with pytest.raises(ConfigError, match="bad_share: it is about a list file"):
        parse_config('[[zone]]\nname = "own.example"\nbad_share = 0.1\n')
    with pytest.raises(ZoneError, match="bad_share = nan is not valid"):
        Zone.from_file(path, bad_share=float("nan"))


def test_a_file_that_cannot_be_used_is_refused_when_the_resolver_is_made(tmp_path: Path) -> None:
    with pytest.raises(ZoneError, match=r"zone none: list file .*none\.txt: cannot be read: No such file"):
        Resolver([f"file:{tmp_path / 'none.txt'}"])
    with pytest.raises(ZoneError, match="needs a path"):
        parse_zone("file:")


def wait_until(path: Path, resolver: Resolver, address: str, *, listed: bool) -> None:
    for _ in range(200):
        if resolver.check(address).listed is listed:
            return
        time.sleep(0.02)
    pytest.fail(f"{path} was not read again")


def watch_fast(resolver: Resolver) -> None:
    for each in resolver._core.local._each:
        each._look_s, each.next_look = 0.05, 0.0


def test_a_changed_file_is_swapped_and_a_broken_one_is_not(
    drop: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Resolver([Zone.from_file(drop)]) as resolver:
        watch_fast(resolver)
        other = drop.with_suffix(".new")
        other.write_text("198.51.100.0/24\n")
        os.replace(other, drop)
        wait_until(drop, resolver, "198.51.100.1", listed=True)
        assert not resolver.check("192.0.2.9").listed
        for bad in ("<!DOCTYPE html><html>too many requests</html>", "one\ntwo\n192.0.2.1\n"):
            caplog.clear()
            drop.write_text(bad)
            for _ in range(500):
                assert resolver.check("198.51.100.1").listed
                if "stays in use" in caplog.text:
                    break
                time.sleep(0.02)
            assert "stays in use" in caplog.text
        drop.unlink()
        time.sleep(0.2)  # some looks
        assert resolver.check("198.51.100.1").listed
        drop.write_text("# nothing any more\n")
        wait_until(drop, resolver, "198.51.100.1", listed=False)


def test_a_file_that_is_still_being_written_is_not_read(drop: Path) -> None:
    """It grows between any two looks: what is read is always the list of before or a finished one."""
    with Resolver([Zone.from_file(drop)]) as resolver:
        watch_fast(resolver)
        with drop.open("w") as file:
            for number in range(40):
                file.write(f"198.51.100.{number}\n")
                file.flush()
                assert resolver.check("192.0.2.9").listed
                time.sleep(0.01)
        wait_until(drop, resolver, "198.51.100.39", listed=True)


def test_a_file_out_of_date_is_used_and_warned_of(drop: Path, caplog: pytest.LogCaptureFixture) -> None:
    drop.write_text("; Spamhaus DROP List\n; Expires: Wed, 04 Sep 2024 10:00:00 GMT\n192.0.2.0/24 ; SBL1\n")
    with Resolver([Zone.from_file(drop)]) as resolver:
        assert resolver.check("192.0.2.9").listed
    assert "out of date by its own word" in caplog.text


def test_health_leaves_list_files_out(drop: Path) -> None:
    """They have no test entries, and nothing may be asked for them."""
    with Resolver([Zone.from_file(drop)]) as resolver:
        (health,) = resolver.health()
        assert (health.state.value, resolver._core.upstream.engine) == ("untested", None)


MESSAGE = (
    b"Received: from s (s [192.0.2.9]) by mx (Postfix) with ESMTP id 2; x\n"
    b"From: spammer1@spamcorp.net\nContent-Type: text/html\n\n<a href=http://www.example.com/x>x</a>\n"
)


def test_a_message_is_looked_up_in_files_without_a_query(drop: Path) -> None:
    """The addresses behind a link are found by asking its owner's nameserver: only where a zone wants them."""
    with DnsblServer() as server, Resolver([Zone.from_file(drop)], [server.nameserver]) as resolver:
        verdict = resolver.check_message(MESSAGE)
        assert {finding.kind for finding in verdict.findings} == {"hop", "domain"}
        assert (verdict.zones, verdict.complete, list(server.queries)) == (("drop",), True, [])


def test_a_file_of_hashes(tmp_path: Path) -> None:
    """A hash list by rsync: its subjects, digest and normal form are the zone's."""
    (tmp_path / "ebl").write_text(":127.0.0.2:\nb4a64d60f67529b0b18df66ea2f292e09e43c975\n")
    config = parse_config(
        '[[zone]]\nname = "ebl.example"\nfile = "ebl"\nformat = "dnset"\nsubjects = ["email"]\n'
        'hash = "sha1"\nnormal_form = "msbl"\n',
        path=tmp_path / "dnsbl.toml",
    )
    with Resolver(config=config) as resolver:
        assert resolver.check_message(MESSAGE).listed
        assert resolver.check("Spammer1+tag@spamcorp.net").listed
        assert not resolver.check("spammer2@spamcorp.net").listed
