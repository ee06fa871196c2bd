"""The daemon's log where its reader is slow, has gone, or is syslog's."""

from __future__ import annotations

import logging
import os
import threading

from dnsbl.policyd.log import MAX_WAITING_BYTES, FdWriter, Log, LogHandler, Record, describe

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
    log = Log(FdWriter(writing))
    for _ in range(1_000):
        log.decision(RECORD)
    os.close(writing)


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
