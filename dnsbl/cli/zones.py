"""`dnsbl zones`: show the catalogue, and read and write other programs' lists.

What the catalogue says is in dnsbl/zones/catalogue.toml, how a configuration is read in
dnsbl/migrate/postfix.py and its neighbours; here it is only printed. Results go to stdout, what has no
counterpart to stderr.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dnsbl.cli import complain
from dnsbl.cli.options import config_option, json_option
from dnsbl.cli.zones_compile import compile_list
from dnsbl.cli.zones_fetch import fetch_lists
from dnsbl.errors import ConfigError, ZoneError
from dnsbl.model import TEXT_KINDS
from dnsbl.text.printable import printable

if TYPE_CHECKING:
    from dnsbl.config.file import Config
    from dnsbl.migrate.imported import Imported
    from dnsbl.zones.row import Row
    from dnsbl.zones.zone import Code

EXIT_OK = 0
EXIT_LOST = 1
"""Something had no counterpart. Bad input ends with 2, as everywhere."""

MAX_BYTES = 1 << 20
MAX_NOTES_OF_NOTHING = 3
"""Notes that are shown of a text without a list: it is probably another program's."""
_READERS = {
    "postfix": ("dnsbl.migrate.postfix", "import_maincf", "main.cf"),
    "exim": ("dnsbl.migrate.exim", "import_exim", "Exim's configuration"),
    "spamassassin": ("dnsbl.migrate.spamassassin", "import_spamassassin", "SpamAssassin's rules"),
    "rspamd": ("dnsbl.migrate.rspamd", "import_rspamd", "rspamd's rbl.conf"),
    "plain": ("dnsbl.migrate.plain", "import_plain", "a list of zones"),
}


@click.group("zones", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> int:
    """Lists: which there are, and to and from other programs. Without a command: list.

    Exit code: 0; 1 import or export met something without a counterpart (named on stderr); 2 bad usage or
    bad input.
    """
    if ctx.invoked_subcommand is not None:
        return EXIT_OK
    code: int = ctx.invoke(list_zones)
    return code


@command.command("list")
@click.option("--default", "only_default", is_flag=True, help="Only those asked where nothing is configured.")
@click.option(
    "--takes",
    type=click.Choice(TEXT_KINDS),
    help="Only those that take IPv4 addresses, IPv6 addresses or domains.",
)
@click.option("--retired", is_flag=True, help="Only dead ones, which are never asked.")
@config_option
@json_option
def list_zones(
    only_default: bool, takes: str | None, retired: bool, config_path: Path | None, as_json: bool
) -> int:
    """List every zone of the catalogue: what it holds, terms, default or not.

    On a terminal a line a zone, cut to its width; `dnsbl zones show ZONE` tells all of one.
    """
    from dnsbl.cli.render import show_lines

    rows = sorted(_config(config_path).catalogue, key=lambda row: (row.status == "retired", not row.default))
    rows = [
        row
        for row in rows
        if (row.default or not only_default)
        and (row.status == "retired" or not retired)
        and (takes is None or takes in row.zone.subjects)
    ]
    if as_json:
        for row in rows:
            click.echo(json.dumps(_facts(row)))
        return EXIT_OK
    cells = [[row.name, _standing(row), _asked(row), row.holds or row.why, _terms(row)] for row in rows]
    title = f"{len(rows)} zones; those marked default are asked where nothing is configured"
    show_lines(title, ["zone", "use", "takes", "what", "terms"], [list(map(printable, row)) for row in cells])
    return EXIT_OK


@command.command("show")
@click.argument("zone")
@config_option
@json_option
def show(zone: str, config_path: Path | None, as_json: bool) -> int:
    """Show all that the catalogue knows of ZONE: codes, terms, delist URL, sources."""
    row = _find(zone, _config(config_path))
    if as_json:
        click.echo(json.dumps(_facts(row)))
        return EXIT_OK
    from dnsbl.cli.render import show_table

    click.echo(printable(f"{row.name}: {row.holds or row.why}"))
    for name, value in _lines(row).items():
        for line in value if isinstance(value, list) else [value]:
            if line:
                click.echo(printable(f"  {name}: {line}"))
    cells = [
        [str(code), code.outcome, _points(row, code), printable(code.meaning)] for code in row.zone.codes
    ]
    if cells:
        show_table("codes", ["code", "outcome", "points", "meaning"], cells)
    return EXIT_OK


@command.command("import")
@click.option(
    "--from",
    "dialect",
    type=click.Choice(list(_READERS)),
    help="Whose configuration FILE is. Default: recognised by what it says.",
)
@config_option
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(allow_dash=True))
def import_zones(files: tuple[str, ...], dialect: str | None, config_path: Path | None) -> int:
    """Read another program's configuration and print it as dnsbl.toml.

    FILE is a main.cf (with it master.cf, or what `postconf -nx` and `postconf -P` print), an Exim
    configuration, SpamAssassin's *.cf, rspamd's rbl.conf, or a list of zones, one a line; - reads stdin.
    Several FILEs are read as one, in their order. A zone's key is not printed: the environment variable that
    is to hold it is named instead.

    Exit code: 0 all has a counterpart; 1 some of it has none, which stderr names; 2 bad usage or bad input.
    """
    from dnsbl.migrate.write import format_config

    texts = [(("stdin" if file == "-" else file), _text(file)) for file in files]
    names = ", ".join(name for name, _ in texts)
    whole = "\n".join(text for _, text in texts)
    dialect = dialect or _recognised(whole, names)
    module, function, origin = _READERS[dialect]
    found: Imported = getattr(import_module(module), function)(whole, _config(config_path).catalogue)
    shown = found.notes if found.entries else found.notes[:MAX_NOTES_OF_NOTHING]
    for note in shown:
        name, line = _place(texts, note.line)
        complain(f"{name}:{line}: {note.text}: {note.message}")
    if not found.entries and (not found.notes or len(found.notes) > len(shown)):
        raise ConfigError(f"{names}: names no list; is it {origin}? See --from", names)
    if all(entry.retired for entry in found.entries):
        complain(f"{names}: no list can be used; without a [[zone]] table the default zones are asked")
    click.echo(format_config(found, origin), nl=False)
    return EXIT_LOST if any(note.lost for note in found.notes) else EXIT_OK


def _recognised(text: str, names: str) -> str:
    from dnsbl.migrate.detect import detect

    found = detect(text)
    if found is None:
        message = f"{names}: names no list in a form that is known; say which with --from"
        raise ConfigError(f"{message}: {', '.join(_READERS)}", names)
    return found


def _place(texts: list[tuple[str, str]], line: int) -> tuple[str, int]:
    """File and line there of a line of all texts together."""
    for name, text in texts:
        lines = text.count("\n") + 1
        if line <= lines:
            return name, line
        line -= lines
    return texts[-1][0], line


@command.command("export")
@click.argument("dialect", type=click.Choice(["postfix", "exim", "rspamd", "spamassassin"]))
@config_option
def export_zones(dialect: str, config_path: Path | None) -> int:
    """Print the configured zones as another program's configuration: `dnsbl zones export postfix`.

    Exit code: 0; 1 something has no counterpart there, which stderr names; 2 bad usage or bad input.
    """
    from dnsbl.migrate.export_others import export_others, threshold_of
    from dnsbl.migrate.postfix_export import export_postfix
    from dnsbl.zones.name import check_name

    config = _config(config_path)
    variables = {
        check_name(table.values["name"]): table.values["key_env"]
        for table in config.tables
        if "key_env" in table.values
    }
    if dialect == "postfix":
        tables = {"policy": config.policy, "postfix": config.postfix}
        found = export_postfix(config.zones, **tables, variables=variables)
    else:
        limit = threshold_of(config.policy)
        found = export_others(dialect, config.zones, threshold=limit, variables=variables)
    for text in found.lost:
        complain(f"no counterpart in {'main.cf' if dialect == 'postfix' else dialect}: {text}")
    for text in found.hints:
        complain(text)
    click.echo(found.text, nl=False)
    return EXIT_LOST if found.lost else EXIT_OK


command.add_command(compile_list)
command.add_command(fetch_lists)


def _config(path: Path | None) -> Config:
    """The configuration, without keys: nothing is asked here."""
    from dnsbl.config import file as config

    found = config.load(path, retired=True, keys=False)
    for warning in found.catalogue.warnings:
        complain(warning)
    return found


def _text(file: str) -> str:
    """The text of a file, or of stdin for `-`; bytes that are not UTF-8 are replaced."""
    with click.open_file(file, "rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{file}: longer than {MAX_BYTES} bytes; is it the right file?", file)
    text: str = data.decode("utf-8", "replace").replace("\r\n", "\n")
    return text


def _find(zone: str, config: Config) -> Row:
    """The catalogue's row for a zone, given with a key or without; raises ZoneError naming the nearest."""
    from difflib import get_close_matches

    from dnsbl.zones.secret import MASK, mask_keys

    name = mask_keys(zone).rpartition(f"{MASK}.")[2]
    row = config.catalogue.row(name)
    if row is None:
        nearest = get_close_matches(name.lower(), [each.name for each in config.catalogue], n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else "see `dnsbl zones list`"
        raise ZoneError(f"{name} is not in the catalogue; {hint}", name)
    return row


def _standing(row: Row) -> str:
    if row.status == "retired":
        return f"retired {row.since}".rstrip()
    if row.status != "alive":
        return row.status
    return "default" if row.default else "key" if row.needs_key else ""


def _asked(row: Row) -> str:
    return " ".join(kind for kind in TEXT_KINDS if kind in row.zone.subjects)


def _terms(row: Row) -> str:
    """Who may use it, in one cell; for a dead list, what to use instead."""
    if row.status == "retired":
        return f"use {row.successor}" if row.successor else ""
    limits = {
        f"{row.zone.daily_limit or 0:,}": "queries a day",
        f"{row.connections_per_day or 0:,}": "connections a day",
        "non-commercial" if row.non_commercial else "0": "use",
    }
    said = [f"{limit} {what}" for limit, what in limits.items() if limit != "0" and limit not in row.terms]
    return "; ".join(part for part in (row.terms, *said, row.registration) if part)


def _points(row: Row, code: Code) -> str:
    """What a code counts: its own weight or the zone's, where it is a listing."""
    weight = row.zone.weight if code.weight is None else code.weight
    return f"{weight:+g}" if code.outcome == "listed" else ""


def _lines(row: Row) -> dict[str, str | list[str]]:
    """The facts of a row by their names as they are shown, but for its codes; empty ones are left out."""
    zone = row.zone
    return {
        "operator": row.operator,
        "page": row.page,
        "use": _standing(row),
        "why": row.why,
        "use instead": row.successor,
        "all of it is also in": row.part_of,
        "takes": _asked(row) + (f" (the {zone.domain} domain)" if "domain" in zone.subjects else ""),
        "weight": f"{zone.weight:+g}",
        "terms": _terms(row) if row.status != "retired" else row.terms,
        "name with key": zone.key_place.replace("{key}", "KEY"),
        "public resolvers": row.public_resolvers,
        "submission ports": "may be asked" if row.submission else "not to be asked about clients there",
        "TTL": row.ttl,
        "delist": zone.delist_url or "",
        "delisting": row.delisting,
        "test entries, listed": _entries(row, listed=True),
        "test entries, unlisted": _entries(row, listed=False),
        "source": list(row.sources),
        "read on": row.date.isoformat(),
        "not read at the operator's": ", ".join(row.unverified),
    }


def _entries(row: Row, *, listed: bool) -> str:
    """The subjects that the health check asks for; of a dead list none."""
    alive = row.status != "retired"
    return ", ".join(probe.subject for probe in row.zone.probes if probe.listed is listed and alive)


def _facts(row: Row) -> dict[str, object]:
    """A row as JSON: its own fields, and those of its zone that a row has."""
    from dataclasses import fields

    facts: dict[str, object] = {
        f.name: getattr(row, f.name) for f in fields(row) if f.name not in ("zone", "date", "name")
    }
    facts |= {"sources": list(row.sources), "unverified": list(row.unverified), "date": row.date.isoformat()}
    codes = [
        {
            "code": str(code),
            "outcome": code.outcome,
            "weight": code.weight,
            "meaning": code.meaning,
        }
        for code in row.zone.codes
    ]
    return {
        "name": row.name,
        **facts,
        "needs_key": row.needs_key,
        "key_place": row.zone.key_place,
        "subjects": _asked(row).split(),
        "domain": row.zone.domain,
        "weight": row.zone.weight,
        "queries_per_day": row.zone.daily_limit,
        "delist_url": row.zone.delist_url,
        "tests": [
            {"kind": test.kind, "subject": test.subject, "listed": test.listed} for test in row.zone.probes
        ],
        "codes": codes,
    }
