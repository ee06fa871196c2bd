"""Who may ask: tokens, passwords, names in Host; and what keeps the server from starting."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

import bcrypt
import pytest
from support.webserver import Serve, config

from dnsbl.cli import main
from dnsbl.errors import ConfigError
from dnsbl.testing import DnsblServer
from dnsbl.web.guard import GUESSES
from dnsbl.web.limits import MAX_CLIENTS, Rates, client_key
from dnsbl.web.settings import Options, load_settings
from dnsbl.web.visitors import parse_address, parse_network, visitor

TOKEN = "0123456789abcdef0123456789abcdef"


def secret(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def passwords(tmp_path: Path) -> Path:
    hashed = bcrypt.hashpw(b"correct horse", bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")
    return secret(tmp_path / "htpasswd", f"# helpdesk\nhelpdesk:{hashed}\n")


def basic(user: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_beyond_loopback_it_needs_a_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = secret(tmp_path / "dnsbl.toml", '[[zone]]\nname = "bl.example"\n')
    for address in ("0.0.0.0:10080", "[::]:10080", "192.0.2.1:80"):
        assert main(["serve", f"--config={path}", f"--listen={address}"]) == 2
        assert capsys.readouterr().err == (
            f"dnsbl: {address} can be reached from other hosts: give --token-file or --password-file (or "
            "token_file, password_file under [serve]), or listen on 127.0.0.1 or [::1]\n"
        )
    token = secret(tmp_path / "token", TOKEN)
    command = [
        "serve",
        f"--config={path}",
        "--listen=0.0.0.0:10080",
        f"--token-file={token}",
        "--check-config",
    ]
    assert main(command) == 0


@pytest.mark.parametrize(
    ("name", "text", "mode", "complaint"),
    [
        ("token_file", "short", 0o600, "not a valid token"),
        ("token_file", "two words that are long enough", 0o600, "not a valid token"),
        ("token_file", TOKEN, 0o644, "every user may read or write it: chmod 640"),
        ("password_file", "", 0o600, "has no user"),
        ("password_file", "helpdesk:secret\n", 0o600, "1: not a user and a bcrypt hash"),
        ("password_file", "helpdesk:$apr1$x$y\n", 0o600, "1: not a user and a bcrypt hash"),
        ("password_file", "helpdesk:$2y$31$" + "a" * 53, 0o600, "of cost 4 to 14"),
    ],
)
def test_secrets_that_cannot_be_used(tmp_path: Path, name: str, text: str, mode: int, complaint: str) -> None:
    secret(tmp_path / "secret", text, mode)
    path = secret(tmp_path / "dnsbl.toml", f'[serve]\n{name} = "secret"\n')
    with pytest.raises(ConfigError, match=complaint) as caught:
        load_settings(Options(path), env={})
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('listen = ["localhost"]', "listen: 'localhost' is not a valid address"),
        ('trusted_proxies = ["proxy"]', "trusted_proxies: 'proxy' is not a valid network"),
        ("rate = 1", "unknown key 'rate' in .serve.; did you mean"),
    ],
)
def test_keys_that_cannot_be_used(tmp_path: Path, line: str, complaint: str) -> None:
    path = secret(tmp_path / "dnsbl.toml", f"[serve]\n{line}\n")
    with pytest.raises(ConfigError, match=f"dnsbl.toml:2: {complaint}"):
        load_settings(Options(path), env={})


def test_a_token_and_a_password_open(web_lists: DnsblServer, tmp_path: Path, passwords: Path) -> None:
    token = secret(tmp_path / "token", TOKEN + "\n")
    text = config(web_lists, 'trusted_proxies = ["192.0.2.1"]')
    with Serve(text, f"--token-file={token}", f"--password-file={passwords}") as web:
        for path in (
            "/",
            "/check/192.0.2.1",
            "/zones",
            "/metrics",
            "/openapi.json",
            "/static/page.js",
            "/authz",
        ):
            reply = web.get(path)
            assert reply.status == 401
            assert reply.headers["www-authenticate"].startswith("Basic ")
        assert web.get("/healthz").status == 200
        bearer = {"authorization": f"Bearer {TOKEN}"}
        assert web.get("/zones", headers=bearer).status == 200
        assert web.get("/zones", headers=bearer | {"host": "lookup.example.com"}).status == 200
        for _ in range(2):
            assert web.get("/zones", headers=basic("helpdesk", "correct horse")).status == 200
        assert web.get("/zones", headers=basic("token", TOKEN)).status == 200
        for wrong in (
            {"authorization": f"Bearer {TOKEN}x"}, {"authorization": "Bearer"}, {"authorization": "Basic %%"},
            basic("helpdesk", "wrong"), basic("other", "correct horse"), basic("helpdesk", "x" * 100),
            basic("token", ""), {"authorization": "Digest x"},
        ):  # fmt: skip
            assert web.get("/zones", headers=wrong).status == 401


def test_guessing_costs(web_lists: DnsblServer, tmp_path: Path) -> None:
    """On the paths that are asked without a limit too."""
    token = secret(tmp_path / "token", TOKEN)
    with Serve(config(web_lists, "rate_per_s = 0"), f"--token-file={token}") as web:
        wrong = {"authorization": "Bearer no"}
        said = [web.get("/metrics", headers=wrong).status for _ in range(GUESSES + 5)]
        assert said[: GUESSES - 1] == [401] * (GUESSES - 1)
        assert said[-1] == 429
        assert web.get("/metrics").status == 401
        other = {"authorization": f"Bearer {TOKEN}", "x-forwarded-for": "198.51.100.200"}
        assert web.get("/metrics", headers=other).status == 200


def test_another_name_in_host_is_refused(web: Serve) -> None:
    """DNS rebinding: a page of somebody else's name that leads to this address."""
    for host in (
        "rebound.example.com",
        "rebound.example.com:80",
        "127.0.0.1.example.com",
        "[2001:db8::1]:80",
    ):
        assert web.get("/check/192.0.2.1", headers={"host": host}).status == 421
    for host in ("localhost", f"127.0.0.1:{web.port}", "[::1]:80"):
        assert web.get("/check/192.0.2.1", headers={"host": host}).status == 200
    assert web.get("/zones", headers={"sec-fetch-site": "cross-site"}).status == 403


def test_the_listening_line_and_a_port_in_use(web: Serve) -> None:
    assert web.log().startswith("dnsbl: listening on http://127.0.0.1:")
    ended = subprocess.run(
        [sys.executable, "-m", "dnsbl", "serve", f"--listen=127.0.0.1:{web.port}", "-z", "bl.example"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert "another program listens there" in ended.stderr
    assert ended.stderr.count("\n") == 1


# ---- who a visitor is ----

PROXIES = (parse_network("127.0.0.1"), parse_network("192.0.2.0/24"), parse_network("2001:db8::/64"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", ["198.51.100.7"], "203.0.113.9"),  # no proxy of ours: what it says is nothing
        ("127.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("127.0.0.1", ["10.9.8.7, 198.51.100.7"], "198.51.100.7"),  # what the visitor wrote himself
        ("127.0.0.1", ["10.9.8.7", "198.51.100.7"], "198.51.100.7"),
        ("127.0.0.1", ["198.51.100.7, 192.0.2.5"], "198.51.100.7"),  # through two proxies of ours
        ("127.0.0.1", ["192.0.2.6, 192.0.2.5"], "192.0.2.6"),
        ("127.0.0.1", ["198.51.100.7, unknown"], None),
        ("127.0.0.1", ["198.51.100.7, "], None),
        ("127.0.0.1", [], None),
        ("", ["198.51.100.7"], "198.51.100.7"),
        ("2001:db8::5", ["[2001:db8:1::9]:443"], "2001:db8:1::9"),
        ("127.0.0.1", ["::ffff:198.51.100.7"], "198.51.100.7"),
        ("::ffff:127.0.0.1", ["198.51.100.7:5000"], "198.51.100.7"),
        ("127.0.0.1", ["198.51.100.7" + ",192.0.2.1" * 1_000], "192.0.2.1"),  # too many hops to be believed
    ],
)
def test_who_the_visitor_is(peer: str, forwarded: list[str], expected: str | None) -> None:
    found = visitor(peer, forwarded, PROXIES)
    assert (None if found is None else str(found)) == expected


def test_a_client_of_ipv6_is_its_network() -> None:
    assert client_key(parse_address("2001:db8:0:1:2:3:4:5")) == "2001:db8:0:1::/64"
    assert client_key(parse_address("192.0.2.1")) == "192.0.2.1"
    assert client_key(None) == ""


def test_tokens_come_back_and_few_clients_are_held() -> None:
    rates = Rates(2.0, 4)
    assert [rates.take("a", 2, 0.0), rates.take("a", 9, 0.0)] == [0.0, 0.0]
    assert rates.take("a", 1, 0.0) == 4.0  # seven owed, and one to have
    assert rates.take("a", 1, 3.9) > 0
    assert rates.take("a", 1, 4.1) == 0.0
    for number in range(MAX_CLIENTS + 10):
        rates.take(str(number), 1, 5.0)
    assert len(rates._buckets) == MAX_CLIENTS
