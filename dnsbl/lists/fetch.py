"""Gets list files by HTTP: politely, and never at the cost of the file that is there.

A file is asked for no more often than its row says, with If-None-Match and If-Modified-Since, and read no
further than the size limit. What comes is checked as a list before it takes the old file's place,
in one step.
On any doubt (an error, a short or empty body, a page in the place of a list, too many bad entries) the old
file stays; a list of comments alone is a list, as EDROP became one. What a server said of its file stands
beside it, in `FILE.fetched`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from time import time
from typing import Any, Final, Literal, NamedTuple

import urllib3

from dnsbl.errors import InputError
from dnsbl.lists.read import read

MIN_INTERVAL_S: Final = 3600.0
"""What holds where a row does not say how often its operator lets it be fetched. Spamhaus asks for once a day
for DROP, and blocks who asks more than hourly."""
MAX_BYTES: Final = 256 << 20
TIMEOUT_S: Final = 60.0
_CHUNK: Final = 1 << 16
_USER_AGENT: Final = "dnsbl-resolver (zones fetch)"

What = Literal["new", "unchanged", "too soon", "failed"]


class Fetched(NamedTuple):
    """What became of one file. message: one line; for "failed" why, and that the old file stays."""

    what: What
    message: str


class _Doubt(Exception):
    """Why what came is not used."""


def fetch(
    url: str,
    path: Path | str,
    format: str = "auto",
    *,
    interval_s: float = MIN_INTERVAL_S,
    bad_share: float | None = None,
    max_bytes: int = MAX_BYTES,
    timeout_s: float = TIMEOUT_S,
    now: float | None = None,
) -> Fetched:
    """Get one list and put it at `path`, if it is newer and sound.

    url: http or https. interval_s: seconds since the last request within which it is not asked again,
    whatever that brought. bad_share: as of `dnsbl.lists.read.read`. max_bytes: longest file taken. timeout_s:
    seconds for the connection, and for each read.
    Raises nothing for what a server or the network does.
    """
    path, now = Path(path), time() if now is None else now
    if not url.startswith(("https://", "http://")):
        return Fetched("failed", "not a valid URL: use https://...")
    state = _state(path, url)
    wait_s = state.get("asked", -interval_s) + interval_s - now
    if 0 < wait_s <= interval_s:
        return Fetched(
            "too soon", f"{path}: asked for less than {interval_s:g} s ago; again in {wait_s:.0f} s"
        )
    state["asked"] = now
    try:
        _keep_state(path, url, state)  # first: who cannot keep the interval must not ask
        headers, data = _get(url, path, state, max_bytes, timeout_s)
        if data is None:
            return Fetched("unchanged", f"{path}: unchanged at the server")
        entries = _check(data, format, path, bad_share)
        replace_file(path, data)
        state |= {"etag": headers.get("ETag"), "modified": headers.get("Last-Modified")}
        _keep_state(path, url, state)
    except (_Doubt, InputError) as error:
        return Fetched("failed", f"{_shown(url)}: {error}; {path} stays as it is")
    except urllib3.exceptions.HTTPError as error:
        kind = type(error).__name__
        return Fetched("failed", f"{_shown(url)}: the transfer failed ({kind}); {path} stays as it is")
    except OSError as error:
        return Fetched("failed", f"{path}: cannot be written: {error.strerror}; it stays as it is")
    return Fetched("new", f"{path}: {entries:,} entries, {len(data):,} bytes")


def _shown(url: str) -> str:
    """The host of a URL: a path or a query may hold a customer's key."""
    return urllib3.util.parse_url(url).host or "?"


def _get(
    url: str, path: Path, state: dict[str, Any], max_bytes: int, timeout_s: float
) -> tuple[Any, bytes | None]:
    """The headers and the body; None for a body that the server says is the one we have."""
    asked = {"User-Agent": _USER_AGENT, "Accept-Encoding": "gzip"}
    if path.exists():
        names = {"etag": "If-None-Match", "modified": "If-Modified-Since"}
        asked |= {header: state[key] for key, header in names.items() if state.get(key)}
    with urllib3.PoolManager(retries=urllib3.Retry(0, redirect=3)) as pool:
        reply = pool.request("GET", url, headers=asked, preload_content=False, timeout=timeout_s)
        try:
            if reply.status == 304:
                return reply.headers, None
            if reply.status != 200:
                raise _Doubt(f"the server answers {reply.status} {reply.reason or ''}".rstrip())
            return reply.headers, _body(reply, max_bytes)
        finally:
            reply.release_conn()


def _body(reply: Any, max_bytes: int) -> bytes:
    data = bytearray()
    for chunk in reply.stream(_CHUNK, decode_content=True):
        data += chunk
        if len(data) > max_bytes:
            reply.close()
            raise _Doubt(f"longer than {max_bytes} bytes")
    return bytes(data)


def _check(data: bytes, format: str, path: Path, bad_share: float | None) -> int:
    """The number of entries; raises for what must not take the old file's place."""
    found = read(data, format, bad_share=bad_share)
    if not data:
        raise _Doubt("the body is empty")
    short = [warning.message for warning in found.warnings if warning.message.endswith("is it whole?")]
    if short:
        raise _Doubt(short[0])
    if data[-1:] != b"\n" and path.exists() and len(data) < path.stat().st_size // 2:
        raise _Doubt("it ends within a line, and has less than half the size of the old file")
    return found.entries


def replace_file(path: Path, data: bytes) -> None:
    """Put `data` at `path` in one step, with the old file's permissions, or 0644."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with open(beside, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _state_path(path: Path) -> Path:
    return path.with_name(path.name + ".fetched")


def _state(path: Path, url: str) -> dict[str, Any]:
    """What is known of the last request for this URL; nothing where that cannot be read."""
    try:
        found = json.loads(_state_path(path).read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict) or found.get("url") != url:
        return {}
    asked = found.get("asked")
    texts = {key: found.get(key) for key in ("etag", "modified") if isinstance(found.get(key), str)}
    return texts | ({"asked": float(asked)} if isinstance(asked, int | float) else {})


def _keep_state(path: Path, url: str, state: dict[str, Any]) -> None:
    replace_file(_state_path(path), (json.dumps({"url": url, **state}) + "\n").encode())
