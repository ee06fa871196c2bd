"""Configurations of the kinds that mail systems ship, told in our own words: nothing of them is lost unnamed.

Beside each in shapes/ stands what becomes of it, `.expected`: the dnsbl.toml, and each note behind it. After a
change that is meant, `cd tests && PYTHONPATH=..:. python -m migrate.test_shapes` writes them anew; what it
changed is to be read.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.decisions import decided

from dnsbl.config.file import parse
from dnsbl.migrate.detect import detect
from dnsbl.migrate.exim import import_exim
from dnsbl.migrate.imported import Imported
from dnsbl.migrate.postfix import import_maincf
from dnsbl.migrate.rspamd import import_rspamd
from dnsbl.migrate.spamassassin import import_spamassassin
from dnsbl.migrate.write import format_config
from dnsbl.policy.rules import compile_rules
from dnsbl.zones.catalogue import load

CATALOGUE = load()
FOLDER = Path(__file__).parent / "shapes"
READERS = {
    "postfix": import_maincf,
    "exim": import_exim,
    "rspamd": import_rspamd,
    "spamassassin": import_spamassassin,
}
SHAPES = sorted(path for path in FOLDER.iterdir() if path.suffix in {".cf", ".conf"})
NAME = re.compile(r"(?<![\w.@/-])(?:[a-z0-9_-]+\.)+[a-z]{2,}(?=[\s.,:;=*&!/\"')]|$)")
KEY = "abcdefghij0123456789abcdef"


def whose(path: Path) -> str:
    return path.name.partition("-")[0]


def imported(path: Path) -> Imported:
    return READERS[whose(path)](path.read_text(), CATALOGUE)


def shown(found: Imported, origin: str) -> str:
    notes = (f"# {'lost' if note.lost else 'told'}: {note}\n" for note in found.notes)
    return format_config(found, origin) + "\n" + "".join(notes)


def zones_in(text: str) -> set[str]:
    """The names of zones in a text: those that the catalogue knows, and made-up ones that are asked."""
    code = "\n".join(line for line in text.split("\n") if not line.lstrip().startswith("#"))
    names = {name.replace(f"{KEY}.", "") for name in NAME.findall(code)}
    made_up = {"rhsbl.example.net", "dob.example.net", "email.example.net", "list.example.net"}
    return {name for name in names if CATALOGUE.row(name) is not None or name in made_up}


def test_there_are_the_shapes_that_were_asked_for() -> None:
    count = {dialect: sum(whose(path) == dialect for path in SHAPES) for dialect in READERS}
    assert count == {"postfix": 5, "exim": 3, "rspamd": 1, "spamassassin": 3}


@pytest.mark.parametrize("path", SHAPES, ids=lambda path: path.name)
def test_it_becomes_what_was_read_once(path: Path) -> None:
    text = path.read_text()
    assert detect(text) == whose(path)
    found = imported(path)
    assert shown(found, path.name) == path.with_suffix(".expected").read_text()
    config = parse(format_config(found, path.name), env={"DNSBL_KEY_SPAMHAUS": KEY}, keys=False)
    compile_rules(config.policy, zones=[zone.name for zone in config.zones], built=config.zones)
    assert KEY not in shown(found, path.name)


@pytest.mark.parametrize("path", SHAPES, ids=lambda path: path.name)
def test_every_list_is_in_the_result_or_in_a_note(path: Path) -> None:
    found = imported(path)
    names = zones_in(path.read_text())
    assert len(names) >= 2
    entries = {entry.name for entry in found.entries}
    notes = " ".join(f"{note.text} {note.message}" for note in found.notes)
    notes = notes.replace("***.", "")
    assert {name for name in names if name not in entries and name not in notes} == set()


CLIENT, SENDER, HELO = "192.0.2.99", "sender.example.com", "helo.example.org"
REQUEST = {"client_address": CLIENT, "sender": f"a@{SENDER}", "helo_name": HELO}


@pytest.mark.parametrize(
    ("name", "answers", "action"),
    [
        ("postfix-panel.cf", {("dbl.spamhaus.org", HELO): ["127.0.1.2"]}, "REJECT"),
        ("postfix-onebox.cf", {("dbl.spamhaus.org", HELO): ["127.0.1.2"]}, "DUNNO"),
        ("postfix-onebox.cf", {("dbl.spamhaus.org", SENDER): ["127.0.1.2"]}, "REJECT"),
        ("postfix-onebox.cf", {("dbl.spamhaus.org", SENDER): ["127.0.1.102"]}, "DUNNO"),
        ("postfix-groupware.cf", {("b.barracudacentral.org", CLIENT): ["127.0.0.2"]}, "REJECT"),
        ("postfix-containers.cf", {("bl.mailspike.net", CLIENT): ["127.0.0.2", "127.0.0.10"]}, "REJECT"),
        (
            "postfix-containers.cf",
            {
                ("bl.mailspike.net", CLIENT): ["127.0.0.2", "127.0.0.10"],
                ("list.dnswl.org", CLIENT): ["127.0.9.1"],
            },
            "DUNNO",
        ),
        ("postfix-handmade.cf", {("zen.spamhaus.org", CLIENT): ["127.0.0.30"]}, "DUNNO"),
        ("postfix-handmade.cf", {("zen.spamhaus.org", CLIENT): ["127.0.0.4"]}, "REJECT"),
        (
            "postfix-handmade.cf",
            {("zen.spamhaus.org", CLIENT): ["127.0.0.4"], ("list.dnswl.org", CLIENT): ["127.0.9.2"]},
            "DUNNO",
        ),
        ("spamassassin-clients.cf", {("zen.spamhaus.org", CLIENT): ["127.0.0.10"]}, "DUNNO"),
        (
            "spamassassin-clients.cf",
            {
                ("zen.spamhaus.org", CLIENT): ["127.0.0.3", "127.0.0.10"],
                ("psbl.surriel.com", CLIENT): ["127.0.0.2"],
            },
            "REJECT",
        ),
        ("rspamd-stock.conf", {("dbl.spamhaus.org", SENDER): ["127.0.1.2"]}, "DUNNO"),
        (
            "rspamd-stock.conf",
            {("dbl.spamhaus.org", SENDER): ["127.0.1.4"], ("multi.surbl.org", SENDER): ["127.0.0.16"]},
            "REJECT",
        ),
        ("exim-debian.conf", {("zen.spamhaus.org", CLIENT): ["127.0.0.2"]}, "DUNNO"),
        ("exim-panel.conf", {("psbl.surriel.com", CLIENT): ["127.0.0.2"]}, "DEFER"),
        (
            "exim-panel.conf",
            {("psbl.surriel.com", CLIENT): ["127.0.0.2"], ("list.dnswl.org", CLIENT): ["127.0.5.2"]},
            "DUNNO",
        ),
        ("exim-panel.conf", {("dbl.spamhaus.org", SENDER): ["127.0.1.2"]}, "DUNNO"),
        ("exim-handmade.conf", {("bl.mailspike.net", CLIENT): ["127.0.0.13"]}, "DUNNO"),
        ("exim-handmade.conf", {("bl.mailspike.net", CLIENT): ["127.0.0.10"]}, "REJECT"),
    ],
)
def test_it_decides_as_where_it_comes_from(
    name: str, answers: dict[tuple[str, str], list[str]], action: str
) -> None:
    config = parse(format_config(imported(FOLDER / name), name), keys=False)
    assert decided(config, REQUEST, answers) == action


if __name__ == "__main__":
    for shape in SHAPES:
        shape.with_suffix(".expected").write_text(shown(imported(shape), shape.name))
