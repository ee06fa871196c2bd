"""Processes under spawn(8) leave a broken list out, and ask its test entries once for all of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import randrange
from typing import Self

import pytest
from support.policydaemon import REJECT, ROOT, config, request, start_lists

from dnsbl.policyd.spawnhealth import default_file
from dnsbl.policyd.surge import RECENT
from dnsbl.testing import DnsblServer, wildcard


def spawned(path: Path, *clients: str) -> tuple[list[str], str]:
    """One process under spawn(8): its replies, and its log."""
    done = subprocess.run(
        [sys.executable, "-m", "dnsbl", "policyd", "--spawn", "--config", str(path)],
        input=b"".join(request(client) for client in clients),
        capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=30, check=False,
    )  # fmt: skip
    replies = done.stdout.decode().removesuffix("\n\n").split("\n\n")
    return [reply.removeprefix("action=") for reply in replies], done.stderr.decode()


def write(tmp_path: Path, lists: DnsblServer, health_file: str) -> Path:
    path = tmp_path / "dnsbl.toml"
    path.write_text(config(lists, f'health_file = "{health_file}"', zones=("bl.example", "wild.example")))
    return path


def probes(lists: DnsblServer) -> int:
    return sum("1.0.0.127.wild.example" in str(query.name) for query in lists.queries)


def test_a_list_that_lists_everybody_rejects_nobody(tmp_path: Path) -> None:  # K2
    with start_lists() as lists:
        lists.zone("wild.example").fault(wildcard("127.0.0.2"))
        path = write(tmp_path, lists, "health")  # beside the configuration
        replies, log = spawned(path, "192.0.2.98", "192.0.2.99")
        assert replies == ["DUNNO", REJECT]
        assert "found broken" in log
        assert (tmp_path / "health").stat().st_mode & 0o777 == 0o600
        for _ in range(3):
            assert spawned(path, "192.0.2.98")[0] == ["DUNNO"]
        assert probes(lists) == 1  # by the first; the others have it from the file


def test_the_file_is_renewed_and_a_list_comes_back(tmp_path: Path) -> None:
    with start_lists() as lists:
        lists.zone("wild.example").fault(wildcard("127.0.0.2"))
        path = write(tmp_path, lists, "health")
        spawned(path, "192.0.2.98")
        lists.zone("wild.example").heal()
        found = json.loads((tmp_path / "health").read_text())
        assert list(found["broken"]) == ["wild.example"]
        (tmp_path / "health").write_text(json.dumps(found | {"time": time.time() - 61}))
        spawned(path, "192.0.2.98")
        assert json.loads((tmp_path / "health").read_text())["broken"] == {}


def test_a_list_that_goes_wild_is_left_out_at_once_and_by_the_others_too(tmp_path: Path) -> None:
    """Between two hourly checks, of which the last has found it sound."""
    with start_lists() as lists:
        wild = lists.zone("wild.example")
        path = write(tmp_path, lists, "health")
        assert spawned(path, "192.0.2.98")[0] == ["DUNNO"]
        assert json.loads((tmp_path / "health").read_text())["broken"] == {}
        wild.fault(wildcard("127.0.0.2"))
        with Spawned(path) as process:
            said = [process.ask(f"198.51.100.{number}") for number in range(2 * RECENT)]
            assert "DUNNO" not in said[:RECENT]
            wait_until(lambda: process.ask(f"203.0.113.{randrange(256)}") == "DUNNO")
            assert process.ask("198.51.100.1") == "DUNNO"
            assert process.ask("192.0.2.99") == REJECT
        assert "lists 100% of the latest lookups, 30% before" in process.log
        assert list(json.loads((tmp_path / "health").read_text())["broken"]) == ["wild.example"]
        assert spawned(path, "203.0.113.98")[0] == ["DUNNO"]


class Spawned:
    """A process under spawn(8) that is asked one request after the other."""

    def __init__(self, path: Path) -> None:
        self.log = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "dnsbl", "policyd", "--spawn", "--config", str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def ask(self, client: str) -> str:
        process = self._process
        assert process.stdin
        assert process.stdout
        process.stdin.write(request(client))
        process.stdin.flush()
        action = process.stdout.readline().decode().removeprefix("action=").rstrip("\n")
        assert process.stdout.readline() == b"\n"
        return action

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        try:
            self.log = self._process.communicate(timeout=30)[1].decode()
        finally:
            self._process.kill()


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"time": "x", "broken": {}, "silent": []}', '{"time": 9e99}']
)
def test_a_damaged_file_is_written_anew(tmp_path: Path, text: str) -> None:
    with start_lists() as lists:
        lists.zone("wild.example").fault(wildcard("127.0.0.2"))
        path = write(tmp_path, lists, "health")
        (tmp_path / "health").write_text(text)
        assert spawned(path, "192.0.2.98")[0] == ["DUNNO"]
        assert json.loads((tmp_path / "health").read_text())["broken"]


def test_without_a_place_for_the_file_each_process_checks_by_itself(tmp_path: Path) -> None:
    with start_lists() as lists:
        lists.zone("wild.example").fault(wildcard("127.0.0.2"))
        path = write(tmp_path, lists, "/nowhere/health")
        replies, log = spawned(path, "192.0.2.98")
        assert replies == ["DUNNO"]
        assert "cannot be kept in /nowhere/health (health_file)" in log


def test_the_default_place_is_this_users_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    directory = tmp_path / f"dnsbl-policyd-{os.getuid()}"
    assert default_file({}) == directory / "health"
    assert directory.stat().st_mode & 0o777 == 0o700
    directory.chmod(0o777)
    assert default_file({}) is None
    directory.rmdir()
    directory.symlink_to(tmp_path)
    assert default_file({}) is None
    assert default_file({"STATE_DIRECTORY": "/var/lib/dnsbl:/x"}) == Path("/var/lib/dnsbl/health")
