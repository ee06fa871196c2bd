"""`dnsbl doctor` about the policy daemon, its rules and its list files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.policydaemon import Client, Policyd
from support.policydaemon import config as daemon_config

from dnsbl.cli import main
from dnsbl.policyd.bridge import WINDOW
from dnsbl.testing import DnsblServer

Report = dict[str, Any]
ZONE = '[resolver]\nnameservers = ["{server}"]\n{resolver}\n[[zone]]\nname = "bl.example"\n{zone}\n'


@pytest.fixture
def doctor(
    dnsbl_server: DnsblServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[[str], Report]:
    """What `dnsbl doctor --json` reports of a configuration."""
    dnsbl_server.zone("bl.example")

    def run(text: str) -> Report:
        path = tmp_path / "dnsbl.toml"
        path.write_text(text)
        main(["doctor", "--json", "--config", str(path)])
        found: Report = json.loads(capsys.readouterr().out)
        return found

    return run


@pytest.mark.parametrize(
    ("resolver", "zone", "policy", "problem", "remedy"),
    [
        ("", 'on_error = "listed"', "", "gives every client 1 points", "leave on_error out"),
        ("deadline_s = 30", "", "[policy]", "contrib/main.cf has Postfix wait 10 s", "8 s at the most"),
        (
            "", "", '[[policy.rule]]\nscore = ">=1"\naction = "REJECT no"',
            "rule 1 also refuses your own users who log in", "authenticated = true",
        ),
        (
            "", "", '[policy]\nlisten = ["unix:/run/policy.sock"]\nsocket_group = "root"',
            "out of sight for a chrooted smtpd", "listen on 127.0.0.1:10040",
        ),
    ],
)  # fmt: skip
def test_the_daemons_advice_is_among_the_findings(
    doctor: Callable[[str], Report],
    dnsbl_server: DnsblServer,
    resolver: str,
    zone: str,
    policy: str,
    problem: str,
    remedy: str,
) -> None:
    """K9"""
    text = ZONE.format(server=dnsbl_server.nameserver, resolver=resolver, zone=zone) + policy
    [finding] = doctor(text)["findings"]
    assert finding["about"] == "policy daemon"
    assert problem in finding["problem"]
    assert remedy in finding["remedy"]


def test_a_zone_that_only_mail_is_looked_up_in_is_no_fault_without_a_daemon(
    doctor: Callable[[str], Report], dnsbl_server: DnsblServer
) -> None:
    text = ZONE.format(server=dnsbl_server.nameserver, resolver="", zone='subjects = ["email"]')

    def said(text: str) -> list[str]:
        return [each["problem"] for each in doctor(text)["findings"] if each["about"] == "policy daemon"]

    assert said(text) == []
    [problem] = said(text + "[policy]\nidle_timeout_s = 60\n")
    assert "never asked" in problem


def test_a_bridge_that_hides_the_clients_of_the_running_daemon(
    doctor: Callable[[str], Report], dnsbl_server: DnsblServer, tmp_path: Path
) -> None:
    control = tmp_path / "control"
    text = daemon_config(dnsbl_server, f'control = "{control}"')
    with Policyd(text) as daemon, Client(daemon.port) as client:
        assert doctor(text)["findings"] == []
        for number in range(WINDOW):
            assert client.ask("172.17.0.1", instance=str(number)) == "DUNNO"
        [finding] = doctor(text)["findings"]
    assert finding["about"] == "policy daemon"
    assert "nearly all clients come from 172.17.0.1" in finding["problem"]
    assert "give Postfix the host network" in finding["remedy"]


def test_list_files(doctor: Callable[[str], Report], dnsbl_server: DnsblServer, tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("192.0.2.0/24\n198.51.100.7\n")
    (tmp_path / "empty.txt").write_text("# nothing\n")
    text = ZONE.format(server=dnsbl_server.nameserver, resolver="", zone="")
    for name in ("own", "empty", "gone"):
        text += f'[[zone]]\nname = "{name}.example"\nfile = "{name}.txt"\n'
    report = doctor(text)
    zones = {zone["zone"]: zone for zone in report["zones"]}
    assert zones["own.example"]["file"] == {"path": str(tmp_path / "own.txt"), "entries": 2}
    assert zones["own.example"]["nameservers"] == []
    assert zones["bl.example"]["file"] is None
    problems = {finding["about"]: finding["problem"] for finding in report["findings"]}
    assert "it has no entry" in problems["empty.example"]
    assert "gone.txt: cannot be read" in problems["gone.example"]
    assert set(problems) == {"empty.example", "gone.example"}


def test_list_files_only(
    doctor: Callable[[str], Report], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.txt").write_text("192.0.2.0/24\n")
    assert doctor('[[zone]]\nname = "own.example"\nfile = "own.txt"\n')["healthy"]
    assert main(["doctor", "--config", str(tmp_path / "dnsbl.toml")]) == 0
    assert f"1 entries: {tmp_path / 'own.txt'}" in capsys.readouterr().out
