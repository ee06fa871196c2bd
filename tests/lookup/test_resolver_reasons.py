"""TXT records as reasons, and the early answer under `decide`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from support.lookups import answer_of, eventually, outcomes, resolver_for, with_zones

from dnsbl import ConfigError, Outcome, Resolver, Verdict, Zone
from dnsbl.testing import DnsblServer, Handler, delay, garbage, rcode, silence
from dnsbl.zones.replyfilter import parse_reply_filter
from dnsbl.zones.zone import Code

Ask = Callable[..., Verdict]


@pytest.fixture(params=["check", "check_async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """A lookup by a blocking caller, and in an event loop."""

    def in_loop(resolver: Resolver, subject: str, **settings: object) -> Verdict:
        return asyncio.run(resolver.check_async(subject, **settings))  # type: ignore[arg-type]

    return Resolver.check if request.param == "check" else in_loop


# ---- reasons ----


@pytest.mark.parametrize(
    ("txt", "reason"),
    [
        ("see http://bl.example/", "see http://bl.example/"),
        ([("see http://ex", "ample.com/")], "see http://example.com/"),  # G11: joined without a space
        (["b", "a"], "a / b"),
        (["a", "b"], "a / b"),  # in a stable order
        (b"ab\x00cd", None),
        (b"caf\xe9", None),
        (b"\x1b[31mred\r\nX-Header: 1\x7f", None),
        ("", None),
    ],
)
def test_the_text_of_a_reason(dnsbl_server: DnsblServer, txt: object, reason: str | None) -> None:
    """G10: arbitrary bytes survive as text on one line, without control characters."""
    dnsbl_server.zone("bl.example").list("192.0.2.99", txt=txt)  # type: ignore[arg-type]
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        for _ in range(2):
            found = resolver.check("192.0.2.99").listings[0].reason
            if isinstance(txt, bytes):
                assert found is not None
                assert found.isprintable()
                for part in (b"ab", b"cd", b"caf", b"red", b"X-Header"):
                    assert (part in txt) == (part.decode() in found)
            else:
                assert found == reason


def test_a_reason_is_bounded(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99", txt=["x" * 5000, *(str(n) * 300 for n in range(20))])
    with resolver_for(dnsbl_server, "bl.example", reason_timeout_s=2) as resolver:
        reason = resolver.check("192.0.2.99").listings[0].reason
        assert reason
        assert len(reason) <= 4 * 512 + 9


def test_only_zones_that_list_the_subject_are_asked_for_it(dnsbl_server: DnsblServer) -> None:
    names = with_zones(
        dnsbl_server, "yes.example", "no.example", "error.example", "neutral.example", "allow.example"
    )
    dnsbl_server.zone("yes.example").list("192.0.2.99", txt="why")
    dnsbl_server.zone("error.example").list("192.0.2.99", codes=["127.255.255.254"], txt="blocked")
    dnsbl_server.zone("neutral.example").list("192.0.2.99", codes=["127.0.0.3"], txt="neutral")
    dnsbl_server.zone("allow.example").list("192.0.2.99", txt="good")
    neutral = Zone("neutral.example", codes=(Code(parse_reply_filter("127.0.0.3"), outcome="neutral"),))
    zones: list[str | Zone] = [*names[:3], neutral, Zone("allow.example", weight=-1)]
    with resolver_for(dnsbl_server, *zones) as resolver:
        verdict = resolver.check("192.0.2.99")
        assert [answer.reason for answer in verdict.answers] == ["why", None, None, None, "good"]
        resolver.check("192.0.2.1")
    assert [dnsbl_server.count(name, "TXT") for name in names] == [1, 0, 0, 0, 1]


def test_a_reason_is_cached_like_any_answer(dnsbl_server: DnsblServer) -> None:
    zone = dnsbl_server.zone("bl.example")
    zone.list("192.0.2.99", txt="why", ttl=300)
    zone.list("192.0.2.98", ttl=300)  # has none, which is held too
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        for _ in range(3):
            assert resolver.check("192.0.2.99").listings[0].reason == "why"
            assert resolver.check("192.0.2.98").listings[0].reason is None
        found = resolver.check_cached("192.0.2.99")
        assert found is not None
        assert found.listings[0].reason == "why"
    assert dnsbl_server.count(type="TXT") == 2


def test_the_cache_alone_answers_only_with_the_reason(dnsbl_server: DnsblServer) -> None:
    """Else who asks the cache first would give a client no reason while its TXT record is on the way."""
    dnsbl_server.zone("a.example").list("192.0.2.99", txt="why")
    with resolver_for(dnsbl_server, "a.example") as resolver:
        resolver.check("192.0.2.99", decide={"reject": 1})
        dnsbl_server.zone("a.example").fault(delay(0.2), types=["TXT"])
        resolver.flush()
        resolver.check("192.0.2.99", decide={"reject": 1})
        assert resolver.check_cached("192.0.2.99") is None
        assert resolver.check("192.0.2.99").listings[0].reason == "why"
        found = resolver.check_cached("192.0.2.99")
        assert found is not None
        assert found.listings[0].reason == "why"
    with resolver_for(dnsbl_server, "a.example", reasons=False) as resolver:
        resolver.check("192.0.2.99")
        assert resolver.check_cached("192.0.2.99") is not None


def test_thresholds_are_numbers(dnsbl_server: DnsblServer) -> None:
    with resolver_for(dnsbl_server, "a.example") as resolver:
        for wrong in ("3", None, True):
            with pytest.raises(ConfigError, match=r"decide\['reject'\]"):
                resolver.check("192.0.2.99", decide={"reject": wrong})  # type: ignore[dict-item]


def test_a_reason_expires_by_itself(dnsbl_server: DnsblServer) -> None:
    def short_lived(query: object, answer: object) -> object:
        import dns.message
        import dns.rrset

        reply = dns.message.make_response(query.message)  # type: ignore[attr-defined]
        name = reply.question[0].name
        reply.answer.append(dns.rrset.from_text(name, 1, "IN", "TXT", '"why"'))
        return reply

    dnsbl_server.zone("bl.example").list("192.0.2.99")
    dnsbl_server.zone("bl.example").fault(short_lived, types="TXT")  # type: ignore[arg-type]
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        resolver.check("192.0.2.99")
        time.sleep(1.05)
        assert resolver.check("192.0.2.99").listings[0].reason == "why"
    assert (dnsbl_server.count(type="A"), dnsbl_server.count(type="TXT")) == (1, 2)


@pytest.mark.parametrize(
    "fault",
    [rcode("NXDOMAIN"), rcode("SERVFAIL"), rcode("REFUSED"), silence(), garbage("half"), garbage("random")],
)
@pytest.mark.parametrize("subject", ["192.0.2.99", "2001:db8::99"])
def test_a11_a_reason_that_fails_never_changes_the_verdict(
    dnsbl_server: DnsblServer, fault: Handler, subject: str, ask: Ask
) -> None:
    zone = dnsbl_server.zone("bl.example")
    zone.list(subject, txt="why")
    zone.fault(fault, types="TXT")
    with resolver_for(dnsbl_server, "bl.example", reason_timeout_s=0.1) as resolver:
        verdict = ask(resolver, subject)
        assert (verdict.listed, verdict.complete, verdict.score) == (True, True, 1)
        assert (verdict.listings[0].codes, verdict.listings[0].reason) == (("127.0.0.2",), None)
        assert verdict.elapsed_s < 0.5


def test_a_reason_is_waited_for_half_a_second_at_most(dnsbl_server: DnsblServer, ask: Ask) -> None:
    zone = dnsbl_server.zone("bl.example")
    zone.list("192.0.2.99", txt="why")
    zone.fault(silence(), types="TXT")
    with resolver_for(dnsbl_server, "bl.example", deadline_s=5) as resolver:
        verdict = ask(resolver, "192.0.2.99")
        assert verdict.listed
        assert 0.49 < verdict.elapsed_s < 0.8


def test_a_reason_is_not_waited_for_beyond_the_deadline(dnsbl_server: DnsblServer, ask: Ask) -> None:
    zone = dnsbl_server.zone("bl.example")
    zone.list("192.0.2.99", txt="why")
    zone.fault(silence(), types="TXT")
    zone.fault(delay(0.2), types="A")
    with resolver_for(dnsbl_server, "bl.example", deadline_s=0.3) as resolver:
        verdict = ask(resolver, "192.0.2.99")
        assert verdict.listed
        assert 0.29 < verdict.elapsed_s < 0.45


def test_a_list_slow_with_its_reason_costs_each_subject_the_wait_once(dnsbl_server: DnsblServer) -> None:
    """A spammer comes again and again: the failure is held a few seconds, and the late reason is used."""
    zone = dnsbl_server.zone("bl.example")
    zone.list("192.0.2.99", txt="why")
    zone.fault(delay(0.4), types="TXT")
    with resolver_for(dnsbl_server, "bl.example", reason_timeout_s=0.15) as resolver:
        assert resolver.check("192.0.2.99").elapsed_s > 0.14
        for _ in range(5):
            verdict = resolver.check("192.0.2.99")
            assert verdict.listed
            assert verdict.elapsed_s < 0.1
        assert eventually(lambda: resolver.check("192.0.2.99").listings[0].reason == "why", 10)
    assert dnsbl_server.count(type="TXT") == 1


def test_without_reasons_none_is_asked(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99", txt="why")
    with resolver_for(dnsbl_server, "bl.example", reasons=False) as resolver:
        assert resolver.check("192.0.2.99").listings[0].reason is None
    assert dnsbl_server.count(type="TXT") == 0


# ---- the early answer ----


def heavy_and_slow(server: DnsblServer, heavy: float = 3, slow: float = 1) -> list[Zone]:
    server.zone("heavy.example").list("192.0.2.99", txt="why")
    server.zone("slow.example").list("192.0.2.99")
    server.zone("slow.example").fault(delay(0.25))
    return [Zone("heavy.example", weight=heavy), Zone("slow.example", weight=slow)]


def test_decided_as_soon_as_nothing_outstanding_can_change_it(dnsbl_server: DnsblServer, ask: Ask) -> None:
    zones = heavy_and_slow(dnsbl_server)
    with resolver_for(dnsbl_server, *zones, reasons=False) as resolver:
        verdict = ask(resolver, "192.0.2.99", decide={"reject": 3})
        assert verdict.elapsed_s < 0.15
        assert (verdict.listed, verdict.complete, verdict.score) == (True, False, 3)
        assert verdict.pending == ("slow.example",)
        assert outcomes(verdict) == [Outcome.LISTED, Outcome.SKIPPED]
        assert "not waited for" in answer_of(verdict, "slow.example").detail
        assert eventually(lambda: resolver.check_cached("192.0.2.99") is not None)  # the rest arrives
        verdict = ask(resolver, "192.0.2.99", decide={"reject": 3})
        assert (verdict.complete, verdict.score, verdict.pending) == (True, 4, ())
    assert dnsbl_server.count("slow.example", "A") == 1


@pytest.mark.parametrize(
    ("subject", "weights", "decide", "early"),
    [
        ("192.0.2.99", (3, 1), {"reject": 3}, True),
        ("192.0.2.99", (3, 1), {"reject": 4}, False),  # 3 or 4
        ("192.0.2.99", (3, 1), {"reject": 4.5}, True),  # never
        ("192.0.2.99", (3, 1), {"greylist": 1, "reject": 3}, True),
        ("192.0.2.99", (3, 1), {"greylist": 1, "reject": 4}, False),
        ("192.0.2.99", (3, -1), {"reject": 3}, False),  # an allowlist outstanding may take it below
        ("192.0.2.99", (3, -1), {"reject": 2}, True),
        ("192.0.2.99", (3, -1), {"reject": 3.5}, True),
        ("192.0.2.1", (3, 1), {"reject": 2}, True),  # clean so far: 1 at the most
        ("192.0.2.1", (3, 1), {"reject": 1}, False),
        ("192.0.2.1", (3, -1), {"trust": -0.5}, False),
    ],
)
def test_weights_of_what_is_outstanding_bound_the_score(
    dnsbl_server: DnsblServer,
    subject: str,
    weights: tuple[float, float],
    decide: dict[str, float],
    early: bool,
) -> None:
    zones = heavy_and_slow(dnsbl_server, *weights)
    with resolver_for(dnsbl_server, *zones, reasons=False) as resolver:
        verdict = resolver.check(subject, decide=decide)
        assert (verdict.elapsed_s < 0.15) == early
        assert ("slow.example" in verdict.pending) == early
        assert verdict.complete != early


@pytest.mark.parametrize(("on_error", "early"), [("no_opinion", True), ("listed", False)])
def test_a_zone_whose_failure_would_count_is_waited_for(
    dnsbl_server: DnsblServer, on_error: str, early: bool
) -> None:
    """With filters that cannot reach the threshold by matching, its failure still may."""
    dnsbl_server.zone("quick.example")
    dnsbl_server.zone("slow.example").fault(delay(0.3))
    slow = Zone("slow.example", weight=2 if on_error == "listed" else 0.5, on_error=on_error)  # type: ignore[arg-type]
    with resolver_for(dnsbl_server, "quick.example", slow) as resolver:
        verdict = resolver.check("192.0.2.1", decide={"reject": 1})
        assert bool(verdict.pending) == early


def test_a_cached_score_decides_without_waiting_at_all(dnsbl_server: DnsblServer, ask: Ask) -> None:
    zones = heavy_and_slow(dnsbl_server)
    with resolver_for(dnsbl_server, *zones, reasons=False) as resolver:
        resolver.check("192.0.2.99", decide={"reject": 3})
        assert eventually(lambda: resolver.stats()["in_flight"] == 0, 10)
        resolver.flush(zone="slow.example")
        verdict = ask(resolver, "192.0.2.99", decide={"reject": 3})
        assert verdict.elapsed_s < 0.05
        assert verdict.pending == ("slow.example",)
        assert eventually(lambda: dnsbl_server.count("slow.example") == 2)  # asked all the same


def test_reasons_are_not_waited_for_under_decide_but_arrive(dnsbl_server: DnsblServer, ask: Ask) -> None:
    zone = dnsbl_server.zone("bl.example")
    zone.list("192.0.2.99", txt="why")
    zone.fault(delay(0.2), types="TXT")
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        verdict = ask(resolver, "192.0.2.99", decide={"reject": 1})
        assert verdict.elapsed_s < 0.15
        assert (verdict.complete, verdict.listings[0].reason) == (True, None)
        assert eventually(lambda: dnsbl_server.count(type="TXT") == 1)
        assert eventually(lambda: resolver.stats()["in_flight"] == 0, 10)
        verdict = ask(resolver, "192.0.2.99", decide={"reject": 1})
        assert verdict.listings[0].reason == "why"
    assert dnsbl_server.count(type="TXT") == 1


def test_with_and_without_decide_share_questions(dnsbl_server: DnsblServer) -> None:
    zones = heavy_and_slow(dnsbl_server)

    async def main() -> tuple[Verdict, Verdict]:
        async with resolver_for(dnsbl_server, *zones, reasons=False) as resolver:
            patient = asyncio.create_task(resolver.check_async("192.0.2.99"))
            await asyncio.sleep(0)
            hasty = await resolver.check_async("192.0.2.99", decide={"reject": 3})
            return hasty, await patient

    hasty, patient = asyncio.run(main())
    assert hasty.pending == ("slow.example",)
    assert (patient.pending, patient.complete, patient.score) == ((), True, 4)
    assert dnsbl_server.count(type="A") == 2


def test_a_deadline_ends_an_undecided_lookup_as_any_other(dnsbl_server: DnsblServer, ask: Ask) -> None:
    zones = heavy_and_slow(dnsbl_server)
    with resolver_for(dnsbl_server, *zones, deadline_s=0.2, reasons=False) as resolver:
        verdict = ask(resolver, "192.0.2.99", decide={"reject": 4})
        assert outcomes(verdict) == [Outcome.LISTED, Outcome.TIMEOUT]
        assert (verdict.pending, verdict.complete) == ((), False)
