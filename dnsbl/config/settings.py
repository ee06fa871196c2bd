"""What a Resolver is given: its numbers, nameservers and zones, checked and with their defaults."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from dnsbl.cache.answers import TtlRules
from dnsbl.config.limits import MAX_NAMESERVERS, MAX_ZONES, RANGES
from dnsbl.errors import ConfigError, NameserverError, ZoneError
from dnsbl.names.nameserver import parse_nameserver
from dnsbl.zones.zone import Zone

if TYPE_CHECKING:
    from dnsbl.config.file import Config

_Number = TypeVar("_Number", int, float)

log = logging.getLogger("dnsbl")


class Settings(NamedTuple):
    """The resolver's numbers. `tries` 0: as many as fit before the deadline."""

    deadline_s: float
    timeout_s: float
    tries: int
    reasons: bool
    reason_timeout_s: float
    check_private: bool
    cache_size: int
    ttl_rules: TtlRules


def checked_settings(values: Mapping[str, Any]) -> Settings:
    """`values` by name as in the [resolver] table; what is not there has its default. Raises ConfigError."""

    def number(name: str) -> float:
        found = RANGES[name]
        value: float = values.get(name, found.default)
        return checked_number(name, value, found.low, found.high)

    def flag(name: str, default: bool) -> bool:
        value: bool = values.get(name, default)
        if not isinstance(value, bool):
            raise ConfigError(f"{name} = {value!r}: use True or False", str(value))
        return value

    return Settings(
        deadline_s=number("deadline_s"),
        timeout_s=number("timeout_s"),
        tries=int(number("tries")) if "tries" in values else 0,
        reasons=flag("reasons", True),
        reason_timeout_s=number("reason_timeout_s"),
        check_private=flag("check_private", False),
        cache_size=int(number("cache_size")),
        ttl_rules=TtlRules(number("ttl_min_s"), number("ttl_max_s")),
    )


def chosen_zones(
    zones: Iterable[str | Zone] | None, config: Config | None, allow: Iterable[str] = ()
) -> tuple[Zone, ...]:
    """The zones given, else the configuration's, else the curated ones; see `Resolver` for `allow`.

    Raises ZoneError and, for a zone's own nameservers, NameserverError.
    """
    if zones is None and config is not None and config.zones:
        return _checked_zones(config.zones)
    from dnsbl.zones import catalogue

    rows = config.catalogue if config is not None else catalogue.load()
    if zones is None:
        return rows.default()
    if isinstance(zones, str):
        zones = [zones]
    allowed = (allow,) if isinstance(allow, str) else tuple(allow)
    if config is not None:
        allowed += config.resolver.allow
    built, warnings = rows.build(zones, allow=allowed)
    told = config.warnings if config is not None else ()  # whoever read the file shows those
    for warning in (each for each in warnings if each not in told):
        log.warning("%s", warning)
    return _checked_zones(built)


def _checked_zones(zones: tuple[Zone, ...]) -> tuple[Zone, ...]:
    if not 1 <= len(zones) <= MAX_ZONES:
        raise ZoneError(
            f"{len(zones) or 'no'} zones: use 1 to {MAX_ZONES}, or None for the curated ones",
            ", ".join(zone.name for zone in zones)[:80],
        )
    return tuple(_with_nameservers(zone) if zone.nameservers else zone for zone in zones)


def _with_nameservers(zone: Zone) -> Zone:
    try:
        return replace(zone, nameservers=checked_nameservers(zone.nameservers) or ())
    except NameserverError as error:
        raise NameserverError(f"zone {zone.name}: {error}", error.text) from None


def checked_nameservers(given: Sequence[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    if isinstance(given, str):
        given = [given]
    for text in given:
        if not isinstance(text, str):
            raise NameserverError(f"{text!r} is not a valid nameserver: use its address as text", repr(text))
    found = tuple(dict.fromkeys(map(parse_nameserver, given)))
    if not 1 <= len(found) <= MAX_NAMESERVERS:
        raise NameserverError(
            f"{len(found)} nameservers: use 1 to {MAX_NAMESERVERS}, or None for those of the system",
            ", ".join(found),
        )
    return found


_T = TypeVar("_T")


def checked_option(name: str, text: str, parse: Callable[[str], _T]) -> _T:
    """What `parse` makes of an option's text. Raises ConfigError, which names the option."""
    try:
        return parse(text)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}", text) from None


def checked_deadline(seconds: float, name: str = "deadline_s") -> float:
    """As `deadline_s` in [resolver]. Raises ConfigError."""
    found = RANGES["deadline_s"]
    return checked_number(name, seconds, found.low, found.high)


def checked_decide(given: Mapping[str, float]) -> dict[str, float]:
    """The thresholds, read once and outside any lock: the mapping is the caller's."""
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"decide = {given!r} is not a valid mapping: use one as {{'reject': 3}}", str(given)
        )
    decide = dict(given)
    if not decide:
        raise ConfigError("decide is empty: give at least one threshold, as {'reject': 3}, or None", "{}")
    for name, threshold in decide.items():
        checked_number(f"decide[{name!r}]", threshold, float("-inf"), float("inf"))
    return decide


def checked_number(name: str, value: _Number, low: _Number, high: _Number) -> _Number:
    """`value`, from `low` to `high`; a whole number where these are `int`. Raises ConfigError."""
    kinds = int if isinstance(low, int) else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        kind = "whole number" if kinds is int else "number"
        raise ConfigError(
            f"{name} = {value!r} is out of range: use a {kind} from {low:g} to {high:g}", str(value)
        )
    return value
