"""What is remembered of a message while its recipients come one by one. No I/O.

Postfix asks once per recipient; `instance` is the same for all requests about one message
(SMTPD_POLICY_README). They share one lookup, and a header is prepended once.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from dnsbl.model import Verdict

MAX_MESSAGES: Final = 2_000
"""Twice as many as there can be connections: each has one message at a time."""
MAX_INSTANCE_CHARS: Final = 100
"""Postfix's have about 30. Longer ones are not remembered, to bound the memory."""


class Message:
    """One message: the verdict on its client once it is known, and the headers already prepended."""

    __slots__ = ("headers", "verdict")

    def __init__(self) -> None:
        self.verdict: Verdict | None = None
        self.headers: tuple[str, ...] = ()


class Messages:
    """The messages seen last, at most `limit`."""

    def __init__(self, limit: int = MAX_MESSAGES) -> None:
        self._limit = limit
        self._messages: OrderedDict[tuple[str, str], Message] = OrderedDict()

    def __len__(self) -> int:
        return len(self._messages)

    def find(self, instance: str, client: str) -> Message:
        """The message, new where it was not seen. Without an instance each request is its own message."""
        if not instance or len(instance) > MAX_INSTANCE_CHARS or len(client) > MAX_INSTANCE_CHARS:
            return Message()
        key = (instance, client)
        message = self._messages.get(key)
        if message is None:
            message = self._messages[key] = Message()
            if len(self._messages) > self._limit:
                self._messages.popitem(last=False)
        return message
