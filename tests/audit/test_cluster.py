"""A Parquet data set over a real Dask scheduler and two worker processes, one of them killed on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas
import pyarrow
import pyarrow.parquet
import pytest
from support.servers import free_port

from dnsbl.audit.cluster import Lookups, annotate_partitions, cut
from dnsbl.cli import main
from dnsbl.errors import InputError
from dnsbl.testing import DnsblServer

ZONE = "bl.example.com"
ROWS, PART = 3000, 250


class Cluster:
    """A scheduler and two workers without nannies: a killed one stays away."""

    def __init__(self, folder: Path) -> None:
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        port = self.address.rpartition(":")[2]
        self._start("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard", "--no-show")
        for _ in range(2):
            self._start("worker", self.address, "--no-nanny", "--nthreads", "1", "--no-dashboard")
        self._wait_for_workers()

    def _start(self, what: str, *args: str) -> None:
        command = [sys.executable, "-m", "dask", what, *args]
        with (self.folder / "dask.log").open("ab") as log:
            process = subprocess.Popen(command, env=self.env, cwd=self.folder, stdout=log, stderr=log)
        self.processes.append(process)

    def _wait_for_workers(self) -> None:
        from distributed import Client

        with Client(self.address, timeout=120, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=120)

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    folder = tmp_path / "dask"
    folder.mkdir()
    cluster = Cluster(folder)
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "in.parquet"
    rows = {"n": range(ROWS), "ip": [f"198.18.{n >> 8}.{n & 255}" for n in range(ROWS)]}
    pyarrow.parquet.write_table(pyarrow.table(rows), path, row_group_size=400)
    return path


@pytest.fixture
def lookups(dnsbl_server: DnsblServer) -> Lookups:
    dnsbl_server.zone(ZONE).list("198.18.1.7")
    return Lookups((ZONE,), (dnsbl_server.nameserver,))


def test_parts_hold_each_row_once(data: Path) -> None:
    parts = cut(data, PART)
    assert [(part.start, part.stop) for part in parts] == [(n, n + PART) for n in range(0, ROWS, PART)]


def test_a_lost_workers_parts_are_done_again(
    cluster: Cluster, data: Path, lookups: Lookups, tmp_path: Path, dnsbl_server: DnsblServer
) -> None:
    """A worker is killed after the first part: every row is there once, and the pace was kept."""
    seen: list[int] = []

    def progress(rows: int) -> None:
        seen.append(rows)
        if len(seen) == 1:
            cluster.processes[2].send_signal(signal.SIGKILL)

    out, started = tmp_path / "out", time.monotonic()
    found = annotate_partitions(
        data, out, "ip", cluster.address, lookups, rate=2000, part_rows=PART, progress=progress
    )
    took_s = time.monotonic() - started
    assert (found.rows, found.left, sum(seen)) == (ROWS, 0, ROWS)
    frame = pandas.read_parquet(out).sort_values("n")
    assert frame["n"].tolist() == list(range(ROWS))
    assert frame.loc[frame["dnsbl_listed"], "ip"].tolist() == ["198.18.1.7"]
    assert frame["dnsbl_complete"].all()
    assert took_s > 0.8 * ROWS / 2000
    assert sorted(path.name for path in out.iterdir()) == [part.name for part in cut(data, PART)]
    # Going on with it: the parts that are there are not asked again.
    (out / "part-000003.parquet").unlink()
    dnsbl_server.clear()
    again = annotate_partitions(data, out, "ip", cluster.address, lookups, part_rows=PART)
    assert (again.parts, again.rows) == (1, PART)
    assert dnsbl_server.count(ZONE) <= PART
    assert again.earlier == ROWS // PART - 1
    # Another data set is not gone on with.
    other = tmp_path / "other.parquet"
    table = pyarrow.parquet.read_table(data)
    pyarrow.parquet.write_table(table.set_column(1, "ip", table["ip"].take([*range(1, ROWS), 0])), other)
    with pytest.raises(InputError, match=r"its rows are not those of .*other\.parquet"):
        annotate_partitions(other, out, "ip", cluster.address, lookups, part_rows=PART)


def test_the_free_limit_holds_over_all_workers_and_the_command_says_so(
    cluster: Cluster,
    data: Path,
    dnsbl_server: DnsblServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    dnsbl_server.zone(ZONE)
    config = tmp_path / "dnsbl.toml"
    config.write_text(f'[[zone]]\nname = "{ZONE}"\ndaily_limit = 2999\n')
    args = ["bulk", "--config", str(config), "--nameserver", dnsbl_server.nameserver, str(data)]
    args += ["--column", "ip", "--scheduler", cluster.address, "--output", str(tmp_path / "out")]
    assert main(args) == 2
    assert "1 of the parts are left" in capsys.readouterr().err
    assert dnsbl_server.count(ZONE) == 0
    assert main([*args, "--resume", "--i-have-an-agreement", ZONE]) == 0
    assert len(pandas.read_parquet(tmp_path / "out")) == ROWS


def test_no_scheduler_is_one_clear_line(
    data: Path, lookups: Lookups, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("dnsbl.audit.cluster.CONNECT_S", 1)
    args = ["bulk", f"-z{ZONE}", str(data), "--column", "ip", "--output", str(tmp_path / "out")]
    assert main([*args, "--scheduler", "tcp://127.0.0.1:1"]) == 2
    err = capsys.readouterr().err
    assert "tcp://127.0.0.1:1: no Dask scheduler answers there" in err
    assert err.startswith("dnsbl: ")


def test_what_a_cluster_is_not_given_is_said_before_anything_is_done(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Options that would do nothing, a column or a file that is not there: one line each, and no folder is made."""
    out = tmp_path / "out"
    scheduler = ["--column", "ip", "--scheduler", "tcp://127.0.0.1:1", "--output", str(out)]
    for args in ([str(data), "--overwrite"], [str(data), "--by-24"], ["-"]):
        assert main(["bulk", f"-z{ZONE}", *args, *scheduler]) == 2
        assert "--scheduler reads a Parquet file or a folder of them" in capsys.readouterr().err
    assert main(["bulk", f"-z{ZONE}", str(tmp_path / "no"), *scheduler]) == 2
    assert capsys.readouterr().err == f"dnsbl: {tmp_path / 'no'}: No such file or directory\n"
    assert main(["bulk", f"-z{ZONE}", str(data), *scheduler, "--column", "no"]) == 2
    assert capsys.readouterr().err == "dnsbl: no column 'no': use one of these: n, ip\n"
    assert not out.exists()
