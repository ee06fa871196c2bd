r"""The daemon's log: one line per decision, and what an operator must know, as text or as JSON.

A line never holds a control character, whatever Postfix or a list sent, and a value never looks like two
(`instance=1 score=0` as an instance is written `instance=1?score=0`). Writing never stops the daemon: a
reader that does not read costs lines, which are counted, and not mail. Decisions are written together, at
most `DELAY_S` after they were made.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Callable, Sequence
from threading import RLock
from typing import Any, Final, NamedTuple

from dnsbl.policy.protocol import clean_text

DELAY_S: Final = 0.05
_FIELD_CHARS: Final = 80
_NOT_PLAIN: Final = re.compile(r"[^!#-<>-~]")  # anything but printable ASCII; and no "=" and no quote
MAIL_CHARS: Final = 320
"""RFC 5321 section 4.5.3.1: 64 and 255, and the @ between."""
LEVELS: Final = {"error": "<3>", "warning": "<4>", "info": "<6>"}
"""Syslog's numbers (RFC 5424 section 6.2.1); what `log_level` may be, the gravest first."""
_ENVELOPE: Final = ("sender", "recipient", "helo")
_QUOTED: Final = {"reply": 512, "would": 512, "error": 300}

Write = Callable[[bytes], int]
"""Takes whole lines; gives how many earlier ones were lost, once, when that can be said."""


class Record(NamedTuple):
    """What is logged of one decision. score: None without a verdict. ms: from request to reply.

    source: where the verdict is from: `cache`, `dns`, `message` (an earlier recipient), or `none`.
    sender, recipient, helo: as Postfix sent them; None: it did not. reply: the action with its text.
    """

    instance: str
    client: str
    action: str
    rule: int
    score: float | None
    zones: Sequence[str]
    complete: bool
    ms: float
    source: str
    would: str = ""
    error: str = ""
    sender: str | None = None
    recipient: str | None = None
    helo: str | None = None
    reply: str = ""


class Log:
    """Writes lines with `write`, all that are waiting at once. `later(delay_s, flush)` is how to wait.

    with_level: each line begins with its priority, `<6>`, as journald and `SyslogWriter` take it
    (sd-daemon(3)). Without `later` every line is written at once. Decisions are logged from one thread, that
    of `later`; the rest from any.
    """

    def __init__(
        self, write: Write, *, as_json: bool = False, with_time: bool = True, with_level: bool = False
    ) -> None:
        self._write = write
        self._as_json = as_json
        self._with_time = with_time
        self._levels = LEVELS if with_level else {}
        self._began = write, with_time, self._levels
        self._wanted = frozenset(LEVELS)
        self._waiting: list[str] = []
        self._lock = RLock()
        self._second = -1
        self._stamp = ""
        self.later: Callable[[float, Callable[[], None]], object] | None = None

    def redirect(self, write: Write | None, *, with_time: bool = True, with_level: bool = False) -> None:
        """From now on write elsewhere; None: where it began. What is waiting goes where it was meant to go."""
        self.flush()
        with self._lock:
            if write is None:
                self._write, self._with_time, self._levels = self._began
            else:
                self._write, self._with_time = write, with_time
                self._levels = LEVELS if with_level else {}

    def only(self, level: str) -> None:
        """Leave out what is less grave than this one of `LEVELS`; decisions are `info`."""
        names = list(LEVELS)
        self._wanted = frozenset(names[: names.index(level) + 1])

    def decision(self, record: Record) -> None:
        """Log one decision."""
        if "info" not in self._wanted:
            return
        line = self._json_decision(record) if self._as_json else self._text_decision(record)
        self._add(self._levels.get("info", "") + line)

    def info(self, message: str) -> None:
        self._event("info", message)

    def warning(self, message: str) -> None:
        self._event("warning", message)

    def error(self, message: str) -> None:
        self._event("error", message)

    def flush(self) -> None:
        """Write what is waiting, as far as that does not block."""
        with self._lock:
            if not self._waiting:
                return
            lines, self._waiting = self._waiting, []
            if lost := self._write("".join(lines).encode("ascii", "backslashreplace")):
                self.warning(f"{lost} lines of this log were lost: its reader did not keep up")

    def _event(self, level: str, message: str) -> None:
        if level not in self._wanted:
            return
        message = clean_text(message, 1_000)
        with self._lock:
            if self._as_json:
                line = json.dumps({"time": self._time(), "event": level, "message": message})
            else:
                line = f"{self._time()}{level}: {message}"
            self._waiting.append(f"{self._levels.get(level, '')}{line}\n")
            self.flush()  # without `later`, which belongs to another thread

    def _text_decision(self, record: Record) -> str:
        score = "-" if record.score is None else f"{record.score:g}"
        line = (
            f"{self._time()}decision instance={plain(record.instance)} client={plain(record.client)} "
            f"action={record.action} rule={record.rule} score={score} zones={','.join(record.zones) or '-'} "
            f"complete={'yes' if record.complete else 'no'} ms={record.ms:.3f} source={record.source}"
        )
        for name in _ENVELOPE:
            value = getattr(record, name)
            if value is not None:
                line += f" {name}={plain(value, MAIL_CHARS) if value or name == 'helo' else '<>'}"
        for name, most in _QUOTED.items():
            if text := getattr(record, name):
                line += f' {name}="{quoted(text, most)}"'
        return line

    def _json_decision(self, record: Record) -> str:
        out: dict[str, Any] = {"time": self._time(), "event": "decision"} | record._asdict()
        out["instance"], out["client"] = plain(record.instance), plain(record.client)
        out["ms"] = round(record.ms, 3)
        out["zones"] = list(record.zones)
        for name in _ENVELOPE:
            value = out.pop(name)
            if value is not None:
                out[name] = plain(value, MAIL_CHARS) if value else ""
        for name, most in _QUOTED.items():
            if text := out.pop(name):
                out[name] = clean_text(text, most)
        return json.dumps(out)

    def _time(self) -> str:
        """UTC, to the second; made once a second. JSON always has it, text where nothing else adds it."""
        if not (self._with_time or self._as_json):
            return ""
        now = int(time.time())
        if now != self._second:
            self._second = now
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
            self._stamp = stamp if self._as_json else stamp + " "
        return self._stamp

    def _add(self, line: str) -> None:
        with self._lock:
            self._waiting.append(line + "\n")
            count = len(self._waiting)
        if self.later is None or count >= 200:
            self.flush()
        elif count == 1:
            self.later(DELAY_S, self.flush)


def plain(value: str, most: int = _FIELD_CHARS) -> str:
    """A value of a request as one word of printable ASCII, `-` where there is none."""
    return _NOT_PLAIN.sub("?", value[:most]) or "-"


def quoted(text: str, most: int) -> str:
    """A text to stand in double quotes: none of its own, and no backslash."""
    return clean_text(text, most).replace("\\", "/").replace('"', "'")


class LogHandler(logging.Handler):
    """Takes what the library and asyncio log by `logging` into the daemon's log."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.INFO)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        message = f"{record.name}: {record.getMessage()}"
        if record.exc_info and record.exc_info[1]:
            message += f": {describe(record.exc_info[1])}"
        if record.levelno >= logging.ERROR:
            self._log.error(message)
        elif record.levelno >= logging.WARNING:
            self._log.warning(message)
        else:
            self._log.info(message)


def describe(error: BaseException) -> str:
    """An exception in one line: its type, its message, and where it was raised."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f" at {os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}: {error}{place}"
