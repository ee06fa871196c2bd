"""Everything the daemon runs by, checked: the [policy] table's own keys, the rules, and the command line's.

    [policy]
    listen = ["127.0.0.1:10040", "unix:/run/dnsbl/policy.sock"]
    socket_mode = "0660"            # of UNIX sockets; never writable for everybody
    socket_group = "postfix"
    idle_timeout_s = 600            # Postfix itself closes after 300 (smtpd_policy_service_max_idle)
    read_timeout_s = 30             # from a request's first byte to its last
    max_connections = 1000
    metrics = "127.0.0.1:9140"
    cache_file = "/var/lib/dnsbl/cache"     # keeps the answers over a restart; default: the file `cache` in
                                            # systemd's StateDirectory=, and without one nothing is kept
    control = "/run/dnsbl/control"          # for `dnsbl policyd stats`; default: `control` in systemd's
                                            # RuntimeDirectory=, and without one there is none
    log = "/var/log/dnsbl-policyd.log"      # or "stderr", "syslog"; log_level: see `writers`
    health_file = "/var/lib/dnsbl/health"   # what `--spawn` processes share; default: see `spawnhealth`

Reads the configuration file, and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from dnsbl.config.file import Config, load
from dnsbl.config.settings import checked_option
from dnsbl.config.toml_table import Table
from dnsbl.errors import ConfigError
from dnsbl.policy.rules import POLICY_KEYS, Policy, compile_rules
from dnsbl.policyd.addresses import TcpAddress, UnixAddress, parse_listen, parse_tcp
from dnsbl.policyd.control import default_path
from dnsbl.policyd.files import PatternFiles
from dnsbl.policyd.log import LEVELS
from dnsbl.policyd.writers import STDERR, SYSLOG
from dnsbl.zones.zone import Zone

SERVER_KEYS: Final = (
    "listen", "socket_mode", "socket_group", "idle_timeout_s", "read_timeout_s", "max_connections", "metrics",
    "cache_file", "control", "health_file", "log", "log_level",
)  # fmt: skip

T = TypeVar("T")

DEFAULT_LISTEN: Final = "127.0.0.1:10040"
DEFAULT_MODE: Final = 0o660


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; it wins over the file. Empty or None: what the file says holds."""

    config_path: Path | None = None
    zones: tuple[str, ...] = ()
    nameservers: tuple[str, ...] = ()
    deadline_s: float | None = None
    listen: tuple[str, ...] = ()
    metrics: str | None = None
    dry_run: bool = False
    allow_remote: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """What the daemon runs by. Make one with `load_settings`."""

    config: Config = field(repr=False)
    policy: Policy
    zones: tuple[Zone, ...]
    listen: tuple[TcpAddress | UnixAddress, ...]
    socket_mode: int
    socket_group: str
    idle_timeout_s: float
    read_timeout_s: float
    max_connections: int
    metrics: TcpAddress | None
    cache_file: Path | None
    control: Path | None = None
    health_file: Path | None = None
    log: str = STDERR
    log_level: str = "info"
    files: PatternFiles = field(default_factory=PatternFiles, compare=False, repr=False)


def load_settings(options: Options, env: Mapping[str, str] = os.environ) -> Settings:
    """Read and check all of it. env: has $STATE_DIRECTORY where systemd gives one.

    Raises ConfigError and ZoneError, one line with place and remedy.
    """
    config = load(options.config_path)
    table = Table(config.policy, ("policy",), config.source)
    table.check_keys((*POLICY_KEYS, *SERVER_KEYS))
    folder = (config.path or Path()).parent
    zones = config.zones or config.catalogue.default()
    if options.zones:
        zones, _ = config.catalogue.build(options.zones)
    files = PatternFiles()
    rules = dict(config.policy) | ({"dry_run": True} if options.dry_run else {})
    listen = tuple(_address(table, "listen", text, parse_listen) for text in table.texts("listen") or ())
    metrics = table.text("metrics")
    in_file = _address(table, "metrics", metrics, parse_tcp) if metrics else None
    given = tuple(checked_option("--listen", text, parse_listen) for text in options.listen)
    return Settings(
        config=config,
        policy=compile_rules(rules, config.source, [zone.name for zone in zones], zones, files.watch),
        zones=zones,
        listen=given or listen or (parse_listen(DEFAULT_LISTEN),),
        socket_mode=_mode(table),
        socket_group=table.text("socket_group") or "",
        idle_timeout_s=table.ranged("idle_timeout_s"),
        read_timeout_s=table.ranged("read_timeout_s"),
        max_connections=int(table.ranged("max_connections")),
        metrics=checked_option("--metrics", options.metrics, parse_tcp) if options.metrics else in_file,
        cache_file=_cache_file(table, folder, env.get("STATE_DIRECTORY", "")),
        control=_control(table, folder) or default_path(env),
        health_file=table.path_from(folder, "health_file"),
        log=_log(table),
        log_level=_log_level(table),
        files=files,
    )


def _cache_file(table: Table, folder: Path, state: str) -> Path | None:
    """`cache_file`, from the configuration's directory where it is relative; else in the state directory.

    state: the directories of systemd's StateDirectory=, joined by colons (systemd.exec(5)).
    """
    first = state.partition(":")[0]
    return table.path_from(folder, "cache_file") or (Path(first) / "cache" if first else None)


def _log(table: Table) -> str:
    text = table.text("log") or STDERR
    if text not in (STDERR, SYSLOG) and not text.startswith("/"):
        raise table.error(
            "log", f'{text!r} is not a valid place for the log: use "stderr", "syslog" or "/PATH"', text
        )
    return text


def _log_level(table: Table) -> str:
    text = table.text("log_level") or "info"
    if text not in LEVELS:
        raise table.error("log_level", f"{text!r} is not a valid level: use {', '.join(LEVELS)}", text)
    return text


def cache_file_fault(settings: Settings) -> ConfigError | None:
    """What keeps `cache_file` from being written: told, but no reason to answer no mail."""
    path = settings.cache_file
    if path is None or path.parent.is_dir():
        return None
    message = f"cache_file: there is no directory {path.parent}; make it first"
    return settings.config.source.error(("policy", "cache_file"), message, path)


def _address(table: Table, key: str, text: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise table.error(key, str(error), text) from None


def _control(table: Table, folder: Path) -> Path | None:
    """A path, or `unix:` and a path, as `listen` has it."""
    text = table.text("control")
    return folder / text.removeprefix("unix:") if text else None


def _mode(table: Table) -> int:
    text = table.text("socket_mode")
    if text is None:
        return DEFAULT_MODE
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o777:
        raise table.error(
            "socket_mode", f'{text!r} is not a valid mode: use octal digits, as in "0660"', text
        )
    if mode & 0o002:
        raise table.error(
            "socket_mode", f'{text!r} lets everybody write; use "0660" and a socket_group', text
        )
    return mode
