"""The whole engine against a hostile list: honest lists beside it, on the same nameserver, lose nothing.

HOSTILE_S: seconds it goes on (3). HOSTILE_SEED: another course (1).
"""

from __future__ import annotations

import os
import time
from collections import Counter

from fuzz.hostile import FIELDS, HEADER, Hostile, honest_code
from support.asking import plan_for, wait_done

from dnsbl import Outcome, Resolver, Verdict
from dnsbl.engine._engine import TYPE_A, TYPE_TXT, Completions, Engine, Fan
from dnsbl.model import Status

HOSTILE_S = float(os.environ.get("HOSTILE_S", "3"))
SEED = int(os.environ.get("HOSTILE_SEED", "1"))
ZONES = ["one.example", "two.example", "list.hostile.example", "three.example"]
BAD = 2
HONEST = [0, 1, 3]


def expected(key: bytes, zone: str) -> int | None:
    labels = [*(str(octet) for octet in reversed(key)), *zone.split(".")]
    name = b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"
    assert HEADER + len(name) < 255
    return honest_code(name)


def test_honest_lists_beside_a_hostile_one_lose_nothing() -> None:
    """Every honest answer counted; every question of the hostile list ends."""
    seen: Counter[str] = Counter()
    wrong: list[str] = []
    engine, completions = Engine(), Completions()
    with Hostile(SEED) as server:
        plan = plan_for(engine, [server.nameserver], ZONES, timeout_s=0.5)
        end_s, number = time.monotonic() + HOSTILE_S, 0
        while (time.monotonic() < end_s or number < 1500) and not wrong:
            asked = []
            for _ in range(100):
                number += 1
                kind = TYPE_TXT if number % 5 == 0 else TYPE_A
                key = bytes([10, number >> 16 & 255, number >> 8 & 255, number & 255])
                for zones, deadline_s in ((HONEST, 30.0), ([BAD], 0.15)):
                    fan = engine.fan(plan, key, zones, kind)
                    asked.append((kind, fan, engine.submit(fan, completions, deadline_s)))
            for kind, fan, ticket in asked:
                wait_done(completions, ticket, 60.0)
                judge(fan, kind, seen, wrong)
            engine.retired()
        assert not wrong
        assert set(server.what) == set(FIELDS), "a field was never mutated"
        assert server.queries["tcp"] > 0
    engine.close()
    assert seen["honest"] >= 3 * 1500
    # Much of what is hostile still parses, and so reaches the reader of answers. What a slow machine did not send or
    # read in time does not count.
    ended = seen["hostile"] - seen["hostile UNSENT"] - seen["hostile open"] - seen["hostile TIMEOUT"]
    assert seen["hostile OK"] > ended / 10, seen
    print(dict(seen), dict(server.queries))


def judge(fan: Fan, kind: int, seen: Counter[str], wrong: list[str]) -> None:
    assert isinstance(fan.key, bytes)
    answers = fan.answers()
    if fan.indices == (BAD,):
        seen["hostile"] += 1
        seen[f"hostile {Status(answers[BAD].status).name}" if answers else "hostile open"] += 1
        return
    for at in HONEST:
        code = expected(fan.key, ZONES[at])
        want = (Status.NXDOMAIN, ()) if code is None else (Status.OK, (0x7F000000 + code,))
        if kind == TYPE_TXT and code is not None:
            want = (Status.OK, ())
        answer = answers.get(at)
        seen["honest"] += 1
        if (
            answer is None
            or (answer.status, answer.addresses) != want
            or (want == (Status.OK, ()) and not answer.texts)
        ):
            wrong.append(f"{fan.key!r} type {kind} in {ZONES[at]}: {answer} instead of {want}")


def test_verdicts_beside_a_hostile_list() -> None:
    """The same through the Resolver, with its cache, breaker and reasons: an honest list's outcome is true, or missing
    where a busy machine did not get to it in time."""
    seen: Counter[str] = Counter()
    with (
        Hostile(SEED + 1) as server,
        Resolver(ZONES, [server.nameserver], deadline_s=3.0, timeout_s=0.5) as resolver,
    ):
        subjects = [f"198.51.{number >> 8}.{number & 255}" for number in range(300)]
        for verdict in resolver.check_many(subjects, window=50):
            assert isinstance(verdict, Verdict)
            for answer in verdict.answers:
                assert answer.reason is None or answer.reason.isprintable()
                if answer.zone == ZONES[BAD]:
                    continue
                listed = (
                    expected(bytes(int(part) for part in verdict.subject.split(".")), answer.zone) is not None
                )
                assert answer.outcome is not (Outcome.NOT_LISTED if listed else Outcome.LISTED), answer
                assert answer.outcome is not Outcome.INVALID, answer
                seen["honest"] += answer.outcome in (Outcome.LISTED, Outcome.NOT_LISTED)
    assert seen["honest"] > len(subjects)
