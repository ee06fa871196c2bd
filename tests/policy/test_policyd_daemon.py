"""`dnsbl policyd` as a process: signals, systemd, spawn, metrics, exit codes, many connections at once."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from policydaemon import ROOT, Client, Policyd, request

from dnsbl.testing import DnsblServer, delay

REJECT = "REJECT 192.0.2.99 is listed by bl.example: spam source https://bl.example/"


@pytest.fixture(scope="module")
def lists() -> Iterator[DnsblServer]:
    with DnsblServer() as server:
        server.zone("bl.example").list("192.0.2.99", txt="spam source https://bl.example/")
        server.zone("bl.example").list("2001:db8::99", txt="spam source https://bl.example/")
        yield server


def config(lists: DnsblServer, policy: str = "", zones: tuple[str, ...] = ("bl.example",)) -> str:
    tables = "\n".join(f'[[zone]]\nname = "{zone}"' for zone in zones)
    return (
        f'[resolver]\nnameservers = ["{lists.nameserver}"]\ndeadline_s = 2.0\n{tables}\n[policy]\n{policy}\n'
    )


def run(*arguments: str, stdin: bytes = b"", timeout_s: float = 30) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "dnsbl", "policyd", *arguments],
        input=stdin,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=timeout_s,
        check=False,
    )


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
    daemon.wait_for_log("warning: a client sent a line that is no attribute")


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
        client.send(request("198.51.100.1"))
        time.sleep(0.2)
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
        client.ask("198.51.100.77")
        before = lists.count(zone="bl.example")
        daemon.config.write_text(config(lists, "dry_run = true"))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("reloaded")
        client.ask("198.51.100.77")
        assert lists.count(zone="bl.example") == before
        assert client.ask() == f"PREPEND X-DNSBL-Dry-Run: {REJECT}"


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
            busy.send(request("198.51.100.3") + request("10.0.0.1"))
            time.sleep(0.3)
            daemon.signal(signal.SIGTERM)
            assert busy.reply() == "DUNNO"
            assert busy.reply() == "DUNNO"
            assert busy.is_closed()
            assert idle.is_closed()
        assert daemon.stop() == 0
        assert daemon.log().rstrip().endswith("info: ended")


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
        (["--listen", "localhost:1"], "--listen: 'localhost:1' is no address"),
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
    ):
        assert line in service
    socket_unit = (ROOT / "contrib" / "dnsbl-policyd.socket").read_text().splitlines()
    assert "SocketMode=0660" in socket_unit
    assert "ListenStream=127.0.0.1:10040" in socket_unit


# spawn(8)


def spawned(lists: DnsblServer, tmp_path: Path, policy: str = "") -> list[str]:
    path = tmp_path / "dnsbl.toml"
    path.write_text(config(lists, policy))
    return ["--spawn", "--config", str(path)]


def test_spawn_on_pipes(lists: DnsblServer, tmp_path: Path) -> None:
    done = run(*spawned(lists, tmp_path), stdin=request() + request("192.0.2.98") + b"client_addr")
    assert done.stdout == f"action={REJECT}\n\naction=DUNNO\n\n".encode()
    assert done.returncode == 0
    assert done.stderr.count(b"decision ") == 2


def test_spawn_as_postfix_does_it(lists: DnsblServer, tmp_path: Path) -> None:
    """stdin, stdout and stderr are one socket: nothing but replies may be written to it."""
    ours, its = socket.socketpair()
    command = [sys.executable, "-m", "dnsbl", "policyd", *spawned(lists, tmp_path)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with ours, subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=env) as process:
        its.close()
        ours.settimeout(20)
        with ours.makefile("rb") as replies:
            for _ in range(2):
                ours.sendall(request())
                assert replies.readline() == f"action={REJECT}\n".encode()
                assert replies.readline() == b"\n"
            process.send_signal(signal.SIGTERM)
            assert replies.read() == b""
        assert process.wait(10) == 0


def test_spawn_says_nothing_to_postfix_of_a_bad_configuration(tmp_path: Path) -> None:
    (tmp_path / "dnsbl.toml").write_text("bad")
    ours, its = socket.socketpair()
    command = [sys.executable, "-m", "dnsbl", "policyd", "--spawn", "--config", str(tmp_path / "dnsbl.toml")]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with ours, subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=env) as process:
        its.close()
        ours.settimeout(20)
        assert ours.recv(1000) == b""
        assert process.wait(10) == 2


def test_spawn_ends_when_it_is_idle(lists: DnsblServer, tmp_path: Path) -> None:
    ours, its = socket.socketpair()
    command = [sys.executable, "-m", "dnsbl", "policyd", *spawned(lists, tmp_path, "idle_timeout_s = 0.3")]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (
        ours,
        subprocess.Popen(command, stdin=its, stdout=its, stderr=subprocess.DEVNULL, env=env) as process,
    ):
        its.close()
        assert process.wait(20) == 0


# The log, metrics, --check-config, --explain


def test_the_log_as_json(lists: DnsblServer) -> None:
    with Policyd(config(lists), "--json") as daemon, Client(daemon.port) as client:
        client.ask(instance="1a.2b")
        daemon.wait_for_log('"decision"')
        lines = [json.loads(line) for line in daemon.log().splitlines()]
        [decision] = [line for line in lines if line["event"] == "decision"]
        assert (decision["instance"], decision["client"], decision["zones"]) == (
            "1a.2b",
            "192.0.2.99",
            ["bl.example"],
        )


def test_a_log_that_is_not_read_stops_nothing(lists: DnsblServer, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    path = tmp_path / "dnsbl.toml"
    path.write_text(config(lists))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "dnsbl",
        "policyd",
        "--config",
        str(path),
        "--listen",
        f"127.0.0.1:{port}",
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stderr=writing, env=env) as process:
        try:
            os.close(writing)
            while b"listening" not in os.read(reading, 65_536):
                pass
            with Client(port) as client:
                for _ in range(20):
                    client.send(request(instance="x" * 70) * 100)
                    assert [client.reply() for _ in range(100)] == [REJECT] * 100
                text = b""
                while b"ms=" not in text:
                    text += os.read(reading, 65_536)
                assert client.ask() == REJECT
        finally:
            os.close(reading)
            process.terminate()


def test_metrics(lists: DnsblServer) -> None:
    with Policyd(config(lists), "--metrics", "127.0.0.1:0") as daemon, Client(daemon.port) as client:
        address = daemon.wait_for_log("metrics on ").rpartition("metrics on ")[2].split()[0]
        client.ask()
        client.ask()
        client.ask("192.0.2.98")
        with urllib.request.urlopen(address, timeout=10) as answer:
            text = answer.read().decode()
        lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        assert lines['dnsbl_policy_decisions_total{action="REJECT",source="dns"}'] == "1.0"
        assert lines['dnsbl_policy_decisions_total{action="REJECT",source="cache"}'] == "1.0"
        assert lines['dnsbl_policy_decisions_total{action="DUNNO",source="dns"}'] == "1.0"
        assert lines['dnsbl_policy_request_seconds_bucket{le="+Inf"}'] == "3.0"
        assert lines["dnsbl_policy_request_seconds_count"] == "3.0"
        assert lines["dnsbl_policy_connections"] == "1.0"
        assert float(lines['dnsbl_zone_answers_total{outcome="listed",zone="bl.example"}']) == 1
        assert float(lines['dnsbl_zone_cache_hits_total{zone="bl.example"}']) >= 1


def test_metrics_without_the_library(lists: DnsblServer, tmp_path: Path) -> None:
    (tmp_path / "prometheus_client.py").write_text("raise ImportError('not here')")
    path = tmp_path / "dnsbl.toml"
    path.write_text(config(lists))
    done = subprocess.run(
        [sys.executable, "-m", "dnsbl", "policyd", "--config", str(path), "--listen", "127.0.0.1:0",
         "--metrics", "127.0.0.1:0"],
        capture_output=True, env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert b"pip install 'dnsbl-resolver[metrics]'" in done.stderr.splitlines()[-1]


def test_check_config(lists: DnsblServer, tmp_path: Path) -> None:
    path = tmp_path / "dnsbl.toml"
    path.write_text(
        config(lists, 'dry_run = ["bl.example"]\n[[policy.rule]]\nscore = ">=1"\naction = "REJECT"')
    )
    done = run("--check-config", "--config", str(path))
    assert done.stdout.decode() == f"{path}: good: 1 rules, 1 zones, dry run of bl.example\n"
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ('[[policy.rule]]\naction = "550"', "means OK to Postfix"),
        ("idle_timeout = 3", "did you mean 'idle_timeout_s'?"),
        ('socket_mode = "0666"', "lets everybody write"),
        ('socket_mode = "rw"', "in octal"),
        ('listen = ["0:1"]', "is no address to listen on"),
        ('metrics = "9140"', "is no address to listen on"),
        ("max_connections = 0", "out of range"),
        ('[[policy.rule]]\nzones = "other.example"\naction = "OK"', "no zone of this configuration"),
    ],
)
def test_check_config_names_file_and_line(lists: DnsblServer, tmp_path: Path, policy: str, says: str) -> None:
    path = tmp_path / "dnsbl.toml"
    path.write_text(config(lists, policy))
    done = run("--check-config", "--config", str(path))
    [error] = done.stderr.decode().splitlines()
    line = (
        6
        + 1
        + policy.count("\n", 0, policy.find("action") if "550" in policy else policy.find("zones = ") + 1)
    )
    assert error.startswith(f"dnsbl: {path}:{line}: ")
    assert says in error
    assert (done.returncode, done.stdout) == (2, b"")


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ('listen = ["0.0.0.0:10040"]', "--allow-remote"),
        ('metrics = "[::]:9140"', "--allow-remote"),
        ('listen = ["unix:/run/x"]\nsocket_group = "nobody-has-this"', "no group 'nobody-has-this'"),
    ],
)
def test_check_config_finds_what_would_keep_it_from_starting(
    lists: DnsblServer, tmp_path: Path, policy: str, says: str
) -> None:
    path = tmp_path / "dnsbl.toml"
    path.write_text(config(lists, policy))
    done = run("--check-config", "--config", str(path))
    assert done.returncode == 2
    assert says in done.stderr.decode()


def test_explain(lists: DnsblServer, tmp_path: Path) -> None:
    path = tmp_path / "dnsbl.toml"
    path.write_text(config(lists))
    done = run("--explain", "-", "--config", str(path), stdin=request(recipient="a@example.com").rstrip())
    text = done.stdout.decode()
    assert done.returncode == 0
    assert "rule 1: DUNNO\n    does not match: authenticated = true\n" in text
    assert "rule 4: REJECT {client} is listed by {zones}: {reason} {delist_url}\n    decides\n" in text
    assert "99.2.0.192.bl.example" in text
    assert "127.0.0.2" in text
    assert text.rstrip().endswith(f"action={REJECT}")


def test_explain_as_json(lists: DnsblServer, tmp_path: Path) -> None:
    path = tmp_path / "dnsbl.toml"
    path.write_text(config(lists, "dry_run = true"))
    (tmp_path / "request").write_bytes(request().replace(b"\n", b"\r\n") + request("unknown"))
    done = run("--explain", str(tmp_path / "request"), "--json", "--config", str(path))
    listed, unknown = (json.loads(line) for line in done.stdout.splitlines())
    assert listed["would"] == REJECT
    assert listed["action"].startswith("PREPEND X-DNSBL-Dry-Run: REJECT")
    assert [rule["outcome"] for rule in listed["rules"]] == ["does not match"] * 3 + ["decides"]
    assert listed["verdict"]["answers"][0]["codes"] == ["127.0.0.2"]
    assert (unknown["action"], unknown["verdict"]) == ("DUNNO", None)


@pytest.mark.parametrize("text", [b"", b"\n\n", b"EHLO x\n"])
def test_explain_of_no_request(text: bytes) -> None:
    done = run("--explain", "-", "--listen", "127.0.0.1:0", stdin=text)
    assert done.returncode == 2
    assert b"no policy request" in done.stderr


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
