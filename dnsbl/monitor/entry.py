"""What is known of one subject on one list, and a change of it. Values only.

Times are wall clock, seconds since 1970-01-01 UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final, Literal

Status = Literal["listed", "clear", "unknown"]
"""unknown: not asked yet, or the list failed or refused; never a word about the subject."""
Standing = Literal["listed", "clear", ""]
"""What was seen often enough to count; a list that fails changes nothing about it. Empty: nothing yet."""
What = Literal["listed", "delisted"]

LISTED: Final = "listed"
CLEAR: Final = "clear"
UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Seen:
    """What one round saw of a subject on a list.

    ttl_s: how long the answer holds, in seconds; None where it does not. detail: why it is unknown, one line.
    """

    status: Status
    codes: tuple[str, ...] = ()
    meaning: str = ""
    reason: str = ""
    delist_url: str = ""
    detail: str = ""
    ttl_s: float | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One subject on one list.

    subject: canonical text. status: `standing`, but unknown where the last round that asked got no usable
    answer, or nothing counts yet. since: when `status` began. standing: see `Standing`.
    listed_since: when the present listing was first seen; None unless `standing` is listed. delisted_at: when
    the last listing that counted was first seen gone. sightings: rounds, failed ones left out, that in a row
    saw something else than `standing`; first_sight: when the first of them was.
    asked_at: None: never. due_at: when it will be asked next. codes, meaning, reason, delist_url: of the last
    listing seen. detail: why it is unknown, or what is seen and does not count yet.
    """

    subject: str
    zone: str
    status: Status = UNKNOWN
    since: float = 0.0
    standing: Standing = ""
    listed_since: float | None = None
    delisted_at: float | None = None
    sightings: int = 0
    first_sight: float | None = None
    asked_at: float | None = None
    due_at: float = 0.0
    codes: tuple[str, ...] = ()
    meaning: str = ""
    reason: str = ""
    delist_url: str = ""
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: the same names, without what only counts sightings."""
        left_out = ("sightings", "first_sight")
        values = {name: getattr(self, name) for name in self.__slots__ if name not in left_out}
        return values | {"codes": list(self.codes)}


@dataclass(frozen=True, slots=True)
class Change:
    """A listing that began or ended. at: when it counted; since: when it was first seen so.

    id: its number in the state file, from 1; 0 before it is there. via: the host names and ranges through
    which the subject is watched.
    """

    at: float
    subject: str
    zone: str
    what: What
    since: float
    codes: tuple[str, ...] = ()
    meaning: str = ""
    reason: str = ""
    delist_url: str = ""
    via: tuple[str, ...] = ()
    id: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: the same names, tuples as lists."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return values | {"codes": list(self.codes), "via": list(self.via)}


def by_number(subject: str) -> tuple[int, int, str]:
    """A key to sort subjects by: IPv4 addresses by their numbers, then IPv6, then domains.

    >>> sorted(["example.com", "192.0.2.10", "2001:db8::1", "192.0.2.9"], key=by_number)
    ['192.0.2.9', '192.0.2.10', '2001:db8::1', 'example.com']
    """
    try:
        address = ip_address(subject)
    except ValueError:
        return 9, 0, subject
    return address.version, int(address), ""
