"""The daemon's log where its reader is slow, has gone, or is syslog's."""

from __future__ import annotations

import logging
import os
import signal
import threading
from pathlib import Path

import pytest
from support.policydaemon import REJECT, Client, Policyd, config, start_lists

from dnsbl.errors import ConfigError
from dnsbl.policyd.log import Log, LogHandler, Record, describe
from dnsbl.policyd.settings import Options, load_settings
from dnsbl.policyd.writers import MAX_WAITING_BYTES, FdWriter

RECORD = Record("1a.2b", "192.0.2.99", "REJECT", 4, 1.0, ["bl.example"], True, 0.5, "dns")


def read_all(fd: int) -> bytes:
    os.set_blocking(fd, False)
    data = b""
    try:
        while piece := os.read(fd, 1 << 20):
            data += piece
    except BlockingIOError:
        pass
    return data


def test_a_reader_that_does_not_read_costs_lines_and_is_told() -> None:
    reading, writing = os.pipe()
    log = Log(FdWriter(writing), with_time=False)
    line = log._text_decision(RECORD)
    count = 2 * MAX_WAITING_BYTES // len(line)
    for _ in range(count):
        log.decision(RECORD)  # none of these may block
    data = read_all(reading)
    for _ in range(100):
        log.decision(RECORD)
        data += read_all(reading)
    got = data.decode("ascii").splitlines()
    assert set(got) - {line} == {f"warning: {count + 100 - got.count(line)} lines of this log were lost: "
                                 "its reader did not keep up"}  # fmt: skip
    os.close(reading)
    os.close(writing)


def test_a_reader_that_has_gone_stops_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    log = Log(FdWriter(writing), with_time=False)
    for _ in range(1_000):
        log.decision(RECORD)
    reading, again = os.pipe()
    os.dup2(again, writing)  # another reader comes: nothing was kept for it, and it is told of what was lost
    log.info("here")
    log.info("there")
    lost = "warning: 1000 lines of this log were lost: its reader did not keep up"
    assert read_all(reading).decode().splitlines() == ["info: here", lost, "info: there"]
    for fd in (reading, writing, again):
        os.close(fd)


def test_decisions_wait_for_each_other_and_other_lines_do_not() -> None:
    written: list[bytes] = []

    def write(data: bytes) -> int:
        written.append(data)
        return 0

    log = Log(write, with_time=False)
    waiting = []
    log.later = lambda delay_s, flush: waiting.append(flush)
    log.decision(RECORD)
    log.decision(RECORD)
    assert (len(written), len(waiting)) == (0, 1)
    waiting[0]()
    assert [data.count(b"\n") for data in written] == [2]
    log.decision(RECORD)
    log.warning("look")
    assert [data.count(b"\n") for data in written] == [2, 2]


def test_what_the_library_logs() -> None:
    lines: list[str] = []

    def write(data: bytes) -> int:
        lines.append(data.decode())
        return 0

    handler = LogHandler(Log(write, with_time=False))
    logger = logging.Logger("dnsbl.test", logging.INFO)
    logger.addHandler(handler)
    logger.warning("nameservers are now %s", "127.0.0.1:53\nx")
    try:
        raise OSError("broken\x1b[2J")
    except OSError as error:
        logger.exception("it failed")
        place = describe(error)
    assert lines[0] == "warning: dnsbl.test: nameservers are now 127.0.0.1:53 x\n"
    assert lines[1].startswith("error: dnsbl.test: it failed: OSError: broken [2J at test_log.py:")
    assert place.endswith(lines[1].strip().rpartition(" ")[2])


def test_other_threads_log_too_and_leave_the_event_loop_alone() -> None:
    """The health check does, from a thread; an event loop's call_later may be called in its own only."""
    asked: list[str] = []
    written: list[bytes] = []

    def write(data: bytes) -> int:
        written.append(data)
        return 0

    log = Log(write, with_time=False)
    log.later = lambda delay_s, flush: asked.append(threading.current_thread().name)
    handler = LogHandler(log)

    def warn() -> None:
        handler.emit(logging.LogRecord("dnsbl.breaker", logging.WARNING, "", 0, "set aside", (), None))

    thread = threading.Thread(target=warn, name="health")
    thread.start()
    thread.join()
    assert written == [b"warning: dnsbl.breaker: set aside\n"]
    assert asked == []


def test_a_level_leaves_out_what_is_less_grave() -> None:
    said: dict[str, list[str]] = {}
    for level in ("error", "warning", "info"):
        lines: list[bytes] = []
        log = Log(lambda data, lines=lines: lines.append(data) or 0, with_time=False)  # type: ignore[misc]
        log.only(level)
        log.decision(RECORD)
        log.info("i")
        log.warning("w")
        log.error("e")
        said[level] = [line.decode().split()[0] for line in lines]
    assert said == {
        "error": ["error:"],
        "warning": ["warning:", "error:"],
        "info": ["decision", "info:", "warning:", "error:"],
    }


def test_the_log_goes_to_a_file_and_is_opened_again_at_a_reload(tmp_path: Path) -> None:
    path = tmp_path / "policyd.log"
    with (
        start_lists() as lists,
        Policyd(config(lists, f'log = "{path}"'), log_path=path) as daemon,
        Client(daemon.port) as client,
    ):
        assert client.ask() == REJECT
        daemon.wait_for_log("decision instance=- client=192.0.2.99")
        assert path.stat().st_mode & 0o777 == 0o640
        path.rename(tmp_path / "policyd.log.1")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("reloaded")
        assert client.ask("192.0.2.98") == "DUNNO"
        daemon.wait_for_log("client=192.0.2.98")
        daemon.config.write_text(config(lists))
        daemon.signal(signal.SIGHUP)
        daemon.log_path = daemon.path / "log"
        daemon.wait_for_log("reloaded")  # on stderr again
        assert client.ask("192.0.2.97") == "DUNNO"
        daemon.wait_for_log("client=192.0.2.97")
    assert "client=192.0.2.99" in (tmp_path / "policyd.log.1").read_text()


def test_a_file_that_cannot_be_written_keeps_no_mail(tmp_path: Path) -> None:
    with (
        start_lists() as lists,
        Policyd(config(lists, f'log = "{tmp_path}/none/policyd.log"')) as daemon,
        Client(daemon.port) as client,
    ):
        assert client.ask() == REJECT
        daemon.wait_for_log("cannot write the log to ")
        daemon.wait_for_log("decision instance=- client=192.0.2.99")


@pytest.mark.parametrize(
    ("text", "says"),
    [('log = "policyd.log"', "not a valid place"), ('log_level = "debug"', "not a valid level")],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "dnsbl.toml"
    path.write_text(f"[policy]\n{text}\n")
    with pytest.raises(ConfigError, match=says):
        load_settings(Options(path))
