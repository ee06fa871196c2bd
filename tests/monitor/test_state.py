"""The state file: one writer, readers beside it, and nothing half done."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dnsbl.monitor.entry import Change, Entry
from dnsbl.monitor.state import Reader, State, StateError

ENTRY = Entry("192.0.2.99", "bl.example", "listed", 5.0, "listed", 5.0, codes=("127.0.0.2",), reason="spam")
CHANGE = Change(6.0, "192.0.2.99", "bl.example", "listed", 5.0, via=("192.0.2.0/24",))


def test_what_is_written_is_read_by_another_connection(tmp_path: Path) -> None:
    with State(tmp_path / "m.db") as state, Reader(tmp_path / "m.db") as reader:
        with state.change():
            state.put_subjects({"192.0.2.99": ["192.0.2.0/24"]})
            state.put_entries([ENTRY])
            assert state.add_change(CHANGE) == 1
            state.put_meta(round=1.0)
            assert list(reader.entries()) == [], "not before it is whole"
        assert list(reader.entries("192.0.2.99", "bl.example")) == [ENTRY]
        assert reader.changes("192.0.2.99")[0].via == ("192.0.2.0/24",)
        assert reader.changes(before=1) == []
        assert reader.subjects() == {"192.0.2.99": ("192.0.2.0/24",)}
        assert reader.meta() == {"round": 1.0}
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader._file.execute("DELETE FROM entry")
    with Reader(tmp_path / "m.db") as reader:
        assert list(reader.entries()) == [ENTRY]


def put_half(state: State) -> None:
    with state.change():
        state.put_entries([ENTRY])
        state._file.execute("INSERT INTO no_such_table VALUES (1)")


def test_what_fails_midway_leaves_nothing(tmp_path: Path) -> None:
    with State(tmp_path / "m.db") as state:
        with pytest.raises(sqlite3.Error):
            put_half(state)
        assert list(state.entries()) == []


def test_a_second_writer_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    with State(tmp_path / "m.db"):
        with pytest.raises(StateError, match=f"another monitor \\(process {os.getpid()}\\) writes it: stop"):
            State(tmp_path / "m.db")
        State(tmp_path / "other.db").close()
    State(tmp_path / "m.db").close()


def test_a_killed_writer_leaves_no_lock(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from dnsbl.monitor.state import State; from dnsbl.monitor.entry import Entry\n"
        "state = State(sys.argv[1]); state._file.execute('BEGIN IMMEDIATE')\n"
        "state.put_entries([Entry('192.0.2.1', 'bl.example')]); os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path / "m.db")], check=False, timeout=60)
    assert ended.returncode == -9
    with State(tmp_path / "m.db") as state:
        assert list(state.entries()) == []


@pytest.mark.parametrize("content", [b"no database at all, but long enough to look like one" * 40, b""])
def test_a_file_that_is_no_state_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.db").write_bytes(content)
    with pytest.raises(StateError, match=r"m\.db: (not a state file|cannot be read)"):
        Reader(tmp_path / "m.db")
    if content:
        with pytest.raises(StateError, match=r"m\.db: not a state file"):
            State(tmp_path / "m.db")
        assert (tmp_path / "m.db").read_bytes() == content


def test_a_database_of_others_or_of_another_version_is_refused(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "other.db").executescript("CREATE TABLE x (y)")
    with pytest.raises(StateError, match="not a state file"):
        State(tmp_path / "other.db")
    State(tmp_path / "m.db").close()
    sqlite3.connect(tmp_path / "m.db").executescript("PRAGMA user_version = 9")
    with pytest.raises(StateError, match="version 9; this program has 1"):
        Reader(tmp_path / "m.db")


def test_a_missing_file_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="no such state file"):
        Reader(tmp_path / "m.db")
    with pytest.raises(StateError, match="cannot be opened"):
        State(tmp_path / "no" / "m.db")


def test_spent_is_counted_by_the_day(tmp_path: Path) -> None:
    with State(tmp_path / "m.db") as state:
        state.spend("bl.example", 10, 100)
        state.spend("bl.example", 10, -30)
        assert state.spent(10) == {"bl.example": 70}
        state.spend("bl.example", 11, 5)
        assert (state.spent(10), state.spent(11)) == ({}, {"bl.example": 5})
        state.spend("bl.example", 11, -50)
        assert state.spent(11) == {"bl.example": 0}


def test_another_user_may_read_it_with_and_without_a_writer() -> None:
    """Who may not write beside the file; as root this is user 65534, else it is only another process."""
    code = (
        "import os, sys; from dnsbl.monitor.state import Reader\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setuid(65534)\n"
        "print([entry.subject for entry in Reader(sys.argv[1]).entries()])"
    )

    def read(path: Path) -> str:
        command = [sys.executable, "-c", code, str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    with tempfile.TemporaryDirectory(prefix="dnsbl-monitor-") as folder:
        path = Path(folder) / "m.db"
        path.parent.chmod(0o755)
        with State(path) as state:
            with state.change():
                state.put_entries([ENTRY])
            assert read(path) == "['192.0.2.99']\n"
        assert read(path) == "['192.0.2.99']\n"
