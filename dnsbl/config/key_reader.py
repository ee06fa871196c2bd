"""The keys of keyed zones, from environment variables and files, and files read up to a size.

A key is never part of a message, nor is what may be one that was written in the place of a name.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dnsbl.config.toml_table import Table
from dnsbl.errors import ConfigError
from dnsbl.zones.secret import MASK, Secret

MAX_KEY_BYTES: Final = 4096


def read_text(path: Path, limit_bytes: int) -> str:
    """The text of a file. Raises ConfigError where it is longer or not UTF-8, OSError where it cannot be read."""
    with open(path, "rb") as file:
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise ConfigError(f"{path}: longer than {limit_bytes} bytes; is it the right file?", str(path))
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8; save the file as UTF-8", str(path)) from None


_VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]*")
_NOT_THE_KEY: Final = "; give the name of what holds the key, not the key itself"


class KeyReader:
    """Reads the keys of keyed zones, or with env None gives a stand-in. warnings: one line each."""

    def __init__(self, folder: Path, env: Mapping[str, str] | None) -> None:
        self.folder = folder
        self.env = env
        self.warnings: list[str] = []

    def read(self, table: Table) -> Secret | None:
        """The key that a zone's `key_env` or `key_file` names; None where it names none."""
        variable, file = table.text("key_env"), table.text("key_file")
        if variable is not None and file is not None:
            raise table.error("key_file", "key_env is given too; give one of the two", file)
        if self.env is None:
            return Secret("key") if variable or file else None
        if variable is not None:
            key = self.env.get(variable, "").strip()
            if not key:
                shown = variable if _VARIABLE.fullmatch(variable) else MASK
                message = f"the environment variable {shown} is not set, or empty{_NOT_THE_KEY}"
                raise table.error("key_env", message, shown)
            return Secret(key)
        return None if file is None else self._from_file(table, file)

    def _from_file(self, table: Table, name: str) -> Secret:
        path = self.folder / name
        try:
            key = read_text(path, MAX_KEY_BYTES).strip()
            mode = path.stat().st_mode
        except OSError as error:
            shown = str(path) if "/" in name or "." in name else MASK
            message = f"{shown} cannot be read: {error.strerror}{_NOT_THE_KEY}"
            raise table.error("key_file", message, shown) from None
        if not key:
            raise table.error("key_file", f"{path} is empty; put the key in it, on one line", name)
        if mode & stat.S_IROTH:
            where = table.source.where((*table.path, "key_file"))
            self.warnings.append(f"{where}: everybody can read the key in {path}; chmod o-r {path}")
        return Secret(key)
