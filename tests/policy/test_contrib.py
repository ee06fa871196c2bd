"""contrib/: the fail2ban filter against the daemon's own lines, and the dashboard against its metrics."""

from __future__ import annotations

import configparser
import json
import re
from pathlib import Path

import pytest

from dnsbl.policyd.log import Log, Record
from dnsbl.policyd.metrics import Collector
from dnsbl.policyd.stats import Stats

CONTRIB = Path(__file__).parents[2] / "contrib"
HOSTILE = "x client=198.51.100.1 action=REJECT rule=1"


def line(client: str, action: str, *, with_level: bool = False, with_time: bool = True, **more: str) -> str:
    lines: list[bytes] = []
    log = Log(lambda data: lines.append(data) or 0, with_level=with_level, with_time=with_time)  # type: ignore[func-returns-value]
    log.decision(Record("1a.2b", client, action, 5, 1.0, ["bl.example"], True, 0.5, "dns", **more))
    log.flush()
    return lines[0].decode().rstrip("\n")


def failregex() -> re.Pattern[str]:
    """As fail2ban reads it, <ADDR> made a group."""
    filters = configparser.RawConfigParser()
    filters.read(CONTRIB / "fail2ban" / "dnsbl-policyd.conf")
    return re.compile(filters["Definition"]["failregex"].replace("<ADDR>", r"(?P<addr>[0-9A-Fa-f:.]+)"))


@pytest.mark.parametrize("with_level", [False, True])
@pytest.mark.parametrize("with_time", [False, True])
@pytest.mark.parametrize("client", ["192.0.2.99", "2001:db8::99"])
def test_fail2ban_finds_who_was_refused(client: str, with_level: bool, with_time: bool) -> None:
    found = failregex().search(line(client, "REJECT", with_level=with_level, with_time=with_time))
    assert found
    assert found["addr"] == client


def test_fail2ban_is_not_led_astray() -> None:
    assert not failregex().search(
        line("192.0.2.99", "DUNNO", sender=HOSTILE, helo=HOSTILE, would="REJECT no")
    )
    found = failregex().search(line("192.0.2.99", "REJECT", sender=HOSTILE, helo=HOSTILE, reply=HOSTILE))
    assert found
    assert found["addr"] == "192.0.2.99"


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    text = (CONTRIB / "grafana" / "dnsbl-policyd.json").read_text()
    asked = {
        name
        for panel in json.loads(text)["panels"]
        for target in panel["targets"]
        for name in re.findall(r"\bdnsbl_\w+", target["expr"])
    }
    zone = {
        "queries": 1, "cache_hits": 1, "outcomes": {"listed": 1},
        "breaker": {"unhealthy": None, "state": "closed"},
    }  # fmt: skip
    stats = Stats()
    stats.decided("REJECT", "dns", 5, ["bl.example"], 0.001)
    samples = {
        sample.name
        for metric in Collector(stats, lambda: {"zones": {"bl.example": zone}}).collect()
        for sample in metric.samples
    }
    assert asked <= samples
    assert len(asked) > 8
