"""The table of keys as text: docs/configuration.md, and the commented dnsbl.toml of `dnsbl config --example`.

`python -m dnsbl.config.reference > docs/configuration.md` writes the page anew. Pure but for that.
"""

from __future__ import annotations

import textwrap
from typing import Final

from dnsbl.config.keys import TABLES, Key, keys_of

_HEAD: Final = """# Configuration

Which file is read: `--config FILE`, else the one that `$DNSBL_CONFIG` names, else `/etc/dnsbl.toml` where
there is one, else none: then the default zones of `dnsbl zones list` are asked through the system's
nameservers. A key that is not known is an error that names the line and the nearest known key.
`dnsbl config --show` prints what is in effect and where each value comes from; `dnsbl config --example`
prints a file to begin with.

The form is [TOML](https://toml.io). Made by `python -m dnsbl.config.reference`; do not edit it by hand.
"""


def format_reference() -> str:
    """The text of docs/configuration.md."""
    parts = [_HEAD]
    for table, meaning in TABLES.items():
        parts.append(f"## `{table}`\n\n{meaning}\n")
        rows = ["| key | type and range | default | example | meaning |", "|---|---|---|---|---|"]
        rows += [_row(key) for key in keys_of(table)]
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def _row(key: Key) -> str:
    kind = f"{key.kind}; {key.limits}" if key.limits else key.kind
    cells = (f"`{key.name}`", kind, key.default, f"`{key.name} = {key.example}`", key.meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def format_example() -> str:
    """A dnsbl.toml in which every key stands commented out, with its meaning, range and default.

    As it stands it changes nothing but that one zone is asked.
    """
    lines = ["# dnsbl.toml: every key, commented out. See docs/configuration.md."]
    for table, meaning in TABLES.items():
        if table == "codes":
            continue  # they stand in the example of a zone's codes
        is_commented = table == "[[policy.rule]]"
        lines += ["", *_comment(meaning), f"{'# ' if is_commented else ''}{table}"]
        for key in keys_of(table):
            if (table, key.name) == ("[policy]", "rule"):
                continue
            kind = "; ".join(filter(None, (key.kind, key.limits)))
            lines += ["", *_comment(f"{key.meaning}. {kind}. Default: {key.default}.")]
            mark = "" if (table, key.name) == ("[[zone]]", "name") else "# "
            lines.append(f"{mark}{key.name} = {key.example}")
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 100, initial_indent="## ", subsequent_indent="## ", break_long_words=False)


if __name__ == "__main__":
    print(format_reference(), end="")
