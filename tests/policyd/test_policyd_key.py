"""A key shows in nothing the policy daemon writes, whatever happens: replies, log, metrics, --explain."""

from __future__ import annotations

import signal
import urllib.request
from collections.abc import Iterator

import pytest
from support.policydaemon import Client, Policyd, request, run

from dnsbl.testing import DnsblServer, Handler, parked, rcode, wildcard

KEY = "k3yk3yk3yk3yk3yk3yk3yk3yk3"
NAME = "zen.dq.spamhaus.net"


@pytest.fixture
def lists() -> Iterator[DnsblServer]:
    """The list puts the key into its reason, in capitals too, as it may put the name it was asked under."""
    with DnsblServer() as server:
        zone = server.zone(f"{KEY}.{NAME}")
        zone.list("192.0.2.99", txt=f"see https://example.com/{KEY}/{KEY.upper()}.{NAME}")
        yield server


def config(lists: DnsblServer, policy: str = "", zone: str = f'name = "{NAME}"\nkey_env = "LIST_KEY"') -> str:
    return (
        f'[resolver]\nnameservers = ["{lists.nameserver}"]\ndeadline_s = 1.0\n[[zone]]\n{zone}\n[policy]\n'
        f"{policy}\n"
    )


def rule(zone: str) -> str:
    return (
        f'[[policy.rule]]\nzones = ["{zone}"]\n'
        'action = "REJECT {client} is listed by {zones}: {reason} {delist_url} {codes}"\n'
    )


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize(
    "fault", [None, rcode("SERVFAIL"), rcode("REFUSED"), parked(), wildcard("127.255.255.251")]
)
def test_the_daemon(lists: DnsblServer, options: list[str], fault: Handler | None) -> None:
    if fault is not None:
        lists.zone(f"{KEY}.{NAME}").fault(fault)
    text = config(lists, rule(NAME))
    arguments = ["--metrics", "127.0.0.1:0", *options]
    with Policyd(text, *arguments, env={"LIST_KEY": KEY}) as daemon, Client(daemon.port) as client:
        replies = [client.ask(instance="1a.2b"), client.ask("192.0.2.98")]
        address = daemon.wait_for_log("metrics on ").rpartition("metrics on ")[2].split()[0].rstrip('"}')
        with urllib.request.urlopen(address, timeout=10) as page:
            metrics = page.read().decode()
        for wrong in (rule(f"{KEY}.dbl.dq.spamhaus.net"), rule(f"{KEY}.{NAME}"), "key = 1"):
            done = daemon.log().count("reload")
            daemon.config.write_text(config(lists, wrong))
            daemon.signal(signal.SIGHUP)
            daemon.wait_for_log("reload", after=done)
        replies.append(client.ask())
        assert daemon.stop() == 0
        written = daemon.log() + metrics + "".join(replies)
    assert NAME in written
    assert lists.count(zone=f"{KEY}.{NAME}") > 0
    assert replies[0].startswith("REJECT") == (fault is None)
    assert KEY not in written.lower()


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("fault", [None, rcode("REFUSED")])
def test_explain(
    lists: DnsblServer, tmp_path_factory: pytest.TempPathFactory, options: list[str], fault: Handler | None
) -> None:
    if fault is not None:
        lists.zone(f"{KEY}.{NAME}").fault(fault)
    folder = tmp_path_factory.mktemp("key")
    (folder / "key").write_text(f"{KEY}\n")
    (folder / "dnsbl.toml").write_text(config(lists, rule(NAME), f'name = "{NAME}"\nkey_file = "key"'))
    done = run("--explain", "-", f"--config={folder / 'dnsbl.toml'}", *options, stdin=request())
    assert done.returncode == 0
    assert f"99.2.0.192.***.{NAME}".encode() in done.stdout
    assert KEY.encode() not in (done.stdout + done.stderr).lower()


@pytest.mark.parametrize(
    "text",
    [
        f'[[zone]]\nname = "{KEY}.{NAME}"',
        f'[[zone]]\nname = "{NAME}"\nkey_env = "{KEY}"',
        f'[[zone]]\nname = "{NAME}"\nkey_file = "{KEY}"',
        f'[[zone]]\nname = "{NAME}"\nkey = "{KEY}"',
        f'[[zone]]\nname = "bl.example"\n{rule(f"{KEY}.{NAME}")}',
        f"[[zone]]\nname = {KEY}.{NAME}",
    ],
)
def test_a_configuration_that_is_wrong(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("wrong") / "dnsbl.toml"
    path.write_text(text)
    done = run("--check-config", f"--config={path}")
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1
    assert KEY.encode() not in done.stderr.lower()
