"""The [monitor] table of dnsbl.toml: read, checked, with its defaults. Opens nothing but files of keys."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeVar, cast

from dnsbl.config.file import Config, Table
from dnsbl.errors import ConfigError, InputError
from dnsbl.monitor.nagios import Severity
from dnsbl.monitor.watch import Watch, parse_watch
from dnsbl.policyd.addresses import TcpAddress, parse_tcp
from dnsbl.zones.secret import Secret

Tls = Literal["none", "starttls", "tls"]

INTERVAL_S: Final = 1_800.0
MAX_KEY_BYTES: Final = 4_096
KEYS: Final = (
    "watch", "state", "interval_s", "confirm", "share", "warning", "critical", "severity", "summary_above",
    "program", "webhook", "webhook_key_env", "webhook_key_file", "mail_to", "mail_from", "smtp", "smtp_tls",
    "smtp_user", "smtp_key_env", "smtp_key_file", "ping", "metrics", "grid",
)  # fmt: skip
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the monitor runs by; `dnsbl.config.keys` says what each is. Make one with `load_settings`.

    webhook_key, smtp_password: as text they show as `***`. smtp: host and port.
    """

    watch: tuple[Watch, ...]
    state: Path | None = None
    interval_s: float = INTERVAL_S
    confirm: int = 2
    share: float = 0.1
    warning: int = 1
    critical: int = 1
    severity: Mapping[str, Severity] = field(default_factory=dict)
    summary_above: int = 5
    program: tuple[str, ...] = ()
    webhook: str = field(default="", repr=False)
    webhook_key: Secret | None = None
    mail_to: tuple[str, ...] = ()
    mail_from: str = ""
    smtp: tuple[str, int] = ("127.0.0.1", 25)
    smtp_tls: Tls = "none"
    smtp_user: str = ""
    smtp_password: Secret | None = None
    ping: str = field(default="", repr=False)
    metrics: TcpAddress | None = None
    grid: Path | None = None
    private: bool = False


def load_settings(
    config: Config,
    zones: Iterable[str] | None,
    watch: Iterable[str] = (),
    env: Mapping[str, str] = os.environ,
) -> Settings:
    """Read [monitor]. zones: names of those asked; None: any. watch: items that take the place of the configuration's.

    Raises ConfigError with the key's line, SubjectError for an item of `watch`.
    """
    table = Table(config.monitor, ("monitor",), config.source)
    table.check_keys(KEYS)
    private = bool(config.resolver.check_private)
    folder = (config.path or Path()).parent
    given = tuple(parse_watch(text, private=private) for text in watch)
    return Settings(
        watch=given or _watched(table, private),
        state=table.path_from(folder, "state") or _default_state(env),
        interval_s=_or(table.number("interval_s", 10, 604_800), INTERVAL_S),
        confirm=_or(table.integer("confirm", 1, 10), 2),
        share=_or(table.number("share", 0.001, 1), 0.1),
        warning=_or(table.integer("warning", 1, 1_000_000), 1),
        critical=_or(table.integer("critical", 1, 1_000_000), 1),
        severity=_severity(table, None if zones is None else set(zones)),
        summary_above=_or(table.integer("summary_above", 0, 1_000), 5),
        program=_some(table, "program"),
        webhook=_url(table, "webhook"),
        webhook_key=_key(table, "webhook", folder, env),
        mail_to=_mail_to(table),
        mail_from=_address(table, "mail_from", table.text("mail_from") or ""),
        smtp=_host_port(table, "smtp"),
        smtp_tls=cast(Tls, table.choice("smtp_tls", ("none", "starttls", "tls")) or "none"),
        smtp_user=table.text("smtp_user") or "",
        smtp_password=_key(table, "smtp", folder, env),
        ping=_url(table, "ping"),
        metrics=_placed(table, "metrics", parse_tcp),
        grid=table.path_from(folder, "grid"),
        private=private,
    )


def state_path(config: Config, env: Mapping[str, str] = os.environ) -> Path | None:
    """Where the state is, for who only reads it: no key is read."""
    table = Table(config.monitor, ("monitor",), config.source)
    return table.path_from((config.path or Path()).parent, "state") or _default_state(env)


def _or(value: _T | None, default: _T) -> _T:
    return default if value is None else value


def _watched(table: Table, private: bool) -> tuple[Watch, ...]:
    found = []
    for index, text in enumerate(table.texts("watch") or ()):
        try:
            found.append(parse_watch(text, private=private))
        except InputError as error:
            raise table.source.error((*table.path, "watch", index), f"watch: {error}", error.text) from None
    return tuple(found)


def _default_state(env: Mapping[str, str]) -> Path | None:
    """In systemd's state directory: the first of those that $STATE_DIRECTORY names (systemd.exec(5))."""
    first = env.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(first) / "monitor.db" if first else None


def _some(table: Table, key: str) -> tuple[str, ...]:
    texts = table.texts(key)
    if texts == ():
        raise table.error(key, "an empty array; name at least one, or leave the key out")
    return texts or ()


def _severity(table: Table, known: set[str] | None) -> dict[str, Severity]:
    inner = table.table("severity")
    if inner is None:
        return {}
    found: dict[str, Severity] = {}
    for zone in inner.values:
        if known is not None and zone not in known:
            raise inner.error(zone, "is not among the zones asked here; use the name of one that is", zone)
        found[zone] = cast(Severity, inner.choice(zone, ("ok", "warning", "critical")))
    return found


def _url(table: Table, key: str) -> str:
    """A URL; what is wrong is said without it, since it may hold a token."""
    text = table.text(key) or ""
    if text and (not text.startswith(("https://", "http://")) or not text.isascii() or " " in text):
        raise table.error(key, "is not a valid URL: use https://...")
    return text


def _key(table: Table, of: str, folder: Path, env: Mapping[str, str]) -> Secret | None:
    """What `OF_key_env` or `OF_key_file` names; never part of a message."""
    variable, file = table.text(f"{of}_key_env"), table.text(f"{of}_key_file")
    if variable is not None and file is not None:
        raise table.error(f"{of}_key_file", f"{of}_key_env is given too; give one of the two", file)
    if variable is not None:
        key = env.get(variable, "").strip()
        if not key:
            raise table.error(f"{of}_key_env", "no such environment variable, or it is empty: set it")
        return Secret(key)
    if file is None:
        return None
    try:
        with open(folder / file, encoding="utf-8") as opened:
            key = opened.read(MAX_KEY_BYTES).strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise table.error(f"{of}_key_file", f"{folder / file} cannot be read: {why}", file) from None
    if not key:
        raise table.error(f"{of}_key_file", f"{folder / file} is empty; put the key in it", file)
    return Secret(key)


def _mail_to(table: Table) -> tuple[str, ...]:
    return tuple(_address(table, "mail_to", text) for text in _some(table, "mail_to"))


def _address(table: Table, key: str, text: str) -> str:
    """An address as it stands in an envelope, without a name and without white space; empty as it is."""
    local, at, host = text.rpartition("@")
    fine = local and at and host and text.isprintable() and not set(text) & set(' <>,;:"')
    if text and not fine:
        raise table.error(key, f"{text!r} is not a valid mail address: use postmaster@example.com", text)
    return text


def _host_port(table: Table, key: str) -> tuple[str, int]:
    text = table.text(key) or "127.0.0.1:25"
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not host or (":" in host) is not bracketed or not port.isascii() or not port.isdigit():
        raise table.error(
            key, f"{text!r} is not a valid server: use 127.0.0.1:25 or mail.example.com:587", text
        )
    if not 1 <= int(port) <= 65_535:
        raise table.error(key, f"{port} is not a valid port: use 1 to 65535", text)
    return host, int(port)


def _placed(table: Table, key: str, parse: Callable[[str], _T]) -> _T | None:
    text = table.text(key)
    if text is None:
        return None
    try:
        return parse(text)
    except ConfigError:
        raise
    except ValueError as error:
        raise table.error(key, str(error), text) from None
