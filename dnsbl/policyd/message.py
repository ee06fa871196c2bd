"""What is remembered of a message while its recipients come one by one. No I/O.

Postfix asks once per recipient; `instance` is the same for all requests about one message
(SMTPD_POLICY_README). They share one lookup, and a header is prepended once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from threading import Event
from typing import Final, NamedTuple, Protocol

from dnsbl.model import Verdict
from dnsbl.policy.rules import Policy
from dnsbl.policy.sources import Asked

NEVER: Final = Event()
MAX_MESSAGES: Final = 2_000
"""Twice as many as there can be connections: each has one message at a time."""
MAX_INSTANCE_CHARS: Final = 100
"""Postfix's have about 30. Longer ones are not remembered, to bound the memory."""


MAX_SUBJECTS: Final = 12
"""Twice as many as one request has sources."""


class Begun(Protocol):
    """A lookup that has begun; `dnsbl.lookup.begun.Begun` is one."""

    @property
    def done(self) -> bool: ...
    @property
    def awaits_reasons(self) -> bool: ...
    def so_far(self) -> Verdict: ...
    def tell(self, news: Callable[[], None]) -> None: ...
    def follow(self) -> None: ...
    def ask_reasons(self) -> None: ...
    def abandon(self) -> None: ...


class Lookups(Protocol):
    """What is asked of a resolver; `dnsbl.Resolver` has it."""

    def begin(self, subject: object) -> Begun: ...


class Backend(NamedTuple):
    """What a reload replaces, all at once. deadline_s: of the resolver's lookups.

    takes_domains: some zone does, so that domains are worth looking up. retired: set once the resolver is
    about to be closed.
    """

    policy: Policy
    resolver: Lookups
    deadline_s: float
    takes_domains: bool = True
    retired: Event = NEVER


class Message:
    """One message: the verdicts on its subjects, once they are known, and the headers already prepended.

    backend: the configuration that judges it, to its last recipient, whatever is reloaded meanwhile.
    """

    __slots__ = ("_verdicts", "backend", "headers")

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.headers: tuple[str, ...] = ()
        self._verdicts: dict[Asked, Verdict] = {}

    def known(self, subject: Asked) -> Verdict | None:
        """The verdict on a subject, where this message has had it; `pending` where it was decided early."""
        return self._verdicts.get(subject)

    def learn(self, verdicts: Mapping[Asked, Verdict]) -> None:
        """Remember verdicts by subject; those of the last recipients, where the recipient is looked up."""
        for subject, verdict in verdicts.items():
            self._verdicts.pop(subject, None)
            self._verdicts[subject] = verdict
        while len(self._verdicts) > MAX_SUBJECTS:
            del self._verdicts[next(iter(self._verdicts))]


class Messages:
    """The messages seen last, at most `limit`."""

    def __init__(self, limit: int = MAX_MESSAGES) -> None:
        self._limit = limit
        self._messages: OrderedDict[tuple[str, str], Message] = OrderedDict()

    def __len__(self) -> int:
        return len(self._messages)

    def find(self, instance: str, client: str, backend: Backend) -> Message:
        """The message, new where it was not seen. Without an instance each request is its own message.

        A message whose resolver has been closed since begins anew.
        """
        if not instance or len(instance) > MAX_INSTANCE_CHARS or len(client) > MAX_INSTANCE_CHARS:
            return Message(backend)
        key = (instance, client)
        message = self._messages.get(key)
        if message is None or message.backend.retired.is_set():
            message = self._messages[key] = Message(backend)
            if len(self._messages) > self._limit:
                self._messages.popitem(last=False)
        return message
