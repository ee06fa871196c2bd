"""Fixtures of the tests of `dnsbl bulk`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.bulkruns import LISTED, OTHER, ZONE, Bulk
from support.ended import Ended

from dnsbl.cli import main
from dnsbl.testing import DnsblServer


@pytest.fixture
def options(dnsbl_server: DnsblServer, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.delenv("DNSBL_CONFIG", raising=False)
    dnsbl_server.zone(ZONE).list(LISTED, codes=["127.0.0.2"], txt="seen in a trap")
    dnsbl_server.zone(OTHER)
    return [f"--zone={ZONE}", f"--zone={OTHER}", "--nameserver", dnsbl_server.nameserver]


@pytest.fixture
def bulk(options: list[str], capsys: pytest.CaptureFixture[str]) -> Bulk:
    def run(*args: object) -> Ended:
        code = main(["bulk", *options, *map(str, args)])
        return Ended(code, *capsys.readouterr())

    return run


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    def write(*lines: str, name: str = "in.txt") -> Path:
        path = tmp_path / name
        path.write_text("".join(line + "\n" for line in lines))
        return path

    return write


@pytest.fixture
def limited(tmp_path: Path) -> Path:
    path = tmp_path / "dnsbl.toml"
    path.write_text(f'[[zone]]\nname = "{ZONE}"\ndaily_limit = 5\n')
    return path
