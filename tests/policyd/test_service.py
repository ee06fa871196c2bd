"""Requests answered: one lookup per message, one header per message, failures, early answers, the log."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest
from support.standin import StandInLookup

import dnsbl.policyd.service as service_module
import dnsbl.subject.address as address_module
from dnsbl import Outcome, Resolver, Verdict, Zone, ZoneAnswer
from dnsbl.names import _qname
from dnsbl.policy import patterns
from dnsbl.policy.rules import DRY_RUN_HEADER, compile_rules
from dnsbl.policyd.log import Log
from dnsbl.policyd.message import Backend
from dnsbl.policyd.service import Service
from dnsbl.policyd.stats import Stats
from dnsbl.testing import DnsblServer, delay, silence


class StandIn:
    """A resolver whose zone lists 192.0.2.0/25, and which fails on demand."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.cached: set[str] = set()
        self.fault: Exception | None = None
        self.delay_s = 0.0

    def begin(self, subject: object) -> StandInLookup:
        text = str(ip_address(subject)) if isinstance(subject, bytes) else str(getattr(subject, "text", ""))
        if text in self.cached:
            return StandInLookup(self._verdict(text), fault=self.fault)
        self.asked.append(text)
        return StandInLookup(self._verdict(text), self.delay_s, self.fault)

    def _verdict(self, subject: str) -> Verdict:
        if not subject.startswith("192.0.2.") or int(subject.rpartition(".")[2]) > 127:
            return Verdict(subject, False, True, 0.0, ())
        answer = ZoneAnswer("bl.example", Outcome.LISTED, ("127.0.0.2",), score=1.0, reason="why")
        return Verdict(subject, True, True, 1.0, (answer,))


class Harness:
    def __init__(self, table: dict[str, Any] | None = None, *, as_json: bool = False) -> None:
        self.resolver = StandIn()
        self.lines: list[str] = []
        self.service = Service(
            Backend(compile_rules(table or {}), self.resolver, 3.0),
            Log(self._write, as_json=as_json, with_time=False),
            Stats(),
        )

    def _write(self, data: bytes) -> int:
        self.lines += data.decode("ascii").splitlines()
        return 0

    def ask(self, client: str | None = "192.0.2.99", **request: str) -> str:
        if client is not None:
            request["client_address"] = client
        return asyncio.run(self.answer(request))

    async def answer(self, request: dict[str, str]) -> str:
        reply = self.service.begin(request)
        if not isinstance(reply, bytes):
            reply = await self.service.finish(reply)
        return reply.decode("ascii").removeprefix("action=").removesuffix("\n\n")


REJECT = "REJECT 192.0.2.99 is listed by bl.example: why"


def test_a_failing_lookup_is_dunno_and_the_next_is_right() -> None:  # D4
    harness = Harness()
    harness.resolver.fault = RuntimeError("the resolver has gone")
    assert harness.ask() == "DUNNO"
    assert "the resolver has gone" in harness.lines[-1]
    harness.resolver.fault = None
    assert harness.ask() == REJECT
    assert harness.service.stats.failures == 1


def test_a_failure_is_what_on_error_says() -> None:
    harness = Harness({"on_error": "DEFER_IF_PERMIT try again"})
    harness.resolver.fault = OSError("no")
    assert harness.ask() == "DEFER_IF_PERMIT try again"
    assert harness.ask("unknown") == "DUNNO"


def test_a_failure_while_failing_is_dunno(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = Harness()
    harness.resolver.fault = OSError("first")
    monkeypatch.setattr(harness.service, "_account", lambda *_: 1 / 0)
    assert harness.ask() == "DUNNO"
    assert "first" in harness.lines[-1]
    assert "ZeroDivisionError" in harness.lines[-1]


def test_a_lookup_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "GRACE_S", 0.1)
    monkeypatch.setattr(service_module, "TEXT_WAIT_S", 0.0)
    harness = Harness()
    harness.service.backend = harness.service.backend._replace(deadline_s=0.1)
    harness.resolver.delay_s = 60
    started = time.monotonic()
    assert harness.ask() == "DUNNO"
    assert time.monotonic() - started < 5
    assert "TimeoutError" in harness.lines[-1]


def test_recipients_of_one_message_share_one_lookup() -> None:
    harness = Harness()
    for recipient in ("a@example.com", "b@example.com", "c@example.org"):
        assert harness.ask(instance="1.2.3", recipient=recipient) == REJECT
    assert harness.resolver.asked == ["192.0.2.99"]
    assert harness.ask(instance="1.2.4") == REJECT
    assert len(harness.resolver.asked) == 2
    assert harness.ask("192.0.2.1", instance="1.2.4").startswith("REJECT 192.0.2.1 ")


def test_without_an_instance_each_request_is_its_own() -> None:
    harness = Harness({"rule": [{"action": "PREPEND X-A: b"}]})
    assert [harness.ask(instance="") for _ in range(2)] == ["PREPEND X-A: b"] * 2
    assert [harness.ask() for _ in range(2)] == ["PREPEND X-A: b"] * 2
    assert [harness.ask(instance="x" * 101) for _ in range(2)] == ["PREPEND X-A: b"] * 2


def test_prepend_comes_once_per_message() -> None:
    rules = [
        {"recipient": "vip@example.com", "action": "PREPEND X-Vip: yes"},
        {"score": ">=1", "action": "PREPEND X-Listed: {zones}"},
    ]
    harness = Harness({"rule": rules})
    got = [
        harness.ask(instance="m1", recipient=recipient)
        for recipient in ("a@example.com", "b@example.com", "vip@example.com", "vip@example.com")
    ]
    assert got == ["PREPEND X-Listed: bl.example", "DUNNO", "PREPEND X-Vip: yes", "DUNNO"]
    assert harness.ask(instance="m2", recipient="a@example.com") == "PREPEND X-Listed: bl.example"


def test_a_dry_run_prepends_once_and_logs_each_time() -> None:
    harness = Harness({"dry_run": True})
    assert harness.ask(instance="m1", protocol_state="RCPT") == f"PREPEND {DRY_RUN_HEADER}: {REJECT}"
    assert harness.ask(instance="m1", protocol_state="RCPT") == "DUNNO"
    assert harness.ask(instance="m1", protocol_state="END-OF-MESSAGE") == "DUNNO"
    assert all(f'would="{REJECT}"' in line for line in harness.lines)
    assert len(harness.lines) == 3


def test_memory_of_messages_is_bounded() -> None:
    harness = Harness()
    harness.resolver.cached = {"192.0.2.99"}

    async def ask_many() -> None:
        for number in range(5_000):
            await harness.answer({"client_address": "192.0.2.99", "instance": str(number)})

    asyncio.run(ask_many())
    assert len(harness.service._messages) == 2_000


@pytest.mark.parametrize("client", ["unknown", "", None, "example.com", "192.0.2.010", "x" * 70_000])
def test_what_is_no_address_is_not_looked_up(client: str | None) -> None:  # D3
    harness = Harness()
    assert harness.ask(client) == "DUNNO"
    assert harness.resolver.asked == []


def test_null_sender_and_odd_bytes() -> None:  # D2, D9
    harness = Harness(
        {"rule": [{"sender": ".example.com", "action": "DUNNO"}, {"score": ">=1", "action": "REJECT"}]}
    )
    assert harness.ask(sender="", helo_name="mail.example.com") == "REJECT"
    assert harness.ask(sender="caf\udce9@m.example.com") == "DUNNO"
    assert harness.ask(sender="д@xn--e1aybc.example") == "REJECT"


def test_each_request_has_its_own_attributes_only() -> None:  # D6
    harness = Harness()
    assert harness.ask(sasl_username="user", sender="a@example.com") == "DUNNO"
    assert harness.ask() == REJECT


def test_another_kind_of_request_is_dunno() -> None:
    harness = Harness({"rule": [{"action": "REJECT"}]})
    assert harness.ask(request="junk_policy") == "DUNNO"
    assert harness.ask(request="smtpd_access_policy") == "REJECT"


def test_a_cached_verdict_is_used_at_once() -> None:
    harness = Harness()
    harness.resolver.cached = {"192.0.2.99"}

    async def begin() -> object:
        return harness.service.begin({"client_address": "192.0.2.99"})

    assert asyncio.run(begin()) == f"action={REJECT}\n\n".encode()
    assert harness.resolver.asked == []


# The log


def test_one_line_per_decision() -> None:
    harness = Harness()
    harness.ask(instance="1a.2b.0")
    harness.ask("192.0.2.200")
    harness.ask("10.0.0.1")
    assert len(harness.lines) == 3
    line, _, reply = harness.lines[0].partition(' reply="')
    assert reply == f'{REJECT}"'
    first = dict(word.split("=", 1) for word in line.split()[1:])
    assert float(first.pop("ms")) >= 0
    assert first == {
        "instance": "1a.2b.0", "client": "192.0.2.99", "action": "REJECT", "rule": "5", "score": "1",
        "zones": "bl.example", "complete": "yes", "source": "dns",
    }  # fmt: skip
    assert "score=0 zones=- " in harness.lines[1]
    assert "score=- zones=- " in harness.lines[2]
    assert harness.lines[2].endswith("source=none")


def test_a_line_as_json() -> None:
    harness = Harness(as_json=True)
    harness.ask(instance="1a")
    [line] = [json.loads(line) for line in harness.lines]
    assert line.pop("ms") >= 0
    assert line.pop("time").endswith("Z")
    assert line == {
        "event": "decision", "instance": "1a", "client": "192.0.2.99", "action": "REJECT", "rule": 5,
        "score": 1.0, "zones": ["bl.example"], "complete": True, "source": "dns", "reply": REJECT,
    }  # fmt: skip


@pytest.mark.parametrize("as_json", [False, True])
def test_no_control_character_and_no_second_field_gets_into_the_log(as_json: bool) -> None:
    harness = Harness(as_json=as_json)
    harness.ask("192.0.2.1\x1b[2J\r", instance="1 score=9\x00\x1b]0;x\x07\u202e\udce9" + "x" * 500)
    [line] = harness.lines
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 400
    assert "1?score?9??]0;x???xxx" in line
    assert as_json or line.count("score=") == 1


# With the real resolver


def run_real(server: DnsblServer, zones: list[str], table: dict[str, Any]) -> tuple[str, float]:
    """Answer one request about 192.0.2.99; give the action and how long it took, in seconds."""

    async def answer() -> tuple[str, float]:
        async with Resolver(zones, [server.nameserver], deadline_s=1.0) as resolver:
            service = Service(
                Backend(compile_rules(table, built=resolver.zones), resolver, 1.0),
                Log(lambda data: 0),
                Stats(),
            )
            started = time.monotonic()
            reply = service.begin({"client_address": "192.0.2.99"})
            assert not isinstance(reply, bytes)
            action = (await service.finish(reply)).decode().removeprefix("action=").rstrip("\n")
            return action, time.monotonic() - started

    return asyncio.run(answer())


def test_an_early_answer_has_its_reason(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99", txt="spam source")
    dnsbl_server.zone("silent.example").fault(silence())
    action, took_s = run_real(dnsbl_server, ["bl.example", "silent.example"], {})
    assert action == "REJECT 192.0.2.99 is listed by bl.example: spam source"
    assert took_s < 1.0
    assert dnsbl_server.count(zone="bl.example", type="A") == 1
    assert dnsbl_server.count(zone="silent.example", type="A") == 1


def test_a_later_recipient_whose_rule_gives_the_reason_has_it(dnsbl_server: DnsblServer) -> None:
    """The first recipient's rule did not wait for it; the answers are not asked for again."""
    bl = dnsbl_server.zone("bl.example")
    bl.list("192.0.2.99", txt="spam source")
    bl.fault(delay(0.1), types="TXT")
    dnsbl_server.zone("silent.example").fault(silence())
    rules = [
        {"recipient": "example.org", "score": ">=1", "action": "REJECT listed"},
        {"score": ">=1", "action": "REJECT {reason}"},
    ]

    async def answer() -> list[str]:
        zones = ["bl.example", "silent.example"]
        async with Resolver(zones, [dnsbl_server.nameserver], deadline_s=1.0) as resolver:
            harness = Harness()
            harness.service.backend = Backend(
                compile_rules({"rule": rules}, built=resolver.zones), resolver, 1.0
            )
            return [
                await harness.answer({"client_address": "192.0.2.99", "instance": "1.2", "recipient": to})
                for to in ("a@example.org", "b@example.com", "c@example.com")
            ]

    assert asyncio.run(answer()) == ["REJECT listed", "REJECT spam source", "REJECT spam source"]
    assert dnsbl_server.count(zone="bl.example", type="A") == 1


def test_an_early_answer_without_a_reason_comes_soon(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99")
    dnsbl_server.zone("silent.example").fault(silence())
    action, took_s = run_real(dnsbl_server, ["bl.example", "silent.example"], {})
    assert action == "REJECT 192.0.2.99 is listed by bl.example"
    assert took_s < 1.5


def test_an_allowlist_that_could_still_answer_is_waited_for(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99", txt="spam source")
    allow = dnsbl_server.zone("allow.example")
    allow.list("192.0.2.99")
    allow.fault(delay(0.4))
    action, took_s = run_real(dnsbl_server, ["bl.example", "allow.example=127.0.0.2*-2"], {})
    assert action == "DUNNO"
    assert took_s >= 0.4


def test_no_early_answer_where_a_rule_asks_for_a_zone(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99")
    slow = dnsbl_server.zone("slow.example")
    slow.list("192.0.2.99")
    slow.fault(delay(0.3))
    rules = [{"zones": "slow.example", "action": "HOLD"}, {"score": ">=1", "action": "REJECT"}]
    action, _ = run_real(dnsbl_server, ["bl.example", "slow.example"], {"rule": rules})
    assert action == "HOLD"


def test_silent_lists_reject_nothing_and_end_in_time(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("silent.example").fault(silence())
    action, took_s = run_real(dnsbl_server, ["silent.example"], {})
    assert action == "DUNNO"
    assert took_s < 2.0
    rules = [{"incomplete": True, "action": "DEFER_IF_PERMIT later"}]
    action, _ = run_real(dnsbl_server, ["silent.example"], {"rule": rules})
    assert action == "DEFER_IF_PERMIT later"


def test_a_request_of_several_subjects_is_decided_while_a_list_is_silent(dnsbl_server: DnsblServer) -> None:
    """The client is listed; the domain list that is asked for the HELO name never answers."""
    dnsbl_server.zone("bl.example").list("192.0.2.99", txt="spam source")
    dnsbl_server.zone("dbl.example").fault(silence())
    zones = (
        Zone("bl.example", subjects=frozenset({"ip4"})),
        Zone("dbl.example", subjects=frozenset({"domain"})),
    )

    async def answer() -> tuple[str, float]:
        async with Resolver(zones, [dnsbl_server.nameserver], deadline_s=30.0) as resolver:
            harness = Harness()
            policy = compile_rules({}, built=resolver.zones)
            harness.service.backend = Backend(policy, resolver, 30.0)
            started = time.monotonic()
            request = {"client_address": "192.0.2.99", "helo_name": "a.example", "sender": "u@b.example"}
            return await harness.answer(request), time.monotonic() - started

    action, took_s = asyncio.run(answer())
    assert action == "REJECT 192.0.2.99 is listed by bl.example: spam source"
    assert took_s < 20  # of 30


class Counted:
    """Counts the calls of a function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.calls = 0
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        return self._function(*arguments)


def test_a_request_is_one_lookup_that_goes_on(
    dnsbl_server: DnsblServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its address is read once; cache and list are asked once."""
    patterns._known_key.cache_clear()  # another test may have had it
    bl = dnsbl_server.zone("bl.example")
    bl.list("192.0.2.117", txt="spam source")
    bl.fault(delay(0.2))  # beyond EARLY_AFTER_S
    networks = ["198.51.100.0/24"]
    rules = [{"client": ["private"], "action": "DUNNO"}, {"score": ">=1", "action": "REJECT {reason}"}]
    parsed = Counted(_qname.parse_address)

    async def answer() -> tuple[str, Any, int]:
        async with Resolver(["bl.example"], [dnsbl_server.nameserver]) as resolver:
            harness = Harness()
            policy = compile_rules({"rule": rules, "own_networks": networks}, built=resolver.zones)
            harness.service.backend = Backend(policy, resolver, 3.0)
            monkeypatch.setattr(address_module, "parse_address", parsed)
            begun = Counted(resolver.begin)
            monkeypatch.setattr(resolver, "begin", begun)
            action = await harness.answer({"client_address": "192.0.2.117", "instance": "1.2"})
            return action, resolver.cache_info(), begun.calls

    action, cache, begun = asyncio.run(answer())
    assert action == "REJECT spam source"
    assert parsed.calls == 1
    assert begun == 1
    assert (cache.hits, cache.misses) == (0, 1)
    assert dnsbl_server.count(zone="bl.example", type="A") == 1
    assert dnsbl_server.count(zone="bl.example", type="TXT") == 1
