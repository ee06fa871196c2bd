"""`zones fetch` against a server on loopback: conditional, bounded, and never at the old file's cost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dnsbl.cli.zones import command
from dnsbl.lists.fetch import fetch

GOOD = b"192.0.2.0/24\n198.51.100.0/24\n"
OLD = b"203.0.113.0/24\n"


class Web:
    """A list server whose next answer the test sets."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, GOOD, {"ETag": '"one"'}
        self.length: int | None = None
        self.asked: list[dict[str, str]] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.asked.append(dict(self.headers))
                status = 304 if self.headers.get("If-None-Match") == web.headers.get("ETag") else web.status
                self.send_response(status)
                for name, value in web.headers.items():
                    self.send_header(name, value)
                body = web.body if status != 304 else b""
                self.send_header("Content-Length", str(len(body) if web.length is None else web.length))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/list?key=secret"


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web()
    thread = threading.Thread(target=web.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield web
    web.server.shutdown()
    web.server.server_close()
    thread.join()


def test_new_then_unchanged_and_never_too_often(web: Web, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    assert fetch(web.url, path, now=1000.0).what == "new"
    assert path.read_bytes() == GOOD
    assert fetch(web.url, path, now=1000.0 + 3599).what == "too soon"
    assert len(web.asked) == 1
    assert fetch(web.url, path, now=1000.0 + 3600).what == "unchanged"
    assert web.asked[1]["If-None-Match"] == '"one"'
    web.headers, web.body = {"ETag": '"two"'}, OLD
    assert fetch(web.url, path, now=1000.0 + 7200).what == "new"
    assert path.read_bytes() == OLD
    path.unlink()  # without the file nothing is conditional
    assert fetch(web.url, path, now=1000.0 + 10800).what == "new"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"status": 500}, "answers 500"),
        ({"status": 404, "body": b"not found"}, "answers 404"),
        ({"body": b"<!DOCTYPE html><html>slow down</html>"}, "HTML page"),
        ({"body": b""}, "empty"),
        ({"body": b"one\ntwo\nthree\n"}, "entries are bad"),
        ({"body": b"192.0.2.1\n" * 100_000}, "longer than"),
        ({"length": 10_000}, "transfer failed"),
        ({"body": b'{"cidr":"192.0.2.0/24"}\n{"type":"metadata","records":9}\n'}, "is it whole?"),
    ],
)
def test_the_old_file_stays_on_any_doubt(web: Web, tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(OLD)
    vars(web).update(change)
    found = fetch(web.url, path, max_bytes=100_000)
    assert found.what == "failed"
    assert said in found.message
    assert "secret" not in found.message
    assert path.read_bytes() == OLD
    assert sorted(each.name for each in tmp_path.iterdir()) == ["list.txt", "list.txt.fetched"]
    assert fetch(web.url, path).what == "too soon"


def test_nobody_listens(tmp_path: Path, web: Web) -> None:
    path = tmp_path / "list.txt"
    url = web.url
    web.server.server_close()
    assert fetch(url, path, timeout_s=2).what == "failed"
    assert not path.exists()


def test_a_list_of_comments_alone_replaces_the_old(web: Web, tmp_path: Path) -> None:
    """As EDROP became: empty, and valid."""
    path = tmp_path / "list.txt"
    path.write_bytes(OLD)
    web.body = b"; merged into DROP\n"
    assert fetch(web.url, path).what == "new"


def test_bad_entries_up_to_the_zone_s_own_share_are_taken(web: Web, tmp_path: Path) -> None:
    """The share of the [[zone]]: what it takes when it is read is taken when it is fetched."""
    config, path = tmp_path / "dnsbl.toml", tmp_path / "own.txt"
    web.body = b"192.0.2.0/24\n192.0.2.300\n2001:db8::/129\n"
    table = f'[[zone]]\nname = "own.example"\nfile = "own.txt"\nurl = "{web.url}"\n'
    for share, code in (("0.5", 1), ("0.7", 0)):
        config.write_text(f"{table}bad_share = {share}\n")
        path.with_name("own.txt.fetched").unlink(missing_ok=True)
        run = CliRunner().invoke(command, ["fetch", "--config", str(config)], standalone_mode=False)
        assert (run.return_value, path.exists()) == (code, code == 0)


def test_command(web: Web, tmp_path: Path) -> None:
    config = tmp_path / "dnsbl.toml"
    config.write_text(f'[[zone]]\nname = "own.example"\nfile = "own.txt"\nurl = "{web.url}"\n')
    run = CliRunner().invoke(command, ["fetch", "--config", str(config)], standalone_mode=False)
    assert (run.return_value, run.output[:16]) == (0, "own.example: new")
    assert (tmp_path / "own.txt").read_bytes() == GOOD
    run = CliRunner().invoke(command, ["fetch", "--config", str(config)], standalone_mode=False)
    assert (run.return_value, run.output[:21]) == (0, "own.example: too soon")
    assert len(web.asked) == 1
