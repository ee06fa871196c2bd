"""The answers a real daemon keeps over a restart and a reload, so that no list is asked again."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.policydaemon import REJECT, Client, Policyd, config, run, start_lists

from dnsbl.testing import DnsblServer, silence


@pytest.fixture
def lists() -> Iterator[DnsblServer]:
    with start_lists() as server:
        yield server


def ask(daemon: Policyd) -> tuple[str, str]:
    """The action for the listed client, and where its verdict is from."""
    before = daemon.log().count(" decision ")
    with Client(daemon.port) as client:
        action = client.ask()
    return action, daemon.wait_for_log(" decision ", after=before).rpartition("source=")[2].split()[0]


def keeping(path: Path) -> str:
    return f'cache_file = "{path}"'


def test_a_restart_asks_no_list_again(lists: DnsblServer, tmp_path: Path) -> None:
    text = config(lists, keeping(tmp_path / "answers"))
    with Policyd(text) as daemon:
        assert ask(daemon) == (REJECT, "dns")
        assert daemon.stop() == 0
        assert f"are kept in {tmp_path}/answers" in daemon.log()
        assert (tmp_path / "answers").stat().st_mode & 0o777 == 0o600
        lists.fault(silence())
        daemon.start()
        assert ask(daemon) == (REJECT, "cache")


def test_the_state_directory_of_systemd_is_where_they_are_kept(lists: DnsblServer, tmp_path: Path) -> None:
    with Policyd(config(lists), env={"STATE_DIRECTORY": f"{tmp_path}:/nonexistent"}) as daemon:
        assert ask(daemon) == (REJECT, "dns")
        daemon.stop()
        lists.fault(silence())
        daemon.start()
        assert ask(daemon) == (REJECT, "cache")
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_a_reload_with_other_zones_keeps_what_the_old_ones_said(lists: DnsblServer, tmp_path: Path) -> None:
    lists.zone("other.example")
    text = config(lists, keeping(tmp_path / "answers"), zones=("bl.example", "other.example"))
    with Policyd(text) as daemon:
        assert ask(daemon) == (REJECT, "dns")
        lists.fault(silence())
        daemon.config.write_text(config(lists, keeping(tmp_path / "answers")))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("reloaded")
        assert ask(daemon) == (REJECT, "cache")


def test_what_a_broken_list_said_is_not_kept(lists: DnsblServer, tmp_path: Path) -> None:
    lists.zone("other.example")
    text = config(lists, keeping(tmp_path / "answers"))
    with Policyd(text) as daemon:
        assert ask(daemon) == (REJECT, "dns")
        for entry in ("127.0.0.2", "::ffff:127.0.0.2"):
            lists.zone("bl.example").unlist(entry)  # the list has been emptied: RFC 5782 section 5
        daemon.config.write_text(
            config(lists, keeping(tmp_path / "answers"), zones=("bl.example", "other.example"))
        )
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("set aside")
        daemon.stop()
        lists.fault(silence())
        daemon.start()
        assert ask(daemon) == ("DUNNO", "dns")


def test_answers_that_cannot_be_kept_cost_a_warning(lists: DnsblServer, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with Policyd(config(lists, keeping(tmp_path / "state" / "answers"))) as daemon:
        (tmp_path / "state").rmdir()
        assert ask(daemon) == (REJECT, "dns")
        assert daemon.stop() == 0
        assert "cannot be kept" in daemon.log()


def test_a_directory_that_is_missing_keeps_no_mail_from_being_answered(
    lists: DnsblServer, tmp_path: Path
) -> None:
    """As where /var/lib is not mounted: it starts, takes a new configuration, and warns."""
    with Policyd(config(lists, keeping(tmp_path / "state" / "answers"))) as daemon:
        assert f"cache_file: there is no directory {tmp_path}/state; make it first" in daemon.log()
        assert ask(daemon) == (REJECT, "dns")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("reloaded ")
        (tmp_path / "state").mkdir()
        assert daemon.stop() == 0
        assert (tmp_path / "state" / "answers").exists()


def test_a_directory_that_is_missing_is_told_at_once(lists: DnsblServer, tmp_path: Path) -> None:
    path = tmp_path / "dnsbl.toml"
    path.write_text(config(lists, 'cache_file = "missing/answers"'))
    done = run("--check-config", "--config", str(path))
    assert done.returncode == 2
    assert f"cache_file: there is no directory {tmp_path}/missing; make it first" in done.stderr.decode()
