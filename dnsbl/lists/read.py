"""The text of a list file -> ListData: which format it is, and whether it can be used at all."""

from __future__ import annotations

import re
from itertools import islice
from time import time
from typing import Final

from dnsbl.lists import BAD_SHARE
from dnsbl.lists.builder import ListData
from dnsbl.lists.context import ListError, Reading
from dnsbl.lists.forms import parse_prefix6, parse_range4
from dnsbl.lists.plain import parse_network, read_drop_json, read_plain
from dnsbl.lists.rbldnsd import DATA_SETS, NOT_READ, read_rbldnsd

FORMATS: Final = ("auto", "plain", "drop", "drop-json", *DATA_SETS, "combined")
"""`combined:NAME` too, for the subzone NAME of a combined data set."""
_LOOKED_AT: Final = 200
"""Lines by which the format is told."""
_HTML: Final = re.compile(r"\s*(?:<!doctype\s+html|<html|<head|<body|<\?xml|<!--)", re.IGNORECASE)
_SBL_NOTE: Final = re.compile(r"[0-9a-fA-F:.]+/[0-9]+ *; *SBL[0-9]+", re.ASCII)


def check_format(format: str) -> str:
    """A format's name as it was given; raises ListError for one that is not known."""
    name, colon, subzone = format.partition(":")
    if name not in FORMATS or (colon and (name != "combined" or not subzone)):
        hint = "; it is not read" if name in NOT_READ else ""
        raise ListError(
            f"{format!r} is not a valid list format{hint}: use {', '.join(FORMATS)} or combined:SUBZONE",
            format,
        )
    return format


def read(
    data: bytes,
    format: str = "auto",
    *,
    bad_share: float | None = None,
    now: float | None = None,
    survey: bool = False,
) -> ListData:
    """Read the bytes of a list file.

    format: one of FORMATS. bad_share: the file is refused if more than this share of its entries is bad,
    from 0 to 1 (None: BAD_SHARE); a single bad one among good ones is left out, unless the share is 0.
    Bad entries without a good one are always refused. survey: count overlaps and exclusions too. now: seconds
    of the epoch, against which its dates are held.

    Raises ListError for a file that cannot be used as a whole. A file of comments alone is an empty list.

    >>> read(b"192.0.2.0/24 ; SBL1").ip4
    1
    """
    found = parse(data, format, now=now, survey=survey)
    bad_share = BAD_SHARE if bad_share is None else bad_share
    too_many = found.bad > found.lines * bad_share and (found.bad > 1 or not bad_share)
    if too_many or found.bad == found.lines > 0:
        first = found.problems[0]
        limit = f"more than bad_share, {bad_share * 100:g} %" if found.bad < found.lines else "all"
        raise ListError(
            f"{found.bad} of {found.lines} entries are bad ({limit}), so it is not used as {found.format}; "
            f"the first: line {first.line}: {first.message}",
            first.message,
        )
    return found


def parse(data: bytes, format: str = "auto", *, now: float | None = None, survey: bool = False) -> ListData:
    """As `read`, however many lines are bad."""
    check_format(format)
    now = time() if now is None else now
    text = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    if _HTML.match(text):
        raise ListError("this is an HTML page, not a list: a download that failed?", text[:40])
    if "\0" in text[:4096]:
        raise ListError("this is not text: decompress it, or save it as UTF-8", repr(text[:20]))
    lines = text.replace("\r\n", "\n").split("\n")
    name, _, subzone = format.partition(":")
    if name == "auto":
        name = detect(lines)
    reading = Reading(name, now)
    reading.survey = survey
    if name == "drop-json":
        read_drop_json(reading, lines)
    elif name in ("plain", "drop"):
        read_plain(reading, lines, notes=name == "drop")
    else:
        read_rbldnsd(reading, lines, name, subzone or "@")
    return reading.done()


def detect(lines: list[str]) -> str:
    """The format, by the first lines."""
    head = [line.strip() for line in islice(lines, _LOOKED_AT)]
    entries = [line for line in head if line and line[0] not in "#;:$"]
    if any(line[:9].lower() == "$dataset " for line in head):
        return "combined"
    if entries and entries[0].startswith("{"):
        return "drop-json"
    special = any(line[:1] in ("$", ":") for line in head)
    if not special and _is_drop(head, entries):
        return "drop"
    kinds = [kind for kind in map(_kind, entries) if kind]
    if "dnset" in kinds:
        return max(dict.fromkeys(kinds), key=kinds.count)
    valued = any(line[:1] == "!" or _has_value(line) for line in entries)
    if special or valued or (kinds and not any(_is_plain(line) for line in entries)):
        return max(dict.fromkeys(kinds), key=kinds.count, default="ip4set")
    return "plain"


def _is_drop(head: list[str], entries: list[str]) -> bool:
    named = any(line[:1] in ("#", ";") and "spamhaus" in line.lower() for line in head[:5])
    return any(_SBL_NOTE.match(line) for line in entries) or (named and all(map(_is_plain, entries)))


def _is_plain(line: str) -> bool:
    return not isinstance(parse_network(re.split(r"[#;]", line, maxsplit=1)[0].strip()), str)


def _has_value(line: str) -> bool:
    words = re.split(r"[#;]", line, maxsplit=1)[0].split(None, 1)
    return len(words) == 2 and not words[1].startswith(("-", "/"))


def _kind(line: str) -> str:
    """Which data set a line would be an entry of."""
    word = line.lstrip("! ").split(None, 1)[0] if line.lstrip("! ") else ""
    if parse_range4(word):
        return "ip4set"
    if ":" in word and parse_prefix6(word):
        return "ip6trie"
    name = word.lower().removeprefix("*")
    return "dnset" if re.fullmatch(r"\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*\.[a-z][a-z0-9-]*\.?", name) else ""
