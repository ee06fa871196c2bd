"""The examples in the docstrings give what they say."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    ("module", "at_least"),
    [
        ("dnsbl.subject.address", 1),
        ("dnsbl.subject.domain", 3),
        ("dnsbl.subject.parse", 2),
        ("dnsbl.subject.hashed", 3),
        ("dnsbl.zones.secret", 2),
        ("dnsbl.mail.headers", 1),
        ("dnsbl.mail.hops", 2),
        ("dnsbl.mail.hosts", 2),
        ("dnsbl.mail.links", 1),
        ("dnsbl.mail.message", 2),
        ("dnsbl.mail.received", 1),
        ("dnsbl.names._qname", 6),
        ("dnsbl.names.nameserver", 3),
    ],
)
def test_docstring_examples(module: str, at_least: int) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert result.failed == 0
    assert result.attempted >= at_least
