"""The catalogue: which lists there are, what they ask of their users, and which to use.

It fills in what a zone's text leaves out, refuses dead lists and warns of unsuitable ones. The facts are in
catalogue.toml; `row` says what each means. A file on disk may override rows, so that a list that dies can be
switched off without a new release: of two rows for one zone the one with the later date counts, whole; a
row without a date of its own has its file's. An older file changes nothing.

Not here: asking a list anything (`health`), reading other programs' configuration (dnsbl.migrate).

Loading is quick because the shipped file is cut into rows at `[[list]]` and only the rows in use are parsed;
its rows therefore begin with a `name = "..."` line, which a test holds it to.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Final

from dnsbl.errors import ConfigError, ZoneError
from dnsbl.zones.name import known_name
from dnsbl.zones.row import Row, parse_row
from dnsbl.zones.zone import Code, Filter, Zone, parse_zone

DISK_PATH: Final = Path("/var/lib/dnsbl/catalogue.toml")
"""Read where it exists and no other path is given."""
MAX_FILE_BYTES: Final = 1_048_576
MAX_ZONES: Final = 6
"""More zones than this get a warning."""

_ROW_MARK: Final = "\n[[list]]\n"
_NAME_LINE: Final = re.compile(r'name = "([^"\n]+)"\n')
_DEFAULT_LINE: Final = "\ndefault = true\n"
_FIELDS: Final = tuple(f for f in fields(Zone) if f.name != "name")


class Catalogue:
    """All rows, by zone name. Rows are parsed when they are first needed.

    warnings: what was wrong with the file on disk, one line each.
    """

    def __init__(
        self,
        texts: Mapping[str, str],
        file_date: date,
        newer: Mapping[str, Row] | None = None,
        warnings: tuple[str, ...] = (),
    ) -> None:
        """`texts`: name and TOML text of each shipped row; `newer`: rows to be used instead or besides."""
        self._texts = texts
        self._file_date = file_date
        self._newer = newer or {}
        self._parsed: dict[str, Row] = {}
        self.warnings = warnings

    def __iter__(self) -> Iterator[Row]:
        """Every row, in the order of the shipped file; rows that only the file on disk has come last."""
        return map(self._row, dict.fromkeys([*self._texts, *self._newer]))

    def row(self, name: str) -> Row | None:
        """The row for a zone, or that of a zone above which stands for all below it; None: unknown.

        Raises ZoneError where `name` is no zone name.
        """
        own = name = known_name(name)
        while name:
            if name in self._newer or name in self._texts:
                row = self._row(name)
                if name == own or row.subzones:
                    return row
            name = name.partition(".")[2]
        return None

    def default(self) -> tuple[Zone, ...]:
        """The curated zones: few, free without registration, and answering a site's own resolver."""
        names = [name for name, text in self._texts.items() if _DEFAULT_LINE in text]
        names += [name for name, row in self._newer.items() if row.default and name not in names]
        return tuple(row.zone for row in map(self._row, names) if row.default)

    def zone(self, name: str, **given: Any) -> Zone:
        """A zone with the fields in `given`; every other field comes from the zone's row, if it has one.

        A weight that is given scales the weights of the row's own codes: twice the row's weight doubles them.
        Raises ZoneError where a value cannot be used. It does not refuse dead zones: `build` does.

        >>> load().zone("zen.spamhaus.org", weight=3.0).codes[0].weight is None
        True
        """
        return self._fill(Zone(name, **given), frozenset(given))

    def build(
        self, items: Iterable[str | Zone], *, allow: Iterable[str] = ()
    ) -> tuple[tuple[Zone, ...], tuple[str, ...]]:
        """The zones to be asked, and warnings, one line each.

        items: names, Postfix text (`zone=filter*weight`) or Zone objects. What a text leaves out comes from
            the catalogue, and so do the fields left at their defaults of a Zone object without codes; one
            with codes is taken as it is. A zone given several times becomes one: its entries' weights add up.
        allow: names of zones that are used without warning or refusal, and do not count among the six.

        Raises ZoneError for text that is no zone, a retired zone (the error says since when, why, and what
        to use instead), a keyed zone without its key, and a zone given twice with settings at odds.

        >>> zones, warnings = load().build(["zen.spamhaus.org=127.0.0.[2..11]*3", "bl.example.com"])
        >>> [zone.name for zone in zones]
        ['zen.spamhaus.org', 'bl.example.com']
        """
        allowed = frozenset(map(known_name, allow))
        zones: dict[str, Zone] = {}
        for item in items:
            zone = self._ready(item, allowed)
            earlier = zones.get(zone.name)
            zones[zone.name] = self._merge(earlier, zone) if earlier else zone
        warnings = [warning for zone in zones.values() for warning in self._faults(zone, allowed)]
        counted = sum(name not in allowed and not zone.file for name, zone in zones.items())
        if counted > MAX_ZONES:
            warnings.append(
                f"{counted} zones: beyond {MAX_ZONES} each costs a query and the risk of its false listings, "
                "and finds little that the others have not; leave the weakest out, or name them in allow"
            )
        return tuple(zones.values()), tuple(warnings)

    def _row(self, name: str) -> Row:
        if name in self._newer:
            return self._newer[name]
        if name not in self._parsed:
            import tomllib  # not at the top: zones of one's own alone do not need it

            self._parsed[name] = parse_row(tomllib.loads(self._texts[name]), self._file_date)
        return self._parsed[name]

    def _ready(self, item: str | Zone, allowed: frozenset[str]) -> Zone:
        zone = item if isinstance(item, Zone) else parse_zone(item)
        if zone.file:
            return zone  # its name is the site's own choice
        row = self.row(zone.name)
        if row is not None and row.status == "retired" and not allowed & {zone.name, row.name}:
            raise ZoneError(
                f"{zone.name} is retired{row.since and f' since {row.since}'}: {row.why}; "
                f"{f'use {row.successor} instead' if row.successor else 'leave it out'}",
                zone.name,
            )
        if zone.codes:
            return zone
        given = frozenset(f.name for f in _FIELDS if getattr(zone, f.name) != f.default)
        return self._fill(zone, given)

    def _fill(self, zone: Zone, given: frozenset[str]) -> Zone:
        row = self.row(zone.name)
        if row is None or row.name != zone.name or row.status == "retired":
            return zone
        missing = {f.name: getattr(row.zone, f.name) for f in _FIELDS if f.name not in given | {"key"}}
        if "weight" in given and "codes" in missing and row.zone.weight:
            missing["codes"] = tuple(_scaled(code, zone.weight / row.zone.weight) for code in row.zone.codes)
        if row.needs_key and "key_place" not in missing and zone.key_place == "{key}." + zone.name:
            missing["key_place"] = row.zone.key_place
        return replace(zone, **missing)

    def _merge(self, first: Zone, second: Zone) -> Zone:
        """One zone for one given twice. Bare twice is once; else its entries stand side by side."""
        base = self._fill(Zone(first.name), frozenset())
        settings: dict[str, Any] = {}
        for f in _FIELDS:
            one, other, usual = (getattr(zone, f.name) for zone in (first, second, base))
            if f.name not in ("filters", "weight") and one != other:
                if usual not in (one, other):
                    raise ZoneError(f"{first.name} is given twice, with {f.name} at odds", first.name)
                settings[f.name] = other if one == usual else one
        if first.filters or second.filters or first.weight != second.weight:
            settings["filters"] = _entries(first) + _entries(second)
        return replace(first, **settings)

    def _faults(self, zone: Zone, allowed: frozenset[str]) -> Iterator[str]:
        row = None if zone.file else self.row(zone.name)
        if row is None:
            return
        if row.needs_key and zone.key is None:
            raise ZoneError(
                f"{zone.name} answers only under a key: set key_env or key_file for it, or write the key "
                f"into the name, {row.zone.key_place.replace('{key}', 'KEY')}; {row.registration}",
                zone.name,
            )
        if zone.key is not None and not row.needs_key and row.name == zone.name:
            keyed = self.row(row.part_of) if row.part_of else None
            instead = f"; with a key, ask {keyed.name}" if keyed is not None and keyed.needs_key else ""
            raise ZoneError(f"{zone.name} takes no key: leave it out{instead}", zone.name)
        if allowed & {zone.name, row.name}:
            return
        if row.status == "charges":
            yield f"{zone.name} charges for delisting: {row.why}; leave it out, or name it in allow"
        elif row.status == "unfit":
            yield f"{zone.name} is not fit for use: {row.why}; leave it out, or name it in allow"
        if row.zone.weight < 0 and any(entry.weight > 0 for entry in _entries(zone)):
            yield f"{zone.name} is an allowlist: a positive weight counts its entries against the client"


def load(path: Path | None = None) -> Catalogue:
    """The shipped catalogue, with the rows of a later date from the file at `path`.

    path: None reads /var/lib/dnsbl/catalogue.toml where it exists; there, what is wrong with the file goes
    into `Catalogue.warnings` and the shipped rows are used, so that a damaged update stops no mail server.
    Given explicitly, a file that cannot be read or parsed raises ConfigError.
    """
    texts, shipped_date = _shipped()
    shipped = Catalogue(texts, shipped_date)
    try:
        rows = _read_disk(path or DISK_PATH)
    except FileNotFoundError:
        if path is not None:
            raise ConfigError(f"catalogue {path}: no such file", str(path)) from None
        return shipped
    except (OSError, ValueError) as error:
        message = f"catalogue {path or DISK_PATH}: {error}"
        if path is not None:
            raise ConfigError(message, str(path)) from error
        return Catalogue(texts, shipped_date, warnings=(f"{message}; the rows that ship are used",))
    newer = {row.name: row for row in rows if row.name not in texts or row.date > shipped._row(row.name).date}
    return Catalogue(texts, shipped_date, newer)


@cache
def _shipped() -> tuple[dict[str, str], date]:
    """Name and text of each row that ships, unparsed, and the file's date."""
    text = Path(__file__).with_name("catalogue.toml").read_text("utf-8")
    head, *rows = text.split(_ROW_MARK)
    texts = {}
    for row in rows:
        named = _NAME_LINE.match(row)
        if named is None:
            raise ZoneError(f"shipped catalogue: a row does not begin with its name: {row[:60]!r}", row[:60])
        texts[named[1]] = row
    return texts, date.fromisoformat(head.rpartition("date = ")[2][:10])


def _read_disk(path: Path) -> list[Row]:
    from dnsbl.text.toml import find_big_integer, loads  # not at the top: tomllib is rarely needed

    found = path.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_FILE_BYTES:
        raise ZoneError(f"not a regular file of at most {MAX_FILE_BYTES} bytes", str(path))
    table = loads(path.read_text("utf-8"))
    if find_big_integer(table):
        raise ZoneError("an integer of more than 64 bits", str(path))
    file_date, rows = table.get("date"), table.get("list", [])
    if type(file_date) is not date or not isinstance(rows, list):
        raise ZoneError("it needs a date = YYYY-MM-DD at the top, then [[list]] rows", str(path))
    return [parse_row(row, file_date) for row in rows]


def _scaled(code: Code, factor: float) -> Code:
    return code if code.weight is None else replace(code, weight=code.weight * factor)


def _entries(zone: Zone) -> tuple[Filter, ...]:
    return zone.filters or (Filter(None, zone.weight),)
