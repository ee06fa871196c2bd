"""Web visitors: lists for mail only are not asked; nginx asks for real."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import urllib3
from support.servers import find_program, free_port, needs
from support.webserver import Serve, config

from dnsbl.config.file import parse
from dnsbl.errors import ConfigError
from dnsbl.testing import DnsblServer
from dnsbl.testing.faults import rcode
from dnsbl.web.authz import mail_only, web_zones
from dnsbl.zones import catalogue

MAIL = ("zen.spamhaus.org", "pbl.spamhaus.org", "dyna.spamrats.com", "list.dnswl.org", "bl.example")


def test_lists_for_mail_only_are_not_asked() -> None:
    """PBL visitors come in, though ZEN has the PBL in it; an allowlist of mail servers is not asked either."""
    with DnsblServer() as lists:
        for name in MAIL:
            lists.zone(name)
        lists.zone("zen.spamhaus.org").list("198.51.100.10", "127.0.0.10")
        lists.zone("zen.spamhaus.org").list("198.51.100.2", ["127.0.0.2", "127.0.0.11"], txt="SBL1")
        lists.zone("pbl.spamhaus.org").list("198.51.100.10", "127.0.0.10")
        with Serve(config(lists, zones=MAIL)) as web:
            said = {
                address: web.get("/authz", headers={"x-forwarded-for": address})
                for address in ("198.51.100.10", "198.51.100.2", "198.51.100.1", "10.0.0.1")
            }
            facts = {zone["zone"]: zone["authz"] for zone in web.json("/zones")["zones"]}
        assert {address: reply.status for address, reply in said.items()} == {
            "198.51.100.10": 204, "198.51.100.2": 403, "198.51.100.1": 204, "10.0.0.1": 204,
        }  # fmt: skip
        assert said["198.51.100.10"].headers["x-dnsbl"] == "allowed"
        assert said["198.51.100.2"].data.startswith(b"198.51.100.2 is listed by zen.spamhaus.org: SBL1")
        assert {zone for zone, asked in facts.items() if asked} == {"zen.spamhaus.org", "bl.example"}
        asked = {query.name.partition("100.51.198.")[2] for query in lists.queries}
        assert asked - {""} == {"zen.spamhaus.org", "bl.example"}


def test_a_filter_of_the_operators_counts_without_the_pbl() -> None:
    with DnsblServer() as lists:
        lists.zone("zen.spamhaus.org").list("198.51.100.10", "127.0.0.10")
        lists.zone("zen.spamhaus.org").list("198.51.100.4", "127.0.0.4")
        tables = '[[zone]]\nname = "zen.spamhaus.org"\nreply = "127.0.0.[2..11]"\nweight = 3\n'
        with Serve(config(lists, zones=(), more=tables)) as web:
            for address, status in (("198.51.100.10", 204), ("198.51.100.4", 403)):
                assert web.get("/authz", headers={"x-forwarded-for": address}).status == status


def test_no_answer_lets_in() -> None:
    with DnsblServer() as lists:
        lists.zone("bl.example").fault(rcode("SERVFAIL"))
        with Serve(config(lists, zones=("bl.example",))) as web:
            reply = web.get("/authz", headers={"x-forwarded-for": "198.51.100.1"})
            assert (reply.status, reply.headers["x-dnsbl"]) == (204, "unknown")
            for header in ("", "unknown", "198.51.100.1, x"):
                reply = web.get("/authz", headers={"x-forwarded-for": header})
                assert (reply.status, reply.headers["x-dnsbl"]) == (204, "unknown")
            assert web.log().count("/authz was asked without an address") == 1


def test_which_zones_are_chosen() -> None:
    names = "\n".join(
        f'[[zone]]\nname = "{name}"' for name in ("zen.spamhaus.org", "pbl.spamhaus.org", "dbl.spamhaus.org")
    )
    zones, known = parse(names).zones, catalogue.load()
    assert [zone.name for zone in web_zones(zones, known, ())] == ["zen.spamhaus.org"]
    with pytest.raises(ConfigError, match=r"pbl\.spamhaus\.org is for mail only"):
        web_zones(zones, known, ("pbl.spamhaus.org",))
    with pytest.raises(ConfigError, match="is not among the zones asked"):
        web_zones(zones, known, ("bl.example",))


def test_what_the_catalogue_calls_mail_only_it_has() -> None:
    for row in catalogue.load():
        codes = {str(code) for code in row.zone.codes} | {"any"}
        assert mail_only(catalogue.load(), row.name) <= codes


# ---- nginx ----

NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  set_real_ip_from 127.0.0.1; real_ip_header X-Test-Address;  # the test plays visitors from anywhere
  server {{
    listen 127.0.0.1:{port};
{snippet}
    location / {{ return 200 "the site\\n"; }}
    location /site/ {{ auth_request /_dnsbl; root {folder}; }}
  }}
}}
"""


def snippet(name: str) -> str:
    """The part of a file in contrib/ that an administrator copies."""
    return (Path(__file__).parents[2] / "contrib" / name).read_text()


@contextmanager
def nginx(serve_port: int) -> Iterator[str]:
    """A real nginx with contrib's lines; gives its URL."""
    needs("nginx")
    program = find_program("nginx")
    assert program
    with tempfile.TemporaryDirectory(prefix="dnsbl-nginx-") as name:
        folder, port = Path(name), free_port()
        folder.chmod(0o755)
        (folder / "site").mkdir()
        (folder / "site" / "page").write_text("the site\n")
        lines = snippet("nginx-authz.conf").replace("127.0.0.1:10080", f"127.0.0.1:{serve_port}")
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, snippet=lines))
        process = subprocess.Popen(
            [program, "-p", name, "-c", str(folder / "nginx.conf")],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            end = time.monotonic() + 30
            while True:
                with suppress(urllib3.exceptions.HTTPError):
                    urllib3.request("GET", f"http://127.0.0.1:{port}/", retries=False, timeout=5)
                    break
                assert process.poll() is None, (folder / "error.log").read_text()
                assert time.monotonic() < end
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(15)


def test_nginx_keeps_the_listed_out(web: Serve) -> None:
    """With a header of the visitor's own too, which nginx must not hand on."""
    said = {}
    with nginx(web.port) as url:
        for address in ("192.0.2.99", "198.51.100.7", "192.0.2.1", "2001:db8::1"):
            headers = {"x-test-address": address, "x-forwarded-for": "192.0.2.1"}
            said[address] = urllib3.request("GET", f"{url}/site/page", headers=headers, retries=False).status
    assert said == {"192.0.2.99": 403, "198.51.100.7": 403, "192.0.2.1": 200, "2001:db8::1": 200}


def test_nginx_lets_in_while_the_server_is_away() -> None:
    with nginx(free_port()) as url:
        headers = {"x-test-address": "192.0.2.99"}
        assert urllib3.request("GET", f"{url}/site/page", headers=headers, retries=False).status == 200
