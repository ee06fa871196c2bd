"""`dnsbl bulk` where something is odd: another input, a broken one, subjects that come again, nothing to ask."""

from __future__ import annotations

import bz2
import gzip
import lzma
import resource
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from support.bulkruns import LISTED, ZONE, Bulk, json_rows, read, wait_for_queries
from support.uncounted import uncounted

from dnsbl.cli import main
from dnsbl.testing import DnsblServer, delay


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_another_input_or_other_zones_are_refused_on_resuming(
    bulk: Bulk, put: Callable[..., Path], tmp_path: Path, dnsbl_server: DnsblServer, form: str
) -> None:
    """Item 2 of another file is not item 2 of this one: nothing is asked, and the rows stay as they are."""
    out = tmp_path / f"out.{form}"
    bulk(put(LISTED, "192.0.2.1"), "--output", out)
    before = repr(read(out))
    dnsbl_server.clear()
    for lines in ((LISTED, "192.0.2.2", "192.0.2.3"), (LISTED,), ()):
        ended = bulk(put(*lines, name="other.txt"), "--output", out, "--resume")
        assert ended.code == 2
        assert ended.err == (
            f"dnsbl: {out}: its rows are of another input: give the one it was made from, or another --output\n"
        )
    elsewhere = ["--zone=bl.example.org", "--nameserver", dnsbl_server.nameserver]
    longer = put(LISTED, "192.0.2.1", "192.0.2.2", name="longer.txt")
    assert main(["bulk", *elsewhere, str(longer), "--output", str(out), "--resume"]) == 2
    assert dnsbl_server.count() == 0
    assert repr(read(out)) == before
    assert list(tmp_path.glob("out.*")) == [out]
    assert bulk(longer, "--output", out, "--resume").code == 0  # it has grown: that is the same one
    assert [row["item"] for row in read(out)] == [1, 2, 3]


def test_a_file_that_is_not_ours_stays_as_it_is(bulk: Bulk, put: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "precious.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"x": [1]}), out)
    before = out.read_bytes()
    ended = bulk(put(LISTED), "--output", out, "--resume")
    assert ended.err == (f"dnsbl: {out}: not the output of `dnsbl bulk`: use another name, or no --resume\n")
    assert out.read_bytes() == before
    assert list(tmp_path.glob("precious*")) == [out]


@pytest.mark.parametrize("order", [(), ("--ordered",)])
def test_a_subject_under_way_counts_once(
    put: Callable[..., Path], dnsbl_server: DnsblServer, limited: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], order: tuple[str, ...],
) -> None:  # fmt: skip
    """A hundred lines of one address are one query of the five that are free, and one listing."""
    dnsbl_server.zone(ZONE).list(LISTED)
    dnsbl_server.zone(ZONE).fault(delay(0.2))
    args = ["bulk", "--config", str(limited), "--nameserver", dnsbl_server.nameserver, "--by-24", *order]
    out = tmp_path / "out.jsonl"
    assert main([*args, str(put(*[LISTED] * 100)), "--output", str(out)]) == 0
    shown, err = capsys.readouterr()
    assert err == ""
    assert shown.startswith("100 items: 1 listed, 0 incomplete, 99 repeated, 0 bad\n")
    assert shown.splitlines()[-1].split() == ["192.0.2.0/24", "1", "1", "100%"]
    rows = json_rows(out.read_text())
    assert sorted(row["item"] for row in rows) == [*range(1, 101)]
    assert all(row["listed"] for row in rows)
    assert len({query.name for query in dnsbl_server.queries if query.zone == ZONE}) == 1


def test_the_limit_without_an_output_says_nothing_of_resuming(
    put: Callable[..., Path], limited: Path, dnsbl_server: DnsblServer, capsys: pytest.CaptureFixture[str]
) -> None:
    dnsbl_server.zone(ZONE)
    args = ["bulk", "--config", str(limited), "--nameserver", dnsbl_server.nameserver]
    assert main([*args, str(put("192.0.2.96/29"))]) == 2
    err = capsys.readouterr().err
    assert "give fewer items, or an --output to go on with" in err
    assert "--resume" not in err


def test_items_that_no_zone_takes_are_told(bulk: Bulk, put: Callable[..., Path], tmp_path: Path) -> None:
    """A domain, where all zones take addresses, is "not listed" without having been asked for."""
    file = put("example.com", "10.0.0.1", "192.0.2.1")
    told = (
        "dnsbl: 2 of 3 items not looked up: they are not public, or of a kind that none of the zones takes\n"
    )
    ended = bulk(file)
    assert ended.out.startswith("3 items: 0 listed, 0 incomplete, 0 repeated, 0 bad, 2 not looked up\n")
    assert ended.err == told
    assert bulk(file, "--output", tmp_path / "out.csv") == (0, "", told)


def test_usage_is_told_in_whole_sentences(bulk: Bulk, put: Callable[..., Path]) -> None:
    assert bulk(put(LISTED), "--json", "--by-24").err == (
        "dnsbl: --by-24 prints a table: leave it out, or use --output in the place of --json. "
        "Try 'dnsbl bulk --help'.\n"
    )


def test_bytes_that_are_not_utf_8(bulk: Bulk, tmp_path: Path) -> None:
    """A byte order mark and CRLF are read over; Latin-1 is a row that says so."""
    file = tmp_path / "in.txt"
    file.write_bytes(b"\xef\xbb\xbf" + f"{LISTED}\r\n".encode() + b"caf\xe9.example\r\n")
    good, bad = json_rows(bulk(file, "--json", "--ordered").out)
    assert good["listed"] is True
    assert bad["error"] == "not UTF-8 text: caf\N{REPLACEMENT CHARACTER}.example"


def test_the_text_of_windows(bulk: Bulk, tmp_path: Path) -> None:
    """UTF-16 with its mark, as PowerShell's `>` writes it."""
    file = tmp_path / "in.txt"
    file.write_bytes(f"{LISTED}\r\nb\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example\r\n".encode("utf-16"))
    rows = json_rows(bulk(file, "--json", "--ordered").out)
    assert [row["subject"] for row in rows] == [LISTED, "xn--bcher-kva.example"]


@pytest.mark.parametrize(
    ("pack", "tool"), [(gzip.compress, "zcat"), (lzma.compress, "xzcat"), (bz2.compress, "bzcat")]
)
def test_a_packed_input_says_how_to_unpack_it(
    bulk: Bulk, tmp_path: Path, pack: Callable[[bytes], bytes], tool: str
) -> None:
    file = tmp_path / "in"
    file.write_bytes(pack(b"192.0.2.1\n"))
    ended = bulk(file)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"dnsbl: {file} is packed: use `{tool} {file} | dnsbl bulk -` and the options\n"


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_two_runs_do_not_write_one_file(
    bulk: Bulk,
    options: list[str],
    put: Callable[..., Path],
    tmp_path: Path,
    dnsbl_server: DnsblServer,
    form: str,
) -> None:
    """A forgotten run goes on in the background, and --resume is given beside it."""
    file, out = put("192.0.2.0/30"), tmp_path / f"out.{form}"
    command = [sys.executable, "-m", "dnsbl", "bulk", *options, "-", "--output", str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin
        process.stdin.write(b"192.0.2.1\n")
        process.stdin.flush()
        wait_for_queries(dnsbl_server, 1)
        for option in ("--resume", "--overwrite"):
            ended = bulk(file, "--output", out, option)
            assert (ended.code, "another run is writing it" in ended.err) == (2, True)
        process.communicate(timeout=60)
    assert len(read(out)) == 1


def test_the_input_is_not_overwritten(bulk: Bulk, tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    file.write_text(f"{LISTED}\n")
    ended = bulk(file, "--output", file, "--overwrite")
    assert ended.code == 2
    assert "is the input too" in ended.err
    assert file.read_text() == f"{LISTED}\n"


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_an_input_that_breaks_off_keeps_what_was_before(bulk: Bulk, tmp_path: Path, form: str) -> None:
    file, out = tmp_path / "in.csv", tmp_path / f"out.{form}"
    file.write_text(f"ip\n{LISTED}\n192.0.2.1\n" + "x" * 2_000_000 + "\n")
    ended = bulk(file, "--column", "ip", "--output", out)
    assert ended.code == 2
    assert ended.err.startswith(f"dnsbl: {file}: not valid CSV: field larger than")
    assert [row["input"] for row in read(out)] == [LISTED, "192.0.2.1"]


def test_an_input_that_cannot_be_read_further_is_no_fault_of_the_output(
    options: list[str], tmp_path: Path
) -> None:
    """Standard input is a connection that the other side resets."""
    out = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "dnsbl", "bulk", *options, "-", "--output", str(out)]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
        with subprocess.Popen(command, stdin=ours.fileno(), stderr=subprocess.PIPE, text=True) as process:
            ours.close()
            theirs.sendall(f"{LISTED}\n".encode())
            time.sleep(0.2)
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            theirs.close()
            _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (2, "dnsbl: -: cannot be read further: Connection reset by peer\n")


def test_a_damaged_parquet_file_is_one_line(bulk: Bulk, tmp_path: Path) -> None:
    file = tmp_path / "in.parquet"
    table = pyarrow.table({"ip": [f"198.51.{n >> 8}.{n & 255}" for n in range(2000)]})
    pyarrow.parquet.write_table(table, file, compression="zstd", use_dictionary=False)
    data = bytearray(file.read_bytes())
    data[30 : len(data) // 2] = bytes(len(data) // 2 - 30)
    file.write_bytes(data)
    ended = bulk(file, "--output", tmp_path / "out.jsonl")
    assert ended.code == 2
    assert ended.err.startswith(f"dnsbl: {file}: damaged, read up to there: ")
    assert ended.err.count("\n") == 1


def test_standard_output_that_is_full(options: list[str], put: Callable[..., Path]) -> None:
    command = [sys.executable, "-m", "dnsbl", "bulk", *options, str(put(LISTED)), "--json"]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert ended.returncode == 2
    assert ended.stderr == (
        "dnsbl: standard output: No space left on device: the rows after that are missing\n"
    )


def test_no_room_for_temporary_files(options: list[str], tmp_path: Path) -> None:
    """What was answered is kept in TMPDIR for items that come again: no file may be larger than 100,000 bytes."""
    lines = [f"10.0.{n >> 8}.{n & 255}" for n in range(10_000)]  # private addresses: not asked for
    command = [sys.executable, "-m", "dnsbl", "bulk", *options, "-", "--json"]
    ended = subprocess.run(
        command, input="\n".join(lines), capture_output=True, text=True,
        timeout=60, check=False, env=uncounted() | {"TMPDIR": str(tmp_path)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"dnsbl: temporary files in {tmp_path}: "), ended.stderr
    assert ended.stderr.endswith(": set TMPDIR to a folder with room\n")
    assert ended.stderr.count("\n") == 1
    assert len(json_rows(ended.stdout)) > 4000


@pytest.mark.parametrize("ordered", [False, True])
def test_rows_are_found_again_wherever_they_are(
    put: Callable[..., Path], tmp_path: Path, ordered: bool
) -> None:
    """In memory, in the log, in the table after it: 10,000 subjects, and some of all again, each with its row."""
    listed = tmp_path / "own.txt"
    listed.write_text("198.18.0.0/21\n")
    lines = [f"198.18.{n >> 8}.{n & 255}" for n in range(10_000)]
    out = tmp_path / "out.csv"
    args = [
        "bulk",
        f"--zone=file:{listed}",
        str(put(*lines, *lines[::7], *lines[9_990:])),
        "--output",
        str(out),
    ]
    assert main(args + ["--ordered"] * ordered) == 0
    rows = read(out)
    assert [row["item"] for row in rows] == [*range(1, len(rows) + 1)]
    assert [row["subject"] for row in rows] == [*lines, *lines[::7], *lines[9_990:]]
    assert all(row["listed"] == (int(row["subject"].split(".")[2]) < 8) for row in rows)
