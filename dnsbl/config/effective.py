"""What is in effect, and where each value comes from: the file's line, the catalogue, or the default.

Keys of keyed zones are never part of it: only the variable or file that holds one is named. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from dnsbl.config.file import Config
from dnsbl.config.keys import Key, keys_of
from dnsbl.config.limits import RANGES
from dnsbl.zones.secret import mask_keys
from dnsbl.zones.zone import HASHED_KINDS, Code, Filter, Zone

_OF_NO_ROW: Final = ("nameservers", "timeout_s", "on_error", "format", "interval_s")
"""Keys that no row of the catalogue has."""


class Value(NamedTuple):
    """One value in effect. table: as TOML heads it, numbered from 0 where there are several.

    value: as TOML has it, or text in words where that is what holds. source: `FILE:LINE`, `catalogue`,
    `default`, or what else it comes from. is_set: whether `value` is a value, not words.
    """

    table: str
    number: int
    key: str
    value: Any
    source: str
    is_set: bool = True


def effective(config: Config, nameservers: tuple[str, ...]) -> Iterator[Value]:
    """Every value in effect. nameservers: the system's, which count where the file names none."""
    resolver = config.resolver.given()
    for key in keys_of("[resolver]"):
        if key.name in resolver:
            value = _plain(resolver[key.name])
            yield Value("[resolver]", 0, key.name, value, config.where(("resolver", key.name)))
        elif key.name == "nameservers":
            yield Value("[resolver]", 0, key.name, list(nameservers), "the system's")
        else:
            yield _default("[resolver]", 0, key)
    number = 0
    for zone in config.zones:
        tables = [n for n, table in enumerate(config.tables) if _names(table.values, zone)]
        for nth, entry in enumerate(zone.filters or (None,)):
            at = tables[min(nth, len(tables) - 1)] if tables else None
            yield from _of_zone(config, number, zone, entry, at)
            number += 1
    yield from _of_policy(config)
    yield from _of_table(config, "message", config.message.given())
    yield from _of_table(config, "monitor", config.monitor)
    yield from _of_table(config, "serve", config.serve)


def _of_zone(
    config: Config, number: int, zone: Zone, entry: Filter | None, at: int | None
) -> Iterator[Value]:
    """One [[zone]] table: a zone with several filters is one for each, as it was written."""
    given: Mapping[str, Any] = {} if at is None else config.tables[at].values
    row = config.catalogue.row(zone.name)
    values = _zone_values(zone, entry, given)
    for key, value in values.items():
        if value is None:
            continue
        if key in given and at is not None:
            source = config.where(("zone", at, key))
        elif key == "name":
            source = "default"
        else:
            of_row = key not in _OF_NO_ROW and not (entry and key in ("weight", "reply"))
            is_known = row is not None and row.name == zone.name and of_row
            source = "catalogue" if is_known else "default"
        yield Value("[[zone]]", number, key, value, source)


def _zone_values(zone: Zone, entry: Filter | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """By key; None for what the zone does not have. given: what its table says."""
    values: dict[str, Any] = {
        "name": zone.name,
        "subjects": sorted(zone.subjects),
        "domain": zone.domain if "domain" in zone.subjects else None,
        "weight": entry.weight if entry else zone.weight,
        "reply": str(entry.reply or "any") if entry else None,
        "codes": [_code(code) for code in zone.codes] or None,
        "nameservers": list(zone.nameservers) or None,
        "timeout_s": zone.timeout_s,
        "on_error": zone.on_error,
        "key_env": given.get("key_env"),
        "key_file": given.get("key_file"),
        "daily_limit": zone.daily_limit,
        "hash": zone.hash if zone.subjects & HASHED_KINDS else None,
        "normal_form": zone.normal_form if zone.subjects & HASHED_KINDS else None,
    }
    if not zone.file:
        return values
    of_dns = dict.fromkeys(("domain", "nameservers", "timeout_s", "on_error", "daily_limit"))
    of_file = {
        "file": zone.file, "format": zone.format, "bad_share": zone.bad_share, "url": given.get("url")
    }  # fmt: skip
    if "url" in given:
        of_file["interval_s"] = given.get("interval_s", RANGES["interval_s"].default)
    return values | of_dns | of_file


def _names(table: Mapping[str, Any], zone: Zone) -> bool:
    return str(table.get("name", "")).strip(".").lower() == zone.name


def _of_policy(config: Config) -> Iterator[Value]:
    yield from _of_table(config, "policy", config.policy)
    for number, rule in enumerate(config.policy.get("rule", ())):
        if isinstance(rule, Mapping):
            for name, value in rule.items():
                source = config.where(("policy", "rule", number, name))
                yield Value("[[policy.rule]]", number, name, value, source)


def _of_table(config: Config, name: str, values: Mapping[str, Any]) -> Iterator[Value]:
    """Every key of a plain table; [policy]'s rules are tables of their own."""
    for key in keys_of(f"[{name}]"):
        if key.name in values and key.name != "rule":
            yield Value(f"[{name}]", 0, key.name, values[key.name], config.where((name, key.name)))
        elif key.name != "rule":
            yield _default(f"[{name}]", 0, key)


def _default(table: str, number: int, key: Key) -> Value:
    is_set = key.default[:1] in '"[0123456789' or key.default in ("true", "false")
    return Value(table, number, key.name, key.default, "default", is_set)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [mask_keys(item) for item in value]
    return value if isinstance(value, bool | int | float) else str(value)


def _code(code: Code) -> dict[str, Any]:
    table: dict[str, Any] = {"match": str(code.match)} if code.match else {"mask": code.mask}
    table["outcome"] = code.outcome
    if code.weight is not None:
        table["weight"] = code.weight
    if code.meaning:
        table["meaning"] = code.meaning
    return table
