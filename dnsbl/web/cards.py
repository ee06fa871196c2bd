"""What is shown of one list's answer, as plain texts: the page and its script make the same of them. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, NamedTuple

from dnsbl.model import ERRORS, Outcome, Verdict, ZoneAnswer
from dnsbl.text.printable import printable
from dnsbl.zones.row import Row

Kind = Literal["listed", "unknown", "allowed", "clean", "skipped"]

RANKS: Final[tuple[Kind, ...]] = ("listed", "unknown", "allowed", "clean", "skipped")
"""The order in which cards stand: what asks for something to be done comes first."""
WORDS: Final[dict[Kind, str]] = {
    "listed": "Listed", "unknown": "No usable answer", "allowed": "On an allowlist", "clean": "Not listed",
    "skipped": "Not asked",
}  # fmt: skip
MAX_TEXT: Final = 600


class Line(NamedTuple):
    """One fact. url: what it links to, of http or https only; empty: none."""

    label: str
    text: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """One list's answer. rank: its place; lower stands higher."""

    zone: str
    kind: Kind
    word: str
    rank: int
    lines: tuple[Line, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; each line as [label, text, url]."""
        return asdict(self) | {"lines": [list(line) for line in self.lines]}


def shown(text: str) -> str:
    """A text from anywhere, on one line, bounded, and nothing in it that a terminal or page acts upon."""
    text = printable(text[: MAX_TEXT + 1])
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def link(url: str | None) -> str:
    """The URL if a browser may be sent there, else nothing."""
    return shown(url) if url and url.startswith(("https://", "http://")) and len(url) <= MAX_TEXT else ""


def kind_of(answer: ZoneAnswer) -> Kind:
    if answer.outcome is Outcome.LISTED:
        return "listed" if answer.score >= 0 else "allowed"
    if answer.outcome in ERRORS:
        return "unknown"
    return "clean" if answer.outcome is Outcome.NOT_LISTED else "skipped"


def card_of(answer: ZoneAnswer, row: Row | None) -> Card:
    """row: the catalogue's; None where it does not know the list."""
    kind = kind_of(answer)
    lines = [*_says(answer, kind), *(_way_out(answer, row) if kind == "listed" else ())]
    if row is not None and (row.operator or row.page):
        lines.append(Line("Run by", shown(row.operator or row.page), link(row.page)))
    return Card(answer.zone, kind, WORDS[kind], RANKS.index(kind), tuple(lines))


def _says(answer: ZoneAnswer, kind: Kind) -> list[Line]:
    lines = []
    if answer.meanings:
        lines.append(Line("Says", shown("; ".join(answer.meanings))))
    if answer.codes:
        lines.append(Line("Codes", shown(", ".join(answer.codes))))
    if answer.reason:
        lines.append(Line("Why", shown(answer.reason)))
    if answer.detail:
        lines.append(Line("Problem" if kind == "unknown" else "Note", shown(answer.detail)))
    return lines


def _way_out(answer: ZoneAnswer, row: Row | None) -> list[Line]:
    lines = []
    if row is not None and row.delisting:
        lines.append(Line("How to get off it", shown(row.delisting)))
    if answer.delist_url:
        lines.append(Line("Removal page", shown(answer.delist_url), link(answer.delist_url)))
    if not lines:
        lines.append(Line("How to get off it", "its operator's own pages say"))
    return lines


def headline(verdict: Verdict) -> str:
    """The verdict in one sentence.

    >>> headline(Verdict("192.0.2.1", False, True, 0.0, ()))
    '192.0.2.1 was not looked up: no list takes it.'
    """
    subject, kinds = shown(verdict.subject), [kind_of(answer) for answer in verdict.answers]
    asked, listed, failed = len(kinds) - kinds.count("skipped"), kinds.count("listed"), kinds.count("unknown")
    if not asked:
        return f"{subject} was not looked up: no list takes it."
    lists = "1 list" if asked == 1 else f"{asked} lists"
    if listed:
        text = f"{subject} is listed by {listed} of {lists} asked"
    elif failed == asked:
        return f"{subject}: none of {lists} asked gave a usable answer, so nothing is known."
    else:
        one = asked - failed == 1
        which = "not listed by the one list" if one else f"listed by none of the {asked - failed} lists"
        text = f"{subject} is {which} that answered"
    if failed:
        text += f"; {failed} gave no usable answer"
    elif not verdict.complete:
        text += "; a list was left out"
    return text + "."
