"""How the command behaves as a process: on a terminal, cut short, out of room, at fault, and at its start."""

from __future__ import annotations

import os
import pty
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click
import pytest
from support.uncounted import uncounted

from dnsbl.cli import main
from dnsbl.testing import DnsblServer, silence

ZONE = "bl.example.com"


def command(server: DnsblServer, *args: str) -> list[str]:
    return [sys.executable, "-m", "dnsbl", "check", "--nameserver", server.nameserver, f"-z{ZONE}", *args]


@contextmanager
def running(
    args: Sequence[str], stdout: int | IO[bytes], **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    options.setdefault("env", os.environ | {"DNSBL_CONFIG": ""})
    process = subprocess.Popen(args, stdout=stdout, stderr=subprocess.PIPE, **options)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


# ---- a terminal ----


def on_a_terminal(args: Sequence[str], **variables: str) -> tuple[int, str]:
    """Exit code and output of a command whose stdout is a terminal; it has 100 columns, or COLUMNS."""
    ours, theirs = pty.openpty()
    env = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    env |= {"TERM": "xterm-256color", "COLUMNS": "100", **variables}
    process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=theirs, env=env)
    os.close(theirs)
    out = b""
    while piece := read_terminal(ours):
        out += piece
    os.close(ours)
    return process.wait(timeout=10), out.decode()


def read_terminal(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:  # Linux says EIO where others say end of file
        return b""


def test_a_terminal_gets_a_table_in_colour(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone(ZONE).list("192.0.2.99", txt="seen in a trap")
    code, out = on_a_terminal(command(dnsbl_server, "192.0.2.99"))
    assert code == 1
    assert "┃" in out
    assert "\x1b[1;31mlisted" in out
    assert "seen in a trap" in out


def test_no_color_is_kept_to(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone(ZONE).list("192.0.2.99")
    _, out = on_a_terminal(command(dnsbl_server, "192.0.2.99"), NO_COLOR="1")
    assert "┃" in out
    assert "\x1b[31m" not in out
    assert ";31m" not in out


@pytest.mark.parametrize("explain", [[], ["--explain"]])
def test_a_reason_is_never_markup_nor_control(dnsbl_server: DnsblServer, explain: list[str]) -> None:
    dnsbl_server.zone(ZONE).list("192.0.2.99", txt="[bold red]x[/] :smile: \x1b]0;title\x07\x1b[2J")
    _, out = on_a_terminal(command(dnsbl_server, *explain, "192.0.2.99"), NO_COLOR="1")
    assert "[bold red]x[/] :smile:" in out
    assert "\x1b]" not in out
    assert "\x1b[2J" not in out
    assert "\x07" not in out


@pytest.mark.parametrize("columns", [10, 40, 80, 200])
@pytest.mark.parametrize("explain", [[], ["--explain"]])
def test_a_link_can_be_copied_whatever_the_width(
    dnsbl_server: DnsblServer, columns: int, explain: list[str]
) -> None:
    """The terminal breaks the line, the program does not: no cell's edge is in the middle of a URL."""
    link = "https://bl.example.com/a/rather/long/page/of/its/own/about?ip=192.0.2.99"
    dnsbl_server.zone(ZONE).list("192.0.2.99", txt=f"See {link}")
    _, out = on_a_terminal(command(dnsbl_server, *explain, "192.0.2.99"), COLUMNS=str(columns))
    assert link in out


def test_a_narrow_terminal_gets_a_list_with_whole_words(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone(ZONE).list("192.0.2.99", txt="seen in a trap")
    _, out = on_a_terminal(command(dnsbl_server, "192.0.2.99"), COLUMNS="40")
    assert out.splitlines() == [
        "192.0.2.99: listed, score 1",
        f"  {ZONE}",
        "    outcome: listed",
        "    codes: 127.0.0.2",
        "    points: +1",
        f'{ZONE}: "seen in a trap"',
    ]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_reason_that_the_locale_cannot_write_ends_nothing(dnsbl_server: DnsblServer, encoding: str) -> None:
    dnsbl_server.zone(ZONE).list("192.0.2.99", txt="spam \u4e2d\U0001f4a9")
    check = command(dnsbl_server, "192.0.2.99")
    environment = os.environ | {"DNSBL_CONFIG": "", "PYTHONIOENCODING": encoding}
    for args in (check, [*check, "--explain"], [*check, "--json"]):
        ended = subprocess.run(args, capture_output=True, env=environment, timeout=10)
        assert (ended.returncode, ended.stderr) == (1, b"")
        assert b"spam" in ended.stdout
    code, out = on_a_terminal(check, PYTHONIOENCODING=encoding)
    assert code == 1
    assert "spam" in out


# ---- cut short ----


def test_a_closed_pipe_ends_it_quietly(dnsbl_server: DnsblServer) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    dnsbl_server.zone(ZONE)
    with running(command(dnsbl_server, "192.0.2.1"), writer) as process:
        os.close(writer)
        _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (141, b"")


def test_ctrl_c_ends_it_quietly(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone(ZONE).fault(silence())
    with running(command(dnsbl_server, "--deadline=60", "192.0.2.1"), subprocess.PIPE) as process:
        give_up = time.monotonic() + 10
        while not dnsbl_server.queries and time.monotonic() < give_up:
            time.sleep(0.01)
        asked = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (130, b"", b"")
    assert time.monotonic() - asked < 2


def test_a_file_that_is_not_there_is_named_in_plain_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zones", "import", "/nowhere/main.cf"]) == 2
    assert capsys.readouterr() == ("", "dnsbl: /nowhere/main.cf: No such file or directory\n")
    assert main(["bulk", "", "-z", "bl.example"]) == 2
    assert capsys.readouterr() == ("", "dnsbl: '': No such file or directory\n")


def test_no_room_for_the_results_is_an_error(dnsbl_server: DnsblServer, tmp_path: Path) -> None:
    """As on a full disk: neither "listed" nor "not listed" may be read from the exit code."""
    dnsbl_server.zone(ZONE)
    full = {
        "preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
        "env": uncounted() | {"DNSBL_CONFIG": ""},
    }
    with (
        (tmp_path / "results").open("wb") as results,
        running(command(dnsbl_server, "192.0.2.1"), results, **full) as process,
    ):
        _, err = process.communicate(timeout=10)
    assert process.returncode == 2
    assert err.startswith(b"dnsbl: ")
    assert err.count(b"\n") == 1


WITH_KINDS = """
import os, sys
from stat import filemode
from dnsbl.cli import main
code = main(sys.argv[1:])
os.write(int(os.environ["REPORT"]), "".join(filemode(os.fstat(fd).st_mode)[0] for fd in range(3)).encode())
sys.exit(code)
"""


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("subject", "expected"), [("192.0.2.99", 1), ("bad..name", 2)])
def test_closed_streams_are_never_taken_for_something_else(
    dnsbl_server: DnsblServer, closed: str, subject: str, expected: int
) -> None:
    """Standard descriptors stay standard: no socket may be where a line of output goes."""
    dnsbl_server.zone(ZONE).list("192.0.2.99")
    report, theirs = os.pipe()
    args = [sys.executable, "-c", WITH_KINDS, *command(dnsbl_server, subject)[3:]]
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", *args]
    env = os.environ | {"DNSBL_CONFIG": "", "REPORT": str(theirs)}
    ended = subprocess.run(
        shell, stdin=subprocess.DEVNULL, capture_output=True, env=env, pass_fds=[theirs], timeout=10
    )
    os.close(theirs)
    kinds = os.read(report, 10).decode()
    os.close(report)
    assert ended.returncode == expected
    assert len(kinds) == 3
    assert set(kinds) <= {"c", "p"}  # /dev/null or our pipe, and no socket
    assert b"Traceback" not in ended.stderr


# ---- at fault ----


def test_a_fault_of_the_program_is_not_read_as_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("dnsbl.cli.check.command", click.Command("check", callback=fail))
    assert main(["check"]) == 70
    assert "RuntimeError: a bug" in capsys.readouterr().err


@pytest.mark.parametrize("package", ["click", "cachetools", "pycares", "dnsbl.names._qname"])
@pytest.mark.parametrize("fault", ["ImportError('gone\\x1b[2J')", "MemoryError"])
def test_a_broken_installation_is_not_read_as_listed(
    dnsbl_server: DnsblServer, package: str, fault: str
) -> None:
    """As after an upgrade of Python: an exception while modules are loaded ends a program with 1."""
    dnsbl_server.zone(ZONE)
    breaking = f"""
import runpy, sys
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == {package!r}:
            raise {fault}
sys.meta_path.insert(0, Broken())
sys.argv[0] = "dnsbl"
runpy.run_module("dnsbl", run_name="__main__")
"""
    args = [sys.executable, "-c", breaking, *command(dnsbl_server, "192.0.2.1")[3:]]
    ended = subprocess.run(args, capture_output=True, env=os.environ | {"DNSBL_CONFIG": ""}, timeout=10)
    assert (ended.returncode, ended.stdout) == (70, b"")
    assert b"\x1b" not in ended.stderr


def test_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chekc"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("dnsbl: No such command 'chekc'")


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert {"check", "demo"} <= {line.split()[0] for line in out.split("Commands:")[1].splitlines() if line}
    assert main(["check", "--help"]) == 0
    assert "--nameserver HOST[:PORT]" in capsys.readouterr().out


# ---- at its start ----


def test_a_check_imports_nothing_slow_that_it_does_not_need(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone(ZONE).list("192.0.2.99")
    code = "import sys; from dnsbl.cli import main; main(); print(*sys.modules, file=sys.stderr)"
    args = [sys.executable, "-c", code, *command(dnsbl_server, "192.0.2.99")[3:]]
    with running(args, subprocess.PIPE) as process:
        out, err = process.communicate(timeout=10)
    assert b"192.0.2.99: listed" in out
    assert "pycares" in err.decode().split()
    slow = {"asyncio", "rich", "publicsuffixlist", "dns", "importlib.metadata", "email", "http"}
    assert slow & set(err.decode().split()) == set()


def test_alone_it_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    """L13."""
    assert main([]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Usage: dnsbl ")
    assert "check" in out
    assert err == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete(
    shell: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """L13."""
    monkeypatch.setenv("_DNSBL_COMPLETE", f"{shell}_source")
    assert main([]) == 0
    assert "_DNSBL_COMPLETE" in capsys.readouterr().out


def test_completion_knows_the_commands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_DNSBL_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "dnsbl zones im")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert main([]) == 0
    assert capsys.readouterr().out == "plain,import\n"


def test_a_shell_that_is_not_known_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_DNSBL_COMPLETE", "bourne_source")
    assert main([]) == 2
    assert "bash_source" in capsys.readouterr().err
