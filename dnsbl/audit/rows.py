"""The rows of a bulk run: what is written of one verdict, flat for CSV and Parquet, whole for JSON lines."""

from __future__ import annotations

import json
from typing import Final, TypeAlias

from dnsbl.model import Verdict

Flat: TypeAlias = tuple[
    str, bool, bool, float,
    tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...], float | None, float, str | None,
]  # fmt: skip
"""subject, listed, complete, score, listings, codes, meanings, errors, ttl_s, elapsed_s, error."""

COLUMNS: Final = (
    "item", "input", "subject", "listed", "complete", "score", "listings", "codes", "meanings", "errors",
    "ttl_s", "elapsed_s", "error",
)  # fmt: skip
"""The columns of CSV and Parquet, in this order.

item: the place in the input, from 1, networks spread out. input: the text as it was given. listings: zones
that list the subject; codes and meanings: one text for each of these. errors: zones without a usable answer.
error: why the item could not be looked up; the other columns are empty then.
"""


def one_line(text: str) -> str:
    """Without line ends, so that a line of a CSV file is a row."""
    return text if text.isprintable() else " ".join(text.splitlines())


def flat(verdict: Verdict) -> Flat:
    """The columns of one verdict after `item` and `input`."""
    listings: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    meanings: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    listed, complete, score, ttl_s = verdict.listed, verdict.complete, verdict.score, verdict.ttl_s
    if listed or not complete or score:  # the answers of a clean verdict need not be built
        found = verdict.listings
        listings = tuple(answer.zone for answer in found)
        codes = tuple(" ".join(answer.codes) for answer in found)
        meanings = tuple("; ".join(answer.meanings) for answer in found)
        errors = tuple(answer.zone for answer in verdict.errors)
    return (
        verdict.subject, listed, complete, score, listings, codes, meanings, errors,
        None if ttl_s is None else round(ttl_s, 3), round(verdict.elapsed_s, 6), None,
    )  # fmt: skip


def flat_error(error: str) -> tuple[object, ...]:
    """The columns of an item that could not be looked up, after `item` and `input`."""
    return (None, None, None, None, (), (), (), (), None, None, error)


def json_text(verdict: Verdict) -> str:
    """A verdict as the JSON of `Verdict.to_dict`, without the opening brace, to be put after the item."""
    return json.dumps(verdict.to_dict())[1:]


def json_error(error: str) -> str:
    """As `json_text`, for an item that could not be looked up."""
    return json.dumps({"error": error})[1:]


def json_line(number: int, given: str, text: str) -> str:
    """One line of the JSON form: the item's place and text, then what `json_text` made."""
    return f'{{"item": {number}, "input": {json.dumps(given)}, {text}'
