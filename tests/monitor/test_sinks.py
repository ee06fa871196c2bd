"""Who is told of a change: real programs, a real HTTP server, a real Postfix; and what happens when they fail."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.mailserver import Postfix
from support.monitoring import http_server

from dnsbl.monitor.entry import Change
from dnsbl.monitor.notice import make_notices
from dnsbl.monitor.settings import Settings
from dnsbl.monitor.sinks import GIVE_UP_S, Delivery, Mail, Program, SinkError, Webhook, http_client, request
from dnsbl.monitor.state import State
from dnsbl.zones.secret import Secret

NOW = 1_800_000_000.0
NOTICE = make_notices(
    [
        Change(
            NOW, "192.0.2.99", "bl.example", "listed", NOW - 60, ("127.0.0.2",), "spam source",
            "<script>\r\nBcc: all@example.com", "https://bl.example/?ip=192.0.2.99", ("mx.example.com",), 7,
        )
    ],
    5,
)[0]  # fmt: skip


def test_the_page_shows_a_notice_as_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs/monitor.md").read_text()
    shown = json.loads(page[page.index('{"version": 1') : page.index("\n\n`event` is")])
    assert shown.keys() == NOTICE.keys()


# ---- each of them ----


def test_a_program_gets_json_on_its_standard_input(tmp_path: Path) -> None:
    code = f"import sys, shutil; shutil.copyfileobj(sys.stdin, open({str(tmp_path / 'got')!r}, 'w'))"
    Program([sys.executable, "-c", code]).send(NOTICE, NOW)
    got = json.loads((tmp_path / "got").read_text())
    assert got == NOTICE
    assert (got["event"], got["reason"][:8], got["delist_url"]) == (
        "listed", "<script>", "https://bl.example/?ip=192.0.2.99",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["/bin/sh", "-c", "echo no '\033[31m' >&2; exit 7"], r"exit code 7: no  \[31m"),
        (["/no/such/program"], "cannot be run"),
        (["/bin/sleep", "60"], "not done after"),
        (["/bin/sh", "-c", "exec <&-; sleep 0.1; exit 1"], "exit code 1"),
    ],
)
def test_a_program_that_fails_is_said_to(command: list[str], why: str) -> None:
    with pytest.raises(SinkError, match=why):
        Program(command, timeout_s=1.0).send(NOTICE, NOW)


@pytest.mark.parametrize("key", ["a secret", "whsec_" + base64.b64encode(b"bytes \xff").decode()])
def test_a_webhook_is_signed_over_what_was_sent(key: str) -> None:
    with http_server(204) as (url, got):
        Webhook(f"{url}/hook?token=x", Secret(key)).send(NOTICE, NOW)
    ((path, headers, body),) = got
    assert (path, json.loads(body)) == ("/hook?token=x", NOTICE)
    assert headers["webhook-id"] == f"{int(NOW)}-7"
    secret = b"bytes \xff" if key.startswith("whsec_") else key.encode()
    signed = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body])
    expected = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


@pytest.mark.parametrize("status", [301, 404, 500])
def test_a_webhook_that_is_not_taken_is_said_without_its_token(status: int) -> None:
    with (
        http_server(status) as (url, _),
        pytest.raises(SinkError, match=f"127.0.0.1: it answers {status}") as e,
    ):
        Webhook(f"{url}/hook?token=secret", Secret("key")).send(NOTICE, NOW)
    assert "secret" not in str(e.value)


def test_a_webhook_that_nobody_serves_is_said_to_be() -> None:
    with http_server(204) as (url, _):
        pass
    with pytest.raises(SinkError, match=r"127\.0\.0\.1: no answer"):
        Webhook(f"{url}/hook").send(NOTICE, NOW)


def test_a_ping_is_one_get() -> None:
    with http_server(200) as (url, got):
        request(http_client(), "GET", f"{url}/api/push/abc?status=up", {"user-agent": "dnsbl-monitor"})
    assert [each.path for each in got] == ["/api/push/abc?status=up"]


def mail_settings(server: str, **more: Any) -> Settings:
    host, _, port = server.rpartition(":")
    settings = Settings((), mail_to=("a@example.com", "b@example.net"), mail_from="dnsbl@example.org")
    return replace(settings, smtp=(host, int(port)), **more)


def test_a_mail_goes_through_postfix() -> None:
    with Postfix() as postfix:
        Mail(mail_settings(postfix.server)).send(NOTICE, NOW)
        log = postfix.wait_for_log(r"status=sent", times=2)
        assert {line.partition("to=<")[2].partition(">")[0] for line in log} == {
            "a@example.com", "b@example.net",
        }  # fmt: skip
        assert postfix.wait_for_log(r"from=<dnsbl@example.org>, size=\d+, nrcpt=2")
        assert postfix.wait_for_log(rf"message-id=<[^>]*\.{int(NOW)}-7@example.org>")


def test_a_mail_that_postfix_refuses_is_said_to_be() -> None:
    with Postfix() as postfix:
        settings = mail_settings(postfix.server)
        with pytest.raises(SinkError, match="Relay access denied"):
            Mail(replace(settings, mail_to=("a@elsewhere.example",))).send(NOTICE, NOW)
        with pytest.raises(SinkError, match="STARTTLS"):
            Mail(replace(settings, smtp_tls="starttls")).send(NOTICE, NOW)
        server = postfix.server
    with pytest.raises(SinkError, match=r"mail by 127\.0\.0\.1"):
        Mail(mail_settings(server)).send(NOTICE, NOW)


def test_no_reason_adds_a_header_to_a_mail() -> None:
    mail = Mail(mail_settings("127.0.0.1:25")).message(NOTICE, NOW)
    assert mail["Bcc"] is None
    assert mail["Subject"] == "dnsbl: 192.0.2.99 is listed by bl.example"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "reason: <script>  Bcc: all@example.com" in mail.get_content()
    assert "what to do: https://bl.example/?ip=192.0.2.99" in mail.get_content()
    assert "watched as: mx.example.com" in mail.get_content()


# ---- until it is taken ----


def waiting(state: State, sink: str, *ids: int) -> None:
    with state.change():
        for id in ids:
            state.add_notice(sink, NOTICE | {"id": f"{id}"}, NOW)


def test_a_notice_waits_until_it_is_taken_and_comes_again_under_its_id(tmp_path: Path) -> None:
    said: list[str] = []
    with http_server(503, 500, 200) as (url, got), State(tmp_path / "m.db") as state:
        waiting(state, "webhook", 1, 2)
        delivery = Delivery(state, [Webhook(url, Secret("key"))], said.append)
        assert delivery.run(NOW) == NOW + 10, "the second waits behind the first"
        assert delivery.run(NOW + 5) == NOW + 10, "and nobody is asked before"
        assert delivery.run(NOW + 10) == NOW + 40
        assert delivery.run(NOW + 40) is None
    assert [each.headers["webhook-id"] for each in got] == ["1", "1", "1", "2"]
    assert got[0].headers["webhook-timestamp"] != got[2].headers["webhook-timestamp"]
    assert said == [
        "notice 1: 127.0.0.1: it answers 503 Service Unavailable; again in 10 s",
        "notice 1: 127.0.0.1: it answers 500 Internal Server Error; again in 30 s",
    ]
    assert delivery.told == {("webhook", "failed"): 2, ("webhook", "sent"): 2}


def test_one_that_fails_holds_up_no_other(tmp_path: Path) -> None:
    with State(tmp_path / "m.db") as state:
        waiting(state, "webhook", 1)
        waiting(state, "program", 1)
        with http_server(500) as (url, _):
            delivery = Delivery(state, [Webhook(url), Program(["/bin/true"])], lambda line: None)
            delivery.run(NOW)
        assert [(sink, tries) for _, sink, _, _, tries, _ in state.notices()] == [("webhook", 1)]


def test_after_a_day_it_is_given_up_with_a_line(tmp_path: Path) -> None:
    said: list[str] = []
    with State(tmp_path / "m.db") as state:
        waiting(state, "program", 1)
        waiting(state, "webhook", 2)  # which is no longer configured
        delivery = Delivery(state, [Program(["/bin/false"])], said.append)
        now, tries = NOW, 0
        while (due := delivery.run(now)) is not None:
            assert due > now
            now, tries = due, tries + 1
        assert now >= NOW + GIVE_UP_S
        assert 25 < tries < 40
        assert state.notices() == []
    assert "notice 2: nobody is told by webhook any more" in said
    assert said[-1] == "notice 1: given up after a day: /bin/false: exit code 1"
