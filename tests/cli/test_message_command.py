"""`dnsbl message` and `dnsbl filter` against the loopback server."""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from dnsbl.cli import main
from dnsbl.testing import DnsblServer

ZONE = "bl.example.com"
BAD = b"Received: from s (s [192.0.2.99]) by mx (Postfix) with ESMTP id 2; x\nFrom: a@b.example\n\nhello\n"
GOOD = b"Received: from s (s [192.0.2.1]) by mx (Postfix) with ESMTP id 2; x\nFrom: a@b.example\n\nhello\n"


class Ended(NamedTuple):
    code: int
    out: bytes
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def run(
    dnsbl_server: DnsblServer, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """A command asking `ZONE` of the loopback server, with stdin given."""
    monkeypatch.delenv("DNSBL_CONFIG", raising=False)
    dnsbl_server.zone(ZONE).list("192.0.2.99")

    def started(*args: str, stdin: bytes = b"", nameserver: str = "") -> Ended:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        options = ["--zone", ZONE, "--nameserver", nameserver or dnsbl_server.nameserver]
        code = main([args[0], *options, *args[1:]])
        out, err = capfdbinary.readouterr()
        return Ended(code, out, err.decode())

    return started


def test_one_message(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "m.eml"
    file.write_bytes(BAD)
    ended = run("message", str(file))
    assert ended.code == 1
    assert b"m.eml: listed by bl.example.com, score 1" in ended.out
    assert run("message", "-", stdin=GOOD).code == 0
    assert run("message", "-", stdin=BAD.replace(b"ESMTP", b"ESMTPSA")).code == 0
    assert run("message", "--trusted", "192.0.2.0/24", "-", stdin=BAD).code == 0


def test_a_zone_that_does_not_exist_is_not_clean(run: Run, dnsbl_server: DnsblServer) -> None:
    """L7: a mistyped name says "not listed" of every message."""
    dnsbl_server.zone("org")
    ended = run("message", "--zone", "zen.spamhuas.org", "-", stdin=GOOD)
    assert ended.code == 3
    assert "does not exist in the DNS; did you mean zen.spamhaus.org?" in ended.err


def test_no_answer_is_incomplete(run: Run) -> None:
    assert run("message", "--deadline", "0.2", "-", stdin=BAD, nameserver="127.0.0.1:9").code == 3


@pytest.mark.parametrize(
    "args", [["/nowhere/m.eml"], ["--trusted", "x", "-"], ["--harmless", "/nowhere", "-"], []]
)
def test_bad_usage(run: Run, args: list[str]) -> None:
    ended = run("message", *args, stdin=BAD)
    assert (ended.code, ended.out) == (2, b"")
    assert ended.err.startswith("dnsbl: ")
    assert ended.err.count("\n") == 1


def test_mbox_gives_a_json_line_a_message(run: Run, tmp_path: Path) -> None:
    quoted = GOOD.replace(b"hello", b">From here on\n\nFrom the start.")
    box = tmp_path / "box"
    box.write_bytes(b"".join(b"From x Tue Nov 24 10:00:00 2026\n" + m + b"\n" for m in (BAD, quoted, GOOD)))
    ended = run("message", "--json", str(box))
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert [line["listed"] for line in lines] == [True, False, False]
    assert [line["message"].rpartition(":")[2] for line in lines] == [str(n + 1) for n in range(len(lines))]
    assert ended.code == 1
    assert lines[0]["findings"][0]["where"] == ["Received 0"]
    assert lines[0]["hop"]["address"] == "192.0.2.99"


def test_maildir(run: Run, tmp_path: Path) -> None:
    for folder, data in (("new", GOOD), ("cur", BAD)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.x").write_bytes(data)
    ended = run("message", "--json", str(tmp_path))
    assert [json.loads(line)["listed"] for line in ended.out.splitlines()] == [False, True]
    assert ended.code == 1
    (tmp_path / "empty").mkdir()
    assert run("message", str(tmp_path / "empty")).code == 2


def test_progress_is_on_stderr(run: Run, tmp_path: Path) -> None:
    box = tmp_path / "box"
    box.write_bytes((b"From x Tue Nov 24 10:00:00 2026\n" + GOOD + b"\n") * 100)
    ended = run("message", "--json", str(box))
    assert ended.out.count(b"\n") == 100
    assert "100 messages" in ended.err


def test_explain_shows_hops_and_sources(run: Run) -> None:
    inner = b"Received: from r (r [10.0.0.1]) by mx with ESMTP id 1; x\n"
    text = run("message", "--explain", "-", stdin=inner + BAD).out.decode()
    for wanted in (
        "0: passed by: 10.0.0.1",
        "1: 192.0.2.99 is the first",
        "hop 192.0.2.99: listed",
        "in Received 1",
        "query: 99.2.0.192.bl.example.com",
        "missing headers: Reply-To",
    ):
        assert wanted in text


# ---- filter ----


def test_filter_adds_headers_and_nothing_else(run: Run) -> None:
    ended = run("filter", stdin=BAD)
    assert ended.code == 0
    head = ended.out.removesuffix(BAD)
    assert head.decode().splitlines() == [
        "X-DNSBL-Status: listed; score=1; zones=bl.example.com",
        "X-DNSBL-Listed: hop 192.0.2.99; zones=bl.example.com; in=Received 0",
        "X-DNSBL-Hop: 192.0.2.99",
    ]


def test_filter_removes_forged_headers(run: Run) -> None:
    forged = (
        b"x-dnsbl-status: not listed;\n\tscore=-9\nX-DNSBL-Other : y\n"
        + GOOD
        + b"X-DNSBL-Status: of the body\n"
    )
    ended = run("filter", stdin=forged)
    assert ended.out.endswith(GOOD + b"X-DNSBL-Status: of the body\n")
    assert ended.out.count(b"-9") == ended.out.count(b"Other") == 0
    own = run("filter", "--prefix", "X-Own", stdin=forged)
    assert own.out.startswith(b"X-Own-Status: not listed; score=0\n")
    assert b"X-DNSBL-Other" in own.out


def test_filter_keeps_crlf_and_the_envelope_line(run: Run) -> None:
    crlf = BAD.replace(b"\n", b"\r\n")
    out = run("filter", stdin=crlf).out
    assert out.endswith(crlf)
    assert out.count(b"\n") == out.count(b"\r\n")
    out = run("filter", stdin=b"From x Tue Nov 24 10:00:00 2026\n" + GOOD).out
    assert out.startswith(b"From x Tue Nov 24 10:00:00 2026\nX-DNSBL-Status: ")


def test_filter_says_when_it_does_not_know(run: Run) -> None:
    ended = run("filter", "--deadline", "0.2", stdin=BAD, nameserver="127.0.0.1:9")
    assert ended.code == 0
    assert ended.out.startswith(b"X-DNSBL-Status: incomplete; score=0\n")


@pytest.mark.parametrize(
    ("args", "stdin", "code"),
    [
        ([], b"", 65),
        (["--prefix", "a b"], BAD, 78),
        (["--trusted", "x"], BAD, 78),
        (["--config", "/no"], BAD, 78),
        (["--harmless", "/no"], BAD, 78),
    ],
)
def test_filter_ends_as_sysexits_says(run: Run, args: list[str], stdin: bytes, code: int) -> None:
    ended = run("filter", *args, stdin=stdin)
    assert (ended.code, ended.out) == (code, b"")
    assert ended.err.startswith("dnsbl: ")


def started(stdin: int, stdout: int, most_files: int = 0) -> subprocess.CompletedProcess[str]:
    """`dnsbl filter` as a process of its own; no nameserver answers."""
    options = ["--zone", ZONE, "--nameserver", "127.0.0.1:9", "--deadline", "0.1"]
    limit = partial(resource.setrlimit, resource.RLIMIT_NOFILE, (most_files, most_files))
    return subprocess.run(
        [sys.executable, "-m", "dnsbl", "filter", *options],
        stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        preexec_fn=limit if most_files else None,
    )  # fmt: skip


def test_filter_ends_with_74_where_it_cannot_read_or_write(tmp_path: Path) -> None:
    (tmp_path / "m.eml").write_bytes(BAD)
    message = os.open(tmp_path / "m.eml", os.O_RDONLY)
    write_only, full = os.open(tmp_path / "x", os.O_WRONLY | os.O_CREAT), os.open("/dev/full", os.O_WRONLY)
    try:
        for stdin, stdout, said in (
            (message, full, "stdout: No space"),
            (write_only, full, "stdin: Bad file"),
        ):
            ended = started(stdin, stdout)
            assert (ended.returncode, ended.stderr.count("\n")) == (74, 1)
            assert said in ended.stderr
    finally:
        for each in (message, write_only, full):
            os.close(each)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&-"])
def test_filter_ends_with_74_where_a_stream_is_closed(tmp_path: Path, closed: str) -> None:
    """With nowhere to write, 0 would say that the message had gone on."""
    (tmp_path / "m.eml").write_bytes(BAD)
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "dnsbl", "filter", "--zone", ZONE]
    with (tmp_path / "m.eml").open("rb") as message:
        ended = subprocess.run(shell, stdin=message, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (74, "", 1), ended.stderr
    assert "it is closed" in ended.stderr


def test_filter_ends_with_74_where_nobody_reads(tmp_path: Path) -> None:
    """Not with 141, as a command for people does: whoever reads the code must not take the message for sent."""
    (tmp_path / "m.eml").write_bytes(BAD)
    reader, writer = os.pipe()
    os.close(reader)
    with (tmp_path / "m.eml").open("rb") as message:
        ended = started(message.fileno(), writer)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (74, "dnsbl: stdout: Broken pipe\n")


def test_filter_ends_with_75_for_what_may_pass(tmp_path: Path) -> None:
    """Too few file descriptors: the first limit under which it fails; below that Python does not start."""
    (tmp_path / "m.eml").write_bytes(BAD)
    for most_files in range(12, 3, -1):
        with (tmp_path / "m.eml").open("rb") as message, (tmp_path / "out").open("wb") as out:
            ended = started(message.fileno(), out.fileno(), most_files)
        if ended.returncode:
            break
        assert (tmp_path / "out").read_bytes().endswith(BAD)
    assert (ended.returncode, ended.stderr.count("\n")) == (75, 1), ended.stderr
    assert (tmp_path / "out").read_bytes() == b""
