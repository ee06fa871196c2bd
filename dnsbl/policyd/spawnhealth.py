"""What short-lived processes know of broken lists: one file that they share, renewed about hourly by one.

`health_file` under [policy] names it. Default: `health` in systemd's StateDirectory=, else in a directory of
this user's own below the system's for temporary files, `dnsbl-policyd-UID`, which is used only where it is
that user's and closed to others. Nothing in the file can do more than leave a zone out.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dnsbl.health.judge import State
from dnsbl.policyd.log import Log
from dnsbl.policyd.setaside import EVERY_S, broken_zones, leave_out_surges, set_aside
from dnsbl.policyd.surge import SurgeWatch

if TYPE_CHECKING:
    from dnsbl.resolver import Resolver

CHECK_S: Final = 1.0
"""How long the process that renews the file waits for the lists; the others wait as long for it."""
LOOK_S: Final = 60.0
"""How often a process looks whether the file is too old."""
COUNT_S: Final = 1.0
"""How often a process looks whether a list lists far more than it did."""
RETRY_S: Final = 60.0
"""How old the file may be while it names a broken list, or one that was silent."""
MAX_BYTES: Final = 100_000
_WAIT_STEP_S: Final = 0.02


def default_file(env: Mapping[str, str] = os.environ) -> Path | None:
    """Where the file is, its directory made; None where there is no safe place for it."""
    state = env.get("STATE_DIRECTORY", "").partition(":")[0]
    if state:
        return Path(state) / "health"
    directory = Path(tempfile.gettempdir()) / f"dnsbl-policyd-{os.getuid()}"
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
    except OSError:
        return None
    mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return directory / "health" if mine else None


class SharedHealth:
    """The health of one resolver's zones, by way of a file. `path` None: checked by this process alone."""

    def __init__(self, resolver: Resolver, path: Path | None, log: Log) -> None:
        self._resolver = resolver
        self._path = path
        self._log = log
        self._next_look = self._next_count = 0.0
        self._surges = SurgeWatch()

    def refresh(self) -> None:
        """Before an answer: know what is known; check where that is too old, or a list has gone wild.

        Takes `CHECK_S` at the most, or twice that where another process checks.
        """
        now = time.monotonic()
        wild = now >= self._next_count and self._count(now)
        if now < self._next_look and not wild:
            return
        self._next_look = now + LOOK_S
        try:
            self._refresh(wild)
        except OSError as error:
            self._log.warning(
                f"the lists' health cannot be kept in {self._path} (health_file): {error.strerror or error}"
            )
            self._path = None
            self._check()

    def _count(self, now: float) -> bool:
        """Look at this process's own counts. True: a list is to be checked at once."""
        self._next_count = now + COUNT_S
        return leave_out_surges(self._surges, self._resolver, self._log)

    def _refresh(self, wild: bool) -> None:
        if self._path is None:
            self._check()
            return
        known = self._read()
        if known is None or wild or not self._is_fresh(known):
            with self._locked() as mine:
                again = self._read()
                if again is not None and self._is_fresh(again) and not wild:
                    known = again
                elif mine:
                    known = self._check()
                    self._write(known)
        if known is not None:
            set_aside(self._resolver, known["broken"])

    def _check(self) -> dict[str, Any]:
        healths = self._resolver.health(deadline_s=CHECK_S)
        silent = [health.zone for health in healths if health.state is State.NO_ANSWER]
        return {"time": time.time(), "broken": broken_zones(self._resolver), "silent": silent}

    def _is_fresh(self, known: dict[str, Any]) -> bool:
        age_s = time.time() - known["time"]
        return bool(0 <= age_s < (RETRY_S if known["broken"] or known["silent"] else EVERY_S))

    def _read(self) -> dict[str, Any] | None:
        assert self._path is not None
        try:
            with self._path.open("rb") as file:
                found = json.loads(file.read(MAX_BYTES))
            broken = {str(name): str(why)[:500] for name, why in found["broken"].items()}
            return {"time": float(found["time"]), "broken": broken, "silent": list(found["silent"])}
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return None  # none yet, or not ours: it is written anew

    def _write(self, known: dict[str, Any]) -> None:
        assert self._path is not None
        new = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(known, file)
        new.replace(self._path)

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        """True: this process renews the file. False: another did not end within `CHECK_S`."""
        assert self._path is not None
        fd = os.open(
            self._path.with_name(self._path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            yield _lock(fd)
        finally:
            os.close(fd)


def _lock(fd: int) -> bool:
    end = time.monotonic() + CHECK_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(_WAIT_STEP_S)
