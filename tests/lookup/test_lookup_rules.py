"""The rules at the top of dnsbl/lookup/lookup.py, each by lookups that would break it."""

from __future__ import annotations

import asyncio
import copy
import gc
import logging
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FrameType

import pytest
from support.lookups import answer_of, eventually, outcomes, resolver_for, timed, with_zones

import dnsbl
from dnsbl import ConfigError, ForkedError, Outcome, ReentryError, Resolver, SubjectError, Verdict, Zone
from dnsbl.cache.clock import now as clock
from dnsbl.engine._engine import Completions
from dnsbl.health.judge import State
from dnsbl.lookup import forking
from dnsbl.lookup.lookup import Lookup
from dnsbl.model import Kind, Status, Wire
from dnsbl.subject import parse_subject
from dnsbl.testing import DnsblServer, Query, Reply, delay, parked, rcode, silence, stripped, wildcard
from dnsbl.testing import wire as testing_wire
from dnsbl.zones.interpret import read

FAST, SLOW = "fast.example", "slow.example"
SUBJECT = "192.0.2.1"


@pytest.fixture
def slow_server(dnsbl_server: DnsblServer) -> DnsblServer:
    """Two lists that list 192.0.2.0/24; one answers after 0.3 s."""
    for name in with_zones(dnsbl_server, FAST, SLOW):
        dnsbl_server.zone(name).list("192.0.2.0/24", ttl=300)
    dnsbl_server.zone(SLOW).fault(delay(0.3))
    return dnsbl_server


# ---- 1: age ----


def test_an_answer_that_nobody_waited_for_ages_from_its_arrival(slow_server: DnsblServer) -> None:
    """J1: delisted a TTL ago, it is not listed, however quiet it was meanwhile."""
    for name in (FAST, SLOW):
        slow_server.zone(name).unlist("192.0.2.0/24")
        slow_server.zone(name).list(SUBJECT, ttl=1)
    with resolver_for(slow_server, FAST, SLOW, reasons=False) as resolver:
        assert not resolver.check(SUBJECT, deadline_s=0.1).complete
        time.sleep(0.4)
        for name in (FAST, SLOW):
            slow_server.zone(name).unlist(SUBJECT)
        slow_server.zone(SLOW).heal()
        time.sleep(1.2)
        assert not resolver.check(SUBJECT).listed


def test_who_joins_is_not_given_what_has_expired(slow_server: DnsblServer) -> None:
    """An answer of TTL 0 that came before a lookup began is nothing to it, though its question goes on."""
    slow_server.zone(FAST).unlist("192.0.2.0/24")
    slow_server.zone(FAST).list(SUBJECT, ttl=0)
    with resolver_for(slow_server, FAST, SLOW, reasons=False) as resolver:
        first = threading.Thread(target=resolver.check, args=(SUBJECT,))
        first.start()
        assert eventually(lambda: slow_server.count(FAST) == slow_server.count(SLOW) == 1, 10)
        time.sleep(0.1)  # for the answer to arrive, of which nobody is told yet
        slow_server.zone(FAST).unlist(SUBJECT)
        verdict = resolver.check(SUBJECT)
        first.join()
        assert outcomes(verdict) == [Outcome.NOT_LISTED, Outcome.LISTED]
        assert slow_server.count(SLOW) == 1


def test_what_was_asked_before_a_flush_is_not_held_after_it(slow_server: DnsblServer) -> None:
    with resolver_for(slow_server, FAST, SLOW, reasons=False) as resolver:
        resolver.check(SUBJECT, deadline_s=0.05)
        resolver.flush()
        assert eventually(lambda: resolver.stats()["in_flight"] == 0, 10)
        assert resolver.check_cached(SUBJECT) is None
        assert not any(answer.cached for answer in resolver.check(SUBJECT).answers)


# ---- 2: nothing foreign under the lock ----


class _Handler(logging.Handler):
    def __init__(self, do: Callable[[], object]) -> None:
        super().__init__()
        self.do = do
        self.calls = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.calls += 1
        self.do()


@pytest.fixture
def handled() -> Iterator[Callable[[Callable[[], object]], _Handler]]:
    """Call it with what a log handler shall do."""
    made: list[_Handler] = []

    def install(do: Callable[[], object]) -> _Handler:
        made.append(_Handler(do))
        logging.getLogger("dnsbl").addHandler(made[-1])
        return made[-1]

    yield install
    for handler in made:
        logging.getLogger("dnsbl").removeHandler(handler)


def test_a_slow_log_handler_holds_no_lookup_up(
    dnsbl_server: DnsblServer, handled: Callable[[Callable[[], object]], _Handler]
) -> None:
    """J2."""
    names = with_zones(dnsbl_server, "good.example", "bad.example")
    dnsbl_server.zone("bad.example").fault(rcode("SERVFAIL"))
    release = threading.Event()
    handler = handled(lambda: release.wait(5))
    with resolver_for(dnsbl_server, *names, deadline_s=0.5) as resolver:
        took_s = [timed(lambda n=n: resolver.check(f"192.0.2.{n}"))[1] for n in range(8)]
        assert handler.calls == 1
        release.set()
    assert max(took_s) < 0.5


def test_a_log_handler_may_use_the_resolver(
    dnsbl_server: DnsblServer, handled: Callable[[Callable[[], object]], _Handler]
) -> None:
    names = with_zones(dnsbl_server, "good.example", "bad.example")
    dnsbl_server.zone("bad.example").fault(rcode("SERVFAIL"))
    with resolver_for(dnsbl_server, *names) as resolver:
        seen: list[object] = []
        handled(lambda: seen.append((resolver.stats(), resolver.check("192.0.2.99").listed)))
        for number in range(5):
            resolver.check(f"192.0.2.{number}")
        assert eventually(lambda: seen)


# ---- 3: deadlines ----


def test_a_short_deadline_leaves_the_question_to_who_comes_next(slow_server: DnsblServer) -> None:
    """J3: no TIMEOUT from the cache, no second query, no blame."""
    with resolver_for(slow_server, FAST, SLOW, reasons=False) as resolver:
        for number in range(1, 5):
            subject = f"192.0.2.{number}"
            assert outcomes(resolver.check(subject, deadline_s=0.05))[1] is Outcome.TIMEOUT
            verdict = resolver.check(subject)
            assert verdict.complete
            assert not verdict.answers[1].cached
        assert slow_server.count(SLOW) == 4
        assert resolver.stats()["zones"][SLOW]["breaker"]["failures"] == 0


def test_silence_counts_when_the_list_had_its_full_time(slow_server: DnsblServer) -> None:
    slow_server.zone(SLOW).fault(silence())
    with resolver_for(slow_server, FAST, SLOW, reasons=False, deadline_s=0.4) as resolver:
        resolver.check(SUBJECT, deadline_s=0.1)
        assert resolver.stats()["zones"][SLOW]["breaker"]["failures"] == 0
        assert resolver.check(SUBJECT).elapsed_s > 0.3
        assert resolver.stats()["zones"][SLOW]["breaker"]["failures"] == 1
        assert resolver.check(SUBJECT).answers[1].cached


# ---- 4: better and newer ----


def test_an_older_question_s_end_does_not_replace_a_newer_answer(
    dnsbl_server: DnsblServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J4: nor is it blamed on the list, which has answered meanwhile."""
    monkeypatch.setattr("dnsbl.lookup.inflight.LISTEN_S", 0.3)
    names = with_zones(dnsbl_server, FAST, "z.example")
    zone = dnsbl_server.zone("z.example")
    zone.list(SUBJECT, ttl=300)
    zone.fault(silence())
    with resolver_for(dnsbl_server, *names, reasons=False, deadline_s=0.3) as resolver:

        async def cancelled() -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(resolver.check_async(SUBJECT), 0.05)

        asyncio.run(cancelled())
        time.sleep(0.35)
        zone.heal()
        assert resolver.check(SUBJECT).listed
        assert eventually(lambda: resolver.stats()["in_flight"] == 0, 10)
        assert resolver.check(SUBJECT).listed
        assert resolver.stats()["zones"]["z.example"]["breaker"]["failures"] == 0


# ---- 5: waits ----


def test_a_lookup_in_a_signal_handler_ends_and_so_does_the_one_it_interrupts(
    slow_server: DnsblServer,
) -> None:
    """J5."""
    with resolver_for(slow_server, SLOW, reasons=False) as resolver:
        inner: list[Verdict] = []
        old = signal.signal(signal.SIGALRM, lambda *_: inner.append(resolver.check("192.0.2.2")))
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            outer, took_s = timed(lambda: resolver.check(SUBJECT))
        finally:
            signal.signal(signal.SIGALRM, old)
        assert outer.complete
        assert inner[0].complete
        assert took_s < 1.5


def test_what_a_signal_handler_can_not_do_is_said_and_nothing_hangs(slow_server: DnsblServer) -> None:
    """While this very thread holds the lock: counters can be read, a lookup is one clear error."""
    with resolver_for(slow_server, FAST) as resolver:
        with resolver._core.lock:
            assert resolver.stats()["zones"]
            assert resolver.cache_info().currsize == 0
            with pytest.raises(ReentryError, match="signal handler"):
                resolver.check(SUBJECT)
            with pytest.raises(ReentryError):
                resolver.flush()
            resolver.close()
        with pytest.raises(dnsbl.ClosedError):
            resolver.check(SUBJECT)


def test_stats_in_a_signal_handler_never_hangs(dnsbl_server: DnsblServer) -> None:
    with_zones(dnsbl_server, FAST)
    with resolver_for(dnsbl_server, FAST) as resolver:
        calls: list[int] = []

        def handler(_number: int, _frame: FrameType | None) -> None:
            calls.append(len(resolver.stats()["zones"]))
            signal.setitimer(signal.ITIMER_REAL, 0.002)

        old = signal.signal(signal.SIGALRM, handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.002)
            for number in range(1500):
                assert resolver.check((0x10000000 + number).to_bytes(4, "big")).complete
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old)
        assert calls


def test_exceptions_of_a_signal_handler_lose_no_answer(dnsbl_server: DnsblServer) -> None:
    class Interrupt(Exception):
        pass

    def handler(_number: int, _frame: FrameType | None) -> None:
        raise Interrupt

    with_zones(dnsbl_server, FAST, "other.example")
    dnsbl_server.zone("other.example").negative(ttl=0, minimum=0)
    with resolver_for(dnsbl_server, FAST, "other.example") as resolver:
        resolver.check(SUBJECT)
        old = signal.signal(signal.SIGALRM, handler)
        gc.disable()  # in one of its callbacks, as hypothesis has one, the exception would be nobody's
        try:
            for number in range(600):
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.00005 + number % 20 / 20_000)
                    resolver.check(f"192.0.2.{number % 50}")
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except Interrupt:
                    pass
        finally:
            with suppress(Interrupt):
                signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old)
            gc.enable()
        assert all(resolver.check(f"192.0.2.{number}").complete for number in range(50))


def test_a_stream_begun_before_fork_says_so_in_the_child(slow_server: DnsblServer) -> None:
    with resolver_for(slow_server, SLOW, reasons=False) as resolver:
        stream = resolver.check_many([f"192.0.2.{n}" for n in range(20)], window=4)
        next(stream)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.alarm(10)
                list(stream)  # what was ready in the parent may come first
            except ForkedError:
                status = 0 if resolver.check("192.0.2.200").complete else 2
            finally:
                os._exit(status)
        assert len(list(stream)) == 19
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_ctrl_c_while_a_fork_waits_for_a_lock_leaves_none_held(slow_server: DnsblServer) -> None:
    with resolver_for(slow_server, FAST) as resolver:
        held = threading.Event()

        def hold() -> None:
            with resolver._core.lock:
                held.set()
                time.sleep(0.3)

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait()
        threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        child = -1
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012
            child = os.fork()
            if child == 0:
                os._exit(0)
            for _ in range(600):  # until the signal, which may come to another thread
                time.sleep(0.05)
        holder.join()
        if child > 0:
            os.waitpid(child, 0)
        assert forking._held == []
        done: list[bool] = []
        other = threading.Thread(target=lambda: done.append(resolver.check(SUBJECT).complete))
        other.start()
        other.join(5)
        assert done == [True]


def test_one_failed_lookup_of_an_event_loop_strands_no_other(
    slow_server: DnsblServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J6."""
    real = Lookup.advance

    def advance(self: Lookup) -> bool:
        if self.subject.text == SUBJECT:
            raise MemoryError("no memory for a lookup")
        return real(self)

    monkeypatch.setattr(Lookup, "advance", advance)

    async def main() -> list[object]:
        async with resolver_for(slow_server, SLOW, reasons=False) as resolver:
            lookups = [resolver.check_async(f"192.0.2.{n}") for n in range(1, 6)]
            return await asyncio.wait_for(asyncio.gather(*lookups, return_exceptions=True), 5)

    found = asyncio.run(main())
    assert isinstance(found[0], MemoryError)
    assert all(isinstance(verdict, Verdict) and verdict.complete for verdict in found[1:])


def test_a_lookup_that_no_ticket_ends_has_the_answers_that_came(slow_server: DnsblServer) -> None:
    """A machine under load is late with the ticket's end, which is no list's silence."""
    slow_server.zone(SLOW).fault(silence())
    with resolver_for(slow_server, FAST, SLOW, reasons=False) as resolver:
        assert not resolver.check("192.0.2.9", deadline_s=0.1).complete
        completions = Completions()
        lookup = Lookup(resolver._core, parse_subject(SUBJECT), completions, clock(), 30.0, None)
        assert not lookup.start()
        assert eventually(lambda: any(wait.ticket.fan.answers() for wait in lookup._waits), 10)
        lookup.expire()
    assert outcomes(lookup.verdict) == [Outcome.LISTED, Outcome.TIMEOUT]


def test_a_source_that_fails_does_so_after_the_verdicts_it_gave(slow_server: DnsblServer) -> None:
    """J12."""

    def source() -> Iterator[str]:
        yield from (f"192.0.2.{n}" for n in range(10))
        raise RuntimeError("the source")

    got: list[object] = []
    with resolver_for(slow_server, SLOW, reasons=False) as resolver:
        with pytest.raises(RuntimeError, match="the source"):
            got.extend(iter_into(got, resolver.check_many(source())))
        assert len(got) == 10

        async def main() -> None:
            async for result in resolver.check_many_async(source()):
                got.append(result)

        resolver.flush()
        with pytest.raises(RuntimeError, match="the source"):
            asyncio.run(main())
        assert len(got) == 20


def iter_into(got: list[object], results: Iterator[object]) -> list[object]:
    for result in results:
        got.append(result)
    return []


def test_who_joins_waits_for_the_zones_it_asks_only(dnsbl_server: DnsblServer) -> None:
    def quiet(query: Query, answer: Callable[[], Reply]) -> Reply | None:
        return None if query.name.startswith("example.com.") else answer()

    dnsbl_server.zone("reg.example", "domain").list("example.com", ttl=0)
    dnsbl_server.zone("host.example", "domain").fault(quiet)
    domain: frozenset[Kind] = frozenset({"domain"})
    zones = [Zone("reg.example", subjects=domain), Zone("host.example", subjects=domain, domain="host")]
    with resolver_for(dnsbl_server, *zones, reasons=False, deadline_s=3.0) as resolver:
        first = threading.Thread(target=resolver.check, args=("example.com",))
        first.start()
        assert eventually(
            lambda: dnsbl_server.count("reg.example") and dnsbl_server.count("host.example"), 10
        )
        assert resolver.check("www.example.com").elapsed_s < 2.0
        first.join()


# ---- 6: what was not sent ----


def test_what_was_not_sent_is_no_timeout() -> None:
    reading = read(Zone("bl.example"), Wire(Status.UNSENT, -1))
    assert reading.outcome is Outcome.SKIPPED
    assert "not sent" in reading.detail


def test_ten_thousand_lookups_at_once_are_all_complete(dnsbl_server: DnsblServer) -> None:
    with_zones(dnsbl_server, FAST)

    async def main() -> int:
        async with resolver_for(dnsbl_server, FAST, deadline_s=60.0) as resolver:
            subjects = ((0x10000000 + n).to_bytes(4, "big") for n in range(10_000))
            return sum(v.complete for v in await asyncio.gather(*map(resolver.check_async, subjects)))

    assert asyncio.run(main()) == 10_000


# ---- 8: whose fault ----


def test_an_ip6_half_that_fails_leaves_the_ip4_half_in_use(dnsbl_server: DnsblServer) -> None:
    """J8."""
    names = with_zones(dnsbl_server, "good.example", "half.example")
    zone = dnsbl_server.zone("half.example")
    zone.list("192.0.2.9")

    def no_ip6(query: Query, answer: Callable[[], Reply]) -> Reply | bytes:
        return testing_wire.build_reply(query, 2) if query.name.count(".") > 20 else answer()

    zone.fault(no_ip6)
    with resolver_for(dnsbl_server, *names) as resolver:
        for number in range(1, 6):
            last = resolver.check(f"2001:db8::{number}")
        assert answer_of(last, "half.example").outcome is Outcome.SKIPPED
        assert resolver.stats()["zones"]["half.example"]["breaker"]["state"] == "open"
        assert resolver.check("192.0.2.9").listed


@pytest.mark.parametrize(
    ("fault", "state"),
    [(rcode("REFUSED"), State.REFUSED), (parked(), State.PARKED), (stripped(), State.STRIPPED)],
)
def test_one_bad_moment_of_the_nameserver_sets_no_zone_aside(
    dnsbl_server: DnsblServer, fault: object, state: State
) -> None:
    """J9."""
    names = with_zones(dnsbl_server, "a.example", "b.example")
    for name in names:
        dnsbl_server.zone(name).list("192.0.2.9")
    with resolver_for(dnsbl_server, *names) as resolver:
        dnsbl_server.fault(fault)  # type: ignore[arg-type]
        assert [health.state for health in resolver.health()] == [state, state]
        dnsbl_server.heal()
        verdict = resolver.check("192.0.2.9")
        assert outcomes(verdict) == [Outcome.LISTED] * 2
        assert not verdict.complete
        resolver.health()
        assert resolver.check("192.0.2.9").complete


def test_zones_doubted_or_broken_are_tested_again_by_lookups(
    dnsbl_server: DnsblServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dnsbl.health.breaker.FIRST_DOUBT_S", 0.1)
    monkeypatch.setattr("dnsbl.health.breaker.FIRST_WAIT_S", 0.1)
    names = with_zones(dnsbl_server, "a.example", "b.example")
    for fault_at in (dnsbl_server, dnsbl_server.zone("a.example")):
        with resolver_for(dnsbl_server, *names) as resolver:
            fault_at.fault(wildcard() if fault_at is not dnsbl_server else stripped())
            resolver.health()
            assert not resolver.check("192.0.2.9").complete
            fault_at.heal()
            assert eventually(lambda r=resolver: r.check("192.0.2.9").complete)


def test_what_a_broken_zone_said_goes_out_of_cache_and_file(
    dnsbl_server: DnsblServer, tmp_path: object
) -> None:
    """N3."""
    names = with_zones(dnsbl_server, "a.example", "b.example")
    dnsbl_server.zone("a.example").fault(wildcard(ttl=3600))
    path = f"{tmp_path}/cache"
    with resolver_for(dnsbl_server, *names) as resolver:
        assert resolver.check("192.0.2.9").listed
        assert resolver.health()[0].broken
        assert not resolver.check("192.0.2.9").listed
        resolver.save_cache(path)
    dnsbl_server.zone("a.example").heal()
    with resolver_for(dnsbl_server, *names) as resolver:
        resolver.load_cache(path)
        assert not resolver.check("192.0.2.9").listed


def test_of_two_health_checks_the_newer_finding_counts(dnsbl_server: DnsblServer) -> None:
    """N10."""
    names = with_zones(dnsbl_server, "a.example", "silent.example")
    dnsbl_server.zone("silent.example").fault(silence())
    dnsbl_server.zone("a.example").fault(wildcard())
    with resolver_for(dnsbl_server, *names) as resolver:
        older = threading.Thread(target=lambda: resolver.health(deadline_s=2.0))
        older.start()
        assert eventually(lambda: dnsbl_server.count("a.example") == 4, 10)
        dnsbl_server.zone("a.example").heal()
        assert not resolver.health(["a.example"])[0].broken
        older.join()
        assert resolver.stats()["zones"]["a.example"]["breaker"]["unhealthy"] is None


def test_on_error_listed_counts_while_the_zone_is_set_aside(dnsbl_server: DnsblServer) -> None:
    """N5."""
    with_zones(dnsbl_server, "a.example", "b.example")
    dnsbl_server.zone("b.example").fault(rcode("SERVFAIL"))
    zones = [Zone("a.example"), Zone("b.example", on_error="listed", weight=2.0)]
    with resolver_for(dnsbl_server, *zones) as resolver:
        verdicts = [resolver.check(f"192.0.2.{n}") for n in range(6)]
    assert [verdict.score for verdict in verdicts] == [2.0] * 6
    assert verdicts[-1].answers[1].outcome is Outcome.SKIPPED
    assert verdicts[-1].answers[1].score == 2.0


def test_every_query_sent_counts_against_the_budget(dnsbl_server: DnsblServer) -> None:
    """I14."""
    with_zones(dnsbl_server, "bl.example")
    dnsbl_server.zone("bl.example").fault(silence(), times=3)
    zone = Zone("bl.example", daily_limit=1000)
    with resolver_for(dnsbl_server, zone, timeout_s=0.1) as resolver:
        assert resolver.check(SUBJECT).complete
        today = resolver.stats()["zones"]["bl.example"]["budget"]["queries_today"]
        assert today == dnsbl_server.count("bl.example") == 4


# ---- what callers can trip over ----


def test_an_incomplete_verdict_is_not_to_be_held(dnsbl_server: DnsblServer) -> None:
    """J10."""
    names = with_zones(dnsbl_server, "a.example", "b.example")
    dnsbl_server.zone("b.example").fault(rcode("SERVFAIL"))
    with resolver_for(dnsbl_server, *names) as resolver:
        for number in range(5):
            verdict = resolver.check(f"192.0.2.{number}")
            assert (verdict.complete, verdict.ttl_s) == (False, None)


def test_no_copy_of_a_verdict_holds_a_key(dnsbl_server: DnsblServer) -> None:
    """J7, J11: pickled, copied and read ones are equal, and the saved cache holds no key either."""
    dnsbl_server.zone("sekretkey.zen.example").list(SUBJECT, txt="why sekretkey")
    with resolver_for(dnsbl_server, Zone("zen.example", key="sekretkey")) as resolver:
        for subject in (SUBJECT, "192.0.2.2", SUBJECT, "192.0.2.2"):
            verdict = resolver.check(subject)
            pickled = pickle.dumps(verdict)
            assert b"sekretkey" not in pickled
            assert pickle.loads(pickled) == copy.copy(verdict) == copy.deepcopy(verdict) == verdict
            assert hash(pickle.loads(pickled)) == hash(verdict)
            assert "sekretkey" not in str(verdict.to_dict(explain=True))


def test_a_saved_cache_holds_no_key_and_follows_links(dnsbl_server: DnsblServer, tmp_path: object) -> None:
    dnsbl_server.zone("sekretkey.zen.example").list(SUBJECT, txt="why sekretkey")
    real, link, fifo = (f"{tmp_path}/{name}" for name in ("real", "link", "fifo"))
    os.symlink(real, link)
    os.mkfifo(fifo)
    with resolver_for(dnsbl_server, Zone("zen.example", key="sekretkey")) as resolver:
        resolver.check(SUBJECT)
        assert resolver.save_cache(link) == 1
        assert os.path.islink(link)
        with open(real, "rb") as file:
            data = file.read()
        assert b"why ***" in data
        assert b"sekretkey" not in data
        with pytest.raises(OSError, match="not a regular file"):
            resolver.save_cache(fifo)


def test_traps_say_what_to_do(dnsbl_server: DnsblServer, tmp_path: object) -> None:
    """J13."""
    with_zones(dnsbl_server, "bl.example")
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        with pytest.raises(TypeError, match=r"verdict\.listed"):
            bool(resolver.check(SUBJECT))
        with pytest.raises(SubjectError, match="one subject"):
            resolver.check_many(SUBJECT)
        with pytest.raises(ConfigError, match="decide is empty"):
            resolver.check(SUBJECT, decide={})
        with pytest.raises(ConfigError, match="decide = 3 is not a valid mapping"):
            resolver.check(SUBJECT, decide=3)  # type: ignore[arg-type]
        resolver.check_cached("192.0.2.77")
        before = resolver.cache_info().misses
        resolver.check("192.0.2.77")
        assert resolver.cache_info().misses == before + 1
    path = f"{tmp_path}/dnsbl.toml"
    with open(path, "w") as file:
        file.write(
            f'[resolver]\nnameservers = ["{dnsbl_server.nameserver}"]\n[[zone]]\nname = "bl.example"\n'
        )
    with Resolver(config=path) as resolver:
        assert resolver.check(SUBJECT).complete


@pytest.mark.parametrize("name", dnsbl.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(dnsbl, name) is not None
