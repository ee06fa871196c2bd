"""What README.md shows runs as printed; where it would ask real lists, a server on loopback stands in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dnsbl.cli import main
from dnsbl.config.file import parse
from dnsbl.lookup.resolvconf import SystemNameservers
from dnsbl.policyd.settings import Options, load_settings
from dnsbl.testing import DnsblServer

README = (Path(__file__).parents[1] / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_first_example_prints_what_it_says(
    dnsbl_server: DnsblServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The default lists as a server on loopback has them; it stands in for the system's nameservers."""
    dnsbl_server.zone("zen.spamhaus.org").list("127.0.0.2", ["127.0.0.10", "127.0.0.2", "127.0.0.4"])
    for zone in ("bl.spamcop.net", "psbl.surriel.com", "dbl.spamhaus.org"):
        dnsbl_server.zone(zone)
    monkeypatch.setattr(SystemNameservers, "_read", lambda self: (dnsbl_server.nameserver,))
    exec(blocks("python")[0], {})
    assert capsys.readouterr().out == blocks("text")[0]


def test_the_pytest_example_passes(dnsbl_server: DnsblServer) -> None:
    names: dict[str, object] = {}
    exec(blocks("python")[1], names)
    (test,) = [value for name, value in names.items() if name.startswith("test_")]
    assert callable(test)
    test(dnsbl_server)


def test_the_configuration_is_one() -> None:
    assert [zone.name for zone in parse(blocks("toml")[0]).zones] == ["zen.spamhaus.org", "uri.example.net"]


def test_the_rules_are_rules(tmp_path: Path) -> None:
    """Together with the configuration above them, as they would stand in one file."""
    config = tmp_path / "dnsbl.toml"
    config.write_text("\n".join(blocks("toml")))
    policy = load_settings(Options(config)).policy
    assert len(policy.rules) == 4
    exempt = (
        {"client_address": "198.51.100.9"},
        {"client_address": "192.0.2.99", "sasl_username": "user"},
        {"client_address": "192.0.2.99", "server_port": "587"},
    )
    for request in exempt:
        candidates = policy.candidates(request)
        assert not candidates or not candidates[0].of_verdict, request


def test_the_commands_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Each option that the README shows is one the command has."""
    shown = [line.split() for line in README.splitlines() if line.startswith("    dnsbl ")]
    assert len(shown) >= 3
    for _, command, *words in shown:
        assert main([command, "--help"]) == 0
        known = capsys.readouterr().out
        assert [word for word in words if word.startswith("-") and word not in known] == []


def test_the_exit_codes_are_those_of_check() -> None:
    from dnsbl.cli import check

    rows = dict(re.findall(r"^\| (\d) \| (.*) \|$", README, re.MULTILINE))
    assert sorted(rows) == sorted(
        str(code)
        for code in (check.EXIT_CLEAN, check.EXIT_LISTED, check.EXIT_BAD_INPUT, check.EXIT_INCOMPLETE)
    )
    assert rows[str(check.EXIT_CLEAN)].startswith("not listed, and every list answered")
    assert rows[str(check.EXIT_LISTED)] == "listed"
    assert rows[str(check.EXIT_BAD_INPUT)].startswith("bad usage")
    assert rows[str(check.EXIT_INCOMPLETE)].startswith("not listed, but")


def test_the_architecture_names_every_room() -> None:
    root = Path(__file__).parents[1]
    page = (root / "docs/architecture.md").read_text()
    table = page[page.index("| room |") : page.index("Parsing and deciding")]
    rooms = {path.parent.name for path in (root / "dnsbl").glob("*/__init__.py")}
    assert {room for room in rooms if f"{room}/`" not in table} == set()
