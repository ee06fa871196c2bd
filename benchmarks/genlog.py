"""A Postfix log of any length, seeded: what bench_audit.py reads, and anybody who wants to try `dnsbl audit`.

Clients follow a Zipf-shaped population, as those of mail servers do: few come often, most once. Addresses are
those of 198.18.0.0/15 (RFC 2544, benchmarking), so that nobody's are in it.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator

CLIENTS = 100_000
NAMES = ("mail{}.example.com", "mx{}.example.net", "unknown")


def lines(count: int, seed: int = 1) -> Iterator[str]:
    """`count` log lines, some 5 a connection, in both forms of time, other daemons' among them."""
    rng, made = random.Random(seed), 0
    while made < count:
        second = made * 86_400 // max(count, 1)
        for line in connection(rng, second):
            if made < count:
                yield line
                made += 1


def connection(rng: random.Random, second: int) -> Iterator[str]:
    rank = int(CLIENTS ** rng.random())  # density 1/rank
    address = f"198.{18 + (rank >> 16 & 1)}.{rank >> 8 & 255}.{rank & 255}"
    name, port = NAMES[rank % 3].format(rank), 1024 + rng.randrange(60_000)
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    stamp = f"Nov 26 {clock}" if rank % 2 else f"2026-11-26T{clock}.123456+01:00"
    head = f"{stamp} mx postfix"
    queue_id = f"4{rng.getrandbits(48):012X}"
    yield f"{head}/postscreen[812]: CONNECT from [{address}]:{port} to [198.51.100.25]:25"
    if rank % 5 == 0:
        yield f"{head}/postscreen[812]: DNSBL rank 3 for [{address}]:{port}"
        yield (
            f"{head}/postscreen[812]: NOQUEUE: reject: RCPT from [{address}]:{port}: 550 5.7.1 Service "
            f"unavailable; client [{address}] blocked using bl.example.com; from=<a@example.net>, "
            f"to=<b@example.com>, proto=ESMTP, helo=<x>"
        )
        yield f"{head}/postscreen[812]: DISCONNECT [{address}]:{port}"
        return
    yield f"{head}/postscreen[812]: PASS OLD [{address}]:{port}"
    yield f"{head}/smtpd[901]: connect from {name}[{address}]"
    login = ", sasl_method=PLAIN, sasl_username=u@example.com" if rank % 50 == 1 else ""
    yield f"{head}/smtpd[901]: {queue_id}: client={name}[{address}]{login}"
    yield f"{head}/cleanup[902]: {queue_id}: message-id=<{queue_id}@example.net>"
    yield f"{head}/qmgr[700]: {queue_id}: from=<a@example.net>, size=3120, nrcpt=1 (queue active)"
    yield (
        f"{head}/lmtp[950]: {queue_id}: to=<b@example.com>, relay=mail[private/lmtp], delay=0.3, "
        f"delays=0.2/0/0/0.1, dsn=2.0.0, status=sent (250 2.0.0 <b@example.com> Saved)"
    )
    yield f"{head}/qmgr[700]: {queue_id}: removed"
    yield f"{head}/smtpd[901]: disconnect from {name}[{address}] ehlo=1 mail=1 rcpt=1 data=1 quit=1"


if __name__ == "__main__":
    for line in lines(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000):
        print(line)
