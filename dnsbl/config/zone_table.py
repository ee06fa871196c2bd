"""[[zone]] tables -> zones, and where their list files come from. Reads no file but those that hold keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from dnsbl.config.key_reader import KeyReader
from dnsbl.config.toml_table import Table, each_text, placed
from dnsbl.lists.read import check_format
from dnsbl.names.nameserver import parse_nameserver
from dnsbl.subject.hashed import HASHES, NORMAL_FORMS
from dnsbl.zones.catalogue import Catalogue
from dnsbl.zones.name import check_name
from dnsbl.zones.replyfilter import parse_reply_filter
from dnsbl.zones.row import parse_code
from dnsbl.zones.secret import MASK, mask_keys
from dnsbl.zones.zone import KINDS, Code, Filter, Zone

ZONE_KEYS: Final = (
    "name", "subjects", "domain", "weight", "reply", "codes", "nameservers", "timeout_s", "on_error",
    "key_env", "key_file", "daily_limit", "file", "format", "bad_share", "url", "interval_s", "hash", "normal_form",
)  # fmt: skip
MAIL_KINDS: Final = "email, url, dkim, link_a, link_ns"
CODE_KEYS: Final = ("match", "mask", "outcome", "meaning", "weight")
ANY_REPLY: Final = "any"
"""`reply = "any"`: any reply that the zone's codes call a listing counts, once. It is what a zone without a
filter is in postscreen_dnsbl_sites; without `reply` each code that is found counts."""


@dataclass(frozen=True, slots=True)
class ListSource:
    """Where a list file comes from: what `dnsbl zones fetch` gets. interval_s: seconds between requests."""

    zone: str
    path: Path
    url: str
    format: str = "auto"
    interval_s: float = 86_400.0
    bad_share: float | None = None


def zone_of(table: Table, catalogue: Catalogue, keys: KeyReader) -> Zone:
    """One [[zone]] table as a Zone: what it leaves out comes from the catalogue."""
    table.check_keys(ZONE_KEYS)
    name = table.text("name")
    if name is None:
        raise table.source.error(table.path, 'a [[zone]] needs a name, as in name = "zen.spamhaus.org"')
    if mask_keys(name) != name:
        message = f"holds a key: write {_bare(name)!r}, and put the key into a file that key_file names"
        raise table.error("name", message, name)
    with placed(table, "name"):
        name = check_name(name)
    weight = table.within("weight")
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
        "nameservers": each_text(table, "nameservers", parse_nameserver),
        "timeout_s": table.within("timeout_s"),
        "on_error": table.choice("on_error", ("no_opinion", "listed")),
        "daily_limit": table.within("daily_limit"),
        "key": keys.read(table),
    }
    if file := table.text("file"):
        return _file_zone(table, name, keys.folder / file, given)
    for key in ("format", "bad_share", "url", "interval_s"):
        if key in table.values:
            raise table.error(key, f"it is about a list file: name that with file, or leave {key} out")
    with placed(table):
        return catalogue.zone(name, **{key: value for key, value in given.items() if value is not None})


FILE_KEYS: Final = ("subjects", "weight", "filters", "codes")
"""What of a zone also applies where its list is a file; and so does what says how a name is hashed:"""
HASH_KEYS: Final = ("hash", "normal_form")


def _file_zone(table: Table, name: str, path: Path, given: Mapping[str, Any]) -> Zone:
    """A zone whose list is a file; what is about asking by DNS is refused."""
    for key in ("nameservers", "timeout_s", "daily_limit", "key_env", "key_file", "on_error", "domain"):
        if key in table.values:
            raise table.error(key, "means nothing for a list file, which is not asked by DNS; leave it out")
    format = table.text("format") or "auto"
    values = {key: given[key] for key in FILE_KEYS if given[key] is not None}
    with placed(table, "format"):
        check_format(format)
    hashed = {key: given[key] for key in HASH_KEYS if given[key] is not None}
    with placed(table):
        zone = Zone.from_file(path, name=name, format=format, bad_share=table.ranged("bad_share"), **values)
        return replace(zone, **hashed) if hashed else zone


def sources_of(tables: tuple[Table, ...], folder: Path) -> Iterator[ListSource]:
    """The list files with a URL."""
    for table in tables:
        url, interval_s = table.text("url"), table.within("interval_s")
        if url is None:
            if interval_s is not None:
                raise table.error("interval_s", "is about fetching: name what to fetch with url")
            continue
        if not url.startswith(("https://", "http://")):
            raise table.error("url", f"{url[:60]!r} is not a valid URL: use https://...", url)
        name, file = check_name(table.values["name"]), folder / table.values["file"]
        yield ListSource(
            name,
            file,
            url,
            table.text("format") or "auto",
            table.ranged("interval_s"),
            table.ranged("bad_share"),
        )


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
                path, f"subjects: {name!r} is not a valid subject: use ip4, ip6, domain, {MAIL_KINDS}", name
            )
    return frozenset(names)


def _filter(table: Table, reply: str, weight: float | None) -> Filter:
    """`reply` as an entry of its own: it counts 1 unless a weight is given, as in postscreen_dnsbl_sites."""
    with placed(table, "reply"):
        accepted = None if reply == ANY_REPLY else parse_reply_filter(reply)
        return Filter(accepted, 1.0 if weight is None else weight)


def _code(table: Table) -> Code:
    table.check_keys(CODE_KEYS)
    with placed(table):
        return parse_code(table.values)
