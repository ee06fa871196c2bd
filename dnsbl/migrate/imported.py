"""What is read from another program's configuration: zones, rules, and what has no counterpart here.

Every reader (postfix, exim, spamassassin, rspamd) fills an `Import` and returns what it `finish`es to. Keys
of keyed zones are taken out of names here, so that none reaches any output. Pure: no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from dnsbl.errors import ConfigError, ZoneError
from dnsbl.model import Kind
from dnsbl.zones.catalogue import Catalogue
from dnsbl.zones.name import check_name
from dnsbl.zones.replyfilter import parse_reply_filter
from dnsbl.zones.row import Row
from dnsbl.zones.secret import KEYED_DOMAINS, MASK, mask_keys
from dnsbl.zones.zone import CodeOutcome, Filter

MAX_TEXT: Final = 1 << 20
"""Longest configuration text taken, in characters."""
MAX_ITEMS: Final = 2000
"""Most zones taken from one text, and most notes kept."""
MAX_NAME: Final = 300
"""Longest name looked at, a key or a reference included, in characters."""
ANY: Final = "any"
IP: Final[frozenset[Kind]] = frozenset({"ip4", "ip6"})
DOMAIN: Final[frozenset[Kind]] = frozenset({"domain"})

_KEY_LIKE: Final = re.compile(r"(?=[a-z0-9]*[0-9])(?=[a-z0-9]*[a-z])[a-z0-9]{20,63}", re.IGNORECASE)
_REFERENCE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Note:
    """Something to tell the user. line: of the text read, from 1. text: what stood there, keys masked.

    lost: it has no counterpart in dnsbl.toml, so the result does less, or other, than the original.
    """

    line: int
    text: str
    message: str
    lost: bool = True

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}: {self.message}"


@dataclass(frozen=True, slots=True)
class CodeLine:
    """One line of a zone's `codes`, as dnsbl.toml has it; exactly one of match and mask is set."""

    match: str | None = None
    mask: int | None = None
    meaning: str = ""
    weight: float | None = None
    outcome: CodeOutcome = "listed"


@dataclass(frozen=True, slots=True)
class Entry:
    """One [[zone]] table to be written. The fields are its keys; None and empty ones are left out.

    line: where it was read. key_env: the environment variable that is to hold the key of a keyed zone;
    key_file: the file that holds it.
    retired: why it must not be used, for a dead list; it is then written as a comment.
    """

    line: int
    name: str
    subjects: frozenset[Kind] | None = None
    domain: Literal["registrable", "host"] | None = None
    reply: str | None = None
    weight: float | None = None
    codes: tuple[CodeLine, ...] = ()
    on_error: Literal["no_opinion", "listed"] | None = None
    key_env: str = ""
    key_file: str = ""
    retired: str = ""


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of a reader, in the order of the text.

    policy: keys of [policy]. rules: [[policy.rule]] tables. postfix: the [postfix] table, what only Postfix
    has a word for.
    """

    entries: tuple[Entry, ...] = ()
    notes: tuple[Note, ...] = ()
    policy: Mapping[str, object] = field(default_factory=dict)
    rules: tuple[Mapping[str, object], ...] = ()
    postfix: Mapping[str, object] = field(default_factory=dict)


class Import:
    """Collects entries and notes while a text is read."""

    def __init__(self, text: str, catalogue: Catalogue) -> None:
        """Raises ConfigError for a text that is too long."""
        if len(text) > MAX_TEXT:
            message = f"longer than {MAX_TEXT} characters; is it the right file?"
            raise ConfigError(message, text[:40])
        self.catalogue = catalogue
        self.entries: list[Entry] = []
        self.notes: list[Note] = []
        self._asked = 0
        self._keys: dict[str, str] = {}  # a key, or `$` and what stands in its place -> environment variable
        self._key_files: dict[str, str] = {}  # what stands for a key in a name -> the file that holds it
        self._variables: set[str] = set()
        self._numbers: dict[str, int] = {}  # by a variable's name without one, the highest number it has

    def note(self, line: int, text: str, message: str, *, lost: bool = True) -> None:
        if len(self.notes) < MAX_ITEMS:
            # Cut before it is split: what is shown costs little, however long the text is.
            self.notes.append(Note(line, " ".join(text[:1000].split())[:200], message[:500], lost))

    def zone(self, line: int, text: str, name: str) -> tuple[str, str] | None:
        """A zone's name without its key, and the environment variable for the key, or "".

        None, and a note, where `name` cannot be a zone. text: what the note shows.
        """
        self._asked += 1
        if self._asked > MAX_ITEMS:
            raise ConfigError(f"more than {MAX_ITEMS} zones; is it the right file?", text[:40])
        if len(name) > MAX_NAME:
            self.note(line, text, f"left out: a name of {len(name)} characters")
            return None
        bare, key = self._split_key(name)
        if reference := _REFERENCE.search(bare):
            self.note(line, text, f"left out: this text does not set ${reference[1]}")
            return None
        try:
            bare = check_name(bare)
            row = self.catalogue.row(bare)
        except ZoneError as error:
            self.note(line, text, f"left out: {error}")
            return None
        if key:
            return bare, self._variable(line, text, bare, key)
        if row is not None and row.needs_key:
            return bare, self._variable(line, text, bare, f"${bare}")
        return bare, ""

    def known(self, name: str) -> Row | None:
        """The catalogue's row of a zone, whose name may have a key; None for one it does not know."""
        try:
            return self.catalogue.row(check_name(self._split_key(name[:MAX_NAME])[0]))
        except ZoneError:
            return None

    def is_filter(self, line: int, text: str, reply: str) -> bool:
        """Whether `reply` is a filter in Postfix's form that can match; a note where it is not."""
        try:
            Filter(parse_reply_filter(reply))
        except ZoneError as error:
            self.note(line, text, f"left out: {error}")
            return False
        return True

    def add(self, entry: Entry, text: str) -> None:
        """Take an entry. One for a dead list is marked, and noted with what to use instead."""
        row = self.catalogue.row(entry.name)
        if row is not None and row.status == "retired":
            instead = f"use {row.successor} instead" if row.successor else "leave it out"
            since = f" since {row.since}" if row.since else ""
            entry = replace(entry, retired=f"retired{since}: {row.why}; {instead}")
            self.note(entry.line, text, f"left out: {entry.name} is {entry.retired}")
        elif row is not None and row.status != "alive":
            self.note(entry.line, text, f"to be avoided: {row.why}", lost=False)
        if entry.key_env in self._key_files:
            entry = replace(entry, key_env="", key_file=self._key_files[entry.key_env])
        self.entries.append(entry)

    def key_file(self, path: str) -> str:
        """What `${...}` is to name in a zone's name where the key stands in a file."""
        for name, known in self._key_files.items():
            if known == path:
                return name
        name = f"key_file_{len(self._key_files) + 1}"
        self._key_files[name] = path
        self._keys[f"${{{name}}}"] = name
        return name

    def subjects(self, line: int, text: str, name: str, asked: frozenset[Kind]) -> frozenset[Kind] | None:
        """What a zone takes that is asked for `asked`: of those kinds what its row has, else what it has.

        None where that is what a zone has by itself. A row's subjects win: a list of domains that is asked
        about addresses would refuse every lookup; a note says so.
        """
        row = self.catalogue.row(name)
        usual = row.zone.subjects if row else IP
        wanted: frozenset[Kind] = frozenset()
        for group, what in ((IP & asked, "addresses"), (DOMAIN & asked, "domains")):
            if row and group and not usual & group:
                message = f"{name} is asked about {_what(usual)} alone, not {what}: it holds no others"
                self.note(line, text, message, lost="dkim" not in usual)
            wanted |= usual & group or (frozenset() if row else group)
        return None if not wanted or wanted == usual else wanted

    def finish(
        self,
        *,
        policy: Mapping[str, object] | None = None,
        rules: Iterable[Mapping[str, object]] = (),
        postfix: Mapping[str, object] | None = None,
    ) -> Imported:
        """The result, with every key that was found masked in every note."""
        self.notes.sort(key=lambda note: note.line)
        notes = [
            replace(note, text=self.mask(note.text), message=self.mask(note.message)) for note in self.notes
        ]
        return Imported(tuple(self.entries), tuple(notes), policy or {}, tuple(rules), postfix or {})

    def mask(self, text: str) -> str:
        text = mask_keys(text)
        lowered = text.lower()
        for key in self._keys:
            # Looked for first: a thousand keys and notes would be a million regular expressions.
            if not key.startswith("$") and key in lowered:
                text = re.sub(re.escape(key), MASK, text, flags=re.IGNORECASE)
        return text

    def _split_key(self, name: str) -> tuple[str, str]:
        """The name without its key, and the key ("" where there is none)."""
        labels = name.strip(".").split(".")
        for domain in KEYED_DOMAINS:
            own = domain.count(".") + 2  # the list's own label and the operator's domain
            if ".".join(labels).lower().endswith("." + domain):
                return ".".join(labels[-own:]), ".".join(labels[:-own])
        is_key = _KEY_LIKE.fullmatch(labels[0]) or _REFERENCE.fullmatch(labels[0])
        if is_key and len(labels) > 2 and all(labels):
            return ".".join(labels[1:]), labels[0]
        return ".".join(labels), ""

    def _variable(self, line: int, text: str, zone: str, key: str) -> str:
        """The environment variable for a key: one per operator, numbered where that has several keys."""
        reference = _REFERENCE.fullmatch(key)
        key = key if reference else key.lower()
        if key in self._keys:
            return self._keys[key]
        variable = reference[1] if reference else self._new_variable(key_variable(zone))
        self._keys[key] = variable
        self._variables.add(variable)
        what = "it needs a key" if key.startswith("$") else "its key is not written down"
        self.note(line, text, f"{what}: set the environment variable {variable} to the key", lost=False)
        return variable

    def _new_variable(self, name: str) -> str:
        """`name`, numbered where it is taken."""
        number = self._numbers.get(name, 0) + 1
        variable = name if number == 1 else f"{name}_{number}"
        while variable in self._variables:
            number += 1
            variable = f"{name}_{number}"
        self._numbers[name] = number
        return variable


def _what(subjects: frozenset[Kind]) -> str:
    if "dkim" in subjects:
        return "the domains that signed a message"
    if subjects & {"email", "url"}:
        return "hashes of addresses and links"
    return "domains" if subjects == DOMAIN else "addresses"


def key_variable(zone: str) -> str:
    """The environment variable that holds the key of a zone's operator, where nobody gave another.

    >>> key_variable("zen.dq.spamhaus.net")
    'DNSBL_KEY_SPAMHAUS'
    """
    return "DNSBL_KEY_" + re.sub(r"[^A-Z0-9]", "_", zone.split(".")[-2].upper())
