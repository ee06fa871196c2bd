"""What is done and said when the daemon starts, and again at a reload."""

from __future__ import annotations

from typing import Final

from dnsbl.policyd.advice import advise
from dnsbl.policyd.log import Log
from dnsbl.policyd.settings import Settings, cache_file_fault

SPARE_DESCRIPTORS: Final = 200
"""Beside those of the connections: for nameservers, files, metrics, and a resolver that a reload replaces."""


def warm_up() -> None:
    """Import what the first lookup would: c-ares takes 40 ms to load."""
    import dnsbl.lookup.aio  # noqa: F401


def log_warnings(settings: Settings, log: Log) -> None:
    for warning in (*settings.config.warnings, *advise(settings, metrics=False)):
        log.warning(warning)
    if fault := cache_file_fault(settings):
        log.warning(f"{fault}; until then no answers are kept over a restart")


def summary(settings: Settings) -> str:
    """What is in use, in a few words."""
    rules, zones = len(settings.policy.rules), len(settings.zones)
    kind = "rules" if "rule" in settings.config.policy else "built-in rules"
    dry = "all" if settings.policy.dry_run else ", ".join(sorted(settings.policy.dry_zones))
    return f"{rules} {kind}, {zones} zones" + (f", dry run of {dry}" if dry else "")


def raise_descriptor_limit(connections: int, log: Log) -> int:
    """Allow a descriptor for each connection and some more; gives how many connections there may be then.

    A connection is a descriptor, and many systems allow 1,024 until asked for more.
    """
    import resource

    wanted = connections + SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    except OSError:  # a sandbox may forbid it
        allowed = soft
    if allowed == wanted:
        return connections
    most = max(allowed - SPARE_DESCRIPTORS, allowed // 2)
    log.warning(
        f"only {allowed} descriptors are allowed, {wanted} would be needed (LimitNOFILE=): "
        f"at most {most} connections are taken"
    )
    return most
