"""Everything `dnsbl serve` runs by, checked: the [serve] table's keys, and what the command line says instead.

Reads the configuration file, the token file and the password file, and nothing else.
"""

from __future__ import annotations

import ipaddress
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from dnsbl.config.file import Config, load
from dnsbl.config.settings import checked_deadline, checked_option
from dnsbl.config.toml_table import Table
from dnsbl.errors import ConfigError
from dnsbl.policyd.addresses import TcpAddress, UnixAddress, parse_listen
from dnsbl.policyd.control import default_path
from dnsbl.web.visitors import Network, parse_network
from dnsbl.zones.name import known_name

SERVE_KEYS: Final = (
    "listen", "token_file", "password_file", "hosts", "trusted_proxies", "rate_per_s", "burst",
    "max_connections", "max_subjects", "authz_zones", "authz_score", "authz_deadline_s", "state",
)  # fmt: skip

DEFAULT_LISTEN: Final = "127.0.0.1:10080"
TRUSTED_PROXIES: Final = ("127.0.0.1", "::1")
RATE_PER_S: Final = 50.0
BURST: Final = 500
MAX_CONNECTIONS: Final = 500
MAX_SUBJECTS: Final = 10_000
AUTHZ_SCORE: Final = 1.0
AUTHZ_DEADLINE_S: Final = 1.0

MIN_TOKEN: Final = 20
"""Characters: of 64 kinds each, 120 bits."""
MAX_SECRET_BYTES: Final = 1 << 20
MAX_BCRYPT_COST: Final = 14
"""Checking a password takes 2^cost steps, a second or so at 14."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; it wins over the file. Empty or None: what the file says holds."""

    config_path: Path | None = None
    zones: tuple[str, ...] = ()
    nameservers: tuple[str, ...] = ()
    deadline_s: float | None = None
    listen: tuple[str, ...] = ()
    token_file: Path | None = None
    password_file: Path | None = None
    state: Path | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What the server runs by. Make one with `load_settings`.

    token: what `Authorization: Bearer` has to say; empty: no token opens. passwords: bcrypt hashes by user.
    hosts: names, besides loopback's, by which browsers may reach a server that asks nobody who he is.
    trusted: the proxies whose X-Forwarded-For is believed. rate_per_s: subjects a second and client; 0: any.
    state: the monitor's file. control: the policy daemon's control socket.
    """

    config: Config = field(repr=False)
    options: Options
    listen: tuple[TcpAddress | UnixAddress, ...]
    token: str = field(repr=False)
    passwords: Mapping[str, bytes] = field(repr=False)
    hosts: frozenset[str]
    trusted: tuple[Network, ...]
    rate_per_s: float
    burst: int
    max_connections: int
    max_subjects: int
    authz_zones: tuple[str, ...]
    authz_score: float
    authz_deadline_s: float
    state: Path | None
    control: Path | None

    @property
    def is_open(self) -> bool:
        """Whoever reaches the server is served."""
        return not self.token and not self.passwords


def load_settings(options: Options, env: Mapping[str, str] = os.environ) -> Settings:
    """Read and check all of it. env: has $RUNTIME_DIRECTORY where systemd gives one.

    Raises ConfigError, one line with place and remedy; also where an address beyond loopback is to be
    listened on without a token or passwords.
    """
    config = load(options.config_path)
    table = Table(config.serve, ("serve",), config.source)
    table.check_keys(SERVE_KEYS)
    folder = (config.path or Path()).parent
    in_file = tuple(_each(table, "listen", parse_listen))
    given = tuple(checked_option("--listen", text, parse_listen) for text in options.listen)
    token_file = options.token_file or table.path_from(folder, "token_file")
    password_file = options.password_file or table.path_from(folder, "password_file")
    rate, score = table.number("rate_per_s", 0, 1_000_000), table.number("authz_score", 0.001, 1_000_000)
    if options.deadline_s is not None:
        checked_deadline(options.deadline_s, "--deadline")
    settings = Settings(
        config=config,
        options=options,
        listen=given or in_file or (parse_listen(DEFAULT_LISTEN),),
        token=_token(token_file) if token_file else "",
        passwords=_passwords(password_file) if password_file else {},
        hosts=frozenset(name.lower() for name in table.texts("hosts") or ()),
        trusted=tuple(_each(table, "trusted_proxies", parse_network))
        or tuple(map(parse_network, TRUSTED_PROXIES)),
        rate_per_s=RATE_PER_S if rate is None else rate,
        burst=table.integer("burst", 1, 1_000_000) or BURST,
        max_connections=table.integer("max_connections", 1, 100_000) or MAX_CONNECTIONS,
        max_subjects=table.integer("max_subjects", 1, 1_000_000) or MAX_SUBJECTS,
        authz_zones=tuple(_each(table, "authz_zones", known_name)),
        authz_score=AUTHZ_SCORE if score is None else score,
        authz_deadline_s=table.number("authz_deadline_s", 0.01, 60) or AUTHZ_DEADLINE_S,
        state=options.state or table.path_from(folder, "state"),
        control=_control(config, folder) or default_path(env),
    )
    _refuse_open_doors(settings)
    return settings


def _refuse_open_doors(settings: Settings) -> None:
    for address in settings.listen:
        if isinstance(address, TcpAddress) and not address.is_loopback and settings.is_open:
            raise ConfigError(
                f"{address} can be reached from other hosts: give --token-file or --password-file (or "
                "token_file, password_file under [serve]), or listen on 127.0.0.1 or [::1]",
                str(address),
            )


def _each(table: Table, key: str, parse: Callable[[str], T]) -> list[T]:
    """Each text of an array, read by `parse`; a complaint gets its line."""
    found = []
    for index, text in enumerate(table.texts(key) or ()):
        try:
            found.append(parse(text))
        except ValueError as error:
            raise table.source.error((*table.path, key, index), f"{key}: {error}", text) from None
    return found


def _control(config: Config, folder: Path) -> Path | None:
    """`control` of [policy]: where a daemon that runs by the same file can be asked."""
    text = config.policy.get("control")
    return folder / text.removeprefix("unix:") if isinstance(text, str) and text else None


# ---- secrets ----


def _token(path: Path) -> str:
    token = _secret(path).strip()
    if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            f"{path}: not a valid token: use one line of {MIN_TOKEN} or more characters without blanks, as "
            "`openssl rand -hex 32` writes",
            str(path),
        )
    return token


def _passwords(path: Path) -> dict[str, bytes]:
    """The users of a file as `htpasswd -B` writes it."""
    found: dict[str, bytes] = {}
    for number, line in enumerate(_secret(path).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        user, _, hashed = line.strip().partition(":")
        kind, _, rest = hashed[1:].partition("$")
        cost = rest.partition("$")[0]
        good = kind in ("2a", "2b", "2y") and len(hashed) == 60 and hashed[0] == "$" and cost.isdigit()
        if not user or not good or not 4 <= int(cost) <= MAX_BCRYPT_COST:
            raise ConfigError(
                f"{path}:{number}: not a user and a bcrypt hash of cost 4 to {MAX_BCRYPT_COST}: write the "
                "line with `htpasswd -nB USER`",
                str(path),
            )
        found[user] = hashed.encode()
    if not found:
        raise ConfigError(f"{path}: has no user: add one with `htpasswd -B {path} USER`", str(path))
    return found


def _secret(path: Path) -> str:
    """The text of a file that others may not read."""
    try:
        with open(path, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}", str(path)) from None
    if mode & 0o007:
        raise ConfigError(f"{path}: every user may read or write it: chmod 640 {path}", str(path))
    try:
        if len(data) > MAX_SECRET_BYTES:
            raise ValueError
        return data.decode()
    except ValueError:
        raise ConfigError(
            f"{path}: not a text file of at most 1 MiB; is it the right file?", str(path)
        ) from None


def is_loopback_name(host: str) -> bool:
    """Whether a Host header's name, without its port, can mean this machine only.

    >>> is_loopback_name("localhost"), is_loopback_name("[::1]"), is_loopback_name("rebound.example.com")
    (True, True, False)
    """
    if host in ("localhost", ""):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
