"""What is allowed in a configuration and still not what its author wants: "problem; remedy", one line each.

For `--check-config`, the log at the start and `dnsbl doctor`. Asks nothing and opens no socket for longer
than it takes to see whether it can be had.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Iterable, Iterator, Sequence

from dnsbl.config.limits import DEADLINE_S
from dnsbl.policy.rules import Rule
from dnsbl.policy.sources import CLIENT
from dnsbl.policyd.addresses import TcpAddress, UnixAddress
from dnsbl.policyd.settings import Settings
from dnsbl.zones.interpret import failure_weight

POSTFIX_TIMEOUT_S = 10.0
"""As contrib/main.cf has it; Postfix's own default is 100."""
REPLY_S = 2.0
"""What a reply may take beside the lookup: the list's reason, and some air."""
QUEUE_DIRECTORY = "/var/spool/postfix/"
_REFUSES = ("REJECT", "DEFER", "DEFER_IF_PERMIT", "DEFER_IF_REJECT", "DISCARD", "HOLD", "REDIRECT")


def advise(
    settings: Settings,
    *,
    nameservers: Sequence[str] = (),
    is_root: bool | None = None,
    metrics: bool = True,
    has_rules: bool = True,
) -> list[str]:
    """All of it. nameservers: those of the command line. is_root: the daemon runs as root; None: as this.

    metrics: look whether they can be served too; not where they are served already. has_rules: the daemon is
    meant to be used; else what its rules leave out is not a fault.
    """
    root = os.geteuid() == 0 if is_root is None else is_root
    return [
        *_of_zones(settings, has_rules),
        *_of_rules(settings),
        *_of_sockets(settings, root),
        *_of_time(settings),
        *_of_nameservers([*nameservers, *(settings.config.resolver.nameservers or ())]),
        *(_of_metrics(settings.metrics) if metrics else ()),
    ]


def _of_zones(settings: Settings, has_rules: bool) -> Iterator[str]:
    asked = {source for rule in settings.policy.rules if rule.needs_lookup for source in rule.scope.look_up}
    for zone in settings.zones:
        if weight := failure_weight(zone):
            yield (
                f'zone {zone.name}: on_error = "listed" gives every client {weight:g} points while it is '
                "silent, and they are then refused for what nobody has listed; leave on_error out"
            )
        if has_rules and asked and not _meets(zone.subjects, asked):
            kinds = ", ".join(zone.subjects)
            yield (
                f"zone {zone.name} takes {kinds}, and no rule looks such a subject up: it is never asked; "
                "add to look_up what it takes, or take it out"
            )


def _meets(kinds: Iterable[str], sources: set[str]) -> bool:
    """Some source gives a subject of such a kind."""
    return (CLIENT in sources and bool({"ip4", "ip6"} & set(kinds))) or (
        "domain" in kinds and bool(sources - {CLIENT})
    )


def _of_rules(settings: Settings) -> Iterator[str]:
    if "rule" not in settings.config.policy:
        return
    exempt = False
    rules = settings.policy.rules
    for rule, table in zip(rules, settings.config.policy["rule"], strict=True):
        place = f"rule {rule.number}"
        keys = {condition.key: condition.text for condition in rule.of_request}
        if keys == {"authenticated": "true"} and rule.action.verb in ("DUNNO", "OK"):
            exempt = True
        elif not exempt and "authenticated" not in keys and _refuses(rule) and "recipient" not in keys:
            exempt = True  # said once
            yield (
                f"{place} also refuses your own users who log in; put a rule with authenticated = true and "
                'action = "DUNNO" first, as the built-in rules have it'
            )
        yield from _never(rule, table, settings, place)
        yield from _of_patterns(table, place)
        if re.fullmatch(
            r"[45]\.\d+\.\d+\W*(\{(reason|delist_url|codes)\}\W*)+", str(rule.action).partition(" ")[2]
        ):
            yield (
                f"{place}: where a list gives no reason, its text is only a status code, and the client is "
                "told Access denied; name {zones} in it too"
            )
        if not rule.of_request and not rule.of_verdict and rule is not rules[-1]:
            yield f"{place} has no condition, so that no rule after it is reached; put it last"
            return


def _refuses(rule: Rule) -> bool:
    return rule.action.verb in _REFUSES or rule.action.verb.isdigit()


def _never(rule: Rule, table: dict[str, object], settings: Settings, place: str) -> Iterator[str]:
    """A rule on zones that its look_up never asks."""
    names = table.get("zones")
    if not names:
        return
    named = {str(name).lower().strip(".") for name in ([names] if isinstance(names, str) else names)}  # type: ignore[attr-defined]
    zones = [zone for zone in settings.zones if zone.name in named]
    if zones and not any(_meets(zone.subjects, set(rule.scope.look_up)) for zone in zones):
        yield (
            f"{place} never matches: {', '.join(zone.name for zone in zones)} takes "
            f"{', '.join(zones[0].subjects)}, and look_up is "
            f"{', '.join(rule.scope.look_up)}; name in its look_up what the zone takes"
        )


def _of_patterns(table: dict[str, object], place: str) -> Iterator[str]:
    for key in ("sender", "recipient"):
        value = table.get(key, ())
        for text in [value] if isinstance(value, str) else value:  # type: ignore[attr-defined]
            if isinstance(text, str) and not {"@", ".", "<", ":", "*"} & set(text):
                yield f'{place}: {key} = "{text}" means the domain {text}; for the mailbox write "{text}@*"'


def _of_sockets(settings: Settings, root: bool) -> Iterator[str]:
    for address in settings.listen:
        if not isinstance(address, UnixAddress):
            continue
        if root and not settings.socket_group:
            yield (
                f"{address} would be root's, and Postfix gets Permission denied (EACCES) and says so in its "
                'own log only; write socket_group = "postfix"'
            )
        if not address.path.startswith(QUEUE_DIRECTORY):
            yield (
                f"{address} is out of sight for a chrooted smtpd (y in master.cf's chroot column, Debian's "
                f"default); listen on 127.0.0.1:10040, or below {QUEUE_DIRECTORY}"
            )


def _of_time(settings: Settings) -> Iterator[str]:
    deadline_s = settings.config.resolver.deadline_s or DEADLINE_S
    if deadline_s + REPLY_S > POSTFIX_TIMEOUT_S:
        yield (
            f"deadline_s = {deadline_s:g}: contrib/main.cf has Postfix wait {POSTFIX_TIMEOUT_S:g} s "
            f"(timeout=) and go on without an answer; give {POSTFIX_TIMEOUT_S - REPLY_S:g} s at the most, or "
            "a longer timeout there"
        )


def _of_nameservers(nameservers: Sequence[str]) -> Iterator[str]:
    for text in nameservers:
        host = text[1:].partition("]")[0] if text.startswith("[") else text
        host = host if host.count(":") > 1 else host.partition(":")[0]
        try:
            remote = ipaddress.ip_address(host).is_global
        except ValueError:
            continue
        if remote:
            yield (
                f"nameserver {text} is out on the Internet: most lists refuse public resolvers; "
                "run your own (unbound) and write 127.0.0.1"
            )


def _of_metrics(address: TcpAddress | None) -> Iterator[str]:
    if address is None:
        return
    try:
        import prometheus_client  # noqa: F401
    except ImportError:
        yield "metrics need the package prometheus-client; pip install 'dnsbl-resolver[metrics]'"
    if address.port == 0:
        return
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((address.host, address.port))
        except OSError as error:
            yield (
                f"metrics on {address}: {error.strerror or error}; mail goes on without them; give another "
                "port, or end what has this one (the daemon itself, where it runs)"
            )
