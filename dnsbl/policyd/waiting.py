"""Waiting for the lookups of one request: all at once, until the rules are decided, in one deadline.

Each lookup is begun once and followed. For `EARLY_AFTER_S` they are waited for whole, which most are by then;
after that each answer is looked at as it comes, and the wait ends as soon as no answer that is missing, of
whatever subject, can change which rule decides (`dnsbl.policy.early`): a silent list is waited for only where
its word counts. If the text of the rule that decides names the list's reason, that is then asked for, and
waited for at most `TEXT_WAIT_S`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Final

from dnsbl.model import Verdict
from dnsbl.policy.sources import Asked
from dnsbl.policyd.message import Begun

EARLY_AFTER_S: Final = 0.025
"""To be woken at every zone's answer has its price, and most lookups are over before it is worth that."""
TEXT_WAIT_S: Final = 0.5
"""How long a reply that is decided waits for the list's reason. As the resolver's reason_timeout_s."""

Judge = Callable[[dict[Asked, Verdict]], bool]


async def wait(
    begun: Mapping[Asked, Begun], is_decided: Judge, wants_text: Judge, longest_s: float
) -> dict[Asked, Verdict]:
    """The verdicts, those of a request that is decided early with zones pending.

    Raises TimeoutError after longest_s, and what a lookup has failed with.
    """
    news = asyncio.Event()
    for each in begun.values():
        each.tell(news.set)
    try:
        async with asyncio.timeout(longest_s):
            if not await _all_done(begun, news):
                await _decided(begun, news, is_decided, wants_text)
        return so_far(begun)
    finally:
        for each in begun.values():
            each.abandon()


def so_far(begun: Mapping[Asked, Begun]) -> dict[Asked, Verdict]:
    return {subject: each.so_far() for subject, each in begun.items()}


def _are_done(begun: Mapping[Asked, Begun]) -> bool:
    return all(each.done for each in begun.values())


async def _all_done(begun: Mapping[Asked, Begun], news: asyncio.Event) -> bool:
    """True: all is there. False: it is not, and `EARLY_AFTER_S` are over."""
    try:
        async with asyncio.timeout(EARLY_AFTER_S):
            while not _are_done(begun):
                await news.wait()
                news.clear()
    except TimeoutError:
        return _are_done(begun)
    return True


async def _decided(
    begun: Mapping[Asked, Begun], news: asyncio.Event, is_decided: Judge, wants_text: Judge
) -> None:
    """Until the rules are decided and what their text names is there; or all is there."""
    for each in begun.values():
        each.follow()
    until: float | None = None
    while not _are_done(begun):
        found = so_far(begun)
        if is_decided(found):
            if not wants_text(found):
                return
            until = until or monotonic() + TEXT_WAIT_S
            for each in begun.values():
                each.ask_reasons()
            if not any(each.awaits_reasons for each in begun.values()):
                return
        news.clear()
        try:
            async with asyncio.timeout(None if until is None else until - monotonic()):
                await news.wait()
        except TimeoutError:
            return
