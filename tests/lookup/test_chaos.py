"""Chaos with a known truth: whatever lists, nameserver, callers and clocks do, no verdict is wrong.

One list changes what it lists, one is steady, one breaks in every way it can. Threads, an event loop,
streams, forked children, short deadlines, cancellations, flushes and saved caches play against them.
A verdict may be incomplete; it may not say of a list what it did not say while an answer may be held.

CHAOS_S: seconds it runs (20). CHAOS_SEED: another course of events (1).
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from dnsbl import Outcome, Resolver, Verdict
from dnsbl.testing import DnsblServer, Handler, delay, garbage, hang_up, rcode, silence, truncated

CHAOS_S = float(os.environ.get("CHAOS_S", "20"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))

CHANGING, STEADY, BROKEN = "changing.example", "steady.example", "broken.example"
TTL_S = 1
SLACK_S = 1.0
"""Between the server's making an answer and its arrival here: the longest delay, and a busy machine."""
SUBJECTS = [f"192.0.2.{n}" for n in range(200)]
FAULTS: list[Callable[[], Handler]] = [
    silence,
    hang_up,
    truncated,
    lambda: rcode("SERVFAIL"),
    lambda: rcode("REFUSED"),
    lambda: delay(0.2),
    lambda: garbage("random"),
    lambda: garbage("id"),
    lambda: garbage("question"),
    lambda: garbage("half"),
    lambda: garbage("empty"),
]


WHO = ("thread", "stream", "loop", "follower", "each", "child", "loaded resolver")


class Truth:
    """What the changing list said and when, and when all was flushed."""

    def __init__(self, server: DnsblServer) -> None:
        self.lock = threading.Lock()
        self.changes: dict[str, list[tuple[float, bool]]] = {s: [(time.monotonic(), False)] for s in SUBJECTS}
        self.zone = server.zone(CHANGING)
        self.flushed = 0.0

    def change(self, subject: str) -> None:
        with self.lock:
            said = self.changes[subject]
            listed = not said[-1][1]
            said.append((time.monotonic(), listed))
            if listed:
                self.zone.list(subject, ttl=TTL_S)
            else:
                self.zone.unlist(subject)
            said.append((time.monotonic(), listed))
            del said[:-200]

    def may_be(self, subject: str, listed: bool, since: float, until: float) -> bool:
        """The list said so at some time in between."""
        with self.lock:
            said = list(self.changes[subject])
        at_start = [known for at, known in said if at <= since]
        return listed in at_start[-1:] or any(known == listed for at, known in said if since <= at <= until)


def steady_lists(subject: str) -> bool:
    return int(subject.rsplit(".", 1)[1]) % 2 == 0


class Chaos:
    """The players and what they found wrong."""

    def __init__(self, server: DnsblServer, resolver: Resolver, path: Path) -> None:
        self.server, self.resolver, self.path = server, resolver, path
        self.truth = Truth(server)
        self.end = time.monotonic() + CHAOS_S
        self.wrong: list[str] = []
        self.seen: Counter[str] = Counter()

    @property
    def on(self) -> bool:
        return time.monotonic() < self.end and not self.wrong

    def judge(self, subject: str, verdict: Verdict, started: float, flushed: float, who: str) -> None:
        now = time.monotonic()
        self.seen[who] += 1
        self.seen["complete"] += verdict.complete
        since = max(started - TTL_S - SLACK_S, flushed)
        for answer in verdict.answers:
            if answer.outcome not in (Outcome.LISTED, Outcome.NOT_LISTED):
                continue
            listed = answer.outcome is Outcome.LISTED
            if answer.zone == CHANGING:
                right = self.truth.may_be(subject, listed, since, now)
            else:
                right = listed == steady_lists(subject)
            if not right:
                self.wrong.append(f"{who}: {subject} {answer}, started {started}, flushed {flushed}, {now}")

    def check(self, chance: random.Random, resolver: Resolver, who: str) -> None:
        subject, deadline_s = chance.choice(SUBJECTS), chance.choice([0.02, 0.3, 1.0])
        flushed, started = self.truth.flushed, time.monotonic()
        verdict = resolver.check(subject, deadline_s=deadline_s)
        self.judge(subject, verdict, started, flushed, who)
        if time.monotonic() - started > deadline_s + 3:
            self.wrong.append(f"{who}: {subject} took {time.monotonic() - started} s of {deadline_s}")

    # ---- players ----

    def thread(self, chance: random.Random) -> None:
        while self.on:
            self.check(chance, self.resolver, "thread")

    def stream(self, chance: random.Random) -> None:
        while self.on:
            subjects = chance.sample(SUBJECTS, 60)
            flushed, started = self.truth.flushed, time.monotonic()
            for subject, verdict in zip(
                subjects, self.resolver.check_many(subjects, ordered=True, window=20), strict=True
            ):
                assert isinstance(verdict, Verdict)
                assert verdict.subject == subject
                self.judge(subject, verdict, started, flushed, "stream")

    def loop(self, chance: random.Random) -> None:
        async def one(subject: str) -> None:
            flushed, started = self.truth.flushed, time.monotonic()
            with suppress(TimeoutError):
                found = await asyncio.wait_for(self.resolver.check_async(subject), chance.choice([0.01, 5]))
                self.judge(subject, found, started, flushed, "loop")

        async def main() -> None:
            while self.on:
                await asyncio.gather(*map(one, chance.choices(SUBJECTS, k=20)))

        asyncio.run(main())

    def follower(self, chance: random.Random) -> None:
        """Waits for single answers: none is told late because another is still to come."""

        async def begun(subject: str) -> None:
            flushed, started = self.truth.flushed, time.monotonic()
            news, lookup = asyncio.Event(), self.resolver.begin(subject, deadline_s=20)
            lookup.tell(news.set)
            await asyncio.sleep(chance.choice([0, 0.001, 0.05]))
            lookup.follow()
            while {CHANGING, STEADY}.intersection(lookup.so_far().pending):
                await asyncio.wait_for(news.wait(), 10)
                news.clear()
            lookup.ask_reasons()
            self.judge(subject, lookup.so_far(), started, flushed, "follower")
            lookup.abandon()

        async def each(subject: str) -> None:
            flushed, started = self.truth.flushed, time.monotonic()
            async for verdict in self.resolver.check_each_async(subject):
                self.judge(subject, verdict, started, flushed, "each")

        async def main() -> None:
            while self.on:
                few = SUBJECTS[: chance.choice([2, 200])]
                await asyncio.gather(*(chance.choice([begun, each])(chance.choice(few)) for _ in range(20)))

        asyncio.run(main())

    def lists(self, chance: random.Random) -> None:
        """Changes what is true and what works."""
        while self.on:
            for subject in chance.sample(SUBJECTS, 10):
                self.truth.change(subject)
            zone = self.server.zone(BROKEN)
            zone.heal()
            if chance.random() < 0.7:
                zone.fault(chance.choice(FAULTS)())
            if chance.random() < 0.1:
                self.server.fault(silence(), times=20)
            time.sleep(chance.uniform(0.02, 0.1))
        self.server.heal()

    def keeper(self, chance: random.Random) -> None:
        """Flushes, saves, starts a resolver with what was saved, reads counters."""
        while self.on:
            time.sleep(chance.uniform(0.1, 0.4))
            self.resolver.stats()
            if chance.random() < 0.5:
                self.resolver.flush()
                self.truth.flushed = time.monotonic()
                continue
            self.resolver.save_cache(self.path)
            with Resolver([z.name for z in self.resolver.zones], self.resolver.nameservers) as other:
                other.load_cache(self.path)
                before, self_flushed = other.cache_info().currsize, 0.0
                self.seen["loaded"] += before
                for _ in range(5):
                    subject, started = chance.choice(SUBJECTS), time.monotonic()
                    verdict = other.check(subject, deadline_s=1.0)
                    self.judge(subject, verdict, started, self_flushed, "loaded resolver")

    def forker(self, chance: random.Random) -> None:
        while self.on:
            time.sleep(chance.uniform(0.3, 0.6))
            child = os.fork()
            if child == 0:
                self._child(chance)
            _, status = os.waitpid(child, 0)
            self.seen["child"] += 1
            if status:
                self.wrong.append(f"a forked child ended with {status}")

    def _child(self, chance: random.Random) -> None:
        """The parent alone knows the changing list; the steady one is known to all."""
        status = 1
        try:
            signal.alarm(20)
            for subject in chance.sample(SUBJECTS, 3):
                for answer in self.resolver.check(subject, deadline_s=1.0).answers:
                    if answer.zone != CHANGING and answer.outcome in (Outcome.LISTED, Outcome.NOT_LISTED):
                        assert (answer.outcome is Outcome.LISTED) == steady_lists(subject)
            status = 0
        finally:
            os._exit(status)


@pytest.mark.timeout(CHAOS_S + 90)
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_chaos_makes_no_verdict_wrong(
    dnsbl_server: DnsblServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I, J and N of the cases, all at once."""
    monkeypatch.setattr("dnsbl.health.breaker.FIRST_WAIT_S", 0.3)  # a zone set aside comes back soon
    monkeypatch.setattr("dnsbl.health.breaker.MAX_WAIT_S", 1.0)
    names = [CHANGING, STEADY, BROKEN]
    for name in names:
        dnsbl_server.zone(name).negative(ttl=TTL_S, minimum=TTL_S)
    for subject in filter(steady_lists, SUBJECTS):
        dnsbl_server.zone(STEADY).list(subject, ttl=TTL_S)
        dnsbl_server.zone(BROKEN).list(subject, ttl=TTL_S)
    with Resolver(names, [dnsbl_server.nameserver], deadline_s=1.0) as resolver:
        chaos = Chaos(dnsbl_server, resolver, tmp_path / "cache")
        players = [
            chaos.thread,
            chaos.thread,
            chaos.stream,
            chaos.loop,
            chaos.follower,
            chaos.lists,
            chaos.keeper,
            chaos.forker,
        ]

        def play(number: int) -> None:
            try:
                players[number](random.Random(SEED * 100 + number))
            except BaseException as error:
                chaos.wrong.append(f"{players[number].__name__}: {error!r}")

        threads = [threading.Thread(target=play, args=(n,), daemon=True) for n in range(len(players))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(CHAOS_S + 60)
        hung = [players[n].__name__ for n, thread in enumerate(threads) if thread.is_alive()]
    print(f"\nseed {SEED}, {CHAOS_S:g} s: {dict(chaos.seen)}")
    assert (chaos.wrong, hung) == ([], [])
    assert all(chaos.seen[who] > 0 for who in WHO)
    assert chaos.seen["complete"] > 100
