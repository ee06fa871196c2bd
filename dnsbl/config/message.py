"""[message] of dnsbl.toml: what is trusted and skipped in whole messages, and how much of one is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any, Final

from dnsbl.config.toml_table import Table
from dnsbl.errors import SubjectError
from dnsbl.subject.domain import parse_domain

LIMITS: Final[Mapping[str, tuple[int, int]]] = {
    "message_bytes": (1 << 10, 1 << 28),
    "header_bytes": (1 << 10, 1 << 22),
    "parts": (1, 10_000),
    "depth": (1, 100),
    "text_bytes": (1 << 10, 1 << 26),
    "links": (1, 100_000),
    "domains": (1, 1000),
    "emails": (0, 1000),
    "urls": (0, 1000),
}
"""The lowest and the highest value of each of dnsbl.mail.mime.Limits."""


@dataclass(frozen=True, slots=True)
class MessageConfig:
    """[message]: what the file says. trusted: networks. harmless: domains; None: the built-in list holds.

    limits: those of dnsbl.mail.mime.Limits that the file gives, by name.
    """

    trusted: tuple[str, ...] = ()
    harmless: tuple[str, ...] | None = None
    limits: Mapping[str, int] = field(default_factory=dict)

    def given(self) -> dict[str, Any]:
        """The keys that the file has, by name."""
        found: dict[str, Any] = {"trusted": list(self.trusted)} if self.trusted else {}
        if self.harmless is not None:
            found["harmless"] = list(self.harmless)
        return found | dict(self.limits)


def message_config(table: Table | None) -> MessageConfig:
    """Read the table. Raises ConfigError."""
    if table is None:
        return MessageConfig()
    table.check_keys(("trusted", "harmless", *LIMITS))
    trusted = table.texts("trusted") or ()
    for index, network in enumerate(trusted):
        try:
            ip_network(network.strip(), strict=False)
        except ValueError:
            message = (
                f"{network[:60]!r} is not a valid network: use 198.51.100.0/24, 2001:db8::/32 or an address"
            )
            raise table.source.error((*table.path, "trusted", index), message, network) from None
    limits = {name: table.integer(name, low, high) for name, (low, high) in LIMITS.items()}
    return MessageConfig(
        trusted, _harmless(table), {name: value for name, value in limits.items() if value is not None}
    )


def _harmless(table: Table) -> tuple[str, ...] | None:
    domains = table.texts("harmless")
    if domains is None:
        return None
    found = []
    for index, domain in enumerate(domains):
        try:
            found.append(parse_domain(domain))
        except SubjectError as error:
            raise table.source.error((*table.path, "harmless", index), str(error), domain) from None
    return tuple(found)
