"""The running daemon asked over its control socket; bridges; a list that goes wild."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest
from support.asking import eventually
from support.policydaemon import REJECT, Client, Policyd, config, run, start_lists

from dnsbl.policyd.bridge import WINDOW, BridgeWatch
from dnsbl.policyd.health import LOOK_S
from dnsbl.policyd.log import LEVELS, Log
from dnsbl.policyd.surge import MIN_HISTORY, RECENT, SurgeWatch
from dnsbl.policyd.writers import is_journal
from dnsbl.testing import wildcard


def test_stats_flush_and_recheck(tmp_path: Path) -> None:
    path = tmp_path / "control"
    with start_lists() as lists, Policyd(config(lists, f'control = "{path}"')) as daemon:
        with Client(daemon.port) as client:
            assert client.ask() == REJECT
            assert client.ask("192.0.2.98") == "DUNNO"
        found = json.loads(run("stats", "--socket", str(path), "--json").stdout)
        assert found["requests"] == 2
        assert found["decisions"] == {"REJECT": 1, "DUNNO": 1}
        assert {"rule": 5, "action": "REJECT", "count": 1} in found["rules"]
        [zone] = found["zones"]
        assert (zone["zone"], zone["listed"], zone["decisions"], zone["set_aside"]) == (
            "bl.example", 1, {"REJECT": 1}, None,
        )  # fmt: skip
        assert path.stat().st_mode & 0o777 == 0o600
        table = run("stats", "--config", str(daemon.config)).stdout.decode()
        assert "requests    2: " in table
        assert "rule 5    REJECT                       1" in table

        lists.clear()
        assert run("flush", "192.0.2.99", "--socket", str(path)).stdout == b"forgotten: 1 names\n"
        with Client(daemon.port) as client:
            assert client.ask() == REJECT
        assert lists.count(type="A", zone="bl.example") == 1
        wrong = run("flush", "not a name", "--socket", str(path))
        assert (wrong.returncode, wrong.stderr.count(b"\n")) == (2, 1)

        checks = daemon.log().count("lists checked")
        assert run("recheck", "--socket", str(path)).stdout == b"being checked: bl.example\n"
        assert "the next check comes in" in daemon.wait_for_log("lists checked", after=checks)
    assert not path.exists()
    gone = run("stats", "--socket", str(path))
    assert (gone.returncode, gone.stderr.count(b"\n")) == (2, 1)
    assert b"no daemon answers" in gone.stderr


def test_the_socket_may_be_written_as_listen_has_it(tmp_path: Path) -> None:
    """`unix:` was taken for a folder's name."""
    with start_lists() as lists, Policyd(config(lists, f'control = "unix:{tmp_path}/control"')) as daemon:
        assert eventually((tmp_path / "control").exists)
        found = json.loads(run("stats", "--config", str(daemon.config), "--json").stdout)
        assert (found["requests"], found["latency_ms"]) == (0, {})
        table = run("stats", "--config", str(daemon.config)).stdout.decode()
        assert "latency" not in table  # of no request at all, p50 was "above 5 s"


def test_a_control_socket_that_cannot_be_had_keeps_no_mail() -> None:
    with start_lists() as lists, Policyd(config(lists, 'control = "/nowhere/control"')) as daemon:
        with Client(daemon.port) as client:
            assert client.ask() == REJECT
        daemon.wait_for_log("error: cannot listen on unix:/nowhere/control")


@pytest.mark.parametrize("line", [b"what\n", b"stats", b"\xff\n", b"x" * 5_000 + b"\n", b""])
def test_what_is_no_command_stops_nothing(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "control"
    with start_lists() as lists, Policyd(config(lists, f'control = "{path}"')):
        assert eventually(path.exists)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(str(path))
            sock.sendall(line)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
        assert json.loads(run("stats", "--socket", str(path), "--json").stdout)["requests"] == 0


# Bridges


@pytest.mark.parametrize(
    ("client", "warns"), [("172.17.0.1", True), ("192.0.2.1", False), ("127.0.0.1", False)]
)
def test_nearly_all_clients_from_one_address(client: str, warns: bool) -> None:
    watch = BridgeWatch()
    told = [watch.take("198.51.100.7" if at % 25 == 0 else client) for at in range(3 * WINDOW)]
    assert told.count(True) == warns
    assert (watch.address == client) is warns
    for at in range(WINDOW):
        watch.take(f"198.51.100.{at}")
    assert watch.address == ""


def test_the_daemon_says_so() -> None:
    with start_lists() as lists, Policyd(config(lists)) as daemon, Client(daemon.port) as client:
        for _ in range(WINDOW - 1):
            client.ask("172.17.0.1")
        assert "nearly all clients" not in daemon.log()
        client.ask("172.17.0.1")
        log = daemon.wait_for_log("nearly all clients come from 172.17.0.1, a private address")
    assert log.count("nearly all clients") == 1


# A list that suddenly lists far more


def counts(answers: int, listed: int) -> dict[str, object]:
    return {"bl.example": {"outcomes": {"listed": listed, "not_listed": answers - listed}}}


def test_the_statistic() -> None:
    watch = SurgeWatch()
    for total in range(RECENT, MIN_HISTORY + 2 * RECENT, RECENT):
        assert watch.look(counts(total, total // 10)) == []
    assert watch.look(counts(total + RECENT - 1, total // 10 + RECENT - 1)) == []  # too few as yet
    [found] = watch.look(counts(total + RECENT, total // 10 + RECENT))
    assert (found.zone, found.recent, found.nearly_all) == ("bl.example", 1.0, True)
    assert found.before == pytest.approx(0.1)
    assert watch.look(counts(0, 0)) == []  # another resolver's


def test_a_list_that_always_lists_many_is_no_surprise() -> None:
    watch = SurgeWatch()
    found = [watch.look(counts(total, int(0.9 * total))) for total in range(0, 2_000, RECENT)]
    assert not any(found[MIN_HISTORY // RECENT + 2 :])


def test_a_list_gone_wild_between_two_checks_is_checked_at_once_and_after_sighup() -> None:
    with start_lists() as lists, Policyd(config(lists)) as daemon, Client(daemon.port) as client:
        for at in range(200):
            assert client.ask(f"198.51.100.{at}") == "DUNNO"
        time.sleep(2 * LOOK_S)  # so that these are the past
        lists.zone("bl.example").fault(wildcard("127.0.0.2"))
        for at in range(RECENT + 50):
            client.ask(f"203.0.113.{at}")
        log = daemon.wait_for_log("found broken and set aside")
        assert "bl.example lists " in log
        assert client.ask("203.0.113.200") == "DUNNO"
        lists.zone("bl.example").heal()
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("found sound again and back in use")
        assert client.ask() == REJECT


# Priorities


def test_journal_priorities() -> None:
    lines: list[str] = []
    log = Log(lambda data: lines.append(data.decode()) or 0, with_time=False, with_level=True)  # type: ignore[func-returns-value]
    log.info("a")
    log.warning("b")
    log.error("c")
    assert lines == ["<6>info: a\n", "<4>warning: b\n", "<3>error: c\n"]
    assert set(LEVELS) == {"info", "warning", "error"}


def test_the_journal_is_known_by_device_and_inode(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as file:
        found = os.fstat(file.fileno())
        assert is_journal(file.fileno(), {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"})
        assert not is_journal(file.fileno(), {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino + 1}"})
        assert not is_journal(file.fileno(), {})
