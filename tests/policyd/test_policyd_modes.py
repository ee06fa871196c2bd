"""`dnsbl policyd` in its other modes: under spawn(8), with its log and metrics, --check-config, --explain."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.policydaemon import REJECT, ROOT, Client, Policyd, config, request, run, start_lists

from dnsbl.testing import DnsblServer


@pytest.fixture(scope="module")
def lists() -> Iterator[DnsblServer]:
    with start_lists() as server:
        yield server


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
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with (
        ours,
        subprocess.Popen(
            command, stdin=its.fileno(), stdout=its.fileno(), stderr=its.fileno(), env=env
        ) as process,
    ):
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
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with (
        ours,
        subprocess.Popen(
            command, stdin=its.fileno(), stdout=its.fileno(), stderr=its.fileno(), env=env
        ) as process,
    ):
        its.close()
        ours.settimeout(20)
        assert ours.recv(1000) == b""
        assert process.wait(10) == 2


def test_spawn_ends_when_it_is_idle(lists: DnsblServer, tmp_path: Path) -> None:
    ours, its = socket.socketpair()
    command = [sys.executable, "-m", "dnsbl", "policyd", *spawned(lists, tmp_path, "idle_timeout_s = 0.3")]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with (
        ours,
        subprocess.Popen(
            command, stdin=its.fileno(), stdout=its.fileno(), stderr=subprocess.DEVNULL, env=env
        ) as process,
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
    env = os.environ | {"PYTHONPATH": str(ROOT)}
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
    env = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    with Policyd(config(lists), "--metrics", "127.0.0.1:0", env=env) as daemon, Client(daemon.port) as client:
        assert client.ask() == REJECT
        [line] = [line for line in daemon.log().splitlines() if "prometheus-client" in line]
        assert "error: metrics need the package prometheus-client; pip install" in line
        assert line.endswith("mail goes on without metrics")
    done = subprocess.run(
        [sys.executable, "-m", "dnsbl", "policyd", "--config", str(path), "--check-config",
         "--metrics", "127.0.0.1:0"],
        capture_output=True, env={**os.environ, **env}, timeout=30, check=False,
    )  # fmt: skip
    assert b"metrics need the package prometheus-client" in done.stderr


def test_check_config(lists: DnsblServer, tmp_path: Path) -> None:
    path = tmp_path / "dnsbl.toml"
    path.write_text(
        config(
            lists,
            'dry_run = ["bl.example"]\n[[policy.rule]]\nauthenticated = false\nscore = ">=1"\n'
            'action = "REJECT"',
        )
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
        ('socket_mode = "rw"', "use octal digits"),
        ('listen = ["0:1"]', "is not a valid address to listen on"),
        ('metrics = "9140"', "is not a valid address to listen on"),
        ("max_connections = 0", "out of range"),
        ('[[policy.rule]]\nzones = "other.example"\naction = "OK"', "not a zone of this configuration"),
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
    assert "built-in rule 1: DUNNO\n    does not match: authenticated = true\n" in text
    assert (
        "built-in rule 5: REJECT {subject} is listed by {zones}: {reason} {delist_url}\n    decides\n" in text
    )
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
    assert [rule["outcome"] for rule in listed["rules"]] == ["does not match"] * 4 + ["decides"]
    assert listed["verdict"]["answers"][0]["codes"] == ["127.0.0.2"]
    assert (unknown["action"], unknown["verdict"]) == ("DUNNO", None)


def test_explain_of_another_kind_of_request() -> None:
    text = b"request=junk\nclient_address=192.0.2.99\n"
    done = run("--explain", "-", "--nameserver", "127.0.0.1:9", stdin=text)
    assert done.returncode == 2
    assert b"not a policy request: request=junk; the daemon answers DUNNO to it" in done.stderr


@pytest.mark.parametrize("text", [b"", b"\n\n", b"EHLO x\n"])
def test_explain_of_no_request(text: bytes) -> None:
    done = run("--explain", "-", "--listen", "127.0.0.1:0", stdin=text)
    assert done.returncode == 2
    assert b"not a policy request" in done.stderr
