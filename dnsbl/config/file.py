"""dnsbl.toml -> Config: which file is read, what its keys are, and the zones it makes.

The order: the path given, else `$DNSBL_CONFIG`, else /etc/dnsbl.toml where there is one, else the curated
default. [resolver] and [[zone]] are checked here; [policy] is handed on as it stands, for
dnsbl/policy/rules.py, and so are [monitor], for `dnsbl monitor`, [serve], for `dnsbl serve`, and [postfix], for
`dnsbl zones export`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from dnsbl.config.message import MessageConfig, message_config
from dnsbl.config.toml_lines import Path as KeyPath
from dnsbl.config.toml_table import Source, Table, check_keys, parse_toml
from dnsbl.errors import ConfigError, InputError
from dnsbl.lists.read import check_format
from dnsbl.names.nameserver import parse_nameserver
from dnsbl.subject.hashed import HASHES, NORMAL_FORMS
from dnsbl.zones.catalogue import Catalogue
from dnsbl.zones.catalogue import load as load_catalogue
from dnsbl.zones.replyfilter import parse_reply_filter
from dnsbl.zones.row import parse_code
from dnsbl.zones.secret import MASK, Secret, mask_keys
from dnsbl.zones.zone import KINDS, MAX_WEIGHT, Code, Filter, Zone, check_name, known_name

__all__ = ["Config", "ResolverConfig", "Source", "Table", "check_keys", "load", "parse"]

VARIABLE: Final = "DNSBL_CONFIG"
SYSTEM_PATH: Final = Path("/etc/dnsbl.toml")
MAX_BYTES: Final = 1 << 20
"""Longest configuration file taken. A file of a hundred zones and rules has about 20 KiB."""
MAX_KEY_BYTES: Final = 4096

MAX_TTL_S: Final = 7 * 86_400

TABLES: Final = ("resolver", "zone", "policy", "message", "monitor", "serve", "postfix")
ZONE_KEYS: Final = (
    "name", "subjects", "domain", "weight", "reply", "codes", "nameservers", "timeout_s", "on_error",
    "key_env", "key_file", "daily_limit", "file", "format", "url", "interval_s", "hash", "normal_form",
)  # fmt: skip
MAIL_KINDS: Final = "email, url, dkim, link_a, link_ns"
CODE_KEYS: Final = ("match", "mask", "outcome", "meaning", "weight")
ANY_REPLY: Final = "any"
"""`reply = "any"`: any reply that the zone's codes call a listing counts, once. It is what a zone without a
filter is in postscreen_dnsbl_sites; without `reply` each code that is found counts."""


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
class ListSource:
    """Where a list file comes from: what `dnsbl zones fetch` gets. interval_s: seconds between requests."""

    zone: str
    path: Path
    url: str
    format: str = "auto"
    interval_s: float = 86_400.0


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
        text = _read(target, MAX_BYTES)
    except OSError as error:
        if named is None and isinstance(error, FileNotFoundError):
            return parse("", name="default")
        hint = f", which ${VARIABLE} names" if named and not path else ""
        raise ConfigError(f"{target}{hint}: cannot be read: {error.strerror}", str(target)) from None
    return parse(text, name=str(target), path=target, env=env, retired=retired, keys=keys)


def _read(path: Path, limit_bytes: int) -> str:
    with open(path, "rb") as file:
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise ConfigError(f"{path}: longer than {limit_bytes} bytes; is it the right file?", str(path))
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8; save the file as UTF-8", str(path)) from None


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
    key_reader = _Keys(folder, env if keys else None)
    zones = [_zone(table, catalogue, key_reader) for table in tables]
    dead = [row.name for row in catalogue if row.status == "retired"] if retired else []
    built, warnings = _build(catalogue, zones, tables, (*resolver.allow, *dead))
    policy, monitor, postfix = (top.table(name) for name in ("policy", "monitor", "postfix"))
    policy, postfix, serve = top.table("policy"), top.table("postfix"), top.table("serve")
    return Config(
        path=path,
        resolver=resolver,
        zones=built,
        catalogue=catalogue,
        warnings=(*catalogue.warnings, *key_reader.warnings, *warnings),
        policy=policy.values if policy else {},
        monitor=monitor.values if monitor else {},
        tables=tables,
        postfix=postfix.values if postfix else {},
        serve=serve.values if serve else {},
        message=message_config(top.table("message")),
        sources=tuple(_sources(tables, folder)),
        source=source,
    )


def _resolver(table: Table, folder: Path) -> ResolverConfig:
    table.check_keys(f.name for f in fields(ResolverConfig))
    ttl_min_s, ttl_max_s = table.number("ttl_min_s", 0, MAX_TTL_S), table.number("ttl_max_s", 0, MAX_TTL_S)
    if ttl_min_s is not None and ttl_max_s is not None and ttl_min_s > ttl_max_s:
        raise table.error("ttl_min_s", f"{ttl_min_s:g} is above ttl_max_s = {ttl_max_s:g}", ttl_min_s)
    catalogue = table.text("catalogue")
    return ResolverConfig(
        nameservers=_each(table, "nameservers", parse_nameserver),
        deadline_s=table.number("deadline_s", 0.001, 300),
        timeout_s=table.number("timeout_s", 0.001, 60),
        tries=table.integer("tries", 1, 100),
        cache_size=table.integer("cache_size", 0, 100_000_000),
        ttl_min_s=ttl_min_s,
        ttl_max_s=ttl_max_s,
        reasons=table.flag("reasons"),
        reason_timeout_s=table.number("reason_timeout_s", 0, 60),
        check_private=table.flag("check_private"),
        catalogue=folder / catalogue if catalogue else None,
        allow=_each(table, "allow", known_name) or (),
    )


def _each(table: Table, key: str, parse_one: Callable[[str], str]) -> tuple[str, ...] | None:
    """An array of texts, each read by `parse_one`, whose complaint gets its element's line."""
    texts = table.texts(key)
    if texts is None:
        return None
    if not texts:
        raise table.error(key, "an empty array; name at least one, or leave the key out")
    found = []
    for index, text in enumerate(texts):
        with _placed(table, key, index):
            found.append(parse_one(text))
    return tuple(found)


@contextmanager
def _placed(table: Table, *key: str | int) -> Iterator[None]:
    """Turns what the parts of a zone complain of into a ConfigError with the line of `key`."""
    try:
        yield
    except ConfigError:
        raise
    except InputError as error:
        raise table.source.error((*table.path, *key), str(error), error.text) from None


def _catalogue(resolver: ResolverConfig, source: Source) -> Catalogue:
    try:
        return load_catalogue(resolver.catalogue)
    except (InputError, OSError) as error:
        text = error.text if isinstance(error, InputError) else str(resolver.catalogue)
        raise source.error(("resolver", "catalogue"), str(error), text) from None


def _zone(table: Table, catalogue: Catalogue, keys: _Keys) -> Zone:
    """One [[zone]] table as a Zone: what it leaves out comes from the catalogue."""
    table.check_keys(ZONE_KEYS)
    name = table.text("name")
    if name is None:
        raise table.source.error(table.path, 'a [[zone]] needs a name, as in name = "zen.spamhaus.org"')
    if mask_keys(name) != name:
        message = f"holds a key: write {_bare(name)!r}, and put the key into a file that key_file names"
        raise table.error("name", message, name)
    with _placed(table, "name"):
        name = check_name(name)
    weight = table.number("weight", -MAX_WEIGHT, MAX_WEIGHT)
    reply = table.text("reply")
    if table.values.get("codes") == []:
        raise table.error("codes", "an empty array; leave the key out")
    codes = tuple(map(_code, table.tables("codes")))
    given = {
        "subjects": _subjects(table),
        "domain": table.choice("domain", ("registrable", "host")),
        "hash": table.choice("hash", HASHES),
        "normal_form": table.choice("normal_form", NORMAL_FORMS),
        "weight": weight if reply is None else None,
        "filters": None if reply is None else (_filter(table, reply, weight),),
        "codes": codes or None,
        "nameservers": _each(table, "nameservers", parse_nameserver),
        "timeout_s": table.number("timeout_s", 0.001, 60),
        "on_error": table.choice("on_error", ("no_opinion", "listed")),
        "daily_limit": table.integer("daily_limit", 1, 10**12),
        "key": keys.read(table),
    }
    if file := table.text("file"):
        return _file_zone(table, name, keys.folder / file, given)
    for key in ("format", "url", "interval_s"):
        if key in table.values:
            raise table.error(key, f"it is about a list file: name that with file, or leave {key} out")
    with _placed(table):
        return catalogue.zone(name, **{key: value for key, value in given.items() if value is not None})


FILE_KEYS: Final = ("subjects", "weight", "filters", "codes")
"""What of a zone also applies where its list is a file."""


def _file_zone(table: Table, name: str, path: Path, given: Mapping[str, Any]) -> Zone:
    """A zone whose list is a file; what is about asking by DNS is refused."""
    for key in ("nameservers", "timeout_s", "daily_limit", "key_env", "key_file", "on_error", "domain"):
        if key in table.values:
            raise table.error(key, "means nothing for a list file, which is not asked by DNS; leave it out")
    format = table.text("format") or "auto"
    values = {key: given[key] for key in FILE_KEYS if given[key] is not None}
    with _placed(table, "format"):
        check_format(format)
    with _placed(table):
        return Zone.from_file(path, name=name, format=format, **values)


MIN_INTERVAL_S: Final = 3600
MAX_INTERVAL_S: Final = 31 * 86_400


def _sources(tables: tuple[Table, ...], folder: Path) -> Iterator[ListSource]:
    """The list files with a URL. An hour is the shortest interval: operators block who asks more often."""
    for table in tables:
        url, interval_s = table.text("url"), table.number("interval_s", MIN_INTERVAL_S, MAX_INTERVAL_S)
        if url is None:
            if interval_s is not None:
                raise table.error("interval_s", "is about fetching: name what to fetch with url")
            continue
        if not url.startswith(("https://", "http://")):
            raise table.error("url", f"{url[:60]!r} is not a valid URL: use https://...", url)
        name, file = check_name(table.values["name"]), folder / table.values["file"]
        yield ListSource(name, file, url, table.text("format") or "auto", interval_s or 86_400.0)


def _bare(name: str) -> str:
    """A name without its key; it is masked first, so that nothing of the key is left."""
    return mask_keys(name).rpartition(MASK + ".")[2]


def _subjects(table: Table) -> frozenset[str] | None:
    names = table.texts("subjects")
    if names is None:
        return None
    for index, name in enumerate(names):
        if name not in KINDS:
            path = (*table.path, "subjects", index)
            raise table.source.error(
                path, f"subjects: {name!r} is none of ip4, ip6, domain, {MAIL_KINDS}", name
            )
    return frozenset(names)


def _filter(table: Table, reply: str, weight: float | None) -> Filter:
    """`reply` as an entry of its own: it counts 1 unless a weight is given, as in postscreen_dnsbl_sites."""
    with _placed(table, "reply"):
        accepted = None if reply == ANY_REPLY else parse_reply_filter(reply)
        return Filter(accepted, 1.0 if weight is None else weight)


def _code(table: Table) -> Code:
    table.check_keys(CODE_KEYS)
    with _placed(table):
        return parse_code(table.values)


_VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]*")
_NOT_THE_KEY: Final = "; give the name of what holds the key, not the key itself"


class _Keys:
    """Reads the keys of keyed zones, or with env None gives a stand-in. A key is never part of a message,
    nor is what may be one that was written in the place of a name."""

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
            key = _read(path, MAX_KEY_BYTES).strip()
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
