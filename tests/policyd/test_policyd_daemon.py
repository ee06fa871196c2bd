"""`dnsbl policyd` as a process: signals, systemd, spawn, metrics, exit codes, many connections at once."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.policydaemon import REJECT, ROOT, Client, Policyd, config, request, run, start_lists

from dnsbl.testing import DnsblServer, delay, wildcard


@pytest.fixture(scope="module")
def lists() -> Iterator[DnsblServer]:
    with start_lists() as server:
        yield server


@pytest.fixture(scope="module")
def daemon(lists: DnsblServer) -> Iterator[Policyd]:
    """One for all tests that do not change it."""
    with Policyd(config(lists)) as daemon:
        yield daemon


def test_answers(daemon: Policyd) -> None:
    with Client(daemon.port) as client:
        assert client.ask() == REJECT
        assert client.ask("192.0.2.98") == "DUNNO"
        assert client.ask("2001:db8::99").startswith("REJECT 2001:db8::99 is listed by bl.example")
        assert client.ask("2001:db8::98") == "DUNNO"
        assert client.ask("::ffff:192.0.2.99").startswith("REJECT ")
        assert client.ask(sasl_username="user") == "DUNNO"
        assert client.ask(server_port="587") == "DUNNO"
        assert client.ask("unknown") == "DUNNO"


def test_a_broken_client_harms_no_other(daemon: Policyd) -> None:
    with Client(daemon.port) as broken, Client(daemon.port) as other:
        assert other.ask() == REJECT
        broken.send(request() + b"GET / HTTP/1.1\r\n\r\n")
        assert broken.reply() == REJECT
        assert broken.is_closed()
        assert other.ask() == REJECT
    daemon.wait_for_log("warning: a client sent a line that is not an attribute")


def test_five_hundred_connections_at_once(daemon: Policyd) -> None:
    started = time.monotonic()
    clients = [Client(daemon.port) for _ in range(500)]
    try:
        for number, client in enumerate(clients):
            client.send(request(f"198.51.{100 + number // 250}.{number % 250}"))
        assert [client.reply() for client in clients] == ["DUNNO"] * 500
        for client in clients:
            client.send(request())
        assert [client.reply() for client in clients] == [REJECT] * 500
    finally:
        for client in clients:
            client.close()
    assert time.monotonic() - started < 20


def test_over_the_cap_is_closed_at_once(lists: DnsblServer) -> None:
    with Policyd(config(lists, "max_connections = 3")) as daemon:
        clients = [Client(daemon.port) for _ in range(3)]
        assert [client.ask() for client in clients] == [REJECT] * 3
        with Client(daemon.port) as refused:
            assert refused.is_closed()
        assert clients[0].ask() == REJECT
        for client in clients:
            client.close()
        daemon.wait_for_log("more than 3 connections")
        for _ in range(100):
            with Client(daemon.port) as again:
                try:
                    assert again.ask() == REJECT
                    break
                except (EOFError, ConnectionError):
                    time.sleep(0.05)
        else:
            pytest.fail("the places were not given back")


def test_timeouts_close_connections(lists: DnsblServer) -> None:
    with Policyd(config(lists, "idle_timeout_s = 0.5\nread_timeout_s = 0.2")) as daemon:
        with Client(daemon.port) as idle, Client(daemon.port) as half:
            half.send(request()[:20])
            started = time.monotonic()
            assert half.is_closed()
            assert time.monotonic() - started < 3
            assert idle.is_closed()
        assert "did not end its request" in daemon.log()


# Reload


def test_reload_keeps_connections_and_what_is_in_flight(lists: DnsblServer) -> None:
    slow = lists.zone("slow.example")
    slow.fault(delay(1.0))
    with (
        Policyd(config(lists, zones=("bl.example", "slow.example"))) as daemon,
        Client(daemon.port) as client,
    ):
        before = lists.count("slow.example")
        client.send(request("198.51.100.1"))
        daemon.wait_for(lambda: lists.count("slow.example") > before)
        text = config(lists, '[[policy.rule]]\nscore = ">=1"\naction = "HOLD by {zones}"')
        daemon.config.write_text(text)
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("reloaded")
        assert client.reply() == "DUNNO"  # by the rules and the zones it began with
        assert client.ask() == "HOLD by bl.example"
        with Client(daemon.port) as other:
            assert other.ask() == "HOLD by bl.example"


def test_reload_of_the_rules_keeps_the_cache(lists: DnsblServer) -> None:
    with Policyd(config(lists)) as daemon, Client(daemon.port) as client:
        for _ in range(2):
            client.ask("203.0.113.77")
            daemon.config.write_text(config(lists, "dry_run = true"))
            daemon.signal(signal.SIGHUP)
            daemon.wait_for_log("reloaded")
        assert asked(lists).count("77.113.0.203.bl.example") == 1
        assert client.ask() == f"PREPEND X-DNSBL-Dry-Run: {REJECT}"


def asked(lists: DnsblServer) -> list[str]:
    return [query.name for query in lists.queries]


def test_a_list_that_lists_everybody_is_left_out_from_the_start_and_after_a_reload(
    lists: DnsblServer,
) -> None:
    """H2. Its test entries are asked at the start and at each reload, never for a message."""
    for name in ("wild.example", "wilder.example"):
        lists.zone(name).fault(wildcard("127.0.0.2"))
    with Policyd(config(lists, zones=("wild.example",))) as daemon, Client(daemon.port) as client:
        daemon.wait_for_log("wild.example: found broken and set aside: it lists 127.0.0.1")
        assert client.ask("192.0.2.99") == "DUNNO"
        daemon.config.write_text(config(lists, "dry_run = true", zones=("wild.example",)))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("reloaded")
        daemon.config.write_text(config(lists, zones=("bl.example", "wilder.example")))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("wilder.example: found broken and set aside")
        daemon.wait_for_log("reloaded", after=1)
        assert client.ask("192.0.2.99") == REJECT  # by the list that is sound
        assert client.ask("192.0.2.98") == "DUNNO"
    names = asked(lists)
    assert [names.count(f"1.0.0.127.{name}") for name in ("wild.example", "wilder.example")] == [2, 1]


@pytest.mark.parametrize(
    "bad",
    [
        '[[policy.rule]]\naction = "REJCT"',
        "[policy",
        "[policy]\nlisten = [1]",
        '[[zone]]\nname = "dnsbl.sorbs.net"',
        None,
    ],
)
def test_a_bad_reload_keeps_what_is_in_use(lists: DnsblServer, bad: str | None) -> None:
    with Policyd(config(lists)) as daemon, Client(daemon.port) as client:
        assert client.ask() == REJECT
        if bad is None:
            daemon.config.unlink()
        else:
            daemon.config.write_text(bad)
        daemon.signal(signal.SIGHUP)
        log = daemon.wait_for_log("reload failed, the configuration in use is kept: ")
        assert str(daemon.config) in log.rpartition("reload failed")[2]
        assert client.ask() == REJECT
        daemon.config.write_text(config(lists, '[[policy.rule]]\naction = "OK"'))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("reloaded")
        assert client.ask() == "OK"


# The end


def test_sigterm_answers_what_is_in_flight(lists: DnsblServer) -> None:
    lists.zone("late.example").fault(delay(1.0))
    with Policyd(config(lists, zones=("bl.example", "late.example"))) as daemon:
        with Client(daemon.port) as busy, Client(daemon.port) as idle:
            idle.ask("10.0.0.1")
            before = lists.count("late.example")
            busy.send(request("198.51.100.3") + request("10.0.0.1"))
            daemon.wait_for(lambda: lists.count("late.example") > before)
            daemon.signal(signal.SIGTERM)
            assert busy.reply() == "DUNNO"
            assert busy.reply() == "DUNNO"
            assert busy.is_closed()
            assert idle.is_closed()
        assert daemon.stop() == 0
        assert daemon.log().rstrip().endswith("info: ended")


def stall(deaf: Client, other: Client) -> None:
    """Send requests and read no reply until no more are taken, though another's are answered meanwhile."""
    deaf.sock.setblocking(False)
    left, turns = b"", 0
    while turns < 50:
        left = left or request("10.0.0.1") * 100
        try:
            left = left[deaf.sock.send(left) :]
            turns = 0
        except BlockingIOError:
            assert other.ask("10.0.0.1") == "DUNNO"
            turns += 1


def test_who_reads_no_reply_does_not_keep_it_from_ending(lists: DnsblServer, tmp_path: Path) -> None:
    path = f"{tmp_path}/policy.sock"
    text = config(lists).replace("deadline_s = 2.0", "deadline_s = 0.1")
    with Policyd(text, listen=[f"unix:{path}"]) as daemon:
        with Client(path) as deaf, Client(path) as other:
            stall(deaf, other)
            daemon.signal(signal.SIGTERM)
            assert other.is_closed()
            assert daemon.stop() == 0
        assert "warning: 1 connections did not end, and are closed" in daemon.log()


def test_a_killed_daemon_starts_again_on_its_socket(lists: DnsblServer, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/policy.sock"
    with Policyd(config(lists, 'socket_mode = "0600"'), listen=[address]) as daemon:
        assert daemon.address == address
        with Client(f"{tmp_path}/policy.sock") as client:
            assert client.ask() == REJECT
        assert os.stat(tmp_path / "policy.sock").st_mode & 0o777 == 0o600
        daemon.kill()
        assert (tmp_path / "policy.sock").exists()
        daemon.start()
        with Client(f"{tmp_path}/policy.sock") as client:
            assert client.ask() == REJECT
        assert daemon.stop() == 0
        assert not (tmp_path / "policy.sock").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--listen", "0.0.0.0:0"], "--allow-remote"),
        (["--listen", "127.0.0.1:0", "--metrics", "0.0.0.0:0"], "--allow-remote"),
        (["--listen", "localhost:1"], "--listen: 'localhost:1' is not a valid address"),
        (["--listen", "unix:relative"], "absolute path"),
        (["--listen", "unix:/nowhere/at/all/policy.sock"], "make the directory first"),
        (["-z", "no zone"], "zone"),
        (["--config", "/nowhere/dnsbl.toml"], "/nowhere/dnsbl.toml"),
    ],
)
def test_what_cannot_be_served_is_one_line_and_exit_code_2(arguments: list[str], says: str) -> None:
    done = run(*arguments)
    errors = done.stderr.decode().splitlines()
    assert done.returncode == 2
    assert done.stdout == b""
    assert says in errors[-1]
    assert not any("Traceback" in line for line in errors)


# systemd


class Listening:
    """The socket that $NOTIFY_SOCKET names."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(str(path))
        self.sock.settimeout(10)

    def next(self) -> str:
        """The next state, the watchdog's left out."""
        while (state := self.sock.recv(1000).decode()) == "WATCHDOG=1":
            pass
        return state


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Listening]:
    listening = Listening(tmp_path / "notify")
    yield listening
    listening.sock.close()


def test_readiness_reload_watchdog_and_end(lists: DnsblServer, tmp_path: Path, systemd: Listening) -> None:
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"}
    with Policyd(config(lists), env=env) as daemon:
        assert systemd.next() == "READY=1"
        with Client(daemon.port) as client:
            assert client.ask() == REJECT
        for _ in range(2):
            daemon.signal(signal.SIGHUP)
            state = systemd.next().split("\n")
            assert state[0] == "RELOADING=1"
            assert abs(int(state[1].removeprefix("MONOTONIC_USEC=")) / 1e6 - time.monotonic()) < 10
            assert systemd.next() == "READY=1"
            daemon.config.write_text("bad")
        assert "reload failed" in daemon.log()
        beats = 0
        started = time.monotonic()
        while beats < 3:
            beats += systemd.sock.recv(1000) == b"WATCHDOG=1"
        assert time.monotonic() - started < 5
        daemon.stop()
        assert systemd.next() == "STOPPING=1"


def test_a_socket_passed_by_systemd(lists: DnsblServer) -> None:
    """As systemd does it: descriptor 3, and LISTEN_PID the daemon's own (kept over exec)."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(64)
        port = sock.getsockname()[1]
        code = (
            f"import os, sys; os.dup2({sock.fileno()}, 3); os.set_inheritable(3, True); "
            "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); "
            "os.execv(sys.executable, [sys.executable, '-m', 'dnsbl', 'policyd', *sys.argv[1:]])"
        )
        command = [sys.executable, "-c", code]
        daemon = Policyd(config(lists), listen=(), pass_fds=[sock.fileno()], command=command)
        with daemon, Client(port) as client:
            assert client.ask() == REJECT
            assert f"listening on 127.0.0.1:{port} from systemd" in daemon.log()


def test_the_unit_files_hold_what_the_daemon_needs() -> None:
    service = (ROOT / "contrib" / "dnsbl-policyd.service").read_text().splitlines()
    for line in (
        "Type=notify",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
        "StateDirectory=dnsbl",
        "StartLimitIntervalSec=0",
    ):
        assert line in service
    socket_unit = (ROOT / "contrib" / "dnsbl-policyd.socket").read_text().splitlines()
    assert "SocketMode=0660" in socket_unit
    assert "ListenStream=127.0.0.1:10040" in socket_unit


def test_clients_in_threads_get_their_own_answers(daemon: Policyd) -> None:
    wrong: list[str] = []

    def ask(number: int) -> None:
        with Client(daemon.port) as client:
            for step in range(50):
                listed = (number + step) % 2 == 0
                answer = client.ask(
                    "192.0.2.99" if listed else f"198.51.100.{number}", instance=f"{number}.{step}"
                )
                if (answer == REJECT) is not listed:
                    wrong.append(answer)

    threads = [threading.Thread(target=ask, args=[number]) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not wrong
