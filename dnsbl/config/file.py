"""dnsbl.toml -> Config: which file is read, what its keys are, and the zones it makes.

The order: the path given, else `$DNSBL_CONFIG`, else /etc/dnsbl.toml where there is one, else the curated
default. [resolver] and [[zone]] are checked here; [policy] is handed on as it stands, for
dnsbl/policy/rules.py, and so are [monitor], for `dnsbl monitor`, [serve], for `dnsbl serve`, and [postfix], for
`dnsbl zones export`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from dnsbl.config.key_reader import KeyReader, read_text
from dnsbl.config.message import MessageConfig, message_config
from dnsbl.config.toml_lines import Path as KeyPath
from dnsbl.config.toml_table import Source, Table, check_keys, each_text, parse_toml
from dnsbl.config.zone_table import ListSource, sources_of, zone_of
from dnsbl.errors import ConfigError, InputError
from dnsbl.names.nameserver import parse_nameserver
from dnsbl.zones.catalogue import Catalogue
from dnsbl.zones.catalogue import load as load_catalogue
from dnsbl.zones.name import known_name
from dnsbl.zones.zone import Zone

__all__ = ["Config", "ResolverConfig", "Source", "Table", "check_keys", "load", "parse"]

VARIABLE: Final = "DNSBL_CONFIG"
SYSTEM_PATH: Final = Path("/etc/dnsbl.toml")
MAX_BYTES: Final = 1 << 20
"""Longest configuration file taken. A file of a hundred zones and rules has about 20 KiB."""

TABLES: Final = ("resolver", "zone", "policy", "message", "monitor", "serve", "postfix")


@dataclass(frozen=True, slots=True)
class ResolverConfig:
    """[resolver]: what the file says. None where it is silent: the Resolver's own default holds.

    nameservers: `ADDRESS:PORT` each. deadline_s, timeout_s, reason_timeout_s, ttl_min_s, ttl_max_s: seconds.
    tries: at most so many queries for one question. cache_size: entries. catalogue: the catalogue's file.
    allow: names of zones that are used although the catalogue warns of them or calls them retired.
    """

    nameservers: tuple[str, ...] | None = None
    deadline_s: float | None = None
    timeout_s: float | None = None
    tries: int | None = None
    cache_size: int | None = None
    ttl_min_s: float | None = None
    ttl_max_s: float | None = None
    reasons: bool | None = None
    reason_timeout_s: float | None = None
    check_private: bool | None = None
    catalogue: Path | None = None
    allow: tuple[str, ...] = ()

    def given(self) -> dict[str, Any]:
        """The keys that the file has, by name.

        >>> ResolverConfig(deadline_s=2.0).given()
        {'deadline_s': 2.0}
        """
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if value not in (None, ())}


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration that was read and checked.

    path: the file, or None for the curated default. zones: ready to be asked, in the file's order, each once.
    warnings: one line each, to be shown or logged once. policy, monitor, serve, postfix: the raw tables of
    these names. tables: the [[zone]] tables as they stand. sources: the list files that are fetched.
    source: names the line of any key in an error.
    """

    path: Path | None
    resolver: ResolverConfig
    zones: tuple[Zone, ...]
    catalogue: Catalogue = field(repr=False)
    warnings: tuple[str, ...] = ()
    policy: Mapping[str, Any] = field(default_factory=dict, repr=False)
    monitor: Mapping[str, Any] = field(default_factory=dict, repr=False)
    tables: tuple[Table, ...] = field(default=(), repr=False)
    postfix: Mapping[str, Any] = field(default_factory=dict, repr=False)
    serve: Mapping[str, Any] = field(default_factory=dict, repr=False)
    message: MessageConfig = field(default_factory=MessageConfig)
    sources: tuple[ListSource, ...] = field(default=(), repr=False)
    source: Source = field(default_factory=lambda: Source("dnsbl.toml"), repr=False)

    def where(self, path: KeyPath) -> str:
        """`FILE:LINE` of a key path such as `("policy", "rule", 2, "action")`."""
        return self.source.where(path)


def load(
    path: Path | str | None = None,
    env: Mapping[str, str] = os.environ,
    *,
    retired: bool = False,
    keys: bool = True,
) -> Config:
    """Read the configuration: `path`, else the file `$DNSBL_CONFIG` names, else /etc/dnsbl.toml, else none.

    retired: take retired zones too, for who tells of them. keys: False reads no key, and a keyed zone has a
    stand-in for one, for who shows or writes zones and asks none.
    Raises ConfigError, one line with file and line number, where a file that was named is not there or
    cannot be used. A missing /etc/dnsbl.toml gives the curated default.
    """
    named = path or env.get(VARIABLE) or None
    target = Path(named) if named else SYSTEM_PATH
    try:
        text = read_text(target, MAX_BYTES)
    except OSError as error:
        if named is None and isinstance(error, FileNotFoundError):
            return parse("", name="default")
        hint = f", which ${VARIABLE} names" if named and not path else ""
        raise ConfigError(f"{target}{hint}: cannot be read: {error.strerror}", str(target)) from None
    return parse(text, name=str(target), path=target, env=env, retired=retired, keys=keys)


def parse(
    text: str,
    *,
    name: str = "dnsbl.toml",
    path: Path | None = None,
    env: Mapping[str, str] = os.environ,
    retired: bool = False,
    keys: bool = True,
) -> Config:
    """Make a Config from the text of a dnsbl.toml. `name` is how errors call it; `path` is its place,
    from which relative ones in `key_file` and `catalogue` start.
    `retired` and `keys` as for `load`.

    Reads the files that `key_file` and `catalogue` name, and no other. Raises ConfigError.

    >>> parse('[[zone]]\\nname = "bl.example.com"').zones[0].name
    'bl.example.com'
    """
    values, source = parse_toml(text, name)
    check_keys(values, TABLES, (), source)
    top = Table(values, (), source)
    folder = path.parent if path else Path()
    resolver = _resolver(top.table("resolver") or Table({}, ("resolver",), source), folder)
    catalogue = _catalogue(resolver, source)
    tables = top.tables("zone")
    key_reader = KeyReader(folder, env if keys else None)
    zones = [zone_of(table, catalogue, key_reader) for table in tables]
    dead = [row.name for row in catalogue if row.status == "retired"] if retired else []
    built, warnings = _build(catalogue, zones, tables, (*resolver.allow, *dead))
    raw = {name: top.table(name) for name in ("policy", "monitor", "serve", "postfix")}
    return Config(
        path=path,
        resolver=resolver,
        zones=built,
        catalogue=catalogue,
        warnings=(*catalogue.warnings, *key_reader.warnings, *warnings),
        tables=tables,
        **{name: table.values for name, table in raw.items() if table},
        message=message_config(top.table("message")),
        sources=tuple(sources_of(tables, folder)),
        source=source,
    )


def _resolver(table: Table, folder: Path) -> ResolverConfig:
    table.check_keys(f.name for f in fields(ResolverConfig))
    ttl_min_s, ttl_max_s = table.within("ttl_min_s"), table.within("ttl_max_s")
    if ttl_min_s is not None and ttl_max_s is not None and ttl_min_s > ttl_max_s:
        raise table.error("ttl_min_s", f"{ttl_min_s:g} is above ttl_max_s = {ttl_max_s:g}", ttl_min_s)
    catalogue = table.text("catalogue")
    return ResolverConfig(
        nameservers=each_text(table, "nameservers", parse_nameserver),
        deadline_s=table.within("deadline_s"),
        timeout_s=table.within("timeout_s"),
        tries=_whole(table, "tries"),
        cache_size=_whole(table, "cache_size"),
        ttl_min_s=ttl_min_s,
        ttl_max_s=ttl_max_s,
        reasons=table.flag("reasons"),
        reason_timeout_s=table.within("reason_timeout_s"),
        check_private=table.flag("check_private"),
        catalogue=folder / catalogue if catalogue else None,
        allow=each_text(table, "allow", known_name) or (),
    )


def _whole(table: Table, key: str) -> int | None:
    value = table.within(key)
    return None if value is None else int(value)


def _catalogue(resolver: ResolverConfig, source: Source) -> Catalogue:
    try:
        return load_catalogue(resolver.catalogue)
    except (InputError, OSError) as error:
        text = error.text if isinstance(error, InputError) else str(resolver.catalogue)
        raise source.error(("resolver", "catalogue"), str(error), text) from None


def _build(
    catalogue: Catalogue, zones: list[Zone], tables: tuple[Table, ...], allow: tuple[str, ...]
) -> tuple[tuple[Zone, ...], tuple[str, ...]]:
    """The zones to be asked: each once, dead ones refused; the curated default where the file names none."""
    if not zones:
        return catalogue.default(), ()
    try:
        return catalogue.build(zones, allow=allow)
    except InputError as error:
        at = next((at for at, zone in enumerate(zones) if zone.name == error.text), 0)
        raise tables[at].source.error((*tables[at].path, "name"), str(error), error.text) from None
