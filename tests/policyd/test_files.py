"""Networks, names and mail addresses from files that are read again when they change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.policydaemon import Client, Policyd, config, start_lists

from dnsbl.errors import ConfigError
from dnsbl.policy.patterns import host_names, mail_addresses, networks
from dnsbl.policy.rules import compile_rules
from dnsbl.policyd.files import MAX_BYTES, PatternFiles


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "ours"
    path.write_text("# ours\n192.0.2.0/28\n\n  2001:db8::/32  # all\n")
    files = PatternFiles()
    test = files.watch(str(path), networks)
    assert (test("192.0.2.1"), test("2001:db8::1"), test("192.0.2.99")) == (True, True, False)
    assert files.refresh() == []
    path.write_text("192.0.2.99\n")
    [renewed] = files.refresh()
    assert renewed.good
    assert (test("192.0.2.1"), test("192.0.2.99")) == (False, True)


@pytest.mark.parametrize("what", ["bad line", "gone", "too large", "directory", "fifo"])
def test_what_is_no_good_keeps_the_old_and_is_told_once(tmp_path: Path, what: str) -> None:
    path = tmp_path / "ours"
    path.write_text("192.0.2.99\n")
    files = PatternFiles()
    test = files.watch(str(path), networks)
    path.unlink()
    if what == "bad line":
        path.write_text("192.0.2.1\n192.0.2.0/99\n")
    elif what == "too large":
        path.write_text("#" * (MAX_BYTES + 1))
    elif what == "directory":
        path.mkdir()
    elif what == "fifo":
        os.mkfifo(path)
    [renewed] = files.refresh()
    assert not renewed.good
    assert str(path) in renewed.message
    assert "stays in use" in renewed.message
    if what == "bad line":
        assert f"{path}:2: '192.0.2.0/99' is not a valid network" in renewed.message
    assert files.refresh() == []
    assert test("192.0.2.99")
    if what == "gone":
        path.write_text("192.0.2.1\n")
        assert files.refresh()[0].good
        assert test("192.0.2.1")


def test_a_file_that_is_no_good_at_first_is_a_fault_in_the_configuration(tmp_path: Path) -> None:
    rule = {"rule": [{"client": f"file:{tmp_path}/none", "action": "DUNNO"}]}
    with pytest.raises(ConfigError, match=f"client: cannot read {tmp_path}/none: No such file"):
        compile_rules(rule, watch=PatternFiles().watch)
    with pytest.raises(ConfigError, match="read by the policy daemon only"):
        compile_rules(rule)


def test_the_daemon_follows_its_files(tmp_path: Path) -> None:
    ours, friends = tmp_path / "ours", tmp_path / "friends"
    ours.write_text("192.0.2.98\n")
    friends.write_text("friend@example.org\n")
    policy = (
        f'own_networks = ["file:{ours}", "192.0.2.97"]\n'
        f'[[policy.rule]]\nsender = ["file:{friends}"]\naction = "DUNNO"\n'
        '[[policy.rule]]\nscore = ">=1"\naction = "REJECT"\n'
    )
    with start_lists() as lists, Policyd(config(lists, policy)) as daemon, Client(daemon.port) as client:
        assert client.ask() == "REJECT"
        assert client.ask(sender="Friend@example.org") == "DUNNO"
        ours.write_text("192.0.2.99\n")
        daemon.wait_for_log(f"{ours} has changed and is read again")
        assert client.ask() == "DUNNO"
        ours.write_text("what?\n")
        daemon.wait_for_log("stays in use")
        assert client.ask() == "DUNNO"


def test_many_patterns_are_found_as_few_are() -> None:
    test = networks([f"198.18.{at}.0/24" for at in range(0, 256, 2)] + ["198.18.0.0/22", "198.18.1.7"])
    assert [test(f"198.18.{at}.9") for at in range(8)] == [True] * 5 + [False, True, False]
    names = host_names(["a.example", ".b.example", "*.dyn.c.example"])
    assert [names(name) for name in ("A.example.", "x.b.example", "b.example", "1.dyn.c.example")] == [
        True, True, False, True,
    ]  # fmt: skip
    mail = mail_addresses(["A@x.example", "*@y.example", "z.example", "<>"])
    addresses = ("a@X.example", "b@x.example", "q@y.example", "q@z.example", "")
    assert [mail(address) for address in addresses] == [True, False, True, True, True]
