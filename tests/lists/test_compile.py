"""`dnsbl zones compile`: what it prints, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def compiled(*arguments: str) -> tuple[int, str, str]:
    run = subprocess.run(
        [sys.executable, "-m", "dnsbl", "zones", "compile", *arguments],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return run.returncode, run.stdout, run.stderr


def test_a_sound_file(tmp_path: Path) -> None:
    path = tmp_path / "own.txt"
    path.write_text("192.0.2.0/24\n192.0.2.7\n2001:db8::/32\n")
    code, out, err = compiled(str(path))
    assert (code, err) == (0, "")
    assert (
        "plain, 3 entries: 2 IPv4, 1 IPv6, 0 names; 0 exclusions; 1 inside another; 0 bad lines of 3" in out
    )


def test_findings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "own.txt"
    path.write_text("192.0.2.0/24\n192.0.2.7/24\n")
    code, out, err = compiled(str(path), "--json")
    assert code == 1
    assert (json.loads(out)["bad"], json.loads(out)["problems"][0]["line"]) == (1, 2)
    assert "own.txt:2: 192.0.2.7/24 has host bits set" in err


def test_what_is_no_list_ends_with_2(tmp_path: Path) -> None:
    path = tmp_path / "own.txt"
    path.write_text("<html>no</html>")
    assert compiled(str(path))[0] == 2
    code, out, err = compiled(str(tmp_path / "none"))
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_the_share_of_bad_entries_that_is_taken(tmp_path: Path) -> None:
    """2 of 32 are bad, which is more than the default of 5 %; the option sets another share."""
    path = tmp_path / "own.txt"
    path.write_text("".join(f"192.0.2.{last}\n" for last in range(30)) + "192.0.2.300\n2001:db8::/129\n")
    code, out, err = compiled(str(path))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "2 of 32 entries are bad (more than bad_share, 5 %)" in err
    code, out, err = compiled(str(path), "--bad-share", "0.1")
    assert (code, err.count("\n")) == (1, 2)
    assert "2 bad lines of 32" in out
    code, out, err = compiled(str(path), "--bad-share", "1.5")
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_check_with_a_file_alone(tmp_path: Path) -> None:
    """No nameserver is there and none is needed."""
    path = tmp_path / "drop.txt"
    path.write_text("192.0.2.0/24 ; SBL1\n")
    command = [sys.executable, "-m", "dnsbl", "check", "--json", "-z", f"file:{path}"]
    for subject, code in (("192.0.2.5", 1), ("198.51.100.5", 0)):
        run = subprocess.run([*command, subject], capture_output=True, text=True, timeout=30, check=False)
        assert (run.returncode, run.stderr) == (code, "")
        assert json.loads(run.stdout)["complete"] is True
