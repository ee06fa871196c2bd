"""What was imported, as the text of a dnsbl.toml. Pure: values in, text out.

Dead lists are written as comments, with what to use instead; notes are for the caller to show.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from dnsbl.migrate.imported import CodeLine, Entry, Imported
from dnsbl.model import TEXT_KINDS


def format_config(imported: Imported, origin: str) -> str:
    """The text of a dnsbl.toml with one [[zone]] table per entry, in order.

    origin: where it comes from, one line, for the comment at the top ("main.cf", "Exim's configuration").

    >>> print(format_config(Imported((Entry(1, "bl.example.com", reply="127.0.0.2", weight=2),)), "main.cf"))
    # Made from main.cf by `dnsbl zones import`.
    <BLANKLINE>
    [[zone]]
    name = "bl.example.com"
    reply = "127.0.0.2"
    weight = 2
    <BLANKLINE>
    """
    blocks = [f"# Made from {origin} by `dnsbl zones import`."]
    if any(entry.reply == "any" for entry in imported.entries):
        blocks[0] += '\n# reply = "any": any listing counts, once.'
    blocks += map(_format_zone, imported.entries)
    if imported.policy:
        blocks.append(_format_table("[policy]", imported.policy))
    blocks += (_format_table("[[policy.rule]]", rule) for rule in imported.rules)
    if imported.postfix:
        header = "# Where main.cf names these zones; read by `dnsbl zones export postfix` alone.\n[postfix]"
        blocks.append(_format_table(header, imported.postfix))
    return "\n\n".join(blocks) + "\n"


def _format_zone(entry: Entry) -> str:
    table: dict[str, object] = {"name": entry.name}
    if entry.subjects is not None:
        table["subjects"] = [kind for kind in TEXT_KINDS if kind in entry.subjects]
    for key in ("domain", "reply", "weight", "on_error"):
        if getattr(entry, key) is not None:
            table[key] = getattr(entry, key)
    for key in ("key_env", "key_file"):
        if getattr(entry, key):
            table[key] = getattr(entry, key)
    if entry.codes:
        table["codes"] = [_code_table(code) for code in entry.codes]
    text = _format_table("[[zone]]", table)
    if not entry.retired:
        return text
    why = "".join(c if c.isprintable() else " " for c in entry.retired)
    return "\n".join(f"# {line}" for line in [" ".join(why.split()), *text.split("\n")])


def _code_table(code: CodeLine) -> dict[str, object]:
    table: dict[str, object] = {"match": code.match} if code.match is not None else {"mask": code.mask}
    if code.outcome != "listed":
        table["outcome"] = code.outcome
    if code.weight is not None:
        table["weight"] = code.weight
    if code.meaning:
        table["meaning"] = code.meaning
    return table


def _format_table(header: str, table: Mapping[str, object]) -> str:
    lines = (f"{_format_key(key)} = {format_value(value)}" for key, value in table.items())
    return "\n".join([header, *lines])


def _format_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else format_text(key)


def format_value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:.0f}" if value == int(value) else repr(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {format_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return _format_array([format_value(item) for item in value])
    return format_text(str(value))


def _format_array(items: list[str]) -> str:
    line = f"[{', '.join(items)}]"
    return line if len(line) <= 80 else "[\n" + "".join(f"  {item},\n" for item in items) + "]"


def format_text(text: str) -> str:
    """A TOML basic string that is safe to print.

    JSON's escapes are TOML's too, and what else a terminal could act upon (C1 controls, marks that change the
    direction of writing) is escaped as well. For surrogates, which TOML does not have, there is a `?`.

    >>> format_text('a"b')
    '"a\\\\"b"'
    """
    clean = text.encode("utf-8", "replace").decode()
    quoted = json.dumps(clean, ensure_ascii=False)
    return quoted if quoted.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in quoted)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
