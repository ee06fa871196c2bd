"""What is shown of an answer, and the samples in contrib/ against what the server tells."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from support.servers import needs
from support.webserver import Serve

from dnsbl.model import Outcome, Verdict, ZoneAnswer
from dnsbl.web.cards import MAX_TEXT, card_of, headline, link, shown
from dnsbl.web.markup import table, text
from dnsbl.zones.catalogue import load

CONTRIB = Path(__file__).parents[2] / "contrib"


def answer(outcome: Outcome, score: float = 0.0, **more: object) -> ZoneAnswer:
    codes = ("127.0.0.2",) if outcome is Outcome.LISTED else ()
    return ZoneAnswer("bl.example", outcome, codes, score=score, **more)  # type: ignore[arg-type]


LISTED = answer(Outcome.LISTED, 1.0)
ALLOWED = answer(Outcome.LISTED, -1.0)
CLEAN = answer(Outcome.NOT_LISTED)
FAILED = answer(Outcome.TIMEOUT, detail="no usable answer in time")
SKIPPED = answer(Outcome.SKIPPED, detail="bl.example takes no domain")


@pytest.mark.parametrize(
    ("answers", "complete", "said"),
    [
        ([LISTED, CLEAN], True, "192.0.2.1 is listed by 1 of 2 lists asked."),
        ([LISTED], True, "192.0.2.1 is listed by 1 of 1 list asked."),
        ([LISTED, FAILED], False, "192.0.2.1 is listed by 1 of 2 lists asked; 1 gave no usable answer."),
        ([CLEAN, ALLOWED, SKIPPED], True, "192.0.2.1 is listed by none of the 2 lists that answered."),
        (
            [CLEAN, FAILED],
            False,
            "192.0.2.1 is not listed by the one list that answered; 1 gave no usable answer.",
        ),
        (
            [CLEAN, SKIPPED],
            False,
            "192.0.2.1 is not listed by the one list that answered; a list was left out.",
        ),
        ([FAILED], False, "192.0.2.1: none of 1 list asked gave a usable answer, so nothing is known."),
        ([SKIPPED], True, "192.0.2.1 was not looked up: no list takes it."),
    ],
)
def test_the_headline(answers: list[ZoneAnswer], complete: bool, said: str) -> None:
    assert headline(Verdict("192.0.2.1", LISTED in answers, complete, 0.0, tuple(answers))) == said


def test_a_card_says_how_to_get_off() -> None:
    row = load().row("zen.spamhaus.org")
    assert row is not None
    card = card_of(answer(Outcome.LISTED, 1.0, delist_url="https://bl.example/192.0.2.1"), row)
    assert {line.label: line.url for line in card.lines} == {
        "Codes": "", "How to get off it": "", "Removal page": "https://bl.example/192.0.2.1", "Run by": row.page,
    }  # fmt: skip
    assert [card_of(each, None).word for each in (ALLOWED, CLEAN, FAILED, SKIPPED)] == [
        "On an allowlist", "Not listed", "No usable answer", "Not asked",
    ]  # fmt: skip


def test_only_web_addresses_are_links() -> None:
    for url in ("javascript:alert(1)", "data:text/html,x", "//example.com", "ftp://example.com", None, ""):
        assert link(url) == ""
    assert link("https://example.com/?a=1&b=2") == "https://example.com/?a=1&b=2"


def test_any_text_is_one_bounded_line() -> None:
    assert shown("a\nb\x1b\u202e") == "a\\nb\\x1b\\u202e"
    assert len(shown("\x00" * 10_000)) == MAX_TEXT
    assert text("<'\"&>") == "&lt;&#x27;&quot;&amp;&gt;"
    assert "<b>" not in table("<b>", ["<b>", "<b>"], [["x", "y"]])


def test_the_sample_alerts_name_what_is_told(web: Serve) -> None:
    told = web.get("/probe?target=192.0.2.99").data.decode()
    rules = yaml.safe_load((CONTRIB / "prometheus/dnsbl-alerts.yml").read_text())["groups"][0]["rules"]
    named = {name for rule in rules for name in re.findall(r"dnsbl_\w+", rule["expr"])} - {"dnsbl_"}
    assert named == {"dnsbl_probe_zone_listed", "dnsbl_probe_zone_answered"}
    assert all(f"\n{name}{{" in told for name in named)
    needs("promtool")
    command = ["promtool", "check", "rules", str(CONTRIB / "prometheus/dnsbl-alerts.yml")]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    (probe, _) = yaml.safe_load((CONTRIB / "prometheus/dnsbl-probe.yml").read_text())
    assert probe["metrics_path"] == "/probe"
    yaml.safe_load((CONTRIB / "traefik/dnsbl.yml").read_text())
