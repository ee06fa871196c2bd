"""`dnsbl monitor` as a process: its exit codes, its status, its end; and two of them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import urllib3
from support.ended import Ended
from support.monitoring import config_text, http_server

from dnsbl.cli import main
from dnsbl.monitor.state import Reader, StateError
from dnsbl.testing import DnsblServer, rcode

ROOT = Path(__file__).parents[2]
ENV = {**os.environ, "PYTHONPATH": str(ROOT)}
LISTED = "198.51.100.9"
CLEAN = "198.51.100.8"


@pytest.fixture
def lists() -> object:
    with DnsblServer(["a.example", "b.example"]) as server:
        server.zone("a.example").list(LISTED, txt="<script>alert(1)</script> \x1b[31m" + "x" * 10_000)
        yield server


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Ended]:
    """The command, in this process: it ends by itself."""

    def run(*arguments: str) -> Ended:
        code = main(["monitor", "--config", str(tmp_path / "dnsbl.toml"), *arguments])
        return Ended(code, *capsys.readouterr())

    return run


def write_config(folder: Path, server: DnsblServer, *watch: str, more: str = "") -> None:
    text = config_text(server, ["a.example", "b.example"], watch, more)
    (folder / "dnsbl.toml").write_text(text)


def eventually(condition: Callable[[], object], within_s: float = 30.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_once_is_a_nagios_plugin(tmp_path: Path, lists: DnsblServer, run: Callable[..., Ended]) -> None:
    write_config(tmp_path, lists, CLEAN)
    fine = run("--once")
    assert (fine.code, fine.out.split(":")[0]) == (0, "DNSBL OK")
    bad = run("--once", LISTED, CLEAN, "--critical", "5", "--grid", str(tmp_path / "grid.svg"))
    first, detail = bad.out.splitlines()
    assert bad.code == 1
    assert first.startswith(
        "DNSBL WARNING: 1 listed, 0 unknown, of 2 by 2 zones: 198.51.100.9 by a.example |"
    )
    assert detail.startswith("198.51.100.9 listed by a.example (127.0.0.2): <script>alert(1)</script>")
    assert detail.isprintable()
    assert len(detail) < 600
    assert "script&gt;" in (tmp_path / "grid.svg").read_text()
    assert run("--once", LISTED, "--severity", "a.example=ok").code == 0
    lists.zone("a.example").fault(rcode("REFUSED"))
    failed = run("--once", LISTED, "-z", "a.example")
    assert (failed.code, failed.out.split(":")[0]) == (3, "DNSBL UNKNOWN")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--critical", "x"),
        ("--no-such-option",),
        ("10.0.0.1",),
        ("--severity", "a.example=bad"),
        ("-z", ".."),
    ],
)
def test_what_cannot_be_used_is_unknown_to_nagios_and_never_critical(
    tmp_path: Path, lists: DnsblServer, run: Callable[..., Ended], arguments: tuple[str, ...]
) -> None:
    write_config(tmp_path, lists, CLEAN)
    ended = run("--once", *arguments)
    assert (ended.code, ended.out.count("\n")) == (3, 1)
    assert ended.out.startswith("DNSBL UNKNOWN: ")
    assert run(*arguments).code == 2, "without --once as everywhere"


def test_once_and_status_are_one_of_two(
    tmp_path: Path, lists: DnsblServer, run: Callable[..., Ended]
) -> None:
    write_config(tmp_path, lists, CLEAN)
    assert run("--once", "--status") == (3, "DNSBL UNKNOWN: --once and --status: use one of the two\n", "")


def test_once_with_a_state_counts_a_listing_when_two_rounds_saw_it(
    tmp_path: Path, lists: DnsblServer, run: Callable[..., Ended]
) -> None:
    write_config(tmp_path, lists, LISTED, more="warning = 1\ncritical = 2")
    state = ("--once", "--state", str(tmp_path / "m.db"))
    assert run(*state).out.startswith("DNSBL OK: 0 listed, 1 unknown")
    status = run("--status", "--state", str(tmp_path / "m.db"), "--json", LISTED)
    entries = {entry["zone"]: entry for entry in map(json.loads, status.out.splitlines())}
    assert entries["a.example"]["detail"] == "seen listed 1 of 2 times"
    assert entries["b.example"]["status"] == "clear"
    assert entries["a.example"]["due_at"] > entries["a.example"]["asked_at"]
    assert run(*state).out.startswith("DNSBL OK: 0 listed"), "nothing is due: nobody is asked"
    shown = run("--status", "--state", str(tmp_path / "m.db"))
    assert "asked next" in shown.out
    assert "the next at 20" in shown.out
    told = run("--status", "--state", str(tmp_path / "m.db"), "203.0.113.1")
    assert told == (2, "", "dnsbl: 203.0.113.1: not watched: leave it out to see what is\n")


class Service:
    """`dnsbl monitor` in the background."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        command = [sys.executable, "-m", "dnsbl", "monitor", "--config", str(folder / "dnsbl.toml")]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log, stdout=log, env=ENV)

    def wait_for_log(self, text: str, times: int = 1) -> str:
        eventually(lambda: self.log.read_text().count(text) >= times or self.process.poll() is not None)
        log = self.log.read_text()
        assert log.count(text) >= times, log
        return log

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *failure: object) -> None:
        self.process.kill()
        self.process.wait()


def test_a_service_tells_serves_metrics_and_refuses_a_second(
    tmp_path: Path, lists: DnsblServer, run: Callable[..., Ended]
) -> None:
    told = tmp_path / "told"
    more = (
        f'state = "m.db"\nconfirm = 1\nmetrics = "127.0.0.1:0"\ngrid = "grid.svg"\n'
        f'program = ["/bin/sh", "-c", "cat >>{told}"]'
    )
    write_config(tmp_path, lists, LISTED, CLEAN, more=more)
    with Service(tmp_path) as service:
        log = service.wait_for_log("info: round: 4 asked, 4 answered, 1 changes")
        eventually(told.exists)
        eventually(lambda: told.read_text().endswith("\n"))
        notice = json.loads(told.read_text())
        assert (notice["event"], notice["subject"], notice["zone"]) == ("listed", LISTED, "a.example")
        assert notice["reason"].startswith("<script>alert(1)</script>")
        address = log.partition("metrics on ")[2].split()[0]
        metrics = urllib3.request("GET", f"http://{address}/metrics", timeout=20).data.decode()
        assert f'dnsbl_monitor_listed{{subject="{LISTED}",zone="a.example"}} 1.0' in metrics
        assert f'dnsbl_monitor_listed{{subject="{CLEAN}",zone="b.example"}} 0.0' in metrics
        assert (tmp_path / "grid.svg").read_text().startswith("<svg")
        second = run()
        assert second.code == 2
        assert f"another monitor (process {service.process.pid}) writes it: stop that one" in second.err
        assert second.err.count("\n") == 1
        assert f"{LISTED}  a.example" in run("--status").out
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(30) == 0


def test_sighup_reads_the_configuration_again_and_keeps_the_old_where_it_is_wrong(
    tmp_path: Path, lists: DnsblServer
) -> None:
    write_config(tmp_path, lists, CLEAN, more='state = "m.db"')
    with Service(tmp_path) as service:
        service.wait_for_log("info: round: 2 asked")
        write_config(tmp_path, lists, CLEAN, "no thing", more='state = "m.db"')
        service.process.send_signal(signal.SIGHUP)
        service.wait_for_log("going on as before")
        write_config(tmp_path, lists, CLEAN, LISTED, more='state = "m.db"')
        service.process.send_signal(signal.SIGHUP)
        service.wait_for_log("configuration read again")
        eventually(lambda: len(subjects(tmp_path / "m.db")) == 2)
    assert set(subjects(tmp_path / "m.db")) == {CLEAN, LISTED}


def test_a_ping_follows_a_round_in_which_a_list_answered(tmp_path: Path, lists: DnsblServer) -> None:
    with http_server(200) as (url, got):
        more = f'state = "m.db"\nping = "{url}/ping/secret"'
        for zone in ("a.example", "b.example"):
            lists.zone(zone).fault(rcode("REFUSED"))
        write_config(tmp_path, lists, CLEAN, more=more)
        with Service(tmp_path) as service:
            service.wait_for_log("info: round: 2 asked, 0 answered")
            lists.zone("a.example").heal()
            write_config(tmp_path, lists, CLEAN, LISTED, more=more)
            service.process.send_signal(signal.SIGHUP)
            assert "secret" not in service.wait_for_log("1 answered")
            eventually(lambda: got)
    assert [(each.path, each.body) for each in got] == [("/ping/secret", b"")]


def subjects(path: Path) -> dict[str, tuple[str, ...]]:
    try:
        with Reader(path) as state:
            return state.subjects()
    except StateError:
        return {}


def test_systemd_hears_that_it_is_ready(tmp_path: Path, lists: DnsblServer) -> None:
    write_config(tmp_path, lists, CLEAN, more='state = "m.db"')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(30)
        command = [sys.executable, "-m", "dnsbl", "monitor", "--config", str(tmp_path / "dnsbl.toml")]
        process = subprocess.Popen(
            command, stderr=subprocess.DEVNULL, env={**ENV, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        )
        try:
            assert listening.recv(100) == b"READY=1"
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize(("more", "why"), [("", "no state file"), ('state = "no/m.db"', "cannot be opened")])
def test_a_service_says_what_it_lacks(
    tmp_path: Path, lists: DnsblServer, run: Callable[..., Ended], more: str, why: str
) -> None:
    write_config(tmp_path, lists, CLEAN, more=more)
    ended = run()
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert why in ended.err
    assert run("--status").code == 2
