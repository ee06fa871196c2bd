"""The daemon's hourly health check: it asks the resolver to check its zones, again and again."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Final

from dnsbl.errors import ClosedError

if TYPE_CHECKING:
    from dnsbl.resolver import Resolver

EVERY_S: Final = 3600.0
JITTER: Final = 0.1
"""Part of the interval by which it varies, so that machines started together do not ask together."""

log = logging.getLogger("dnsbl.health")


async def health_loop(resolver: Resolver, every_s: float = EVERY_S) -> None:
    """Check all zones now and about every `every_s` seconds, until cancelled or the resolver is closed.

    Raises nothing else: what goes wrong is logged, and tried again next time.
    """
    while True:
        try:
            await resolver.health_async()
        except ClosedError:
            return
        except Exception:
            log.exception("the health check failed; it is tried again")
        await asyncio.sleep(every_s * random.uniform(1 - JITTER, 1 + JITTER))
