"""A progress bar on a terminal's stderr, with the rate and the time left; and JSON lines on stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from dnsbl.audit.rows import json_error, json_line, json_text

if TYPE_CHECKING:
    from dnsbl.audit.output import Earlier

EVERY_S = 0.1


class Progress:
    """Shows how far a run is; nothing where stderr is no terminal. total: None where it is not known."""

    def __init__(self, total: int | None) -> None:
        self._total, self._done, self._earlier, self._shown_s = total, 0, 0, 0.0
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich import progress
            from rich.console import Console

            self._bar = progress.Progress(
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TextColumn("{task.fields[rate]:>10}/s"),
                progress.TextColumn("{task.fields[left]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task("", total=self._total, completed=self._done, rate="", left="")
            self._bar.start()
            self._started_s = time.monotonic()
        return self

    def begin_at(self, count: int) -> None:
        """So many items were done by an earlier run, and are no part of the rate. To be called before it is shown."""
        self._done = self._earlier = count

    def advance(self, count: int = 1) -> None:
        """So many items more are done."""
        self._done += count
        if self._bar is not None and ((now := time.monotonic()) - self._shown_s >= EVERY_S or count > 1):
            self._shown_s = now
            rate = (self._done - self._earlier) / max(now - self._started_s, EVERY_S)
            # By the rate of the whole run: rich would go by the last steps, which of a cluster are large and few.
            left = "" if self._total is None or not rate else _clock((self._total - self._done) / rate)
            self._bar.update(self._task, completed=self._done, rate=f"{rate:,.0f}", left=left)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)
            self._bar.stop()


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> _clock(3725.2)
    '1:02:05'
    """
    whole = max(int(seconds), 0)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


class Lines:
    """Rows as JSON lines on standard output."""

    form = staticmethod(json_text)
    error_form = staticmethod(json_error)

    def start(self) -> None:
        """There is nothing to begin."""

    names_all_zones = True

    def resume(self) -> Iterator[Earlier]:
        """There is nothing to go on with."""
        return iter(())

    def write(self, number: int, given: str, row: Any) -> None:
        click.echo(json_line(number, given, row))

    def close(self) -> None:
        sys.stdout.flush()
