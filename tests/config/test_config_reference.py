"""The table of keys against the readers: each is true of what is taken, and the page says the same."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from dnsbl.cli import main
from dnsbl.config.file import ResolverConfig, load, parse
from dnsbl.config.keys import KEYS, Key, keys_of
from dnsbl.config.message import LIMITS
from dnsbl.config.reference import format_example, format_reference
from dnsbl.config.settings import checked_settings
from dnsbl.config.zone_table import CODE_KEYS, ZONE_KEYS
from dnsbl.errors import ConfigError
from dnsbl.mail.mime import Limits
from dnsbl.monitor.settings import KEYS as MONITOR_KEYS
from dnsbl.monitor.settings import load_settings as load_monitor
from dnsbl.policy.actions import FIELDS
from dnsbl.policy.rules import POLICY_KEYS, RULE_KEYS
from dnsbl.policyd.settings import SERVER_KEYS, Options, load_settings
from dnsbl.web.settings import SERVE_KEYS
from dnsbl.web.settings import Options as WebOptions
from dnsbl.web.settings import load_settings as web_settings

PAGE = Path(__file__).parents[2] / "docs/configuration.md"
IDS = [f"{key.table}{key.name}" for key in KEYS]


@pytest.mark.parametrize(
    ("table", "known"),
    [
        ("[resolver]", [f.name for f in fields(ResolverConfig)]),
        ("[[zone]]", ZONE_KEYS),
        ("codes", CODE_KEYS),
        ("[policy]", (*POLICY_KEYS, *SERVER_KEYS)),
        ("[[policy.rule]]", RULE_KEYS),
        ("[monitor]", MONITOR_KEYS),
        ("[serve]", SERVE_KEYS),
        ("[message]", ("trusted", "harmless", *LIMITS)),
    ],
)
def test_every_key_that_is_read_is_described(table: str, known: list[str]) -> None:
    """Where this fails, write the key into dnsbl/config/keys.py."""
    assert sorted(key.name for key in keys_of(table)) == sorted(known)


def test_the_page_is_made_from_the_table() -> None:
    """Where this fails: python -m dnsbl.config.reference > docs/configuration.md"""
    assert PAGE.read_text() == format_reference()


def test_the_page_names_every_field_of_an_action() -> None:
    (row,) = [line for line in PAGE.read_text().splitlines() if line.startswith("| `action` |")]
    assert [field for field in FIELDS if f"{{{field}}}" not in row.split(" | ")[1]] == []


def text_with(key: Key, value: str) -> str:
    """A configuration in which `key` has `value`, and all it takes for that to be read."""
    line = f"{key.name} = {value}\n"
    if key.table == "[resolver]":
        return f"[resolver]\n{line}"
    if key.table == "[[zone]]":
        file = 'file = "drop.txt"\n' if key.name in ("format", "bad_share", "url", "interval_s") else ""
        file += 'url = "https://www.example.com/drop.txt"\n' if key.name == "interval_s" else ""
        return f"[[zone]]\n{line}{file}" + ("" if key.name == "name" else 'name = "bl.example.com"\n')
    if key.table == "codes":
        match = "" if key.name in ("match", "mask") else 'match = "127.0.0.2", '
        return f'[[zone]]\nname = "bl.example.com"\ncodes = [{{ {match}{line.strip()} }}]\n'
    zone = '[[zone]]\nname = "zen.spamhaus.org"\n'
    if key.table == "[policy]":
        return f"{zone}[policy]\n{line}"
    if key.table in ("[monitor]", "[message]", "[serve]"):
        return f"{zone}{key.table}\n{line}"
    action = "" if key.name == "action" else 'action = "DUNNO"\n'
    score = 'score = ">=1"\n' if key.name == "certain" else ""
    return f"{zone}[policy]\n[[policy.rule]]\n{line}{action}{score}"


def read(path: Path) -> None:
    """As the daemon reads it; keys of zones as they are shown, unread."""
    text = path.read_text()
    if "[monitor]" in text:
        keys = dict.fromkeys(("DNSBL_WEBHOOK_KEY", "DNSBL_SMTP_PASSWORD"), "key")
        load_monitor(load(path), None, env=keys)
    elif "key_" in text:
        load(path, keys=False)
    elif "[serve]" in path.read_text():
        web_settings(WebOptions(path), env={})
    else:
        load_settings(Options(path), env={})


@pytest.mark.parametrize("key", KEYS, ids=IDS)
def test_its_example_is_taken(key: Key, tmp_path: Path) -> None:
    path = tmp_path / "dnsbl.toml"
    path.write_text(text_with(key, key.example))
    (tmp_path / "catalogue.toml").write_text("date = 2030-01-01\n")
    for name in ("webhook.key", "smtp.key"):
        (tmp_path / name).write_text("key\n")
    hashed = "$2b$04$" + "a" * 53
    for name, text in (("serve.token", "0123456789" * 3), ("serve.htpasswd", f"helpdesk:{hashed}")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    read(path)
    path.write_text(path.read_text().replace(f"{key.name} = ", f"{key.name}_ = ", 1))
    with pytest.raises(ConfigError, match=f"{key.name}_"):  # so it was the key that was read
        read(path)


NUMBERS = [
    key for key in KEYS if re.match(r"-?[\d.,]+ to [\d.,]+", key.limits) and key.kind.endswith("number")
]


@pytest.mark.parametrize("key", NUMBERS, ids=[f"{key.table}{key.name}" for key in NUMBERS])
def test_its_range_is_the_one_that_is_taken(key: Key, tmp_path: Path) -> None:
    low, high = (
        float(part.replace(",", ""))
        for part in re.findall(r"-?[\d.,]*\d", key.limits.partition(" to ")[0])
        + re.findall(r"-?[\d.,]*\d", key.limits.partition(" to ")[2])[:1]
    )
    path = tmp_path / "dnsbl.toml"
    step = 1 if key.kind == "whole number" else abs(low) / 100 or 0.001
    for value, is_taken in ((low, True), (high, True), (low - step, False), (high + max(step, 1), False)):
        written = str(int(value)) if key.kind == "whole number" else f"{value!r}"
        path.write_text(text_with(key, written))
        if is_taken:
            read(path)
        else:
            with pytest.raises(ConfigError, match=key.name):
                read(path)


def test_the_defaults_of_the_resolver_are_its_own() -> None:
    settings = checked_settings({})
    shown = {key.name: key.default for key in keys_of("[resolver]")}
    for name in ("deadline_s", "timeout_s", "cache_size", "reasons", "reason_timeout_s", "check_private"):
        assert tomllib.loads(f"x = {shown[name]}")["x"] == getattr(settings, name)
    assert float(shown["ttl_min_s"]) == settings.ttl_rules.min_s
    assert float(shown["ttl_max_s"]) == settings.ttl_rules.max_s


def test_the_limits_of_messages_are_those_of_the_reader() -> None:
    shown = {key.name: key.default for key in keys_of("[message]")}
    assert {name: int(shown[name]) for name in LIMITS} == Limits()._asdict()


def test_the_defaults_of_the_daemon_are_its_own(tmp_path: Path) -> None:
    """Given as they are shown, they change nothing."""
    plain, spelt = tmp_path / "plain.toml", tmp_path / "spelt.toml"
    plain.write_text("[policy]\n")
    defaults = [
        key for key in keys_of("[policy]") if key.default[:1] in '"[0123456789' or key.default == "false"
    ]
    spelt.write_text("[policy]\n" + "".join(f"{key.name} = {key.default}\n" for key in defaults))
    one, other = load_settings(Options(plain), env={}), load_settings(Options(spelt), env={})
    for name in ("listen", "socket_mode", "idle_timeout_s", "read_timeout_s", "max_connections"):
        assert getattr(one, name) == getattr(other, name)
    assert one.policy.on_error == other.policy.on_error
    assert one.policy.dry_run == other.policy.dry_run


def test_the_defaults_of_the_monitor_are_its_own() -> None:
    defaults = [key for key in keys_of("[monitor]") if key.default[:1] in '"[0123456789']
    spelt = "[monitor]\n" + "".join(f"{key.name} = {key.default}\n" for key in defaults)
    assert load_monitor(parse(spelt), None, env={}) == load_monitor(parse(""), None, env={})


def test_the_defaults_of_the_server_are_its_own(tmp_path: Path) -> None:
    """Given as they are shown, they change nothing."""
    plain, spelt = tmp_path / "plain.toml", tmp_path / "spelt.toml"
    plain.write_text("")
    defaults = [key for key in keys_of("[serve]") if key.default[:1] in '"[0123456789']
    spelt.write_text("[serve]\n" + "".join(f"{key.name} = {key.default}\n" for key in defaults))
    one, other = (web_settings(WebOptions(path), env={}) for path in (plain, spelt))
    for name in SERVE_KEYS:
        if name in {key.name for key in defaults}:
            attribute = "trusted" if name == "trusted_proxies" else name
            assert getattr(one, attribute) == getattr(other, attribute)


# ---- dnsbl config ----


def test_the_example_has_every_key_and_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--example"]) == 0
    text = capsys.readouterr().out
    assert text == format_example()
    assert [zone.name for zone in parse(text).zones] == ["zen.spamhaus.org"]
    for key in KEYS:
        if key.table != "codes" and (key.table, key.name) != ("[policy]", "rule"):
            assert f"{key.name} = {key.example}\n" in text


CONFIG = """[resolver]
nameservers = ["127.0.0.1:5353"]
deadline_s = 2.0

[[zone]]
name = "zen.spamhaus.org"
reply = "127.0.0.[2..11]"
weight = 3

[[zone]]
name = "zen.spamhaus.org"
reply = "127.0.0.10"

[[zone]]
name = "dbl.dq.spamhaus.net"
key_env = "DNSBL_KEY_SPAMHAUS"

[[zone]]
name = "bl.example.com"
codes = [{ mask = 2, meaning = "spam" }, { match = "127.0.0.1", outcome = "blocked" }]

[[zone]]
name = "drop.example.com"
file = "drop.txt"
format = "plain"
url = "https://www.example.com/drop.txt"

[[zone]]
name = "hash.example.com"
subjects = ["email"]
hash = "md5"

[policy]
dry_run = ["bl.example.com"]

[[policy.rule]]
score = ">=3"
action = "REJECT {client}"
"""


def test_show_says_where_each_value_comes_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DNSBL_KEY_SPAMHAUS", "sesamesesame12345")
    path = tmp_path / "dnsbl.toml"
    path.write_text(CONFIG)
    assert main(["config", "--show", "--config", str(path), "--json"]) == 0
    out = capsys.readouterr().out
    values = [json.loads(line) for line in out.splitlines()]
    sources = {(value["table"], value["number"], value["key"]): value["source"] for value in values}
    assert sources["[resolver]", 0, "deadline_s"] == f"{path}:3"
    assert sources["[resolver]", 0, "timeout_s"] == "default"
    assert sources["[[zone]]", 0, "weight"] == f"{path}:8"
    assert sources["[[zone]]", 0, "subjects"] == "catalogue"
    assert sources["[[zone]]", 2, "key_env"] == f"{path}:16"
    assert sources["[[zone]]", 3, "subjects"] == "default"
    assert sources["[policy]", 0, "dry_run"] == f"{path}:34"
    assert sources["[policy]", 0, "max_connections"] == "default"
    assert sources["[[policy.rule]]", 0, "score"] == f"{path}:37"
    assert "sesame" not in out


def test_what_is_shown_is_the_same_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, again = tmp_path / "dnsbl.toml", tmp_path / "again.toml"
    path.write_text(CONFIG)
    assert main(["config", "--config", str(path)]) == 0
    again.write_text(capsys.readouterr().out)
    one, other = load(path, keys=False), load(again, keys=False)
    assert one.zones == other.zones
    assert one.policy["rule"] == other.policy["rule"]
    assert other.resolver.deadline_s == 2.0
    assert main(["config", "--config", str(again)]) == 0


def test_without_a_file_the_default_zones_are_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "dnsbl.toml").write_text("")
    monkeypatch.setenv("DNSBL_CONFIG", str(tmp_path / "dnsbl.toml"))
    assert main(["config"]) == 0
    assert 'name = "zen.spamhaus.org"  # default' in capsys.readouterr().out


def test_example_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--example", "--show"]) == 2
    assert "--example goes with neither" in capsys.readouterr().err
