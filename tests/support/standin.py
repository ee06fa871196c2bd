"""Stands in for a lookup that has begun (`dnsbl.lookup.begun.Begun`), where the resolver is not the point."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from dnsbl import Verdict


class StandInLookup:
    """Done after delay_s, in the running event loop; at once where that is None. fault: what it fails with."""

    def __init__(
        self, verdict: Verdict, delay_s: float | None = None, fault: Exception | None = None
    ) -> None:
        self.done = delay_s is None
        self.awaits_reasons = False
        self._verdict, self._fault = verdict, fault
        self._news: Callable[[], None] | None = None
        if delay_s is not None:
            asyncio.get_running_loop().call_later(delay_s, self._end)

    def so_far(self) -> Verdict:
        if self.done:
            if self._fault is not None:
                raise self._fault
            return self._verdict
        return Verdict(self._verdict.subject, False, False, 0.0, (), pending=("bl.example",))

    def tell(self, news: Callable[[], None]) -> None:
        self._news = news

    def follow(self) -> None: ...

    def ask_reasons(self) -> None: ...

    def abandon(self) -> None:
        self._news = None

    def _end(self) -> None:
        self.done = True
        if self._news is not None:
            self._news()
