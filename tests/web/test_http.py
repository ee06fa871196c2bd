"""What the paths answer, over real HTTP to a real server."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.everyway import without_times
from support.policydaemon import Policyd
from support.policydaemon import config as policy_config
from support.webserver import Serve, config

from dnsbl import Resolver
from dnsbl.cli import main
from dnsbl.lookup.each import joined
from dnsbl.testing import DnsblServer
from dnsbl.testing.faults import delay, rcode


@pytest.mark.parametrize("subject", ["192.0.2.99", "192.0.2.1", "2001:db8::1", "example.com", "192.0.2.66"])
def test_a_check_is_what_the_command_prints(
    web: Serve, subject: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not held, held, and from the text that is kept: the same but for its times."""
    main(["check", f"--config={web.path / 'dnsbl.toml'}", "--json", subject])
    printed = json.loads(capsys.readouterr().out)
    for _ in range(4):
        reply = web.get(f"/check/{subject}")
        assert reply.headers["content-type"] == "application/json"
        found = json.loads(reply.data)
        assert list(found) == list(printed)
        assert plain(found) == plain(printed)


def plain(verdict: dict[str, Any]) -> dict[str, Any]:
    verdict = without_times(verdict)
    return verdict | {"answers": [answer | {"cached": None} for answer in verdict["answers"]]}


def test_a_kept_text_counts_down(web: Serve) -> None:
    first = [web.json("/check/192.0.2.99") for _ in range(3)][-1]
    time.sleep(0.01)
    second = web.json("/check/192.0.2.99")
    assert 0 < second["ttl_s"] < first["ttl_s"]
    assert [answer["cached"] for answer in second["answers"]] == [True] * 3


def test_explain(web: Serve) -> None:
    assert web.json("/check/192.0.2.99?explain=true")["answers"][0]["rcode"] == "NOERROR"
    assert web.get("/check/192.0.2.99?explain=perhaps").status == 400


@pytest.mark.parametrize(
    "subject", ["192.0.2.256", "%00", "a..b", "%3Cscript%3E", "x" * 9_000, "/etc/passwd.txt"]
)
def test_a_bad_subject_is_told_as_the_command_tells_it(web: Serve, subject: str) -> None:
    reply = web.get(f"/check/{subject}")
    assert reply.status == 400
    assert set(json.loads(reply.data)) == {"subject", "error"}


def test_a_url_is_a_subject(web: Serve) -> None:
    assert web.json("/check/https%3A%2F%2Fwww.example.com%2Fx")["subject"] == "www.example.com"


def test_many_are_streamed_in_order(web: Serve) -> None:
    subjects = ["192.0.2.1", "nonsense..x", "192.0.2.99"]
    reply = web.get(
        "/check",
        "POST",
        body=json.dumps({"subjects": subjects}),
        headers={"content-type": "application/json"},
    )
    lines = [json.loads(line) for line in reply.data.splitlines()]
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert [line["subject"] for line in lines] == subjects
    assert "error" in lines[1]
    text = web.get(
        "/check?ordered=false",
        "POST",
        body="# a remark\n\n192.0.2.1\n192.0.2.99\n",
        headers={"content-type": "text/plain"},
    )
    assert sorted(json.loads(line)["listed"] for line in text.data.splitlines()) == [False, True]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ("", "text/plain", 400),
        ("[", "application/json", 400),
        ("[" * 100_000, "application/json", 400),
        ('{"subjects": [1]}', "application/json", 400),
        ('{"subjects": ["192.0.2.1"], "more": 1}', "application/json", 400),
        ("192.0.2.1", "application/xml", 415),
        ("192.0.2.1\n" * 10_001, "text/plain", 413),
        ("x" * 5_000_000, "text/plain", 413),
    ],
)
def test_a_bad_body_is_refused(web: Serve, body: str, kind: str, status: int) -> None:
    reply = web.get("/check", "POST", body=body, headers={"content-type": kind})
    assert reply.status == status
    assert "error" in json.loads(reply.data)


def test_answers_come_before_the_slowest_list() -> None:
    """The line of a fast list is there while another has not answered, and the verdict is the last line."""
    with DnsblServer() as lists:
        lists.zone("bl.example").list("192.0.2.99", txt="spam")
        lists.zone("slow.example").fault(delay(2.0))
        with Serve(config(lists, zones=("slow.example", "bl.example"))) as web:
            reply = web.get("/answers/192.0.2.99", preload_content=False)
            lines = []
            for piece in iter(reply.readline, b""):
                lines.append((json.loads(piece), time.monotonic()))
    assert [line["answer"]["zone"] for line, _ in lines[:2]] == ["bl.example", "slow.example"]
    assert lines[1][1] - lines[0][1] > 0.5
    assert lines[2][0]["verdict"]["listings"] == ["bl.example"]
    assert lines[2][0]["verdict"]["complete"]
    assert lines[2][0]["headline"] == "192.0.2.99 is listed by 1 of 2 lists asked."


def test_each_zone_by_itself_is_the_whole_verdict(web_lists: DnsblServer) -> None:
    async def both() -> None:
        zones = ["bl.example", "bl2.example", "clean.example"]
        async with Resolver(zones=zones, nameservers=[web_lists.nameserver]) as resolver:
            for subject in ("192.0.2.99", "192.0.2.1", "example.com", "10.0.0.1"):
                each = [verdict async for verdict in resolver.check_each_async(subject)]
                whole = await resolver.check_async(subject)
                assert plain(joined(each, zones).to_dict()) == plain(whole.to_dict())

    asyncio.run(both())


def test_zones_doctor_statistics(web: Serve) -> None:
    zones = web.json("/zones")["zones"]
    assert [zone["zone"] for zone in zones] == ["bl.example", "bl2.example", "clean.example"]
    assert all(zone["authz"] for zone in zones)
    assert web.json("/doctor")["zones"][0]["state"] == "healthy"
    assert web.json("/statistics")["policyd"] is None
    assert web.json("/healthz") == {"status": "ok"}
    assert web.get("/nothing").status == 404
    assert web.get("/zones", "DELETE").status == 405


def test_the_daemons_statistics(web_lists: DnsblServer, tmp_path: Path) -> None:
    control = f'control = "{tmp_path / "control"}"'
    with (
        Policyd(policy_config(web_lists, control)) as daemon,
        Serve(config(web_lists, more=f"[policy]\n{control}")) as web,
    ):
        assert web.json("/statistics")["policyd"]["requests"] == 0
        assert "0 requests" in web.get("/").data.decode()
        daemon.stop()
        end = time.monotonic() + 20
        while "error" not in web.json("/statistics")["policyd"]:
            assert time.monotonic() < end
            time.sleep(0.2)
        assert "no daemon answers" in web.get("/").data.decode()


def test_metrics_and_probe(web: Serve) -> None:
    web.get("/" + "x" * 50)
    text = web.get("/metrics").data.decode()
    assert 'dnsbl_serve_replies_total{path="other",status="404"}' in text
    assert "x" * 50 not in text
    assert 'dnsbl_zone_queries_total{zone="bl.example"}' in text
    probe = web.get("/probe?target=192.0.2.99").data.decode()
    assert 'dnsbl_probe_zone_listed{zone="bl.example"} 1.0' in probe
    assert 'dnsbl_probe_zone_listed{zone="clean.example"} 0.0' in probe
    assert "\ndnsbl_probe_listed 1.0\n" in probe
    for path in (
        "/probe",
        "/probe?target=",
        "/probe?target=1.2.3.4.5",
        "/probe?target=192.0.2.1&target=192.0.2.2",
    ):
        assert web.get(path).status == 400


def test_a_list_that_fails_is_neither_listed_nor_clean_to_a_probe() -> None:
    """The same series at every scrape, the value of a list that failed not a number."""
    with DnsblServer() as lists:
        lists.zone("bl.example")
        lists.zone("bl2.example")
        with Serve(config(lists, zones=("bl.example", "bl2.example"))) as web:
            before = web.get("/probe?target=192.0.2.1").data.decode()
            lists.zone("bl2.example").fault(rcode("SERVFAIL"))
            after = web.get("/probe?target=192.0.2.2").data.decode()
    assert 'dnsbl_probe_zone_listed{zone="bl2.example"} NaN' in after
    assert 'dnsbl_probe_zone_answered{zone="bl2.example"} 0.0' in after
    assert "\ndnsbl_probe_listed NaN\n" in after
    series = [[line.rpartition(" ")[0] for line in text.splitlines()] for text in (before, after)]
    assert series[0] == series[1]


def test_the_monitors_state(web: Serve) -> None:
    board = web.json("/watched")
    assert [each["subject"] for each in board["watched"]] == ["192.0.2.25", "mail.example.com", "192.0.2.26"]
    assert len(board["changes"]) == 50
    older = web.json(f"/watched?before={board['changes'][-1]['id']}")["changes"]
    assert [change["id"] for change in older] == list(range(10, 0, -1))
    assert web.json("/watched?subject=192.0.2.26")["watched"][0]["lists"] == 1
    assert web.get("/watched?before=x").status == 400


def test_a_state_file_that_is_none_and_the_end(web_lists: DnsblServer) -> None:
    """It goes on without the file, and SIGTERM ends it as a program that did what it was told."""
    with Serve(config(web_lists), "--state", "/nonexistent/state") as web:
        assert web.get("/watched").status == 503
        assert "no such state file" in web.get("/").data.decode()
        assert web.stop() == 0
        assert "Traceback" not in web.log()


def test_on_a_unix_socket(web_lists: DnsblServer, tmp_path: Path) -> None:
    """Whoever may write to it is a proxy of one's own."""
    path = tmp_path / "serve.sock"
    with Serve(config(web_lists), listen=f"unix:{path}"), socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(str(path))
        head = "Host: localhost\r\nX-Forwarded-For: 192.0.2.99\r\nConnection: close\r\n\r\n"
        sock.sendall(f"GET /authz HTTP/1.1\r\n{head}".encode())
        assert read_until_closed(sock).startswith(b"HTTP/1.1 403")
    assert not path.exists()


# ---- bounds ----


def test_a_client_that_asks_too_much_waits(web_lists: DnsblServer) -> None:
    """Each client for itself; many subjects in one request are a debt."""
    with Serve(config(web_lists, "rate_per_s = 0.01\nburst = 3")) as web:
        assert [web.get("/check/192.0.2.1").status for _ in range(5)] == [200, 200, 200, 429, 429]
        assert int(web.get("/check/192.0.2.1").headers["retry-after"]) > 1
        assert web.get("/healthz").status == 200
        other = {"x-forwarded-for": "198.51.100.200", "content-type": "text/plain"}
        body = "\n".join(f"192.0.2.{number}" for number in range(9))
        assert web.get("/check", "POST", body=body, headers=other).status == 200
        assert web.get("/check/192.0.2.1", headers=other).status == 429


def read_until_closed(sock: socket.socket) -> bytes:
    data = b""
    with suppress(ConnectionResetError):
        while piece := sock.recv(65_536):
            data += piece
    return data


def test_a_head_without_end_is_cut_off(web: Serve) -> None:
    with socket.create_connection(("127.0.0.1", web.port), timeout=30) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        with suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(100):
                sock.sendall(b"x: " + b"y" * 8_000 + b"\r\n")
        assert b"200 OK" not in read_until_closed(sock)
    assert web.get("/healthz").status == 200


def test_more_connections_than_allowed_are_told(web_lists: DnsblServer) -> None:
    with Serve(config(web_lists, "max_connections = 3")) as web:
        held = [socket.create_connection(("127.0.0.1", web.port), timeout=30) for _ in range(5)]
        held[4].sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert held[4].recv(100).startswith(b"HTTP/1.1 503")
        for sock in held:
            sock.close()
        end = time.monotonic() + 30
        while web.get("/healthz").status != 200:
            assert time.monotonic() < end
            time.sleep(0.1)


def test_a_silent_client_is_closed(web: Serve) -> None:
    """After five seconds; how long exactly is the machine's business."""
    with socket.create_connection(("127.0.0.1", web.port), timeout=60) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n")
        assert b"200 OK" not in read_until_closed(sock)


def test_garbage_is_refused(web: Serve) -> None:
    with socket.create_connection(("127.0.0.1", web.port), timeout=30) as sock:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
        assert read_until_closed(sock).startswith(b"HTTP/1.1 400")
    assert "Traceback" not in web.log()


def test_without_its_packages_it_says_what_to_install(web_lists: DnsblServer, tmp_path: Path) -> None:
    """The extra is not there: as if, by an import hook, in a process of its own."""
    path = tmp_path / "dnsbl.toml"
    path.write_text(config(web_lists))
    code = (
        "import importlib.util, sys\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *a: None if name == 'uvicorn' else real(name, *a)\n"
        "from dnsbl.cli import main\n"
        f"sys.exit(main(['serve', '--config={path}']))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    assert (
        ended.stderr
        == "dnsbl: serve needs uvicorn, which the extra web has: pip install 'dnsbl-resolver[web]'\n"
    )
