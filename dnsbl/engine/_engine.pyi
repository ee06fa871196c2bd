from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Any, final

MAX_ZONES: int
MAX_NAMESERVERS: int
TYPE_A: int
TYPE_TXT: int

def now() -> float:
    """The clock that answers age by, in seconds: CLOCK_BOOTTIME, which goes on while the machine sleeps,
    where it exists, else CLOCK_MONOTONIC."""

class Plan:
    zones: tuple[bytes, ...]
    sets: tuple[int, ...]
    timeouts_s: tuple[float, ...]
    def __new__(
        cls,
        zones: Iterable[str],
        sets: Iterable[int],
        timeouts_s: Iterable[float],
        engine: Engine | None = None,
    ) -> Plan:
        """`engine`: gives the sets back to it when neither the plan nor a fan made with it is left."""

class Fan:
    key: bytes | str
    indices: tuple[int, ...]
    tag: Any
    token: int
    @property
    def finished(self) -> bool:
        """All questions are answered, or were given up after the listening time."""
    @property
    def open_indices(self) -> tuple[int, ...]:
        """The zones whose answers are still out."""
    def answers(self) -> dict[int, Answer]:
        """All answers so far, by zone."""

@final
class Answer:
    """How one question ended.

    status: a `dnsbl.model.Status`, as a number. rcode: -1 if none came.
    addresses: A records in host order, ascending, unique.
    ttl_s: the lowest of the records asked for. soa_ttl_s, soa_minimum_s: of the SOA record. None: no such record.
    latency_us: from the first attempt, in microseconds.
    server: the index in its set of the nameserver that answered; -1: none.
    texts: TXT records, sorted; the strings of one joined without a space; at most 4 of at most 512 bytes.
    arrived: when it came, or was given up: seconds on the clock of `now`.
    queries: how many were sent for it."""

    @property
    def status(self) -> int: ...
    @property
    def rcode(self) -> int: ...
    @property
    def addresses(self) -> tuple[int, ...]: ...
    @property
    def ttl_s(self) -> int | None: ...
    @property
    def soa_ttl_s(self) -> int | None: ...
    @property
    def soa_minimum_s(self) -> int | None: ...
    @property
    def latency_us(self) -> int: ...
    @property
    def server(self) -> int: ...
    @property
    def texts(self) -> tuple[bytes, ...]: ...
    @property
    def arrived(self) -> float: ...
    @property
    def queries(self) -> int: ...

class Plain:
    """Answers of some zones to one question, all of them a plain no (NXDOMAIN, or NOERROR without an address)."""

    @property
    def zones(self) -> int:
        """A bit mask."""
    @property
    def soonest(self) -> float:
        """When the first of them expires."""
    @property
    def entry(self) -> bytes:
        """As `dnsbl.cache.entry.pack` would have packed them."""
    @property
    def way(self) -> bytes:
        """Of each, in the order of the entry: latency in microseconds (4 bytes), index of the server (2)."""

class Tally:
    """Takes plain answers in: counts them, notes that their zones answer, and packs them for the cache.

    counters: by zone, one array of "Q": a bucket for each bound and one more, the sum of them, how many
        answers were plain, how many questions were sent. bounds_us: an array of "Q", ascending.
        halve_at: a sum that is reached halves the buckets.
    answered: by set of nameservers an array of "d": when each zone answered last. row_of: makes one that is
        missing there. None of these arrays may change its length any more."""

    def __new__(
        cls,
        counters: Sequence[array[int]],
        bounds_us: array[int],
        halve_at: int,
        ttl_min_s: float,
        ttl_max_s: float,
        answered: dict[Any, array[float]],
        row_of: Callable[[int], array[float]],
    ) -> Tally: ...
    def sent(self, zones: int) -> None:
        """One question went to each of `zones` (a bit mask)."""
    def take(
        self, fan: Fan, wanted: int, may_be_plain: int, sets: tuple[int, ...], now: float
    ) -> tuple[Plain | None, list[tuple[int, Answer]]]:
        """The answers that have come of the zones `wanted`: the plain ones, taken in, and all others.

        may_be_plain: of these zones only. sets: by zone. An answer for which more than one query was sent,
        or that may not be held at `now`, counts as not plain."""

class Ticket:
    fan: Fan
    owner: Any
    @property
    def done(self) -> bool:
        """Its deadline has passed, or its fan has finished."""

class Completions:
    """A completion queue: the tickets that have news, for one who waits for them."""

    def __new__(cls, with_fd: bool = False, alone: bool = False) -> Completions:
        """alone: who submits with it calls `wait` (or `tell`) right after, and does the engine's work meanwhile
        if its thread has nothing else to do; so that thread is not told of what is submitted."""
    def fileno(self) -> int:
        """The descriptor that is readable while there is something to drain; -1 without one."""
    def drain(self, most: int = ...) -> list[Ticket]:
        """The tickets with something new, at most so many, the oldest first. Never waits."""
    def wait(self, for_s: float) -> list[Ticket]:
        """As drain, but waits for at most `for_s` seconds; signals are seen within 0.1 s."""
    def give_way(self) -> None:
        """For one who does much: let other threads go first, for a millisecond or so, if they have news."""
    def tell(self) -> None:
        """Nobody will wait after all: the engine's thread is to do what was submitted. For an `alone` one."""
    def forget(self, ticket: Ticket) -> None:
        """Nobody waits for this ticket any more."""

class Engine:
    def close(self) -> None:
        """Stop the thread; what is in flight ends as TIMEOUT. Safe to call twice."""
    def abandon_after_fork(self) -> None:
        """In a child after fork(): forget the parent's thread and all that is in flight."""
    def nameserver_set(self, servers: Sequence[str]) -> int:
        """The number of this set of nameservers, in order of preference. Equal sets share a number."""
    def fan(
        self,
        plan: Plan,
        key: bytes | str,
        indices: Iterable[int],
        record_type: int = ...,
        attempts: int = 0,
        tag: Any = None,
    ) -> Fan:
        """Questions for `key` (address bytes, or a domain in A-label form) in the zones `indices`.

        `attempts` 0: as many as fit before the deadline."""
    def submit(
        self,
        fan: Fan,
        completions: Completions,
        deadline_s: float,
        listen_s: float = 2.0,
        each: bool = False,
        owner: Any = None,
    ) -> Ticket:
        """Ask a new fan, or join one in flight; `deadline_s` and `listen_s` are seconds from now."""
    @property
    def has_retired(self) -> bool: ...
    def retired(self) -> list[Fan]:
        """Fans with answers that no completion queue was told of, and all that finished since the last call."""
    @property
    def in_flight(self) -> int: ...
    @property
    def crowded(self) -> bool:
        """More waits for a nameserver that answers than it will soon take."""
