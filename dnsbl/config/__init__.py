"""dnsbl.toml: which file is read, its tables and lines, and the limits and defaults of each key."""

from typing import Any


def __getattr__(name: str) -> Any:
    """What `dnsbl.config.file` offers, read when it is named: its tables and lines stand below it."""
    if name not in {"Config", "ResolverConfig", "load", "parse"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dnsbl.config import file

    return getattr(file, name)
