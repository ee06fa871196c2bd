"""`dnsbl demo`: from an address to a verdict, against a blocklist server of our own on loopback.

No public list is asked. The server is `dnsbl.testing`'s; the lookups go through the real engine.
"""

from __future__ import annotations

import click

from dnsbl.cli import complain, render
from dnsbl.model import Verdict
from dnsbl.text.printable import printable

ZONE = "bl.example.com"
LISTED = ("192.0.2.99", "2001:db8::99")
UNLISTED = ("198.51.100.1", "2001:db8:1::1")


@click.command("demo")
def command() -> int:
    """Look up four addresses in a blocklist on loopback.

    Exit code: 0 if all four verdicts are right, 1 if not.
    """
    from dnsbl.resolver import Resolver
    from dnsbl.testing import DnsblServer

    with DnsblServer(zones=[ZONE]) as server:
        for address in LISTED:
            server.zone(ZONE).list(address, codes=["127.0.0.2"], txt=f"{address} sent spam to a trap")
        with Resolver(zones=[ZONE], nameservers=[server.nameserver]) as resolver:
            verdicts = [resolver.check(address) for address in (*LISTED, *UNLISTED)]
    right = [verdict.complete and verdict.listed == (verdict.subject in LISTED) for verdict in verdicts]
    render.show_table(
        f"{ZONE}, a blocklist on loopback ({server.nameserver})",
        ["subject", "verdict", "codes", "reason", "ms", "right"],
        [_row(verdict, ok) for verdict, ok in zip(verdicts, right, strict=True)],
    )
    if not all(right):
        complain(f"{right.count(False)} of {len(right)} verdicts are wrong")
    return 0 if all(right) else 1


def _row(verdict: Verdict, right: bool) -> list[str]:
    (answer,) = verdict.answers
    return [
        verdict.subject,
        answer.outcome.replace("_", " "),
        " ".join(answer.codes),
        printable(answer.reason or ""),
        f"{verdict.elapsed_s * 1000:.1f}",
        "yes" if right else "no",
    ]
