"""`dnsbl bulk` as a user runs it: input, output read back, limits, stopping and going on."""

from __future__ import annotations

import csv
import io
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from support.bulkruns import LISTED, OTHER, ZONE, Bulk, chunks, json_rows, read, wait_for_queries
from support.uncounted import uncounted

from dnsbl.cli import main
from dnsbl.testing import DnsblServer, delay, rcode

# ---- input ----


def test_lines_networks_domains_and_bad_items(bulk: Bulk, put: Callable[..., Path]) -> None:
    """Every item has a row, in order; a bad one says what is wrong."""
    file = put("# a comment", "192.0.2.98/31", "", "not a subject", " 2001:db8::1 ", "192.0.2.1/24", "::/64")
    ended = bulk(file, "--json", "--ordered")
    rows = json_rows(ended.out)
    assert [row["item"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row.get("subject") for row in rows] == ["192.0.2.98", LISTED, None, "2001:db8::1", None, None]
    assert rows[1]["listed"] is True
    assert rows[1]["listings"] == [ZONE]
    assert "not a subject" in rows[2]["error"]
    assert "use 192.0.2.0/24" in rows[4]["error"]
    assert "--max-expand" in rows[5]["error"]
    assert (ended.code, ended.err) == (0, "")


def test_standard_input(options: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "dnsbl", "bulk", *options, "-"], input=f"{LISTED}\n192.0.2.1\n",
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("2 items: 1 listed, 0 incomplete")


@pytest.mark.parametrize("column", ["client", "2"])
def test_a_csv_column(bulk: Bulk, tmp_path: Path, column: str) -> None:
    file = tmp_path / "in.csv"
    names = "when,client\r\n" if column == "client" else ""
    file.write_text(f'{names}"a, b",{LISTED}\r\nc,192.0.2.1\r\n')
    rows = json_rows(bulk(file, "--json", "--ordered", "--column", column).out)
    assert [row["subject"] for row in rows] == [LISTED, "192.0.2.1"]


def test_an_unknown_column_names_the_known_ones(bulk: Bulk, put: Callable[..., Path]) -> None:
    ended = bulk(put("when,client", "x,192.0.2.1"), "--column", "ip")
    assert ended.code == 2
    assert "use --column with one of these: when, client" in ended.err
    assert ended.err.count("\n") == 1


def test_a_parquet_column(bulk: Bulk, tmp_path: Path) -> None:
    file = tmp_path / "in.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"ip": [LISTED, None, "x y"], "n": [1, 2, 3]}), file)
    rows = json_rows(bulk(file, "--json", "--ordered", "--column", "ip").out)
    assert [row["input"] for row in rows] == [LISTED, "x y"]
    assert rows[0]["listed"] is True


def test_a_file_that_is_not_there(bulk: Bulk, tmp_path: Path) -> None:
    ended = bulk(tmp_path / "no")
    assert ended.code == 2
    assert ended.err == f"dnsbl: {tmp_path / 'no'}: No such file or directory\n"


def test_an_endless_line_is_one_bad_item(bulk: Bulk, put: Callable[..., Path]) -> None:
    rows = json_rows(bulk(put("x" * 300_000, LISTED), "--json", "--ordered").out)
    assert "longer than" in rows[0]["error"]
    assert rows[1]["listed"] is True


def test_a_distinct_subject_is_asked_once(
    bulk: Bulk, put: Callable[..., Path], dnsbl_server: DnsblServer
) -> None:
    """However it is written, and however far apart, also where the list allows no caching."""
    dnsbl_server.zone(ZONE, test_points=None)
    lines = [f"192.0.2.{n}" for n in range(200)]
    file = put(*lines, *lines, "::ffff:192.0.2.7", "user@[192.0.2.8]")
    for order in ((), ("--ordered",)):
        dnsbl_server.clear()
        rows = json_rows(bulk(file, "--json", *order).out)
        assert len(rows) == 402
        assert 200 <= dnsbl_server.count(ZONE) < 300  # a slow machine may have a query sent again
        assert sum(row["listed"] for row in rows) == 2


# ---- output ----


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_an_output_is_read_back(bulk: Bulk, put: Callable[..., Path], tmp_path: Path, form: str) -> None:
    out = tmp_path / f"out.{form}"
    ended = bulk(put(LISTED, "192.0.2.1", "a b", LISTED, "2001:db8::1"), "--output", out)
    assert ended == (0, "", "")
    rows = read(out)
    assert [row["input"] for row in rows] == [LISTED, "192.0.2.1", "a b", LISTED, "2001:db8::1"]
    assert [row["listed"] in (True, "true") for row in rows] == [True, False, False, True, False]
    assert "a b" in rows[2]["error"]
    assert rows[0]["listings"] == ZONE if form == "csv" else list(rows[0]["listings"]) == [ZONE]
    assert list(tmp_path.glob("out.*")) == [out]  # nothing left beside it


def test_a_summary_by_network(bulk: Bulk, put: Callable[..., Path]) -> None:
    out = bulk(put("192.0.2.0/24", "198.51.100.0/25"), "--by-24").out
    assert [line.split() for line in out.splitlines()][-2:] == [
        ["192.0.2.0/24", "256", "1", "0%"],
        ["198.51.100.0/24", "128", "0", "0%"],
    ]


def test_an_output_with_rows_is_not_overwritten_by_chance(
    bulk: Bulk, put: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    out.write_text("precious\n")
    ended = bulk(put(LISTED), "--output", out)
    assert ended.code == 2
    assert "--resume" in ended.err
    assert out.read_text() == "precious\n"
    assert bulk(put(LISTED), "--output", out, "--resume").err.startswith(f"dnsbl: {out}: not the output of")
    assert bulk(put(LISTED), "--output", out, "--overwrite").code == 0


def test_an_incomplete_lookup_names_its_zone(
    bulk: Bulk, put: Callable[..., Path], dnsbl_server: DnsblServer, tmp_path: Path
) -> None:
    dnsbl_server.zone(OTHER).fault(rcode("SERVFAIL"))
    bulk(put("192.0.2.1"), "--output", tmp_path / "out.csv")
    (row,) = csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text()))
    assert (row["complete"], row["errors"]) == ("false", OTHER)


# ---- terms ----


def test_no_more_than_the_free_limit_is_asked(
    bulk: Bulk, put: Callable[..., Path], limited: Path, dnsbl_server: DnsblServer, tmp_path: Path
) -> None:
    """It stops with one line; going on the same day asks nothing more; an agreement lifts the limit."""
    file, out = put("192.0.2.96/29"), tmp_path / "out.jsonl"
    args = ["bulk", "--config", str(limited), "--nameserver", dnsbl_server.nameserver, str(file)]
    args += ["--output", str(out)]
    assert main(args) == 2
    assert dnsbl_server.count(ZONE) == 5
    assert len(json_rows(out.read_text())) == 5
    assert all(row["complete"] for row in json_rows(out.read_text()))
    assert main([*args, "--resume"]) == 2
    assert dnsbl_server.count(ZONE) == 5
    assert main([*args, "--resume", "--i-have-an-agreement", ZONE]) == 0
    assert (
        dnsbl_server.count(ZONE) == 9
    )  # the last three, and then the zone's own name: all said "not listed"
    assert sorted(row["item"] for row in json_rows(out.read_text())) == [*range(1, 9)]


def test_an_agreement_names_a_zone_that_is_asked(bulk: Bulk, put: Callable[..., Path]) -> None:
    ended = bulk(put(LISTED), "--i-have-an-agreement", "zen.example.org")
    assert ended.code == 2
    assert "zen.example.org is not among the zones asked here" in ended.err


def test_the_rate_holds(bulk: Bulk, put: Callable[..., Path]) -> None:
    started = time.monotonic()
    assert bulk(put("192.0.2.0/26"), "--rate", "200").code == 0  # 64 subjects, 2 zones: 128 queries
    assert 0.5 < time.monotonic() - started < 5


# ---- stopping and going on ----


def start(options: list[str], *args: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "dnsbl", "bulk", *options, *map(str, args)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_goes_on(
    options: list[str], put: Callable[..., Path], tmp_path: Path, dnsbl_server: DnsblServer,
    capsys: pytest.CaptureFixture[str], form: str, number: signal.Signals,
) -> None:  # fmt: skip
    """After Ctrl-C or a kill: what was saved is not asked again, and each item has one row in the end."""
    file, out = put("192.0.2.0/23", "bad item", LISTED), tmp_path / f"out.{form}"
    process = start(options, file, "--output", out, "--rate", 1000)
    wait_for_queries(dnsbl_server, 500)
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    saved = 0
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "--resume goes on from there" in err
        assert err.count("\n") == 1
        saved = len(read(out))
        assert saved > 100
    dnsbl_server.clear()
    assert main(["bulk", *options, str(file), "--output", str(out), "--resume"]) == 0
    # One more for the zone's own name, where nothing that was left is listed. By name: a slow server is asked again.
    assert len({query.name for query in dnsbl_server.queries if query.zone == ZONE}) <= 512 - saved + 1
    rows = read(out)
    assert [row["item"] for row in rows] == [*range(1, 515)]
    assert sum(row["listed"] in (True, "true") for row in rows) == 2
    assert list(tmp_path.glob("out.*")) == [out]


def test_standard_input_is_left_at_once(options: list[str], dnsbl_server: DnsblServer) -> None:
    command = [sys.executable, "-m", "dnsbl", "bulk", *options, "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        process.stdin.write(b"192.0.2.1\n")
        process.stdin.flush()
        wait_for_queries(dnsbl_server, 2)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_a_full_disk_keeps_what_is_written(
    options: list[str],
    put: Callable[..., Path],
    tmp_path: Path,
    form: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The file may not grow beyond 30,000 bytes: one clear line, and --resume completes it."""
    file, out = put("192.0.0.0/22", "198.51.100.0/22"), tmp_path / f"out.{form}"
    command = [sys.executable, "-m", "dnsbl", "bulk", *options, str(file), "--output", str(out)]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=uncounted(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000)),
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert "File too large" in ended.stderr
    assert "--resume" in ended.stderr
    assert main([*command[3:], "--resume"]) == 0
    assert len(read(out)) == 2048


def test_an_output_that_cannot_be_written_is_said_before_anything_is_asked(
    bulk: Bulk, put: Callable[..., Path], tmp_path: Path, dnsbl_server: DnsblServer
) -> None:
    for form in ("jsonl", "csv", "parquet"):
        ended = bulk(put(LISTED), "--output", tmp_path / "no" / f"out.{form}")
        assert ended.code == 2
        assert ended.err.count("\n") == 1
        assert "No such file or directory" in ended.err
    assert "ends in .jsonl, .csv or .parquet" in bulk(put(LISTED), "--output", tmp_path / "out.xls").err
    assert dnsbl_server.count() == 0


def test_a_slow_list_keeps_the_order(bulk: Bulk, put: Callable[..., Path], dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone(ZONE).fault(delay(0.05), times=3)
    rows = json_rows(bulk(put("192.0.2.0/24"), "--json", "--ordered").out)
    assert [row["item"] for row in rows] == [*range(1, 257)]


# ---- on a terminal ----


def test_ctrl_c_on_a_terminal_leaves_nothing_of_the_bar(
    options: list[str], put: Callable[..., Path], tmp_path: Path, dnsbl_server: DnsblServer
) -> None:
    """What is said stands on lines of its own, after the bar was cleared; going on, the rate is of this run."""
    out = tmp_path / "out.jsonl"
    command = [
        sys.executable,
        "-m",
        "dnsbl",
        "bulk",
        *options,
        str(put("192.0.2.0/23")),
        "--output",
        str(out),
    ]
    leader, follower = os.openpty()
    with subprocess.Popen([*command, "--rate", "400"], stderr=follower) as process:
        os.close(follower)
        wait_for_queries(dnsbl_server, 100)
        process.send_signal(signal.SIGINT)
        shown = "".join(chunks(leader))
    os.close(leader)
    assert process.returncode == 130
    after = shown.rpartition("\x1b[2K")[2]  # the bar's line is cleared, and the cursor stands in it
    assert re.fullmatch(
        rf"dnsbl: stopped: \d+ rows are in {re.escape(str(out))}; --resume goes on from there\r\n"
        rf"{re.escape(str(out))}: \d+ items: \d listed, 0 incomplete, 0 repeated, 0 bad\r\n",
        after,
    )


def test_a_progress_bar_on_a_terminal(options: list[str], put: Callable[..., Path]) -> None:
    """Done of all, the rate and the time left; on stderr, and only there."""
    leader, follower = os.openpty()
    command = [sys.executable, "-m", "dnsbl", "bulk", *options, str(put("192.0.2.0/24"))]
    with subprocess.Popen([*command, "--rate", "400"], stdout=subprocess.PIPE, stderr=follower) as process:
        os.close(follower)
        shown = "".join(chunks(leader))
        assert process.stdout
        assert process.stdout.read().startswith(b"256 items: 1 listed")
    os.close(leader)
    assert "/256" in shown
    assert "/s" in shown
    assert "0:00:0" in shown


def test_a_zone_that_does_not_exist_is_told(
    dnsbl_server: DnsblServer,
    put: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """L7: a mistyped name would say "not listed" of every item; what does not exist is not clean."""
    monkeypatch.delenv("DNSBL_CONFIG", raising=False)
    dnsbl_server.zone("org")
    options = ["--zone=zen.spamhuas.org", "--nameserver", dnsbl_server.nameserver]
    assert main(["bulk", *options, str(put("192.0.2.1", "192.0.2.2"))]) == 0
    out, err = capsys.readouterr()
    assert err == (
        "dnsbl: zen.spamhuas.org: found broken and set aside: its name does not exist in the DNS; "
        "did you mean zen.spamhaus.org?\n"
    )
    assert out.startswith("2 items: 0 listed, 2 incomplete")
    dnsbl_server.zone("example.org", test_points=False)
    options[0] = "--zone=own-lst.example.org"  # like none of the catalogue: told at the end
    assert main(["bulk", *options, str(put("192.0.2.1", "192.0.2.2"))]) == 0
    assert capsys.readouterr().err == (
        'dnsbl: own-lst.example.org: its "not listed" means nothing: its name does not exist in the DNS; '
        "look for a mistake in its name\n"
    )
