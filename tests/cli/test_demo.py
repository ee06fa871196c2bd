"""`dnsbl demo`: four verdicts from a list on loopback."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dnsbl.cli import demo, main


def test_demo_shows_four_right_verdicts() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "dnsbl", "demo"], capture_output=True, text=True, timeout=30, check=False
    )
    assert (process.returncode, process.stderr) == (0, "")
    rows = [line.split() for line in process.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == [*demo.LISTED, *demo.UNLISTED]
    assert [row[1] for row in rows] == ["listed", "listed", "not", "not"]
    assert all(row[-1] == "yes" for row in rows)


def test_a_wrong_verdict_ends_it_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An address meant to be unlisted, but the list has it: its test entry."""
    monkeypatch.setattr(demo, "UNLISTED", ("127.0.0.2",))
    assert main(["demo"]) == 1
    assert "1 of 3 verdicts" in capsys.readouterr().err
