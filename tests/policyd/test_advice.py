"""What --check-config warns of: each with what to do."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from support.policydaemon import config, run

from dnsbl.policyd.advice import advise
from dnsbl.policyd.settings import Options, load_settings
from dnsbl.testing import DnsblServer

ZONE = '[resolver]\nnameservers = ["127.0.0.1:5353"]\n{resolver}\n[[zone]]\nname = "bl.example"\n{zone}\n'
EXEMPT = '[[policy.rule]]\nauthenticated = true\naction = "DUNNO"\n'


def rule(text: str, action: str = "REJECT no") -> str:
    return f'[[policy.rule]]\n{text}\naction = "{action}"\n'


def warnings(
    tmp_path: Path, policy: str = "", zone: str = "", resolver: str = "", *, root: bool = False
) -> list[str]:
    path = tmp_path / "dnsbl.toml"
    path.write_text(ZONE.format(zone=zone, resolver=resolver) + f"[policy]\n{policy}")
    return advise(load_settings(Options(path)), is_root=root)


def test_a_good_configuration_has_none(tmp_path: Path) -> None:
    assert warnings(tmp_path) == []
    assert warnings(tmp_path, EXEMPT + rule('score = ">=1"')) == []
    queue = 'listen = ["unix:/var/spool/postfix/dnsbl/policy.sock"]\nsocket_group = "postfix"\n'
    assert warnings(tmp_path, queue, root=True) == []


@pytest.mark.parametrize(
    ("policy", "zone", "resolver", "says"),
    [
        ("", 'on_error = "listed"', "", 'on_error = "listed" gives every client 1 points'),
        ("", "", "deadline_s = 30", "deadline_s = 30: contrib/main.cf has Postfix wait 10 s"),
        (rule('score = ">=1"'), "", "", "rule 1 also refuses your own users who log in"),
        (EXEMPT + rule('recipient = "postmaster"', "DUNNO"), "", "", 'write "postmaster@*"'),
        ('look_up = ["client"]\n', 'subjects = ["domain"]', "", "zone bl.example takes domain, and no rule"),
        ('look_up = ["helo"]\n', 'subjects = ["ip4"]', "", "zone bl.example takes ip4, and no rule"),
        (
            EXEMPT + rule('zones = "bl.example"\nlook_up = "client"') + rule('score = ">=1"'),
            'subjects = ["domain"]', "", "rule 2 never matches: bl.example takes domain",
        ),
        (EXEMPT + rule("", "DUNNO") + rule('score = ">=1"'), "", "", "rule 2 has no condition"),
        (EXEMPT + rule('score = ">=1"', "REJECT 5.7.1 {reason}"), "", "", "its text is only a status code"),
        ('listen = ["unix:/run/dnsbl/policy.sock"]\nsocket_group = "root"', "", "", "a chrooted smtpd"),
    ],
)  # fmt: skip
def test_what_is_named(tmp_path: Path, policy: str, zone: str, resolver: str, says: str) -> None:
    [found] = warnings(tmp_path, policy, zone, resolver)
    assert says in found


def test_a_socket_of_roots(tmp_path: Path) -> None:
    listen = 'listen = ["unix:/var/spool/postfix/dnsbl/policy.sock"]\n'
    [found] = warnings(tmp_path, listen, root=True)
    assert 'socket_group = "postfix"' in found


def test_a_nameserver_out_there(tmp_path: Path) -> None:
    path = tmp_path / "dnsbl.toml"
    path.write_text(ZONE.format(zone="", resolver=""))
    for text in ("8.8.8.8", "8.8.8.8:53", "[2001:4860:4860::8888]:53", "2001:4860:4860::8888"):
        [found] = advise(load_settings(Options(path)), nameservers=[text], is_root=False)
        assert "run your own (unbound)" in found
    assert not advise(load_settings(Options(path)), nameservers=["[::1]:53", "10.0.0.1"], is_root=False)


def test_check_config_names_them_and_a_metrics_port_that_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "dnsbl.toml"
    with DnsblServer() as lists, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        path.write_text(config(lists, f'metrics = "127.0.0.1:{port}"'))
        done = run("--check-config", "--config", str(path))
    assert done.returncode == 0
    assert (
        f"warning: metrics on 127.0.0.1:{port}: Address already in use; mail goes on" in done.stderr.decode()
    )
    assert "good, 1 warning: " in done.stdout.decode()


def test_a_client_that_has_not_come(tmp_path: Path) -> None:
    """--test: a REJECT without mail, by address or by domain."""
    path = tmp_path / "dnsbl.toml"
    with DnsblServer() as lists:
        lists.zone("bl.example").list("192.0.2.99", txt="spam")
        path.write_text(config(lists, zones=("bl.example",)))
        listed = run("--test", "192.0.2.99", "--config", str(path))
        clean = run("--test", "192.0.2.98", "--config", str(path))
        own = run("--test", "127.0.0.2", "--config", str(path))
        wrong = run("--test", "example.com", "--config", str(path))
    assert (
        listed.stdout.decode().splitlines()[-1].startswith("action=REJECT 192.0.2.99 is listed by bl.example")
    )
    assert clean.stdout.decode().splitlines()[-1] == "action=DUNNO"
    assert "an address of this machine is exempt" in own.stdout.decode()
    assert (wrong.returncode, wrong.stderr.count(b"\n")) == (2, 1)
